import * as fc from "fast-check";
import { expect, it } from "vitest";

import { findPartitioner } from "../../../src/model/strategies/custom.ts";
import { dealRows } from "../../../src/model/strategies/round-robin.ts";

it("deals rows in turn", () => {
  fc.assert(
    fc.property(fc.nat(1000), fc.integer({ min: 1, max: 50 }), fc.nat(49), (rows, count, first) => {
      const start = first % count;
      const dealt = Array.from<number>({ length: count }).fill(0);
      for (let row = 0; row < rows; row++)
        dealt[(start + row) % count] = (dealt[(start + row) % count] ?? 0) + 1;
      expect(dealRows(rows, count, start)).toEqual(dealt);
    }),
  );
});

it("finds a partitioner by name, or names those there are", () => {
  const registered = [
    { name: "byRegion", version: 3 },
    { name: "byAge", version: 1 },
  ];
  expect(findPartitioner("byRegion", registered)).toEqual({
    ok: true,
    value: { name: "byRegion", version: 3 },
  });
  expect(findPartitioner("byColour", registered)).toMatchObject({
    failure: expect.stringContaining("(registered: byAge v1, byRegion v3)"),
  });
  expect(findPartitioner("byColour", [])).toMatchObject({
    failure: expect.stringContaining("(registered: none)"),
  });
});
