/**
 * Counts the heals of a namespace that did not last, and spaces them out. Pure.
 *
 * A heal may move every row, and its run may succeed each time while something keeps undoing it.
 * So an attempt counts from its start, whatever its run says, and is a success only once live has
 * stayed as declared for an hour after its end. Each kind of drift has a count of its own. Merging
 * another spec forgets them all; a failed run is counted besides, in `FailedAttempts`.
 *
 * | a look finds                         | the attempts of that kind                           |
 * |--------------------------------------|-----------------------------------------------------|
 * | the drift again                      | the last one has relapsed                           |
 * | live as declared                     | stay, and are forgotten when it stays so for an hour |
 * | another drift that hides this kind   | stay as they are                                    |
 */
/** Causes of changes that heal, as drifts name them. */
export type HealedKind = "spec" | "skew" | "misplaced";

export interface HealAttempts {
  readonly kind: HealedKind;
  /** Heals that were started since the last one that lasted. */
  readonly started: number;
  /** How many of them are known not to have lasted. */
  readonly relapsed: number;
  /** Start of the last one, in milliseconds since the Unix epoch. */
  readonly startedAt: number;
  /** When it ended; null or absent while it runs, or when nobody here knows. */
  readonly endedAt?: number | null;
  /** Since when live has been as declared; null while it is not, or nobody has looked. */
  readonly asDeclaredSince: number | null;
}

/** A heal has lasted when live has stayed as declared for so long. */
export const LASTS_MS = 3_600_000;

/** Relapses after which a person is told. */
export const RELAPSES_MAX = 3;

/** The second heal waits for so long after the end of the first; the wait doubles up to a day. */
const WAIT_MS_FIRST = 10 * 60_000;
const WAIT_MS_LONGEST = 24 * 3_600_000;

export function healedKind(cause: "declared" | "skew" | "misplaced"): HealedKind {
  return cause === "declared" ? "spec" : cause;
}

/** The attempts of one kind; null when none is remembered. */
export function attemptsOf(
  heals: readonly HealAttempts[] | undefined,
  kind: HealedKind,
): HealAttempts | null {
  return heals?.find((one) => one.kind === kind) ?? null;
}

/** The attempts after one more start, which is counted before anybody knows how it ends. */
export function countHeal(
  heals: readonly HealAttempts[] | undefined,
  kind: HealedKind,
  now: number,
): HealAttempts[] {
  const before = attemptsOf(heals, kind);
  const started = (before?.started ?? 0) + 1;
  const relapsed = Math.max(before?.relapsed ?? 0, started - 1);
  return replace(heals, {
    kind,
    started,
    relapsed,
    startedAt: now,
    endedAt: null,
    asDeclaredSince: null,
  });
}

/** The attempts after the last start of that kind has ended, however. */
export function endHeal(
  heals: readonly HealAttempts[] | undefined,
  kind: HealedKind,
  now: number,
): HealAttempts[] {
  const before = attemptsOf(heals, kind);
  return before === null ? [...(heals ?? [])] : replace(heals, { ...before, endedAt: now });
}

/** True when the audit has begun after the last heal of misplaced rows. */
export function isAuditedSince(
  heals: readonly HealAttempts[] | undefined,
  audit: { readonly at: number },
): boolean {
  const last = attemptsOf(heals, "misplaced");
  return last === null || audit.at >= lastMoment(last);
}

/** A heal of hours has lasted for nothing yet when it ends. */
function lastMoment({ startedAt, endedAt }: HealAttempts): number {
  return Math.max(startedAt, endedAt ?? startedAt);
}

/** The attempts without the last start of that kind: its run has not touched the namespace. */
export function uncountHeal(
  heals: readonly HealAttempts[] | undefined,
  kind: HealedKind,
): HealAttempts[] {
  const before = attemptsOf(heals, kind);
  if (before === null) return [...(heals ?? [])];
  const started = before.started - 1;
  const relapsed = Math.min(before.relapsed, started);
  return replace(heals, { ...before, started, relapsed });
}

/** Findings of a look at a namespace at rest. */
export interface HealSight {
  /** Why its layout has to change; null when it is as declared. */
  readonly cause: "declared" | "skew" | null;
  /** False while a member does not answer: the rows are not known then. */
  readonly isCounted: boolean;
  /** The last one; null before the first. */
  readonly audit: { readonly at: number; readonly misplacedRows: number } | null;
  readonly now: number;
}

/** The attempts after a look at a namespace at rest. */
export function noteHealSight(
  heals: readonly HealAttempts[] | undefined,
  sight: HealSight,
): HealAttempts[] {
  return (heals ?? []).flatMap((one) => {
    const at = asDeclaredAt(one, sight);
    if (at === "unknown") return [one];
    if (at === null) return [{ ...one, relapsed: one.started, asDeclaredSince: null }];
    const since = Math.min(one.asDeclaredSince ?? at, at);
    return at - since >= LASTS_MS ? [] : [{ ...one, asDeclaredSince: since }];
  });
}

/** When it was last seen as declared; null when the drift is back. */
function asDeclaredAt(
  attempts: HealAttempts,
  { cause, isCounted, audit, now }: HealSight,
): number | null | "unknown" {
  switch (attempts.kind) {
    case "spec":
      return cause === "declared" ? null : now;
    case "skew":
      if (cause === "skew") return null;
      return cause === "declared" || !isCounted ? "unknown" : now;
    case "misplaced":
      // Only an audit knows, and only one that has begun after the heal.
      if (audit === null || audit.at < lastMoment(attempts)) return "unknown";
      return audit.misplacedRows > 0 ? null : audit.at;
  }
}

/**
 * When the next heal of that kind may start; null for at once. A time further ahead than any wait
 * was written by a clock that was wrong.
 */
export function nextHealAt(attempts: HealAttempts | null, now: number): number | null {
  if (attempts === null || attempts.started < 1) return null;
  const waitMs = Math.min(WAIT_MS_LONGEST, WAIT_MS_FIRST * 2 ** Math.min(attempts.started - 1, 20));
  const at = lastMoment(attempts) + waitMs;
  return at > now && at - now <= WAIT_MS_LONGEST ? at : null;
}

/** True when a person has to be told, until a heal lasts. */
export function hasRelapsedOften({ relapsed }: HealAttempts): boolean {
  return relapsed >= RELAPSES_MAX;
}

/** Tells a person of heals of that kind that do not last, with the way out. */
export function describeRelapse(
  { kind, started, startedAt }: HealAttempts,
  name: string,
): { readonly detail: string; readonly remedy: string } {
  const when = new Date(startedAt).toISOString();
  return {
    detail: `started ${started} times, the last at ${when}, and never as declared for an hour after that; the wait doubles each time, up to a day`,
    remedy: `${CAUSES[kind]} \`shardctl history ${name}\` shows what was done there. \`shardctl apply\` puts it back now; merging another spec begins the count again, and an hour as declared ends it.`,
  };
}

const CAUSES: Readonly<Record<HealedKind, string>> = {
  spec: "Find out what changes the layout back, such as another Worker, environment or person, and stop it, or declare that layout.",
  skew: "The rows grow unevenly again at once: choose another shard key, or raise policy.maxSkew.",
  misplaced:
    "Find out what writes rows past the router, and have it write through the namespace instead.",
};

function replace(heals: readonly HealAttempts[] | undefined, next: HealAttempts): HealAttempts[] {
  const others = (heals ?? []).filter(({ kind }) => kind !== next.kind);
  return next.started < 1 ? others : [...others, next];
}
