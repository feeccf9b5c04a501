/**
 * Collects rows by their keys into ranges that lie side by side: what quantiles, and the owners of
 * ranges, are reckoned from. Keys may come in any order; memory is bounded by the number of ranges.
 *
 * Ranges are joined while keys come, so that a range which looked small may end large: the planner
 * takes a range that a bound cuts for half of each side, and states that as an error.
 */
import { type Key, compareKeys } from "../../model/layout/key.ts";
import type { KeyBucket } from "../../model/live.ts";
import { type Tally, addTally } from "./sampling-error.ts";

/**
 * Ranges that are told of one member: an upper bound on the error of quantiles, 1 / 2,000 of the
 * member's rows.
 */
const BUCKETS_MAX = 2_000;
/** Ranges at which they are joined while keys come, to about the half. */
const GATHERED_MAX = 8_000;

interface Range extends Tally {
  first: Key;
  last: Key;
}

export class KeyBuckets {
  readonly #bounds: readonly Key[];
  #ranges: Range[] = [];

  /** No range spans one of these keys. */
  constructor(boundaries: readonly Key[]) {
    this.#bounds = boundaries.toSorted(compareKeys);
  }

  /** Adds keys with what was found of each. */
  add(found: Iterable<readonly [Key, Tally]>): void {
    const sorted = [...found].toSorted(([left], [right]) => compareKeys(left, right));
    const ranges: Range[] = [];
    let index = 0;
    for (const [key, tally] of sorted) {
      for (; index < this.#ranges.length; index++) {
        const range = this.#ranges[index];
        if (range === undefined || compareKeys(range.last, key) >= 0) break;
        ranges.push(range);
      }
      const next = this.#ranges[index];
      const before = ranges.at(-1);
      if (next && compareKeys(next.first, key) <= 0) addTally(next, tally);
      // The integer 1 and the real 1.0 are one key.
      else if (before && compareKeys(before.last, key) === 0) addTally(before, tally);
      else ranges.push({ ...tally, groups: [...tally.groups], first: key, last: key });
    }
    this.#ranges = [...ranges, ...this.#ranges.slice(index)];
    if (this.#ranges.length > GATHERED_MAX) this.#join(GATHERED_MAX / 2);
  }

  /** The ranges as they are told. Nothing is added after that. */
  end(): (KeyBucket & Tally)[] {
    this.#join(BUCKETS_MAX);
    return this.#ranges;
  }

  /** Joins neighbours up to the share of all rows that one of `buckets` has. */
  #join(buckets: number): void {
    const total = this.#ranges.reduce((sum, { rows }) => sum + rows, 0);
    const rowsMax = Math.ceil(total / buckets);
    const joined: Range[] = [];
    let bound = 0;
    for (const range of this.#ranges) {
      let isNext = false;
      for (; this.#isPast(range.first, bound); bound++) isNext = true;
      const last = joined.at(-1);
      if (last && !isNext && last.rows + range.rows <= rowsMax) {
        addTally(last, range);
        last.last = range.last;
      } else {
        joined.push(range);
      }
    }
    this.#ranges = joined;
  }

  #isPast(key: Key, index: number): boolean {
    const bound = this.#bounds[index];
    return bound !== undefined && compareKeys(key, bound) >= 0;
  }
}
