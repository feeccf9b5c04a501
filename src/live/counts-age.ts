/**
 * Sets the maximum age of row counts for each kind of reader, in milliseconds. With older ones the
 * objects count again: in slices, but every row is read, and billed.
 */

/** For what decides by counts: a plan, an apply. */
export const ASKED_AGE_MAX_MS = 10 * 60_000;
/**
 * For those who look, and say how old the counts are: the scheduled Worker, a status, the page. So
 * each row is read once a day, however often somebody looks.
 */
export const WATCHED_AGE_MAX_MS = 24 * 3_600_000;
