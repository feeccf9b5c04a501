/**
 * Events: the history of one environment, as it is stored, listed and exported. One line each,
 * never a row value, never a secret.
 */

export const EVENT_KINDS = [
  "plan", // a plan was made
  "review", // a plan was shown in a pull request
  "release", // a plan was released, or a guard overridden
  "run", // a run started or ended
  "operation", // an operation of a namespace ended, or began without a run
  "drift", // a drift opened, was healed, or went away
  "alert", // an alert was opened, changed, closed or reopened
  "pause", // reconciliation was switched off or on
  "repair", // a namespace was repaired
  "forget", // what was remembered of a namespace was forgotten
  "import", // the Worker's own state was imported
  "policy", // another policy of a namespace holds
] as const;
export type EventKind = (typeof EVENT_KINDS)[number];

export interface HistoryEvent {
  /** Grows by one with each event of the Worker. */
  readonly id: number;
  /** Milliseconds since the Unix epoch. */
  readonly at: number;
  readonly environment: string;
  readonly kind: EventKind;
  readonly namespace: string | null;
  /** The event in one line. */
  readonly summary: string;
  readonly actor: string;
  readonly commit: string | null;
  readonly pull: number | null;
  readonly fingerprint: string | null;
  readonly run: string | null;
  readonly rowsMoved: number | null;
  readonly durationMs: number | null;
}

/**
 * `GET /v1/events?environment=&namespace=&kind=&before=<id>&limit=<1 … 1000, default 50>`: newest
 * first; with `after=<id>` what is newer, oldest first. With `accept: application/jsonl` one JSON
 * text a line, oldest first, and without a limit all of it.
 */
export interface EventList {
  readonly events: readonly HistoryEvent[];
}
