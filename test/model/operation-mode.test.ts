import { expect, it } from "vitest";

import { withDirectory } from "../../src/model/layout/directory.ts";
import { shardNames, unshardedLayout } from "../../src/model/layout/layout.ts";
import { operationModeFor, shiftMembers, swapGeneration } from "../../src/model/operation-mode.ts";
import { roundRobinLayout } from "../../src/model/strategies/round-robin.ts";
import { hashOf, rangeOf } from "../support/state.ts";

const roundRobin = roundRobinLayout("id", 0, shardNames("orders", 0, 2));

it.each([
  ["shard", unshardedLayout("orders", 0), hashOf("orders", 8), "swap"],
  ["unshard", hashOf("orders", 8), unshardedLayout("orders", 1), "swap"],
  ["hash, other count", hashOf("orders", 8), hashOf("orders", 12), "shift"],
  ["hash, other key", hashOf("orders", 8), hashOf("orders", 8, "tenant"), "swap"],
  ["hash, other generation", hashOf("orders", 8), hashOf("orders", 8, "id", 1), "swap"],
  ["range, other split points", rangeOf("orders", [1]), rangeOf("orders", [2]), "shift"],
  ["hash to range", hashOf("orders", 2), rangeOf("orders", [2]), "swap"],
  ["roundRobin, other count", roundRobin, { ...roundRobin, generation: 1 }, "swap"],
  [
    "hash, a directory switched on",
    hashOf("orders", 8),
    withDirectory(hashOf("orders", 8), true),
    "swap",
  ],
  [
    "hash with a directory",
    withDirectory(hashOf("orders", 8), true),
    withDirectory(hashOf("orders", 9), true),
    "shift",
  ],
  [
    "range with a directory",
    withDirectory(rangeOf("orders", [1]), true),
    withDirectory(rangeOf("orders", [2]), true),
    "swap",
  ],
] as const)("%s", (_name, from, to, mode) => {
  expect(operationModeFor(from, to)).toBe(mode);
});

it("takes the next generation whose names are all free", () => {
  expect(swapGeneration("orders", unshardedLayout("orders", 4), 8)).toBe(4);
  expect(swapGeneration("orders", hashOf("orders", 8, "id", 4), 8)).toBe(5);
  const named = { ...hashOf("orders", 2), members: ["orders-g1-shard-0", "orders-g2-shard-1"] };
  expect(swapGeneration("orders", named, 2)).toBe(3);
  expect(swapGeneration("orders", named, 1)).toBe(2);
});

it("adds and removes the highest indexes", () => {
  expect(shiftMembers("orders", hashOf("orders", 3, "id", 2), 1)).toEqual(["orders-g2-shard-0"]);
  expect(shiftMembers("orders", hashOf("orders", 1, "id", 2), 3)).toEqual(
    shardNames("orders", 2, 3),
  );
});
