/**
 * Checks that ticks come, for `GET /healthz`. Their expected gap is read from the cron expressions
 * that the runtime names with each event: the shortest gap counts, since a Worker may have crons
 * for other things. Before the first event nothing is expected. Pure.
 */
import { Cron } from "croner";

import { isUnderWay, type EnvironmentState } from "../reconcile/environment-state.ts";

/** The stored record of the cron events. */
export interface Heartbeat {
  /** When the last event came, in milliseconds since the Unix epoch. */
  readonly at: number;
  /** By expression, sorted: how far apart its events are, and when it last came. */
  readonly crons: readonly { readonly cron: string; readonly gapMs: number; readonly at: number }[];
}

/** So many gaps without a tick are too many. */
const GAPS_MAX = 3;
/** A pass over very many changes may take this long. */
const PASS_MS_MAX = 30 * 60_000;
/** Of an expression that cannot be read. */
const DEFAULT_GAP_MS = 60 * 60_000;

/**
 * The heartbeat after an event. An expression that has not come for long was taken out of the
 * Worker's config.
 */
export function beat(before: Heartbeat | null, cron: string, now: number): Heartbeat {
  const others = (before?.crons ?? []).filter(
    (known) => known.cron !== cron && now - known.at <= GAPS_MAX * known.gapMs,
  );
  const crons = [...others, { cron, gapMs: gapOf(cron, now), at: now }];
  return { at: now, crons: crons.toSorted((left, right) => (left.cron < right.cron ? -1 : 1)) };
}

/**
 * False when no event came for three gaps, or an environment's last pass ended before that and none
 * is getting on.
 */
export function isBeating(
  heartbeat: Heartbeat | null,
  environments: readonly EnvironmentState[],
  now: number,
): boolean {
  if (heartbeat === null || heartbeat.crons.length === 0) return true;
  const allowedMs = GAPS_MAX * Math.min(...heartbeat.crons.map(({ gapMs }) => gapMs));
  if (now - heartbeat.at > allowedMs) return false;
  return environments.every((state) => {
    if (isUnderWay(state)) return now - state.pass.startedAt <= Math.max(allowedMs, PASS_MS_MAX);
    return state.checkedAt === null || now - state.checkedAt <= allowedMs;
  });
}

function gapOf(cron: string, now: number): number {
  try {
    const [first, second] = new Cron(cron, { paused: true, timezone: "UTC" }).nextRuns(
      2,
      new Date(now),
    );
    return first && second ? second.getTime() - first.getTime() : DEFAULT_GAP_MS;
  } catch {
    // Cloudflare's expressions know more than croner's; the event itself is what counts.
    return DEFAULT_GAP_MS;
  }
}
