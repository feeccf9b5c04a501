import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import {
  directoryMember,
  hasKeyedDirectory,
  withDirectory,
} from "../../../src/model/layout/directory.ts";
import { toKey } from "../../../src/model/layout/key.ts";
import type { RoundRobinLayout } from "../../../src/model/layout/layout.ts";
import { createOwnerLookup } from "../../../src/model/layout/owner-lookup.ts";
import { SLOT_COUNT, slotOf } from "../../../src/model/layout/slots.ts";
import { hashOf } from "../../support/state.ts";

describe("directoryMember", () => {
  it("is the owner of the id's slot under hash", () => {
    const layout = withDirectory(hashOf("orders", 5), true);
    if (!hasKeyedDirectory(layout)) throw new Error("no directory");
    const owner = createOwnerLookup(layout);
    fc.assert(
      fc.property(fc.string(), (id) => {
        expect(directoryMember(layout, id)).toBe(owner(toKey(id)));
      }),
    );
    expect(withDirectory(layout, false)).toEqual(hashOf("orders", 5));
  });

  it("spreads all slots over all members, in even runs", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1000 }), fc.string(), (count, id) => {
        const members = Array.from({ length: count }, (_, index) => `m${index}`);
        const layout: RoundRobinLayout = {
          kind: "roundRobin",
          shardKey: "id",
          generation: 0,
          members,
        };
        const index = members.indexOf(directoryMember(layout, id));
        const slot = slotOf(toKey(id));
        expect(index).toBeGreaterThanOrEqual(0);
        expect(slot).toBeGreaterThanOrEqual((index * SLOT_COUNT) / count);
        expect(slot).toBeLessThan(((index + 1) * SLOT_COUNT) / count);
      }),
    );
  });
});
