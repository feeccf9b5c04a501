import { expect, it } from "vitest";

import { sameLayout, shardName } from "../../../src/model/layout/layout.ts";

it("compares layouts by content, not by the order in which fields were written", () => {
  const left = { kind: "none", generation: 1, members: ["orders"] } as const;
  expect(sameLayout(left, { members: ["orders"], generation: 1, kind: "none" })).toBe(true);
  expect(sameLayout(left, { ...left, generation: 2 })).toBe(false);
});

it("names shards by generation", () => {
  expect([shardName("orders", 0, 3), shardName("orders", 2, 3)]).toEqual([
    "orders-shard-3",
    "orders-g2-shard-3",
  ]);
});
