import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import { type Key, toKey } from "../../../src/model/layout/key.ts";
import { unshardedLayout } from "../../../src/model/layout/layout.ts";
import { createOwnerLookup } from "../../../src/model/layout/owner-lookup.ts";
import { newestPartitioners } from "../../../src/model/layout/partitioners.ts";
import { createSlotLookup } from "../../../src/model/layout/slot-table.ts";
import { slotOf } from "../../../src/model/layout/slots.ts";
import { hashLayout, key, ownerByScan, rangeLayout } from "../support/random-layouts.ts";

describe("createOwnerLookup", () => {
  it("finds the slot range that holds the key", () => {
    fc.assert(
      fc.property(hashLayout, key, (layout, one) => {
        const range = layout.ranges.find(({ end }) => slotOf(one) < end);
        expect(createOwnerLookup(layout)(one)).toBe(range?.member);
        expect(createSlotLookup(layout.ranges)(slotOf(one))).toBe(range?.member);
      }),
    );
  });

  it("finds the first key range that ends above the key", () => {
    fc.assert(
      fc.property(rangeLayout, key, (layout, one) => {
        expect(createOwnerLookup(layout)(one)).toBe(ownerByScan(layout, one));
      }),
    );
  });

  it("gives everything to the root when unsharded", () => {
    fc.assert(
      fc.property(key, (one) => {
        expect(createOwnerLookup(unshardedLayout("orders", 2))(one)).toBe("orders");
      }),
    );
  });

  const custom = {
    kind: "custom",
    shardKey: "id",
    generation: 0,
    members: ["a", "b"],
    partitioner: { name: "byRegion", version: 2 },
  } as const;
  it("asks the registered partitioner, by name and version", () => {
    const byRegion = { version: 2, owner: (one: Key) => (one.text === "eu" ? 1 : 0) };
    expect(createOwnerLookup(custom, { byRegion })(toKey("eu"))).toBe("b");
    expect(() => createOwnerLookup(custom, {})).toThrow(
      "Partitioner 'byRegion' is not registered here (registered: none): the class's host and every caller's connect() need it",
    );
    expect(() => createOwnerLookup(custom, { byRegion: { ...byRegion, version: 3 } })).toThrow(
      "Partitioner 'byRegion' v2 is not registered here (registered: v3): keep v2 registered beside the new one until the rekey has ended",
    );
    const versions = [byRegion, { version: 3, owner: () => 0 }];
    expect(createOwnerLookup(custom, { byRegion: versions })(toKey("eu"))).toBe("b");
    expect(() => createOwnerLookup(custom, { byRegion: [] })).toThrow(
      "is not registered here (registered: byRegion)",
    );
    expect(newestPartitioners({ byZone: byRegion, byRegion: versions })).toEqual([
      { name: "byRegion", version: 3 },
      { name: "byZone", version: 2 },
    ]);
    expect(() => createOwnerLookup(custom, { toString: byRegion })).toThrow("registered: toString");
  });

  it.each([2, -1, 0.5, Number.NaN])("refuses the index %d of a bad partitioner", (index) => {
    expect(() =>
      createOwnerLookup(custom, { byRegion: { version: 2, owner: () => index } })(toKey("eu")),
    ).toThrow("expected an index from 0 to 1");
  });

  it("has no answer for roundRobin", () => {
    expect(() =>
      createOwnerLookup({ kind: "roundRobin", shardKey: "id", generation: 0, members: ["a"] }),
    ).toThrow("directory");
  });
});
