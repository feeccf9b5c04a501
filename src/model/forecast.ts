/**
 * Forecasts when an object will be full, from its sizes over time. Pure.
 *
 * The slope is Theil and Sen's, the median of the slopes between all pairs of points, with Sen's
 * interval for it: a burst or a clean-up shifts neither by much. Source: P. K. Sen, "Estimates of
 * the Regression Coefficient Based on Kendall's Tau", 1968.
 */

/** The size of an object, or of the fullest of a namespace, at some time. */
export interface SizePoint {
  /** Milliseconds since the Unix epoch. */
  readonly at: number;
  readonly bytes: number;
  /** The epoch of the namespace: after a change of the layout other rows are counted. */
  readonly epoch: number;
}

/**
 * `full`: within the 95 % interval of the slope, in days from now; `toDays` is null when it may
 * not grow at all. `steady`: not within two years. `unknown`: too few points since the layout was
 * changed, or the object emptied.
 */
export type Forecast =
  | { readonly kind: "full"; readonly fromDays: number; readonly toDays: number | null }
  | { readonly kind: "steady" }
  | { readonly kind: "unknown" };

const DAY_MS = 86_400_000;
/** Points that are looked at, spread over the time: their pairs are compared. */
const POINTS_MAX = 100;
const POINTS_MIN = 8;
const SPAN_MS_MIN = DAY_MS;
/** Beyond that nobody plans. */
const DAYS_MAX = 730;
/** A fall by more than this share is a clean-up, or another object: a new history begins. */
const FALL_SHARE = 0.1;
/** A clock may be a little ahead of another. */
const AHEAD_MS_MAX = 5 * 60_000;
/** 97.5 % of a normal distribution lie below. */
const Z = 1.96;

/** @param limit bytes at which it is full. @param points in any order. */
export function forecastFull(points: readonly SizePoint[], limit: number, now: number): Forecast {
  const segment = thinOut(lastSegment(points, now));
  const [first] = segment;
  const last = segment.at(-1);
  if (!first || !last || segment.length < POINTS_MIN || last.at - first.at < SPAN_MS_MIN)
    return { kind: "unknown" };
  // Of a burst in the last hour the usual size is what grows on.
  const size = median(segment.slice(-3).map(({ bytes }) => bytes));
  if (size >= limit) return { kind: "full", fromDays: 0, toDays: 0 };
  const { lower, upper } = slopeInterval(segment);
  const daysAt = (slope: number): number => (limit - size) / slope / DAY_MS;
  const fromDays = upper > 0 ? daysAt(upper) : Number.POSITIVE_INFINITY;
  if (fromDays > DAYS_MAX) return { kind: "steady" };
  const toDays = lower > 0 ? daysAt(lower) : Number.POSITIVE_INFINITY;
  return { kind: "full", fromDays, toDays: toDays > DAYS_MAX ? null : toDays };
}

/** The points since the last change of the layout and the last fall, by time. */
function lastSegment(points: readonly SizePoint[], now: number): readonly SizePoint[] {
  const known = points
    .filter(({ at }) => at <= now + AHEAD_MS_MAX)
    .toSorted((left, right) => left.at - right.at);
  const cut = known.findLastIndex((point, index) => {
    const before = known[index - 1];
    return (
      before !== undefined &&
      (before.epoch !== point.epoch || point.bytes < before.bytes * (1 - FALL_SHARE))
    );
  });
  return known.slice(Math.max(0, cut));
}

/** At most `POINTS_MAX` of them, with the last. */
function thinOut(points: readonly SizePoint[]): readonly SizePoint[] {
  const every = Math.ceil(points.length / POINTS_MAX);
  return points.filter((_, index) => (points.length - 1 - index) % every === 0);
}

/** Bytes a millisecond, between which the slope lies. */
function slopeInterval(points: readonly SizePoint[]): {
  readonly lower: number;
  readonly upper: number;
} {
  const slopes = points
    .flatMap((left, index) =>
      points
        .slice(index + 1)
        .filter(({ at }) => at > left.at)
        .map((right) => (right.bytes - left.bytes) / (right.at - left.at)),
    )
    .toSorted((left, right) => left - right);
  const count = points.length;
  const spread = Z * Math.sqrt((count * (count - 1) * (2 * count + 5)) / 18);
  const at = (rank: number): number =>
    slopes[Math.min(slopes.length - 1, Math.max(0, Math.round(rank)))] ?? 0;
  return {
    lower: at((slopes.length - spread) / 2),
    upper: at((slopes.length + spread) / 2),
  };
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((left, right) => left - right);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1
    ? (sorted[middle] ?? 0)
    : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
}

/** "full in 19 to 24 days"; null when nothing can be said. */
export function describeForecast(forecast: Forecast): string | null {
  if (forecast.kind === "unknown") return null;
  if (forecast.kind === "steady") return "not full within two years";
  const from = Math.floor(forecast.fromDays);
  if (forecast.toDays === null) return `full in ${days(from)} at the earliest`;
  const to = Math.ceil(forecast.toDays);
  if (to === 0) return "full now";
  return to <= from + 1 && from > 0 ? `full in ${days(to)}` : `full in ${from} to ${days(to)}`;
}

function days(count: number): string {
  return count === 1 ? "1 day" : `${count} days`;
}
