/**
 * Every kind of drift: found by looking and counting, opened by the second look that agrees, gone
 * when its cause is.
 */
import { describe, expect, it } from "vitest";

import { MIXED_MS, STALLED_MS } from "../../src/reconcile/look/find-faults.ts";
import { toKey } from "../../src/model/layout/key.ts";
import { shardNames } from "../../src/model/layout/layout.ts";
import { createOwnerLookup } from "../../src/model/layout/owner-lookup.ts";
import type { Partitioner, Partitioners } from "../../src/model/layout/partitioners.ts";
import { DEFAULT_OPERATION_POLICY } from "../../src/model/operation.ts";
import type { SelfHeal } from "../../src/model/spec.ts";
import { customLayout } from "../../src/model/strategies/custom.ts";
import { hashOf, spec } from "../support/state.ts";
import { hashed, HOUR, idRows, MINUTE, unsharded, ReconcilerFixture } from "./support/world.ts";

const orders = (changes: Parameters<typeof spec>[1] = {}) =>
  spec("orders", { count: 4, ...changes });
const healing = (selfHeal: SelfHeal) => orders({ policy: { selfHeal } });

/** Passes and steps as in an hour of ticks, at the times at which something is due. */
async function anHour(world: ReconcilerFixture): Promise<void> {
  for (let minutes = 0; minutes < 60; minutes += 5) {
    await world.tick();
    world.now += 4 * MINUTE;
  }
}

describe("a manual rebalance", () => {
  const cases: [SelfHeal, object[]][] = [
    ["off", []],
    [
      "alert",
      [{ kind: "spec", namespace: "orders", reason: "rebalance: count 6 → 4 (live was changed)" }],
    ],
  ];
  it.each(cases)(
    "with selfHeal %s is reported, or not, and left alone",
    async (selfHeal, expected) => {
      const world = new ReconcilerFixture({
        live: [hashed("orders", 4)],
        specs: [healing(selfHeal)],
      });
      await world.tick();
      world.live.edit("orders", { epoch: 2, layout: hashOf("orders", 6) });
      await world.tick();
      expect(await world.drifts()).toEqual(
        expected.map((drift) => ({ ...drift, state: "watching" })),
      );
      await world.tick();
      expect(await world.drifts()).toEqual(expected.map((drift) => ({ ...drift, state: "open" })));
      expect(world.condition("orders")).toMatchObject({ type: "Stalled", reason: "Drifted" });
      await anHour(world);
      expect(world.startedRuns()).toEqual([]);
      // Somebody puts it back.
      world.live.edit("orders", { epoch: 3, layout: hashOf("orders", 4) });
      await world.tick(3);
      expect(await world.drifts()).toEqual([]);
      expect(world.condition("orders")).toMatchObject({ type: "Ready" });
    },
  );

  it("is undone with selfHeal apply", async () => {
    const world = new ReconcilerFixture({ live: [hashed("orders", 4)], specs: [healing("apply")] });
    await world.tick();
    world.live.edit("orders", { epoch: 2, layout: hashOf("orders", 6) });
    await world.tick(4);
    expect(await world.membersOf("orders")).toBe(4);
    expect(await world.drifts()).toEqual([]);
    expect(world.startedRuns()).toMatchObject([
      { state: "succeeded", actions: [{ namespace: "orders", kind: "rebalance" }] },
    ]);
  });
});

describe("members of several versions", () => {
  const [one = "", two = ""] = shardNames("orders", 0, 4);
  const names = shardNames("orders", 0, 4);
  const all = (library: string) =>
    Object.fromEntries(names.map((name) => [name, { library, schema: "aa" }]));
  const open = (): ReconcilerFixture =>
    new ReconcilerFixture({ live: [hashed("orders", 4)], specs: [orders()] });

  it("are shown at once, are no alert while a rollout lasts, and are gone when it is over", async () => {
    const world = open();
    world.live.edit("orders", {
      facts: { ...all("0.2.0"), [one]: { library: "0.1.0", schema: "aa" } },
    });
    await world.tick();
    expect(await world.drifts()).toMatchObject([
      { kind: "mixedVersions", namespace: "orders", state: "watching" },
    ]);
    world.now += MIXED_MS / 2;
    world.live.edit("orders", {
      facts: { ...all("0.2.0"), [two]: { library: "0.1.0", schema: "aa" } },
    });
    await world.tick(2);
    expect(await world.drifts()).toMatchObject([{ kind: "mixedVersions", state: "watching" }]);
    world.live.edit("orders", { facts: all("0.2.0") });
    await world.tick(2);
    expect(await world.drifts()).toEqual([]);
  });

  it("open a drift after a quarter of an hour, whoever differs by then", async () => {
    const world = open();
    world.live.edit("orders", {
      facts: { ...all("0.2.0"), [one]: { library: "0.2.0", schema: "bb" } },
    });
    await world.tick(2);
    world.now += MIXED_MS;
    world.live.edit("orders", {
      facts: { ...all("0.2.0"), [two]: { library: "0.2.0", schema: "bb" } },
    });
    await world.tick();
    expect(await world.drifts()).toMatchObject([{ kind: "mixedVersions", state: "open" }]);
  });
});

describe("members that fill up", () => {
  const [one = "", two = ""] = shardNames("orders", 0, 4);
  const fill = (world: ReconcilerFixture, share: number, more: object = {}): void =>
    world.live.edit("orders", {
      facts: { [one]: { storage: share * 10_000_000_000, ...more }, [two]: { storage: 1_000_000 } },
    });
  const open = (maxFill?: number): ReconcilerFixture => {
    const policy = maxFill === undefined ? {} : { maxFill };
    return new ReconcilerFixture({ live: [hashed("orders", 4)], specs: [orders({ policy })] });
  };

  it("warn from 70 % on, alert from 85 % on, and stay at a level a little below it", async () => {
    const world = open();
    const seen: [number, string | undefined][] = [];
    for (const share of [0.69, 0.7, 0.69, 0.67, 0.849, 0.85, 0.84, 0.82, 0.1]) {
      fill(world, share);
      await world.tick(2);
      seen.push([share, (await world.drifts()).find(({ kind }) => kind === "capacity")?.state]);
    }
    expect(seen).toEqual([
      [0.69, undefined],
      [0.7, "warning"],
      [0.69, "warning"],
      [0.67, undefined],
      [0.849, "warning"],
      [0.85, "open"],
      [0.84, "open"],
      [0.82, "warning"],
      [0.1, undefined],
    ]);
  });

  it("name the member, its size, and the shards that would have room", async () => {
    const world = open();
    fill(world, 0.87);
    await world.tick(2);
    expect((await world.report()).drifts).toMatchObject([
      {
        kind: "capacity",
        state: "open",
        reason: "members store more than 85 % of what one object may",
        detail: `${one} stores 8.7 GB (87 %)`,
        remedy: expect.stringMatching(/^6 shards would be at 58 %: raise spec\.count to 6/),
      },
    ]);
  });

  it("say when it will be full, where sizes over time tell", async () => {
    const world = open();
    fill(world, 0.72);
    world.live.edit("orders", { forecast: { kind: "full", fromDays: 19.2, toDays: 23.4 } });
    await world.tick(2);
    expect((await world.report()).drifts).toMatchObject([
      { kind: "capacity", detail: `full in 19 to 24 days; ${one} stores 7.2 GB (72 %)` },
    ]);
    world.live.edit("orders", { forecast: { kind: "unknown" } });
    await world.tick(2);
    expect((await world.report()).drifts).toMatchObject([
      { kind: "capacity", detail: `${one} stores 7.2 GB (72 %)` },
    ]);
  });

  it("go by policy.storageBytesMax, where an object may store less", async () => {
    const policy = { storageBytesMax: 50_000_000 };
    const world = new ReconcilerFixture({
      live: [hashed("orders", 4)],
      specs: [orders({ policy })],
    });
    fill(world, 0.0044);
    await world.tick(2);
    expect((await world.report()).drifts).toMatchObject([
      { kind: "capacity", state: "open", detail: `${one} stores 44.0 MB (88 %)` },
    ]);
  });

  it("go by policy.maxFill", async () => {
    const world = open(0.9);
    fill(world, 0.88);
    await world.tick(2);
    expect(await world.drifts()).toEqual([]);
  });

  it("keep their last size, with its age, when they do not answer", async () => {
    const world = open();
    fill(world, 0.9);
    await world.tick(2);
    fill(world, 0.9, { saidAt: Date.UTC(2026, 0, 2, 3, 4) });
    await world.tick(2);
    expect((await world.report()).drifts).toMatchObject([
      {
        kind: "capacity",
        state: "open",
        detail: `${one} stores 9.0 GB (90 %, as of 2026-01-02T03:04Z)`,
      },
    ]);
  });

  it("stay known while the namespace itself is silent", async () => {
    const world = open();
    fill(world, 0.9);
    await world.tick(2);
    world.live.breakCalls("orders", { kind: "unreachable", message: "no route" }, 9);
    world.now += 3_600_000;
    await world.tick(2);
    expect((await world.drifts()).map(({ kind, state }) => [kind, state])).toContainEqual([
      "capacity",
      "open",
    ]);
  });
});

describe("a partitioner of a new version", () => {
  const byLength = (version: number): Partitioner => ({
    version,
    owner: (key, count) => (key.text.length + version) % count,
  });

  it("is found, though neither manifest nor registry has changed", async () => {
    const registered: Record<string, readonly Partitioner[]> = { byLength: [byLength(1)] };
    const partitioners: Partitioners = registered;
    const layout = customLayout("id", 0, shardNames("orders", 0, 4), {
      name: "byLength",
      version: 1,
    });
    const declared = orders({
      strategy: "custom",
      partitioner: "byLength",
      policy: { maxSkew: 100 },
    });
    const world = new ReconcilerFixture({
      live: [hashed("orders", 4, 200, { layout })],
      specs: [declared],
      partitioners,
    });
    await world.tick();
    expect(world.condition("orders")).toMatchObject({ type: "Ready" });
    registered["byLength"] = [byLength(1), byLength(2)];
    await world.tick(3);
    expect(await world.drifts()).toEqual([
      {
        kind: "spec",
        namespace: "orders",
        state: "open",
        reason: "rekey: partitioner byLength v1 → byLength v2 (live was changed)",
      },
    ]);
  });
});

describe("a registry that was changed by hand", () => {
  it.each([
    [
      "holds another layout at its epoch",
      { layout: hashOf("orders", 4, "other") },
      "holds another layout at epoch 5 than before",
    ],
  ])("that %s holds everything, even with selfHeal apply", async (_name, change, what) => {
    const before = hashed("orders", 4, 200, { epoch: 5 });
    const world = new ReconcilerFixture({ live: [before], specs: [healing("apply")] });
    await world.tick();
    world.live.edit("orders", change);
    await world.tick(3);
    const reason = `the registry was changed by hand: it ${what}`;
    expect(await world.drifts()).toContainEqual({
      kind: "spec",
      namespace: "orders",
      state: "open",
      reason,
    });
    expect(world.condition("orders")).toMatchObject({ type: "Stalled", reason: "RegistryChanged" });
    await anHour(world);
    expect(world.startedRuns()).toEqual([]);
    world.live.edit("orders", before);
    await anHour(world);
    expect(await world.drifts()).toEqual([]);
    expect(world.condition("orders")).toMatchObject({ type: "Ready" });
  });

  it("is taken as it is when the namespace's manifest changes", async () => {
    const world = new ReconcilerFixture({
      live: [hashed("orders", 4, 200, { epoch: 5 })],
      specs: [orders()],
    });
    await world.tick();
    world.live.edit("orders", { layout: { ...hashOf("orders", 4), generation: 1 } });
    await world.tick(3);
    expect(world.condition("orders")).toMatchObject({ reason: "RegistryChanged" });
    world.merge([orders({ policy: { maxSkew: 2 } })]);
    await world.tick(2);
    expect(world.condition("orders")).toMatchObject({ type: "Ready" });
  });
});

describe("a deleted shard", () => {
  it("does not answer for its namespace any more: reported, nothing is concluded", async () => {
    const world = new ReconcilerFixture({ live: [hashed("orders", 4)], specs: [healing("apply")] });
    await world.tick();
    const lost =
      "orders-shard-2 is part of namespace 'orders-shard-2', the message is for 'orders'";
    world.live.edit("orders", { unhealthy: { "orders-shard-2": lost } });
    await world.tick();
    expect((await world.report()).drifts).toMatchObject([
      { kind: "unhealthy", state: "watching", reason: "orders-shard-2 does not answer" },
    ]);
    await world.tick();
    expect((await world.report()).drifts).toMatchObject([
      { kind: "unhealthy", state: "open", detail: expect.stringContaining(lost) },
    ]);
    expect(world.condition("orders")).toMatchObject({ type: "Stalled", reason: "Unhealthy" });
    await anHour(world);
    expect(world.startedRuns()).toEqual([]);
  });
});

it("a member that is still counting its rows is no drift, however long it takes", async () => {
  const world = new ReconcilerFixture({ live: [hashed("orders", 4)], specs: [healing("apply")] });
  await world.tick();
  world.live.edit("orders", {
    unhealthy: { "orders-shard-2": "orders-shard-2 is still counting its rows (4000 so far)" },
    facts: { "orders-shard-2": { counting: 4_000 } },
  });
  await anHour(world);
  expect((await world.report()).drifts).toEqual([]);
  expect(world.startedRuns()).toEqual([]);
});

describe("an operation without progress", () => {
  it("is reported after a quarter of an hour, and not before", async () => {
    const world = new ReconcilerFixture({ live: [hashed("orders", 4)], specs: [orders()] });
    await world.tick();
    world.live.stall("orders", true);
    const started = await world.live.start(
      { name: "orders", object: "ORDERS" },
      {
        kind: "rebalance",
        epoch: 1,
        to: hashOf("orders", 6),
        policy: DEFAULT_OPERATION_POLICY,
        correlationId: "by-hand",
        requestedBy: "someone",
        refuseEmpty: false,
      },
    );
    expect(started.ok).toBe(true);
    await world.tick(3);
    expect(world.condition("orders")).toMatchObject({
      type: "Reconciling",
      reason: "OperationRunning",
    });
    expect(await world.drifts()).toEqual([]);
    await world.tick(STALLED_MS / MINUTE);
    const drift = {
      kind: "stalled",
      namespace: "orders",
      reason: "operation 1 (rebalance) has stalled in step prepare",
    };
    expect(await world.drifts()).toEqual([{ ...drift, state: "open" }]);
    expect(world.condition("orders")).toMatchObject({
      type: "Stalled",
      reason: "OperationStalled",
    });
    // It is read, and thereby woken, at every tick.
    const looks = world.live.calls.length;
    await world.tick(4);
    expect(world.live.calls.length - looks).toBe(4);
  });

  it("does not keep the environment: the run lets go of it, and the others are applied", async () => {
    const live = [hashed("orders", 4), hashed("carts", 4)];
    const world = new ReconcilerFixture({ live, specs: [orders(), spec("carts", { count: 4 })] });
    await world.tick();
    world.live.stall("orders", true);
    await world.reviewAndMerge([orders({ count: 6 }), spec("carts", { count: 4 })]);
    await world.tick(2);
    expect(world.startedRuns()).toMatchObject([
      { state: "running", actions: [{ namespace: "orders", state: "running" }] },
    ]);
    await world.reviewAndMerge([orders({ count: 6 }), spec("carts", { count: 5 })]);
    await world.tick(2);
    expect(world.condition("carts")).toMatchObject({ reason: "Locked" });
    await world.tick(STALLED_MS / MINUTE + 3);
    expect(await world.membersOf("carts")).toBe(5);
    expect(world.startedRuns()[0]).toMatchObject({
      state: "failed",
      actions: [{ error: expect.stringContaining("has stalled") }],
    });
    expect(world.condition("orders")).toMatchObject({ reason: "OperationStalled" });
    // The cause goes: the operation ends by itself, and with it the drift.
    world.live.stall("orders", false);
    await world.live.operation({ name: "orders", object: "ORDERS" }, 1);
    await world.live.operation({ name: "orders", object: "ORDERS" }, 1);
    await world.tick(3);
    expect(world.condition("orders")).toMatchObject({ type: "Ready" });
    expect(await world.membersOf("orders")).toBe(6);
    expect(await world.drifts()).toEqual([]);
  });
});

describe("misplaced rows", () => {
  const misplaced = () =>
    hashed("orders", 4, 100, {
      rows: [
        ...idRows(100),
        {
          keys: { id: "lost" },
          rows: 3,
          misplacedOn: hashOf("orders", 4).members[misplacedMember()] ?? "",
        },
      ],
    });

  it("are found by audits, and reported", async () => {
    const world = new ReconcilerFixture({ live: [misplaced()], specs: [healing("alert")] });
    await anHour(world);
    await anHour(world);
    expect((await world.report()).drifts).toMatchObject([
      {
        kind: "misplaced",
        state: "open",
        reason: "rows are on members that do not own them",
        detail: expect.stringContaining("3 rows"),
      },
    ]);
    expect(world.condition("orders")).toMatchObject({ type: "Stalled", reason: "Misplaced" });
    expect(world.startedRuns()).toEqual([]);
  });

  it("are looked for once a member has refused a write for its key, hours before the turn", async () => {
    const world = new ReconcilerFixture({ live: [hashed("orders", 4)], specs: [healing("alert")] });
    const audits = (): number =>
      world.live.calls.filter((call) => call === "distribute orders").length;
    await anHour(world);
    await anHour(world);
    // As of one of many namespaces, whose turn comes once a day.
    const putOff = (): void => {
      const state = world.store.readDeclared("orders");
      if (state) world.store.write([{ ...state, auditDueAt: world.now + 20 * HOUR }]);
    };
    putOff();
    const before = audits();
    await anHour(world);
    expect(audits()).toBe(before);
    const refuse = (): void => {
      world.live.edit("orders", { facts: { "orders-shard-2": { refusedWriteAt: world.now } } });
    };
    refuse();
    await world.tick(2);
    expect(audits()).toBe(before + 1);
    // Further wrong keys ask for one audit an hour.
    putOff();
    world.now += MINUTE;
    refuse();
    await world.tick(2);
    expect(audits()).toBe(before + 1);
    world.now += HOUR;
    await world.tick(2);
    expect(audits()).toBe(before + 2);
  });

  it("are moved home with selfHeal apply, once two audits agree", async () => {
    const world = new ReconcilerFixture({ live: [misplaced()], specs: [healing("apply")] });
    await anHour(world);
    await anHour(world);
    expect(world.startedRuns()).toMatchObject([
      { state: "succeeded", actions: [{ kind: "rekey", namespace: "orders" }] },
    ]);
    expect(await world.drifts()).toEqual([]);
    expect(world.condition("orders")).toMatchObject({ type: "Ready" });
    const described = await world.live.describe({ name: "orders", object: "ORDERS" });
    expect(described).toMatchObject({
      value: { layout: { generation: 1, members: shardNames("orders", 1, 4) } },
    });
    expect(world.events.map(({ summary }) => summary)).toContain(
      "misplaced: rows are on members that do not own them",
    );
  });

  it("are not moved beyond the budget", async () => {
    const world = new ReconcilerFixture({
      live: [misplaced()],
      specs: [orders({ policy: { selfHeal: "apply", budgetRows: 50 } })],
    });
    await anHour(world);
    await anHour(world);
    expect(world.startedRuns()).toEqual([]);
    expect(world.condition("orders")).toMatchObject({
      type: "Stalled",
      reason: "Blocked",
      message: expect.stringContaining("budget"),
    });
  });
});

/** A member that does not own the key `lost`. */
function misplacedMember(): number {
  const layout = hashOf("orders", 4);
  return layout.members.findIndex((member) => member !== createOwnerLookup(layout)(toKey("lost")));
}

describe("orphans", () => {
  it("are rows on objects that former layouts or the naming would name", async () => {
    const strays = { "orders-shard-4": 7, "orders-shard-5": 0 };
    const world = new ReconcilerFixture({
      live: [hashed("orders", 4, 100, { strays })],
      specs: [healing("apply")],
    });
    await anHour(world);
    await anHour(world);
    expect((await world.report()).drifts).toMatchObject([
      {
        kind: "orphan",
        state: "open",
        reason: "objects that no layout names hold rows: orders-shard-4",
        detail: "orders-shard-4: 7 rows",
      },
    ]);
    expect(world.condition("orders")).toMatchObject({ type: "Ready" });
    world.live.edit("orders", { strays: {} });
    await anHour(world);
    expect(await world.drifts()).toEqual([]);
  });

  it("are not members that retire and keep their rows for the time that they must", async () => {
    const world = new ReconcilerFixture({
      live: [hashed("orders", 6)],
      specs: [orders({ count: 6 })],
    });
    await world.tick();
    await world.reviewAndMerge([orders({ policy: { retainHours: 5 } })]);
    await world.tick(2);
    expect(await world.membersOf("orders")).toBe(4);
    world.live.edit("orders", { strays: { "orders-shard-4": 50 } });
    await anHour(world);
    await anHour(world);
    expect(await world.drifts()).toEqual([]);
    world.now += 5 * HOUR;
    await anHour(world);
    await anHour(world);
    expect(await world.drifts()).toMatchObject([{ kind: "orphan", state: "open" }]);
  });
});

describe("skew", () => {
  const uneven = () =>
    hashed("orders", 4, 0, {
      rows: idRows(400).map((row, index) => ({ ...row, rows: index < 9 ? 100 : 1 })),
    });

  it("above policy is reported without its figure, and levelled with selfHeal apply", async () => {
    const heavy = uneven();
    const world = new ReconcilerFixture({
      live: [heavy],
      specs: [orders({ policy: { maxSkew: 1.05 } })],
    });
    await world.tick(3);
    const [drift] = (await world.report()).drifts;
    expect(drift).toMatchObject({
      kind: "skew",
      state: "open",
      reason: "more uneven than policy.maxSkew 1.05 allows",
    });
    expect(drift?.detail).toMatch(/^skew 1\.\d\d is above 1\.05$/);
    await world.reviewAndMerge([orders({ policy: { maxSkew: 1.05, selfHeal: "apply" } })]);
    await world.tick(3);
    expect(world.startedRuns()).toMatchObject([
      { state: "succeeded", actions: [{ kind: "rebalance" }] },
    ]);
    expect((await world.report()).drifts.filter(({ kind }) => kind === "spec")).toEqual([]);
  });
});

describe("namespaces without a manifest", () => {
  it("are reported and left alone; one that holds nothing is none", async () => {
    const world = new ReconcilerFixture({
      live: [hashed("orders", 4), hashed("carts", 2), unsharded("empty", 0)],
      specs: [orders()],
    });
    world.known = ["orders", "carts", "empty"].map((name) => ({ name, object: "ORDERS" }));
    await world.tick(2);
    expect(await world.drifts()).toEqual([
      {
        kind: "unmanaged",
        namespace: "carts",
        state: "open",
        reason: "live in ORDERS, and no manifest declares it",
      },
    ]);
    await anHour(world);
    expect(world.live.calls.filter((call) => call.endsWith("carts"))).not.toContain("start carts");
    expect((await world.report()).conditions.map(({ namespace }) => namespace)).toEqual(["orders"]);
  });
});

describe("labels of a manifest, which tokens may hold for,", () => {
  it("count at the next tick, though nothing has to be looked at for them", async () => {
    const labelled = (team: string) => orders({ labels: { team } });
    const world = new ReconcilerFixture({ live: [hashed("orders", 4)], specs: [labelled("a")] });
    await world.tick(2);
    const stored = () => [...world.store.all()][0];
    expect(stored()?.spec?.labels).toEqual({ team: "a" });
    world.merge([labelled("b")]);
    await world.tick();
    expect(stored()?.spec?.labels).toEqual({ team: "b" });
    expect(stored()?.condition).toMatchObject({ type: "Ready" });
    expect(await world.drifts()).toEqual([]);
  });
});
