/** Medians and spreads of a few runs. Pure. */

/** Middle value; the mean of the two middle ones for an even number. @throws Error without values. */
export function medianOf(values: readonly number[]): number {
  return quantileOf(values, 0.5);
}

/** Value at a share 0 … 1 of the sorted values, interpolated. @throws Error without values. */
export function quantileOf(values: readonly number[], share: number): number {
  const sorted = values.toSorted((left, right) => left - right);
  const at = share * (sorted.length - 1);
  const low = sorted[Math.floor(at)];
  const high = sorted[Math.ceil(at)];
  if (low === undefined || high === undefined) throw new Error("No values to take a quantile of");
  return low + (high - low) * (at - Math.floor(at));
}

/** (max - min) / median: how far the runs lie apart. 0 for one run. */
export function spreadOf(values: readonly number[]): number {
  const median = medianOf(values);
  return median === 0 ? 0 : (Math.max(...values) - Math.min(...values)) / median;
}
