/**
 * Skew: how far the fullest member is above the average, and how much of that is more than chance.
 *
 * A perfectly even hash of n rows over m members still fills the fullest member a little above n/m,
 * by some standard deviations of a Poisson count. With few rows that alone exceeds any policy (1
 * row over 8 members has skew 8) and no layout could do better, so the planner tolerates what
 * chance explains. From about 70 rows a member on, a policy of 1.5 decides alone.
 */
import type { Skew } from "../plan.ts";

/**
 * Standard deviations above the average that even 1,000 members of a perfect hash practically never
 * exceed.
 */
const CHANCE_DEVIATIONS = 4;

/** A rebalance for skew must lower the skew by this share, or it is not worth its moves. */
const SKEW_GAIN_MIN = 0.05;

/** max/average of the counts; 1 when there are none or all are 0. */
export function skewOf(rows: readonly number[]): Skew {
  let total = 0;
  let most = 0;
  for (const count of rows) {
    total += count;
    if (count > most) most = count;
  }
  return total === 0 ? 1 : (most * rows.length) / total;
}

/**
 * The largest skew that is not called skew: the policy's, or what chance explains for so few rows.
 */
export function toleratedSkew(maxSkew: number, rows: number, members: number): Skew {
  if (rows === 0) return maxSkew;
  const average = rows / members;
  return Math.max(maxSkew, (average + CHANCE_DEVIATIONS * Math.sqrt(average) + 1) / average);
}

/**
 * Where a rebalance for skew aims: half-way between even and the limit, so that the next rows do
 * not start it again.
 */
export function skewGoal(tolerated: Skew): Skew {
  return 1 + (tolerated - 1) / 2;
}

/** True when the change of skew is worth moving rows for. */
export function isWorthwhile(before: Skew, after: Skew): boolean {
  return after <= before * (1 - SKEW_GAIN_MIN);
}
