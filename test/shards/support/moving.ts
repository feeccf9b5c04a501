/** Memberships in a move, as a test of one source or target needs them. */
import { keyFromSql } from "../../../src/model/layout/key.ts";
import type { RangeLayout } from "../../../src/model/layout/layout.ts";
import { freshHashLayout } from "../../../src/model/strategies/hash.ts";
import type { Moving } from "../../../src/shards/move/moving.ts";

/** The runtime's limit for a text, in bytes. */
export const TEXT_BYTES_MAX = 2_000_000;

/** Two shards by region: `a` below m, `b` from there on. */
export const TWO_REGIONS: RangeLayout = {
  kind: "range",
  shardKey: "region",
  generation: 1,
  members: ["a", "b"],
  ranges: [
    { end: keyFromSql("text", "m"), member: "a" },
    { end: null, member: "b" },
  ],
};

/**
 * A part in operation 1 that has only been prepared: a swap from the root to one shard, unless it
 * is said otherwise.
 */
export function movingOf(changes: Partial<Moving> = {}): Moving {
  return {
    operation: 1,
    mode: "swap",
    isSource: true,
    isTarget: false,
    from: { kind: "none", generation: 0, members: ["root"] },
    to: freshHashLayout("id", 0, ["s-0"]),
    allowMissingKey: false,
    rowsPerSecondMax: null,
    fence: 0,
    fenceFloor: 1,
    rehearsed: 0,
    ...changes,
  };
}
