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
import { PlanBook } from "../../src/runs/plan-book.ts";
import { PolicyStore } from "../../src/runs/policy-store.ts";
import { RunBook } from "../../src/runs/run-book.ts";
import { RunSteps } from "../../src/runs/step-runs.ts";
import { CoordinatorStore, encodeJson } from "../../src/runs/store.ts";
import { planOf, shardChange, unshardedNamespace } from "../support/apply-plans.ts";
import { spec } from "../support/state.ts";
import { openNodeSql } from "../support/node-sql.ts";

const NOON = Date.UTC(2026, 2, 2, 12);
const YEAR_MS = 365 * 24 * 3_600_000;
const NAMES = ["a", "b"];
const specsOf = (budgetRows: number) =>
  NAMES.map((name) =>
    spec(name, { count: 2, shardKey: "id", policy: { budgetRows, maxSkew: 100 } }),
  );
const ID = "run-1";

class Bench {
  readonly live: MemoryAccess = createMemoryAccess({
    namespaces: NAMES.map(unshardedNamespace),
    now: () => Date.now(),
    pollsToComplete: () => 100,
  });
  /** Called before each answer to a run's step. */
  onAsked: () => void = () => undefined;
  paused: Pause | null = null;
  readonly #store: CoordinatorStore;
  readonly book: RunBook;
  readonly steps: RunSteps;

  /** @param isHeal true for a run whose counts nobody was shown. */
  constructor(budgetRows = 100, isHeal = false) {
    const sql = openNodeSql();
    const storage = {
      sql,
      transactionSync: <Value>(write: () => Value): Value => write(),
    } as unknown as DurableObjectStorage;
    const store = new CoordinatorStore(sql);
    this.#store = store;
    const plans = new PlanBook({
      storage,
      store,
      policies: new PolicyStore(sql),
      floors: () => ({}),
      keptPlans: () => [],
      declared: () => [],
      onPlan: () => undefined,
    });
    this.book = new RunBook({ storage, store, arm: () => undefined, onWrite: () => undefined });
    this.steps = new RunSteps({
      store,
      book: this.book,
      plans,
      live: () => ({
        ...this.live,
        operation: async (ref, id) => {
          const status = await this.live.operation(ref, id);
          this.onAsked();
          return status;
        },
      }),
      pause: () => this.paused,
      declared: () => null,
    });
    const plan = planOf(NAMES.map((name) => shardChange(name)));
    const desired = encodeJson({
      environment: plan.environment,
      commit: null,
      namespaces: specsOf(budgetRows),
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
