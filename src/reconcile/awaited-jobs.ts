/**
 * Remembers since when a change has waited for the apply job of each pull request that shows it.
 * Pure. Each pull request has an hour of its own: a second one neither inherits what is left of the
 * first one's, nor gives the first one another.
 */

export interface AwaitedJob {
  readonly pull: number;
  /** Since when nothing but its job is missing, in milliseconds since the Unix epoch. */
  readonly since: number;
}

/** How long an apply job may take to come, before a person is told that none has. */
export const JOB_AWAITED_MS = 3_600_000;

/** Pull requests that are remembered for one change. */
const JOBS_MAX = 20;

/** The jobs of these pull requests, sorted by how long they have been waited for. */
export function awaitJobs(
  before: readonly AwaitedJob[] | undefined,
  pulls: readonly number[],
  now: number,
): AwaitedJob[] {
  const since = (pull: number): number =>
    // A clock that went back does not make it wait for longer.
    Math.min(now, before?.find((one) => one.pull === pull)?.since ?? now);
  return [...new Set(pulls)]
    .map((pull) => ({ pull, since: since(pull) }))
    .toSorted((left, right) => left.since - right.since || left.pull - right.pull)
    .slice(0, JOBS_MAX);
}

/** The job that has not come for too long, and for the longest; null when none is late. */
export function findLateJob(awaited: readonly AwaitedJob[], now: number): AwaitedJob | null {
  return awaited.find(({ since }) => now - since >= JOB_AWAITED_MS) ?? null;
}
