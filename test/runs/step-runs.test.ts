/**
 * Steps of runs among everything that may come in while they ask namespaces, and under clocks that
 * jump.
 */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { createRun, type RunRecord } from "../../src/runs/run-record.ts";
import type { Run } from "../../src/model/api.ts";
import { figuresOf } from "../../src/model/count-moved.ts";
import type { Pause } from "../../src/model/drift.ts";
import { createMemoryAccess, type MemoryAccess } from "../support/live/memory.ts";
import {
  DEFAULT_OPERATION_POLICY,
  type OperationPolicy,
  type StartOperation,
} from "../../src/model/operation.ts";
import type { Change } from "../../src/model/plan.ts";
import type { PolicyChange } from "../../src/model/policy.ts";
import { DEFAULT_POLICY, type Policy } from "../../src/model/spec.ts";
import { policyAtStart } from "../../src/planning/operation-policy.ts";
import { type Followed, PlanBook } from "../../src/runs/plan-book.ts";
import { PolicyStore } from "../../src/runs/policy-store.ts";
import { RunBook } from "../../src/runs/run-book.ts";
import { RunSteps } from "../../src/runs/step-runs.ts";
import { CoordinatorStore, encodeJson } from "../../src/runs/store.ts";
import { planOf, shardChange, unshardedNamespace } from "../support/apply-plans.ts";
import { hashOf, spec } from "../support/state.ts";
import { openNodeSql } from "../support/node-sql.ts";

const NOON = Date.UTC(2026, 2, 2, 12);
const YEAR_MS = 365 * 24 * 3_600_000;
const NAMES = ["a", "b"];
const specsOf = (policy: Partial<Policy>, names: readonly string[] = NAMES) =>
  names.map((name) =>
    spec(name, { count: 2, shardKey: "id", policy: { maxSkew: 100, ...policy } }),
  );
/** The specs as they are merged, with another policy than that of the plan. */
const mergedAs = (policy: Partial<Policy>): Followed => {
  const [declared = null] = specsOf(policy);
  return { declared, guarding: declared?.policy ?? null, declaredAt: null };
};

interface PlanParts extends Partial<Change> {
  /** Of the plan's specs. */
  readonly limits: Partial<Policy>;
  readonly policies: readonly PolicyChange[];
  /** Namespaces that the plan changes. */
  readonly names: readonly string[];
}

const ID = "run-1";

class Bench {
  readonly live: MemoryAccess;
  /** Called before each answer to a run's step. */
  onAsked: () => void = () => undefined;
  paused: Pause | null = null;
  /** Every namespace as it is merged. */
  followed: Followed | null = null;
  /** Namespaces that were asked for as they are merged. */
  readonly asked: string[] = [];
  /** Requests that have started something. */
  readonly requests: StartOperation[] = [];
  readonly policies: PolicyStore;
  readonly #store: CoordinatorStore;
  readonly book: RunBook;
  readonly steps: RunSteps;

  /** @param isHeal true for a run whose counts nobody was shown. */
  constructor(budgetRows = 100, isHeal = false, changes: Partial<PlanParts> = {}) {
    const { limits = {}, policies, names = NAMES, ...changed } = changes;
    this.live = createMemoryAccess({
      namespaces: names.map(unshardedNamespace),
      now: () => Date.now(),
      pollsToComplete: () => 100,
    });
    const sql = openNodeSql();
    const storage = {
      sql,
      transactionSync: <Value>(write: () => Value): Value => write(),
    } as unknown as DurableObjectStorage;
    const store = new CoordinatorStore(sql);
    this.#store = store;
    this.policies = new PolicyStore(sql);
    const plans = new PlanBook({
      storage,
      store,
      policies: this.policies,
      followed: (_environment, name) => {
        this.asked.push(name);
        return this.followed;
      },
      followedAt: () => null,
      floors: () => ({}),
      keptPlans: () => [],
      declared: () => [],
      onPlan: () => undefined,
      onStored: () => undefined,
    });
    this.book = new RunBook({ storage, store, arm: () => undefined, onWrite: () => undefined });
    this.steps = new RunSteps({
      store,
      book: this.book,
      plans,
      liveAccess: () => ({
        ...this.live,
        start: (ref, request) => {
          this.requests.push(request);
          return this.live.start(ref, request);
        },
        operation: async (ref, id) => {
          const status = await this.live.operation(ref, id);
          this.onAsked();
          return status;
        },
      }),
      pause: () => this.paused,
      declared: () => null,
    });
    const plan = {
      ...planOf(names.map((name) => ({ ...shardChange(name), ...changed }))),
      ...(policies ? { policies } : {}),
    };
    const desired = encodeJson({
      environment: plan.environment,
      commit: null,
      namespaces: specsOf({ budgetRows, ...limits }, names),
    });
    plans.put(
      {
        fingerprint: plan.fingerprint,
        environment: plan.environment,
        body: encodeJson(plan),
        desired,
      },
      [],
      "ci",
    );
    const leaseToken = store.nextLeaseToken(plan.environment);
    const record = createRun(plan, {
      id: ID,
      requestedBy: "ci",
      overrides: [],
      origin: null,
      leaseToken,
      shown: isHeal ? null : figuresOf(plan.changes),
      now: Date.now(),
    });
    this.book.write(record, null, 0, Date.now());
  }

  /** Steps, each at its time, until both operations run. */
  async begin(): Promise<void> {
    for (let steps = 0; steps < 5; steps++) await this.step();
    if (this.states().some((state) => state !== "running"))
      throw new Error(`Not running: ${this.states().join(", ")}`);
  }

  async step(): Promise<void> {
    vi.setSystemTime(Math.max(Date.now(), this.book.nextAt(Date.now()) ?? 0));
    await this.steps.takeDue(Date.now());
  }

  run(): Run {
    return this.book.load(ID).run;
  }

  /** As another process would read it. */
  stored(): RunRecord {
    const record = this.#store.getRun(ID);
    if (record === null) throw new Error("The run is not stored");
    return record;
  }

  states(): string[] {
    return this.run().actions.map(({ state }) => state);
  }
}

beforeEach(() => void vi.useFakeTimers({ toFake: ["Date"], now: NOON }));
afterEach(() => void vi.useRealTimers());

describe("a step of a run of many changes", () => {
  const names = Array.from({ length: 200 }, (_, index) => `n${index}`);

  it("decodes its plan once for all steps, and asks about the changes that it is at", async () => {
    const bench = new Bench(100, false, { names });
    const spy = vi.spyOn(JSON, "parse");
    for (let steps = 0; steps < 5; steps++) await bench.step();
    const decoded = spy.mock.calls.filter(([text]) => /^\{.*"(?:changes|namespaces)":/.test(text));
    spy.mockRestore();
    // The plan, and the desired state under it.
    expect(decoded).toHaveLength(2);
    const running = bench.states().filter((state) => state === "running").length;
    expect(running).toBeGreaterThan(0);
    expect(new Set(bench.asked).size).toBeLessThanOrEqual(2 * running);
    expect(bench.asked.length).toBeLessThanOrEqual(4 * 2 * running * 5);
  });

  it("is judged by what holds at its time, though its plan is decoded no more", async () => {
    const bench = new Bench();
    await bench.step();
    bench.followed = mergedAs({ suspend: true });
    for (let steps = 0; steps < 3; steps++) await bench.step();
    expect(bench.states()).toEqual(["pending", "pending"]);
    bench.followed = null;
    for (let steps = 0; steps < 3; steps++) await bench.step();
    expect(bench.states()).toEqual(["running", "running"]);
  });
});

describe("while a step asks namespaces", () => {
  it("a change is let go, and stays so", async () => {
    const bench = new Bench();
    await bench.begin();
    bench.onAsked = () => bench.book.detach(ID, "a", "its window has closed");
    await bench.step();
    expect(bench.states()).toEqual(["failed", "running"]);
    bench.onAsked = () => undefined;
    await bench.step();
    expect(bench.run()).toMatchObject({
      state: "running",
      actions: [{ state: "failed", error: "its window has closed" }, { state: "running" }],
    });
  });

  it("the run is cancelled, and the next step does it", async () => {
    const bench = new Bench();
    await bench.begin();
    bench.onAsked = () => void bench.book.cancel(ID);
    await bench.step();
    expect(bench.book.load(ID).cancelRequested).toBe(true);
    bench.onAsked = () => undefined;
    await bench.step();
    expect(bench.run()).toMatchObject({
      state: "cancelled",
      actions: [{ state: "cancelled" }, { state: "cancelled" }],
    });
  });

  it("what one step could not note, the next finds: nothing is started twice", async () => {
    const bench = new Bench();
    const started = bench.live.start.bind(bench.live);
    let isFirst = true;
    Object.assign(bench.live, {
      start: async (...order: Parameters<MemoryAccess["start"]>) => {
        const answer = await started(...order);
        // Somebody writes between the start and its note.
        if (isFirst)
          bench.book.write(
            structuredClone(bench.book.load(ID)),
            bench.book.load(ID),
            0,
            Date.now(),
          );
        isFirst = false;
        return answer;
      },
    });
    await bench.begin();
    expect(bench.live.calls.filter((call) => call.startsWith("start ")).toSorted()).toEqual([
      "start a",
      "start b",
    ]);
  });
});

describe("a change that starts later than its run was accepted", () => {
  /** Both wait for longer than a count is good for; "a" gets more rows meanwhile. */
  async function waitAndGrow(rows: number, waits: number, bench = new Bench()): Promise<Bench> {
    bench.paused = { by: "ann", reason: "wait", at: NOON };
    await bench.begin().catch(() => undefined);
    bench.live.edit("a", {
      rows: Array.from({ length: rows }, (_, index) => ({ keys: { id: `k${index}` }, rows: 1 })),
    });
    for (let wait = 0; wait < waits; wait++) {
      vi.setSystemTime(Date.now() + 6 * 60_000);
      await bench.steps.takeDue(Date.now());
    }
    bench.paused = null;
    for (let steps = 0; steps < 5; steps++) await bench.step();
    return bench;
  }

  it("is judged by the counts of its own moment, and the others go on", async () => {
    const bench = await waitAndGrow(500, 2);
    expect(bench.run().actions).toMatchObject([
      { state: "failed", error: expect.stringContaining("500 rows would move") },
      { state: "running" },
    ]);
    expect(bench.live.calls).not.toContain("start a");
  });

  it("is compared with the counts that were agreed to, which outlive a restart", async () => {
    const bench = await waitAndGrow(500, 2, new Bench(1_000));
    expect(bench.run().actions).toMatchObject([
      { state: "failed", error: expect.stringContaining("3 rows were shown") },
      { state: "running" },
    ]);
    expect(bench.live.calls).not.toContain("start a");
    expect(bench.stored().shown).toMatchObject({ a: { rowsMoved: 3 }, b: { rowsMoved: 3 } });
  });

  it("starts whatever its counts where nobody was to read them, as for a heal", async () => {
    const bench = await waitAndGrow(500, 2, new Bench(1_000, true));
    expect(bench.states()).toEqual(["running", "running"]);
    expect(bench.stored().shown).toBeNull();
  });

  it("starts while its guards hold", async () => {
    expect((await waitAndGrow(90, 2)).states()).toEqual(["running", "running"]);
  });
});

describe("the limits of an operation", () => {
  const planned: OperationPolicy = {
    ...DEFAULT_OPERATION_POLICY,
    allowMissingKey: true,
    rowsPerSecondMax: 5_000,
    retainHours: 24,
  };
  const limits = {
    onMissingKey: "allow",
    rowsPerSecondMax: 5_000,
    retainHours: 24,
  } as const;

  async function startedUnder(
    prepare: (bench: Bench) => void,
    changes: Partial<PlanParts> = {},
  ): Promise<OperationPolicy | undefined> {
    const bench = new Bench(100, false, { policy: planned, limits, ...changes });
    prepare(bench);
    for (let steps = 0; steps < 5; steps++) await bench.step();
    return bench.requests.find(({ correlationId }) => correlationId.endsWith(":a"))?.policy;
  }

  const { source } = shardChange("a");
  const tighter = { onMissingKey: "reject", rowsPerSecondMax: 100, retainHours: 48 } as const;
  const strict = { ...DEFAULT_POLICY, ...tighter };
  const asTight = { allowMissingKey: false, rowsPerSecondMax: 100, retainHours: 48 };

  it("are those of its plan while nothing else holds", async () => {
    expect(await startedUnder(() => undefined)).toEqual(planned);
  });

  it("are the stricter ones that were merged since", async () => {
    const policy = await startedUnder((bench) => (bench.followed = mergedAs(tighter)));
    expect(policy).toMatchObject(asTight);
  });

  it("are the stricter ones that were applied since", async () => {
    const policy = await startedUnder((bench) => {
      const fields = Object.entries(tighter).map(([field, to]) => ({ field, to }));
      const change = { namespace: "a", revision: 0, isNew: true, fields, source };
      bench.policies.apply("test", [change as unknown as PolicyChange]);
    });
    expect(policy).toMatchObject(asTight);
  });

  it("are not loosened by what was merged since", async () => {
    const loose = { onMissingKey: "allow", rowsPerSecondMax: null, retainHours: 0 } as const;
    const policy = await startedUnder((bench) => (bench.followed = mergedAs(loose)));
    expect(policy).toEqual(planned);
  });

  it("are those of before where its own plan loosens them", async () => {
    const fields = [
      { field: "onMissingKey", from: "reject", to: "allow", loosens: true },
      { field: "rowsPerSecondMax", from: 100, to: 5_000, loosens: true },
      { field: "retainHours", from: 48, to: 24, loosens: true },
    ] as const;
    const policies = [{ namespace: "a", revision: 0, isNew: false, fields, source }];
    expect(await startedUnder(() => undefined, { policies })).toMatchObject(asTight);
  });

  it("let rows without the key through where the key stays", async () => {
    const to = hashOf("a", 2);
    const changed = { kind: "rekey", from: { ...to, generation: 7 }, to, epoch: 1 } as const;
    expect(policyAtStart({ ...changed, policy: planned }, strict, [])).toMatchObject({
      allowMissingKey: true,
      retainHours: 48,
    });
    const rekeyed = { ...changed, from: { ...to, shardKey: "other" } };
    expect(policyAtStart({ ...rekeyed, policy: planned }, strict, [])).toMatchObject({
      allowMissingKey: false,
    });
  });
});

describe("a change that is suspended before its turn", () => {
  it("waits, and goes on when it is let", async () => {
    const bench = new Bench();
    bench.followed = mergedAs({ suspend: true });
    for (let steps = 0; steps < 5; steps++) await bench.step();
    expect(bench.requests).toEqual([]);
    expect(bench.run().actions).toMatchObject([
      { state: "pending", error: "Waits: policy.suspend is true" },
      { state: "pending" },
    ]);
    bench.followed = mergedAs({});
    for (let steps = 0; steps < 5; steps++) await bench.step();
    expect(bench.states()).toEqual(["running", "running"]);
  });

  it("does not stop what is running", async () => {
    const bench = new Bench();
    await bench.begin();
    bench.followed = mergedAs({ suspend: true });
    await bench.step();
    expect(bench.run().actions.map(({ operation }) => operation?.paused)).toEqual([null, null]);
  });
});

describe("a clock that goes back by a year", () => {
  it("leaves no run waiting for a step until then", async () => {
    const bench = new Bench();
    await bench.begin();
    const before = bench.live.calls.length;
    vi.setSystemTime(NOON - YEAR_MS);
    expect(bench.book.nextAt(Date.now())).toBe(Date.now());
    await bench.steps.takeDue(Date.now());
    expect(bench.live.calls.length).toBeGreaterThan(before);
    expect(bench.book.nextAt(Date.now())).toBeLessThanOrEqual(Date.now() + 60_000);
  });
});
