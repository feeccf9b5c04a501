/**
 * Medians, spreads and the ratio of two series. Pure.
 *
 * A run may give no value: nothing met a pause, or nothing moved. A series without values has no
 * median: every function here answers null, and the figure says why.
 */

/** One value a run; null of a run that gave none. */
export type Series = readonly (number | null)[];

/** The values of the runs that gave one. */
export function presentOf(series: Series): number[] {
  return series.filter((value) => value !== null);
}

/** Middle value; the mean of the two middle ones for an even number. Null without values. */
export function medianOf(series: Series): number | null {
  return quantileOf(series, 0.5);
}

/** Value at a share 0 … 1 of the sorted values, interpolated. Null without values. */
export function quantileOf(series: Series, share: number): number | null {
  const sorted = presentOf(series).toSorted((left, right) => left - right);
  const at = share * (sorted.length - 1);
  const low = sorted[Math.floor(at)];
  const high = sorted[Math.ceil(at)];
  return low === undefined || high === undefined
    ? null
    : low + (high - low) * (at - Math.floor(at));
}

/** Least value, null without values. */
export function minOf(series: Series): number | null {
  return quantileOf(series, 0);
}

/** Largest value, null without values. */
export function maxOf(series: Series): number | null {
  return quantileOf(series, 1);
}

/** (max - min) / median: how far the runs lie apart. 0 for one run, null without values. */
export function spreadOf(series: Series): number | null {
  const [min, median, max] = [minOf(series), medianOf(series), maxOf(series)];
  if (min === null || median === null || max === null) return null;
  return median === 0 ? 0 : (max - min) / median;
}

/**
 * `count` for each second of `durationMs`. Null when it took less than the clock can tell, or
 * nothing was counted.
 */
export function perSecond(count: number, durationMs: number): number | null {
  return count > 0 && durationMs > 0 ? (count / durationMs) * 1000 : null;
}

/** `part` for each of `whole`; null of nothing. */
export function shareOf(part: number, whole: number): number | null {
  return whole > 0 ? part / whole : null;
}

/**
 * The interval of a ratio when noise is taken off: the ratio lies between the two, with this
 * confidence, 0 … 1.
 */
export interface RatioInterval {
  readonly from: number;
  readonly to: number;
  readonly confidence: number;
}

export const CONFIDENCE = 0.95;

/**
 * The interval of `values` to `others`, whatever their distribution: of all ratios of a value to an
 * other, those that the rank test does not refuse. With too few runs its confidence is below
 * `CONFIDENCE`. Null without values on either side. Source: Hodges and Lehmann's interval over the
 * Mann–Whitney test (Conover, Practical Nonparametric Statistics, 5.4), for ratios in place of
 * differences.
 */
export function ratioInterval(values: Series, others: Series): RatioInterval | null {
  const [left, right] = [presentOf(values), presentOf(others)];
  const ratios = left
    .flatMap((value) => right.map((other) => (value === other ? 1 : value / other)))
    .toSorted((one, another) => (one < another ? -1 : one > another ? 1 : 0));
  const chances = rankChances(left.length, right.length);
  let cut = 0;
  let outside = 2 * (chances[0] ?? 0);
  while (outside + 2 * (chances[cut + 1] ?? 1) <= 1 - CONFIDENCE)
    outside += 2 * (chances[++cut] ?? 0);
  const from = ratios[cut];
  const to = ratios[ratios.length - 1 - cut];
  return from === undefined || to === undefined
    ? null
    : { from, to, confidence: Math.max(0, 1 - outside) };
}

/**
 * The chance of each value 0 … left·right of the Mann–Whitney statistic when both series are of one
 * kind.
 */
function rankChances(left: number, right: number): number[] {
  // Ways to have `u` pairs in the wrong order, by the one that comes last: of the left, behind all
  // of the right, or of the right.
  let byRight: number[][] = Array.from({ length: right + 1 }, () => [1]);
  for (let lefts = 1; lefts <= left; lefts++) {
    const next: number[][] = [[1]];
    for (let rights = 1; rights <= right; rights++) {
      const fewer = byRight[rights] ?? [];
      const same = next[rights - 1] ?? [];
      next.push(
        Array.from(
          { length: lefts * rights + 1 },
          (_, u) => (fewer[u - rights] ?? 0) + (same[u] ?? 0),
        ),
      );
    }
    byRight = next;
  }
  const ways = byRight[right] ?? [];
  const all = ways.reduce((sum, count) => sum + count, 0);
  return ways.map((count) => count / all);
}
