/**
 * Measures how much worse a sample is than one of as many rows drawn one by one.
 *
 * Rows that stand side by side are read together, and are often alike: of one customer, of one day.
 * The places that were read are dealt to groups in turn. How far the groups differ in what they
 * find is the error, whatever the reason (the method of random groups: Wolter, Introduction to
 * Variance Estimation, chapter 2).
 */

/** Groups that the places of a sample are dealt to. */
export const GROUPS = 8;
/** Classes of buckets by which groups are compared. */
const CLASSES_MAX = 16;

/** Rows of one bucket; of those that were sampled, also by group. */
export interface Tally {
  rows: number;
  bytes: number;
  /** Empty where every row was read. */
  groups: number[];
}

export function emptyTally(): Tally {
  return { rows: 0, bytes: 0, groups: [] };
}

export function addTally(sum: Tally, { rows, bytes, groups }: Tally): void {
  sum.rows += rows;
  sum.bytes += bytes;
  groups.forEach((sampled, group) => {
    sum.groups[group] = (sum.groups[group] ?? 0) + sampled;
  });
}

/**
 * How many times the variance of rows drawn one by one the sample has, at least 1. @param buckets
 * in the order in which neighbours are likely to have one owner.
 */
export function clusteringOf(buckets: readonly Tally[], sampledEvery: number): number {
  const classes = classesOf(buckets);
  const byGroup = Array.from({ length: GROUPS }, (_, group) =>
    classes.reduce((sum, groups) => sum + (groups[group] ?? 0), 0),
  );
  const total = byGroup.reduce((sum, rows) => sum + rows, 0);
  let found = 0;
  let expected = 0;
  for (const groups of classes) {
    const share = groups.reduce((sum, rows) => sum + rows, 0) / total;
    for (const [group, rows] of byGroup.entries())
      found += ((groups[group] ?? 0) - share * rows) ** 2;
    expected += sampledEvery * total * share * (1 - share);
  }
  return expected > 0 ? Math.max(1, ((GROUPS / (GROUPS - 1)) * found) / expected) : 1;
}

/** Joins neighbours to few classes of about as many rows: rows of each group. */
function classesOf(buckets: readonly Tally[]): number[][] {
  const sampled = buckets.filter(({ groups }) => groups.length > 0);
  const sizes = sampled.map(({ groups }) => groups.reduce((sum, rows) => sum + (rows ?? 0), 0));
  const rowsMax = sizes.reduce((sum, rows) => sum + rows, 0) / CLASSES_MAX;
  const classes: number[][] = [];
  let rows = Infinity;
  sampled.forEach(({ groups }, index) => {
    const size = sizes[index] ?? 0;
    if (rows >= rowsMax) {
      classes.push(Array.from({ length: GROUPS }, () => 0));
      rows = 0;
    }
    rows += size;
    const last = classes.at(-1);
    groups.forEach((count, group) => {
      if (last) last[group] = (last[group] ?? 0) + count;
    });
  });
  return classes;
}
