/**
 * range: the members own consecutive parts of the key order, cut at count - 1 split points.
 *
 * Split points come from the manifest, or are chosen from the live keys: each range in turn takes
 * the rows left, divided by the ranges left. A key with more rows than that gets a range that it
 * overfills, and the following ranges share what remains: a key is never split. Only keys that
 * begin a counted bucket can be chosen, so the counts on both sides are known.
 *
 * Resize and level: new split points, and the members keep their order. Where members join, the old
 * ones are placed on the new ranges so that the most rows stay where they are (a
 * longest-common-subsequence search over rows), and the new ones fill the gaps.
 */
import { type Key, compareKeys } from "../layout/key.ts";
import type { KeyRange, RangeLayout } from "../layout/layout.ts";
import type { Distribution, KeyBucket } from "../live.ts";

/**
 * A layout over the members in index order, cut at the split points (one fewer than members,
 * ascending).
 */
export function freshRangeLayout(
  shardKey: string,
  generation: number,
  members: readonly string[],
  splitPoints: readonly Key[],
): RangeLayout {
  return { kind: "range", shardKey, generation, members, ranges: cutRanges(members, splitPoints) };
}

/**
 * The layout over `members` with new split points that keeps the order of the members that stay,
 * and the most rows in place.
 */
export function resizeRangeLayout(
  layout: RangeLayout,
  members: readonly string[],
  splitPoints: readonly Key[],
  distribution: Distribution,
): RangeLayout {
  const staying = layout.ranges
    .map((range) => range.member)
    .filter((member) => members.includes(member));
  const added = members.filter((member) => !staying.includes(member));
  const places = placeInOrder(retainedRows(staying, splitPoints, distribution), members.length);
  const inOrder = Array.from<string | undefined>({ length: members.length });
  staying.forEach((member, index) => (inOrder[places[index] ?? index] = member));
  let next = 0;
  const ordered = inOrder.map((member) => member ?? added[next++] ?? "");
  return { ...layout, members, ranges: cutRanges(ordered, splitPoints) };
}

/** The inner bounds of a layout, ascending. */
export function splitPointsOf(layout: RangeLayout): Key[] {
  return layout.ranges.flatMap((range) => (range.end === null ? [] : [range.end]));
}

/** True when both lists cut the keys at the same places. */
export function sameSplitPoints(left: readonly Key[], right: readonly Key[]): boolean {
  return (
    left.length === right.length &&
    left.every((key, index) => compareKeys(key, right[index] ?? key) === 0)
  );
}

/**
 * The `count` - 1 split points that divide the counted rows most evenly, or null when the rows have
 * fewer distinct places to cut than that. Needs key buckets; buckets of several members may
 * overlap, and an overlapped half counts as below the cut.
 */
export function chooseSplitPoints(distribution: Distribution, count: number): Key[] | null {
  const cuts = possibleCuts(distribution);
  if (cuts.length < count - 1) return null;
  const chosen: Key[] = [];
  let below = 0;
  let from = 0;
  for (let left = count; left > 1; left--) {
    const target = below + (distribution.rows - below) / left;
    // Enough cuts must remain for the ranges after this one.
    const index = nearestCut(cuts, target, from, cuts.length - (left - 1));
    const cut = cuts[index];
    if (!cut) throw new Error("A split point must be one of the possible cuts");
    chosen.push(cut.key);
    below = cut.below;
    from = index + 1;
  }
  return chosen;
}

/** Buckets with rows, of all members, by first key. */
function bucketsOf(distribution: Distribution): KeyBucket[] {
  return distribution.members.flatMap((member) =>
    (member.keys ?? []).filter((bucket) => bucket.rows > 0),
  );
}

interface Cut {
  readonly key: Key;
  /** Rows with keys below it. */
  readonly below: number;
}

function possibleCuts(distribution: Distribution): Cut[] {
  const buckets = bucketsOf(distribution);
  const byFirst = buckets.toSorted((left, right) => compareKeys(left.first, right.first));
  const byLast = buckets.toSorted((left, right) => compareKeys(left.last, right.last));
  const cuts: Cut[] = [];
  let begun = 0;
  let ended = 0;
  let at = 0;
  byFirst.forEach((bucket, index) => {
    const previous = byFirst[index - 1];
    if (previous && compareKeys(previous.first, bucket.first) !== 0) {
      for (
        let last = byLast[at];
        last && compareKeys(last.last, bucket.first) < 0;
        last = byLast[++at]
      )
        ended += last.rows;
      cuts.push({ key: bucket.first, below: (begun + ended) / 2 });
    }
    begun += bucket.rows;
  });
  return cuts;
}

/** The index in [from, to] whose `below` is nearest to the target; the lower one of two. */
function nearestCut(cuts: readonly Cut[], target: number, from: number, to: number): number {
  let low = from;
  let high = to;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((cuts[middle]?.below ?? 0) >= target) high = middle;
    else low = middle + 1;
  }
  const before = cuts[low - 1];
  const here = cuts[low];
  return low > from && before && here && target - before.below <= here.below - target
    ? low - 1
    : low;
}

function cutRanges(members: readonly string[], splitPoints: readonly Key[]): KeyRange[] {
  if (splitPoints.length !== members.length - 1) {
    throw new Error(
      `${members.length} members need ${members.length - 1} split points, not ${splitPoints.length}`,
    );
  }
  return members.map((member, index) => ({ end: splitPoints[index] ?? null, member }));
}

/** Rows that each staying member would keep on each new range. */
function retainedRows(
  staying: readonly string[],
  splitPoints: readonly Key[],
  distribution: Distribution,
): number[][] {
  const byMember = new Map(
    distribution.members.map((member) => [member.member, member.keys ?? []]),
  );
  return staying.map((member) => {
    const rows = Array.from<number>({ length: splitPoints.length + 1 }).fill(0);
    for (const bucket of byMember.get(member) ?? []) {
      const index = rangeIndex(splitPoints, bucket.first);
      rows[index] = (rows[index] ?? 0) + bucket.rows;
    }
    return rows;
  });
}

function rangeIndex(splitPoints: readonly Key[], key: Key): number {
  let low = 0;
  let high = splitPoints.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const split = splitPoints[middle];
    if (split && compareKeys(key, split) >= 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * For each row of the matrix a column, ascending, with the largest sum; the lowest columns among
 * equals.
 */
function placeInOrder(retained: readonly (readonly number[])[], columns: number): number[] {
  const width = columns + 1;
  // best[i][j]: most rows kept when the first i members use the first j ranges; -1 when they do not
  // fit.
  const best = new Float64Array((retained.length + 1) * width);
  retained.forEach((rows, member) => {
    for (let column = 0; column < width; column++) {
      const here = (member + 1) * width + column;
      best[here] = column <= member ? -1 : (best[here - 1] ?? -1);
      if (column > member)
        best[here] = Math.max(
          best[here] ?? -1,
          (best[member * width + column - 1] ?? 0) + (rows[column - 1] ?? 0),
        );
    }
  });
  const places: number[] = [];
  let column = columns;
  for (let member = retained.length; member > 0; member--) {
    while (column > member && best[member * width + column - 1] === best[member * width + column])
      column--;
    places.unshift(--column);
  }
  return places;
}
