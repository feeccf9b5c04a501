/**
 * Sets the maximum age of row counts for each kind of reader, in milliseconds. With older ones the
 * objects count again: in slices, but every row is read, and billed.
 */

/** For a reader who waits for the answer: a plan, an apply, a status, the page. */
export const ASKED_AGE_MAX_MS = 10 * 60_000;
/**
 * For looks of the scheduled Worker, and for those that need no count: so that each row is read
 * once a day.
 */
export const WATCHED_AGE_MAX_MS = 24 * 3_600_000;
