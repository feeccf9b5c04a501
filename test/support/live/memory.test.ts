import { describe, expect, it } from "vitest";

import { toKey } from "../../../src/model/layout/key.ts";
import { shardNames } from "../../../src/model/layout/layout.ts";
import { createOwnerLookup } from "../../../src/model/layout/owner-lookup.ts";
import type { Partitioners } from "../../../src/model/layout/partitioners.ts";
import { slotOf } from "../../../src/model/layout/slots.ts";
import { freshHashLayout } from "../../../src/model/strategies/hash.ts";
import { createMemoryAccess, type MemoryAccess } from "./memory.ts";
import { BYTES_PER_ROW, type MemoryNamespace } from "./memory-rows.ts";
import { shardChange, unshardedNamespace } from "../apply-plans.ts";

const ref = { name: "orders", object: "ORDERS" };
const countries = ["DE", "FR", "US", "JP", "BR"];
const layout = freshHashLayout("country", 0, shardNames("orders", 0, 3));
const rows = countries.map((country, index) => ({
  keys: { country, id: index },
  rows: (index + 1) * 10,
}));
const partitioners: Partitioners = {
  byLength: { version: 2, owner: (key, count) => key.text.length % count },
};

function memory(changes: Partial<MemoryNamespace> = {}): MemoryAccess {
  return createMemoryAccess({
    namespaces: [{ ...unshardedNamespace("orders"), layout, rows, ...changes }],
    now: () => 7,
    partitioners,
  });
}

describe("memory namespaces", () => {
  it("counts rows on the members that own them", async () => {
    const answer = await memory().describe(ref);
    const ownerOf = createOwnerLookup(layout);
    const expected = layout.members.map((name) => {
      const owned = rows
        .filter(({ keys }) => ownerOf(toKey(keys.country)) === name)
        .reduce((sum, group) => sum + group.rows, 0);
      return { name, rows: owned, bytes: owned * BYTES_PER_ROW, healthy: true, error: null };
    });
    expect(answer).toMatchObject({
      ok: true,
      value: { epoch: 1, members: expected, countedAt: 7 },
    });
    expect(expected.filter((member) => member.rows > 0).length).toBeGreaterThan(1);
  });

  it("deals rows of a round robin out evenly", async () => {
    const members = shardNames("orders", 0, 3);
    const answer = await memory({
      layout: { kind: "roundRobin", shardKey: "id", generation: 0, members },
      rows: [{ keys: {}, rows: 10 }],
    }).describe(ref);
    expect(answer.ok && answer.value.members.map((member) => member.rows)).toEqual([4, 3, 3]);
  });

  it("reports a member that does not answer as unhealthy, with counts that mean nothing", async () => {
    const answer = await memory({ unhealthy: { "orders-shard-1": "timeout" } }).describe(ref);
    expect(answer.ok && answer.value.members[1]).toMatchObject({
      healthy: false,
      error: "timeout",
      rows: 0,
      bytes: 0,
    });
  });

  it("buckets by slot, by key and by shard, member by member", async () => {
    const live = memory();
    const total = rows.reduce((sum, group) => sum + group.rows, 0);
    const slots = await live.distribute(ref, { by: "slots", shardKey: "id" });
    expect(slots).toMatchObject({ ok: true, value: { rows: total, missing: 0 } });
    const bySlot = slots.ok ? slots.value.members.flatMap((member) => member.slots ?? []) : [];
    expect(bySlot.map(({ slot }) => slot).toSorted((a, b) => a - b)).toEqual(
      rows.map((_, id) => slotOf(toKey(id))).toSorted((a, b) => a - b),
    );
    const keys = await live.distribute(ref, { by: "keys", shardKey: "country", boundaries: [] });
    const byKey = keys.ok ? keys.value.members.flatMap((member) => member.keys ?? []) : [];
    expect(byKey.map(({ first }) => first.text).toSorted()).toEqual(countries.toSorted());
    const shards = await live.distribute(ref, {
      by: "shards",
      shardKey: "country",
      partitioner: { name: "byLength", version: 2 },
      count: 2,
    });
    const byShard = shards.ok ? shards.value.members.flatMap((member) => member.shards ?? []) : [];
    expect(new Set(byShard.map(({ shard }) => shard))).toEqual(new Set([0]));
    expect(byShard.reduce((sum, bucket) => sum + bucket.rows, 0)).toBe(total);
  });

  it("counts rows without the key as missing", async () => {
    const groups = [
      { keys: { id: 1, tag: "x" }, rows: 3 },
      { keys: { id: 2, tag: "" }, rows: 4 },
      { keys: { id: 3 }, rows: 5 },
    ];
    const answer = await memory({ rows: groups }).distribute(ref, { by: "slots", shardKey: "tag" });
    expect(answer).toMatchObject({ value: { rows: 12, missing: 9 } });
  });

  it.each([["another epoch", { epoch: 9 }, "epochChanged"]] as const)(
    "refuses to start an operation that was planned for %s",
    async (_name, change, reason) => {
      const live = memory({ rows: [] });
      const request = {
        ...shardChange("orders"),
        correlationId: "one",
        requestedBy: "test",
        refuseEmpty: false,
        ...change,
      };
      expect(await live.start(ref, request)).toMatchObject({
        ok: false,
        failure: { kind: "refused", reason },
      });
    },
  );

  it("is one operation, however often the same one is started", async () => {
    const live = memory();
    const request = {
      ...shardChange("orders"),
      correlationId: "one",
      requestedBy: "test",
      refuseEmpty: false,
    };
    const first = await live.start(ref, request);
    expect(await live.start(ref, request)).toEqual(first);
    expect(await live.history(ref, 10)).toMatchObject({ value: [{ id: 1 }] });
  });

  it("lets a paused operation stand still until it is resumed", async () => {
    const live = memory();
    const request = {
      ...shardChange("orders"),
      epoch: 1,
      requestedBy: "test",
      refuseEmpty: false,
      correlationId: "one",
    };
    expect(await live.start(ref, request)).toMatchObject({ ok: true, value: { paused: null } });
    const paused = { reason: "the window has closed", by: "window", since: 7 };
    expect(await live.pause(ref, 1, paused)).toMatchObject({ ok: true, value: { paused } });
    for (let polls = 0; polls < 5; polls++)
      expect(await live.operation(ref, 1)).toMatchObject({
        ok: true,
        value: { state: "running", paused },
      });
    expect(await live.resume(ref, 1)).toMatchObject({ ok: true, value: { paused: null } });
    await live.operation(ref, 1);
    expect(await live.operation(ref, 1)).toMatchObject({ ok: true, value: { state: "completed" } });
    expect(await live.pause(ref, 1, paused)).toMatchObject({
      ok: false,
      failure: { reason: "tooLate" },
    });
    expect(await live.resume(ref, 1)).toMatchObject({ ok: true, value: { state: "completed" } });
  });
});
