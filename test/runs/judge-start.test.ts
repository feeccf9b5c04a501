/** The judgement that every start goes through: as planned, guards of now, counts as shown. */
import { describe, expect, it } from "vitest";

import type { Guard, Plan } from "../../src/model/plan.ts";
import type { MemberStatus } from "../../src/model/live.ts";
import { figuresOf, type ShownFigures } from "../../src/model/count-moved.ts";
import { gatherLive, READS_MAX } from "../../src/runs/gather-live.ts";
import { COUNT_AGE_MAX_MS, judgePlan, type PlanJudgement } from "../../src/runs/judge-start.ts";
import { buildPlan } from "../../src/planning/build-plan.ts";
import type { NamespaceSpec } from "../../src/model/spec.ts";
import { createMemoryAccess, type MemoryAccess } from "../support/live/memory.ts";
import type { MemoryRows } from "../support/live/memory-rows.ts";
import { unshardedNamespace } from "../support/apply-plans.ts";
import { desired, hashOf, spec } from "../support/state.ts";

/** A window that is over for years whenever the test runs. */
const LONG_AGO = { start: "0 0 29 2 *", durationMs: 60_000, timezone: "UTC" };
const NOON = Date.UTC(2026, 2, 2, 12);

function rowsOf(count: number): MemoryRows[] {
  return Array.from({ length: count }, (_, index) => ({ keys: { id: `k${index}` }, rows: 1 }));
}

class Bench {
  now = NOON;
  readonly counted: string[] = [];
  readonly live: MemoryAccess;
  readonly specs: readonly NamespaceSpec[];

  constructor(specs: readonly NamespaceSpec[], rows = 50) {
    this.specs = specs;
    this.live = createMemoryAccess({
      now: () => this.now,
      namespaces: specs.map(({ name }) => ({ ...unshardedNamespace(name), rows: rowsOf(rows) })),
    });
  }

  async plan(): Promise<Plan> {
    const state = desired(...this.specs);
    return buildPlan({ desired: state, live: await gatherLive(this.live, state, []) });
  }

  judge(
    plan: Plan,
    overrides: readonly Guard[] = [],
    shown: ShownFigures | null = figuresOf(plan.changes),
    specs = this.specs,
  ): Promise<PlanJudgement> {
    const live: MemoryAccess = {
      ...this.live,
      distribute: (ref, request) => {
        this.counted.push(ref.name);
        return this.live.distribute(ref, request);
      },
    };
    return judgePlan(plan, live, { specs, overrides, shown, now: this.now });
  }
}

function guardsOf({ blocks }: PlanJudgement): string[] {
  return blocks.map(({ guard, namespace }) => `${guard} ${namespace ?? "whole"}`);
}

const orders = (policy: Parameters<typeof spec>[1] = {}): NamespaceSpec =>
  spec("orders", { count: 2, shardKey: "id", ...policy });

describe("is it as planned", () => {
  const names = ["a", "b", "c", "d"];
  const specs = names.map((name) => spec(name, { count: 2, shardKey: "id" }));

  it("lets through what is", async () => {
    const bench = new Bench(specs);
    expect(await bench.judge(await bench.plan())).toEqual({ blocks: [], problems: [] });
  });

  it("names every change that is not, in the plan's order, and takes silence for no pass", async () => {
    const bench = new Bench(specs);
    const plan = await bench.plan();
    bench.live.edit("d", { epoch: 2 });
    bench.live.edit("c", { layout: { kind: "none", generation: 1, members: ["c"] } });
    bench.live.breakCalls("b", { kind: "unreachable", message: "no answer" }, 1);
    const [first] = plan.changes;
    if (!first) throw new Error("no change");
    await bench.live.start(
      { name: "a", object: "ORDERS" },
      { ...first, correlationId: "x", requestedBy: "y", refuseEmpty: false },
    );
    expect((await bench.judge(plan)).problems).toEqual([
      { namespace: "a", kind: "stale", message: "operation 1 (shard) of 'a' is running" },
      { namespace: "b", kind: "unreadable", message: "no answer" },
      {
        namespace: "c",
        kind: "stale",
        message: "the layout of 'c' at epoch 1 is not the planned one",
      },
      { namespace: "d", kind: "stale", message: "'d' is at epoch 2, the plan was made at epoch 1" },
    ]);
  });

  it("is not disturbed by an operation that has ended", async () => {
    const bench = new Bench([orders()]);
    const plan = await bench.plan();
    const [change] = plan.changes;
    if (!change) throw new Error("no change");
    const ref = { name: "orders", object: "ORDERS" };
    const request = { ...change, correlationId: "x", requestedBy: "y", refuseEmpty: false };
    const started = await bench.live.start(ref, request);
    await bench.live.cancel(ref, started.ok ? started.value.id : 0);
    expect(await bench.judge(plan)).toEqual({ blocks: [], problems: [] });
  });
});

describe("a guard with a number", () => {
  const cases: [string, Guard, NamespaceSpec, (bench: Bench) => void][] = [
    [
      "rows",
      "budget",
      orders({ policy: { budgetRows: 100, maxSkew: 100 } }),
      ({ live }) => live.edit("orders", { rows: rowsOf(3_050) }),
    ],
    [
      "skew",
      "skew",
      orders({ policy: { maxSkew: 1.5 } }),
      ({ live }) =>
        live.edit("orders", { rows: [...rowsOf(50), { keys: { id: "huge" }, rows: 5_000 }] }),
    ],
    [
      "rows without a key",
      "missingKey",
      orders({ policy: { maxSkew: 100 } }),
      ({ live }) => live.edit("orders", { rows: [...rowsOf(50), { keys: {}, rows: 40 }] }),
    ],
    [
      "members that answer",
      "unhealthyMember",
      orders(),
      (bench) => {
        const real = bench.live.describe.bind(bench.live);
        const fall = (member: MemberStatus): MemberStatus => ({
          ...member,
          healthy: false,
          error: "no answer",
        });
        bench.live.describe = async (ref) => {
          const read = await real(ref);
          return read.ok
            ? { ok: true, value: { ...read.value, members: read.value.members.map(fall) } }
            : read;
        };
      },
    ],
  ];

  it.each(cases)("is that of now: %s", async (_name, guard, declared, edit) => {
    const bench = new Bench([declared]);
    const plan = await bench.plan();
    expect(plan.blocks).toEqual([]);
    edit(bench);
    expect(guardsOf(await bench.judge(plan, [], null))).toEqual([`${guard} orders`]);
  });

  it("is that of now: bytes in one object", async () => {
    const declared = spec("orders", { strategy: "none" });
    const bench = new Bench([declared]);
    bench.live.edit("orders", { layout: hashOf("orders", 2) });
    const plan = await bench.plan();
    expect(plan).toMatchObject({ changes: [{ kind: "unshard" }], blocks: [] });
    bench.live.edit("orders", { rows: [{ keys: { id: "a" }, rows: 50, bytes: 11e9 }] });
    bench.now += COUNT_AGE_MAX_MS + 1;
    const judged = await bench.judge(plan, ["targetTooLarge"], null);
    expect(guardsOf(judged)).toEqual(["targetTooLarge orders"]);
  });

  it("is that of now: the share of everything that is managed", async () => {
    const live = ["a", "b", "c"].map((name) => spec(name, { count: 2, shardKey: "id" }));
    const rest = Array.from({ length: 9 }, (_, index) =>
      spec(`r${index}`, { strategy: "none", shardKey: null }),
    );
    const bench = new Bench([...live, ...rest]);
    for (const { name } of rest) bench.live.edit(name, { rows: rowsOf(900) });
    const plan = await bench.plan();
    expect(plan.changes).toHaveLength(3);
    expect(plan.blocks).toEqual([]);
    for (const { name } of live) bench.live.edit(name, { rows: rowsOf(9_000) });
    expect(guardsOf(await bench.judge(plan, [], null))).toEqual(["bulkChange whole"]);
    expect(guardsOf(await bench.judge(plan, ["bulkChange"], null))).toEqual([]);
  });

  describe("of everything that is managed, what stays as it is counts as it is now", () => {
    const live = ["a", "b", "c"].map((name) => spec(name, { count: 2, shardKey: "id" }));
    const rest = Array.from({ length: 60 }, (_, index) =>
      spec(`r${index}`, { strategy: "none", shardKey: null }),
    );

    async function planned(rows: number): Promise<{ bench: Bench; plan: Plan; asked: string[] }> {
      const bench = new Bench([...live, ...rest], 3000);
      for (const { name } of rest) bench.live.edit(name, { rows: rowsOf(rows) });
      const plan = await bench.plan();
      const describeLive = bench.live.describe.bind(bench.live);
      const asked: string[] = [];
      Object.assign(bench.live, {
        describe: (ref: { readonly name: string; readonly object: string }) => {
          asked.push(ref.name);
          return describeLive(ref);
        },
      });
      return { bench, plan, asked };
    }
    const inSync = (asked: readonly string[]) => asked.filter((name) => name.startsWith("r"));

    it("also where it has shrunk since, or cannot be read", async () => {
      const { bench, plan } = await planned(1000);
      expect(plan.blocks).toEqual([]);
      expect(guardsOf(await bench.judge(plan))).toEqual([]);
      for (const { name } of rest.slice(0, 58)) bench.live.edit(name, { rows: [] });
      expect(guardsOf(await bench.judge(plan))).toEqual(["bulkChange whole"]);
      expect(guardsOf(await bench.judge(plan, ["bulkChange"]))).toEqual([]);
    });

    it("is read only where it matters, and only as far", async () => {
      const { bench, plan, asked } = await planned(2000);
      expect(guardsOf(await bench.judge(plan))).toEqual([]);
      expect(inSync(asked).length).toBeLessThanOrEqual(READS_MAX);
      asked.length = 0;
      await bench.judge(plan, ["bulkChange"]);
      expect(inSync(asked)).toEqual([]);
    });
  });

  it("is lifted by current counts, and by an override only where one may be given", async () => {
    const bench = new Bench([orders({ policy: { budgetRows: 40, maxSkew: 100 } })]);
    const plan = await bench.plan();
    expect(plan.blocks).toMatchObject([{ guard: "budget" }]);
    expect(guardsOf(await bench.judge(plan))).toEqual(["budget orders"]);
    expect(guardsOf(await bench.judge(plan, ["budget"]))).toEqual([]);
    bench.live.edit("orders", { rows: rowsOf(30) });
    expect(guardsOf(await bench.judge(plan))).toEqual([]);
  });
});

describe("the clock's guards", () => {
  it("are those of the specs: a closed window, and suspend", async () => {
    const declared = orders({ policy: { windows: [LONG_AGO], suspend: true, maxSkew: 100 } });
    const bench = new Bench([declared]);
    const plan = { ...(await bench.plan()), blocks: [] };
    expect(guardsOf(await bench.judge(plan))).toEqual(["window orders", "suspend orders"]);
    expect(guardsOf(await bench.judge(plan, ["window", "suspend"]))).toEqual([]);
  });
});

describe("a count", () => {
  it("is used while it is young and the namespace has as many rows", async () => {
    const bench = new Bench([orders()]);
    const plan = await bench.plan();
    bench.now += COUNT_AGE_MAX_MS;
    await bench.judge(plan);
    expect(bench.counted).toEqual([]);
  });

  it.each([
    ["it is older than ten minutes", COUNT_AGE_MAX_MS + 1, 50],
    ["it is of the future, by a clock that was wrong", -1, 50],
    ["the namespace has other rows", 0, 51],
  ])("is taken again when %s", async (_name, ageMs, rows) => {
    const bench = new Bench([orders()]);
    const plan = await bench.plan();
    bench.live.edit("orders", { rows: rowsOf(rows) });
    bench.now += ageMs;
    await bench.judge(plan);
    expect(bench.counted).toEqual(["orders"]);
  });

  it("that cannot be taken lets nothing through", async () => {
    const bench = new Bench([orders()]);
    const plan = await bench.plan();
    bench.now += COUNT_AGE_MAX_MS + 1;
    const down = { kind: "unreachable", message: "no answer" } as const;
    bench.live.distribute = async () => ({ ok: false, failure: down });
    expect((await bench.judge(plan)).problems).toEqual([
      {
        namespace: "orders",
        kind: "unreadable",
        message: "the rows could not be counted by id (no answer)",
      },
    ]);
  });

  it.each([
    ["a fifth more than shown", 1_000, 1_200, false],
    ["more than a fifth more", 1_000, 1_201, true],
    ["a fifth less than shown", 1_000, 800, false],
    ["more than a fifth less", 1_000, 799, true],
    ["a hundred rows, whatever the share", 0, 100, false],
    ["many where none were shown", 0, 5_000, true],
  ])("of %s asks again only beyond the share", async (_name, shown, now, asks) => {
    const bench = new Bench([orders({ policy: { maxSkew: 100 } })], shown);
    const plan = await bench.plan();
    bench.live.edit("orders", { rows: rowsOf(now) });
    const judged = await bench.judge(plan);
    expect(judged.problems.map(({ kind }) => kind)).toEqual(asks ? ["moved"] : []);
    expect((await bench.judge(plan, [], null)).problems).toEqual([]);
  });
});

it("leaves what the plan does not touch to others, but not what its changes depend on", async () => {
  const specs = [orders({ dependsOn: ["users"] }), spec("users", { count: 2, shardKey: "id" })];
  const bench = new Bench(specs);
  const plan = await bench.plan();
  const block = { guard: "unsupported", message: "no", overridable: false } as const;
  const alone = { ...plan, changes: plan.changes.filter((one) => one.namespace === "orders") };
  const others = { ...alone, blocks: [{ ...block, namespace: "carts" }] };
  expect(guardsOf(await bench.judge(others))).toEqual([]);
  const needed = { ...alone, blocks: [{ ...block, namespace: "users" }] };
  expect(guardsOf(await bench.judge(needed))).toEqual(["unsupported users"]);
  const nothing = { ...others, changes: [] };
  expect(guardsOf(await bench.judge(nothing))).toEqual(["unsupported carts"]);
  const whole = { ...alone, blocks: [{ ...block, namespace: null }] };
  expect(guardsOf(await bench.judge(whole))).toEqual(["unsupported whole"]);
});
