/** The guard `targetTooLarge`: at a limit of 50 MB, for every kind of change. */
import { describe, expect, it } from "vitest";

import type { Block } from "../../src/model/plan.ts";
import type { NamespaceSpec } from "../../src/model/spec.ts";
import { renewPlan } from "../../src/runs/renew-plan.ts";
import { planOf } from "../support/check-plan.ts";
import { type NamespaceFixture, desired, hashOf, rowsOf, spec, world } from "../support/state.ts";

const LIMIT = 50_000_000;
const ROWS = 2_000;

/** A namespace whose values take so many MB, and its databases twice as much. */
function sized(megabytes: number, changes: Partial<NamespaceFixture> = {}): NamespaceFixture {
  const bytes = (megabytes * 1_000_000) / ROWS;
  const rows = rowsOf(ROWS).map((row, index) => ({ ...row, bytes, other: `o${index}` }));
  return world("orders", { rows, storageFactor: 2, ...changes });
}

function limited(changes: Parameters<typeof spec>[1] = {}): NamespaceSpec {
  return spec("orders", { ...changes, policy: { storageBytesMax: LIMIT, maxSkew: 3 } });
}

async function tooLarge(wanted: NamespaceSpec, live: NamespaceFixture): Promise<Block | undefined> {
  const { blocks, changes } = await planOf(desired(wanted), [live]);
  expect(changes).toHaveLength(1);
  return blocks.find(({ guard }) => guard === "targetTooLarge");
}

/** Values that the change has room for, and values that are too much, in MB. */
const KINDS: readonly [string, NamespaceSpec, Partial<NamespaceFixture>, number, number][] = [
  ["a shard", limited({ count: 2 }), {}, 20, 40],
  ["a rebalance to more", limited({ count: 3 }), { layout: hashOf("orders", 2) }, 20, 66],
  ["a rebalance to fewer", limited({ count: 2 }), { layout: hashOf("orders", 8) }, 20, 60],
  ["a rekey", limited({ count: 4, shardKey: "other" }), { layout: hashOf("orders", 4) }, 40, 120],
  ["an unshard", limited({ strategy: "none" }), { layout: hashOf("orders", 4) }, 15, 40],
];

describe.each(KINDS)("%s", (_, wanted, live, small, large) => {
  it("may be made while every object has room at its fullest", async () => {
    expect(await tooLarge(wanted, sized(small, live))).toBeUndefined();
  });

  it("is blocked where one has not", async () => {
    expect(await tooLarge(wanted, sized(large, live))).toMatchObject({ overridable: false });
  });
});

describe("a target", () => {
  it("is judged by real bytes, and by what it takes on the way", async () => {
    // 80 MB of databases: 40 on each at the end, within the limit, and more with what is staged.
    const shrink = { layout: hashOf("orders", 8) };
    const block = await tooLarge(limited({ count: 2 }), sized(40, shrink));
    expect(block?.message).toMatch(
      /^orders-shard-\d \(and 1 more\) would take 6\d\.\d MB \(at most 7\d\.\d MB\) while rows come, an object may take 50\.0 MB: \d is the smallest spec\.count that fits$/,
    );
  });

  it("may be overridden where only the bound is above the limit", async () => {
    const live = { layout: hashOf("orders", 4) };
    const block = await tooLarge(limited({ strategy: "none" }), sized(22, live));
    expect(block).toMatchObject({ overridable: true });
    expect(block?.message).toMatch(
      /^orders would take 44\.\d MB \(at most 5\d\.\d MB\) while rows come, an object may take 50\.0 MB: keep the namespace sharded \(from 2 shards on it fits\), or delete rows first, or apply with --override targetTooLarge$/,
    );
  });

  it.each([
    ["a shard", sized(24), { count: 1 }],
    ["a rebalance", sized(100, { layout: hashOf("orders", 12) }), { count: 4 }],
    ["a rekey", sized(200, { layout: hashOf("orders", 20) }), { count: 4, shardKey: "other" }],
  ])("fits by the count that is named: %s", async (_, live, changes) => {
    const block = await tooLarge(limited(changes), live);
    const named = Number(/(\d+) is the smallest/.exec(block?.message ?? "")?.[1]);
    expect(named).toBeGreaterThan(changes.count);
    const { blocks } = await planOf(desired(limited({ ...changes, count: named })), [live]);
    expect(blocks.filter(({ guard }) => guard === "targetTooLarge")).toEqual([]);
  });

  it("says that no count fits where none does", async () => {
    const live = sized(40_000, { layout: hashOf("orders", 900) });
    expect((await tooLarge(limited({ count: 500 }), live))?.message).toContain(
      "no count up to 1,000 fits: delete rows first",
    );
  });

  it("is judged by values where its size is not known, and by 10 GB where no limit is set", async () => {
    const { storageFactor: _factor, ...live } = sized(12_000, { layout: hashOf("orders", 4) });
    const block = await tooLarge(spec("orders", { strategy: "none" }), live);
    expect(block?.message).toContain("orders would take 12.0 GB");
    expect(block?.message).toContain("an object may take 10.0 GB");
  });
});

describe("a source", () => {
  it("is told how many MB to delete where its log has no room, and may move then", async () => {
    const full = await tooLarge(limited({ count: 8 }), sized(24.85));
    expect(full?.message).toMatch(
      /^orders would take 49\.9 MB \(at most 50\.\d MB\) while its rows leave, with the log of what is written meanwhile, an object may take 50\.0 MB: delete rows of 1 MB there first, or drop indexes, or apply with --override targetTooLarge$/,
    );
    expect(await tooLarge(limited({ count: 8 }), sized(24.4))).toBeUndefined();
  });

  it("cannot be overridden where what it holds already is above the limit", async () => {
    const block = await tooLarge(limited({ count: 8 }), sized(30));
    expect(block).toMatchObject({ overridable: false });
    expect(block?.message).toContain("delete rows of 11 MB there first");
  });
});

it("is renewed with the counts of a plan that is made again", async () => {
  const wanted = desired(limited({ count: 4 }));
  const shown = await planOf(wanted, [sized(10)]);
  const again = await planOf(wanted, [sized(20)]);
  const renewed = renewPlan(shown, again);
  expect(again.changes[0]?.sizes).not.toEqual(shown.changes[0]?.sizes);
  expect(renewed.changes[0]?.sizes).toEqual(again.changes[0]?.sizes);
});
