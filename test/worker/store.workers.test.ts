import { runInDurableObject } from "cloudflare:test";
import { describe, expect, it } from "vitest";

import { createRun, requestCancel, type RunRecord } from "../../src/apply/run-record.ts";
import { CoordinatorStore, decodeJson, encodeJson, PLAN_AGE_MAX_MS, PLANS_MAX, RUNS_MAX } from "../../src/worker/store.ts";
import { controlEnv } from "../support/control-api.ts";
import { planOf, shardChange } from "../support/apply-plans.ts";

const NOW = Date.UTC(2026, 2, 1);

function withStore(name: string, use: (store: CoordinatorStore, sql: SqlStorage) => void): Promise<void> {
  const stub = controlEnv.BARE.getByName(`store-${name}`);
  return runInDurableObject(stub, (_instance, state) => use(new CoordinatorStore(state.storage.sql), state.storage.sql));
}

function putPlan(store: CoordinatorStore, fingerprint: string, now: number): void {
  store.putPlan({ fingerprint, environment: "test", body: encodeJson({ fingerprint }), desired: encodeJson({}) }, [], now);
}

function newRun(id: string, now: number, fingerprint = "f".repeat(64)): RunRecord {
  const plan = { ...planOf([shardChange("a"), shardChange("b")]), fingerprint };
  return createRun(plan, { id, requestedBy: "test", overrides: ["skew"], origin: null, leaseToken: 1, now });
}

function ended(record: RunRecord): RunRecord {
  return { ...record, run: { ...record.run, state: "succeeded" } };
}

/** Faster than an assertion that walks three million elements. */
function sameBytes(left: Uint8Array | null, right: Uint8Array): boolean {
  return left !== null && left.length === right.length && left.every((byte, at) => byte === right[at]);
}

function count(sql: SqlStorage, query: string): number {
  return Number(sql.exec(query).one()["n"]);
}

describe("CoordinatorStore", () => {
  it("keeps bodies of several megabytes byte for byte", () =>
    withStore("large", (store) => {
      const body = encodeJson({ text: "ü€😀".repeat(400_000) });
      expect(body.length).toBeGreaterThan(3_000_000);
      store.putPlan({ fingerprint: "large", environment: "test", body, desired: encodeJson([1]) }, [], NOW);
      expect(sameBytes(store.getPlan("large"), body)).toBe(true);
      expect(decodeJson(store.getDesired("large") ?? new Uint8Array())).toEqual([1]);
      store.putPlan({ fingerprint: "large", environment: "test", body: encodeJson({}), desired: encodeJson([]) }, [], NOW);
      expect(store.getPlan("large")).toEqual(encodeJson({}));
    }));

  it("forgets plans that are too old, or too many, with all their parts", () =>
    withStore("plans", (store, sql) => {
      putPlan(store, "old", NOW - PLAN_AGE_MAX_MS - 1);
      for (let index = 0; index < PLANS_MAX; index++) putPlan(store, `plan-${index}`, NOW + index);
      expect(store.getPlan("old")).toBeNull();
      expect(store.getPlan("plan-0")).not.toBeNull();
      putPlan(store, "one-more", NOW + PLANS_MAX);
      expect(store.getPlan("plan-0")).toBeNull();
      expect(store.getPlan("plan-1")).not.toBeNull();
      expect(count(sql, "SELECT count(*) AS n FROM plans")).toBe(PLANS_MAX);
      expect(count(sql, "SELECT count(*) AS n FROM documents")).toBe(PLANS_MAX * 2);
    }));

  it("keeps the plan of an active run, however old", () =>
    withStore("active", (store) => {
      putPlan(store, "applied", NOW);
      const run = newRun("run-1", NOW, "applied");
      store.putRun(run, null, 0);
      putPlan(store, "later", NOW + PLAN_AGE_MAX_MS * 2);
      expect(store.getPlan("applied")).not.toBeNull();
      store.putRun(ended(run), run, 0);
      putPlan(store, "later still", NOW + PLAN_AGE_MAX_MS * 2);
      expect(store.getPlan("applied")).toBeNull();
    }));

  it("reads runs back as they were written, with what only the next step needs", () =>
    withStore("runs", (store) => {
      const run: RunRecord = { ...newRun("run-1", NOW), attempts: { a: { failures: 2, notBefore: NOW + 500 } } };
      store.putRun(run, null, 3);
      expect(store.getRun("run-1")).toEqual(run);
      expect(store.listActiveRuns()).toEqual([
        { id: "run-1", fingerprint: "f".repeat(64), environment: "test", state: "running", faults: 3 },
      ]);
      const cancelled = requestCancel(run);
      store.putRun(cancelled, run, 0);
      expect(store.getRun("run-1")).toEqual(cancelled);
      store.putRun(ended(cancelled), cancelled, 0);
      expect(store.listActiveRuns()).toEqual([]);
      expect(store.getRun("run-2")).toBeNull();
    }));

  it("forgets the oldest runs that have ended, with their actions, and no active one", () =>
    withStore("many", (store, sql) => {
      store.putRun(newRun("run-active", NOW), null, 0);
      for (let index = 0; index <= RUNS_MAX; index++) store.putRun(ended(newRun(`run-${index}`, NOW + 1 + index)), null, 0);
      expect(store.getRun("run-active")).not.toBeNull();
      expect(store.getRun("run-0")).toBeNull();
      expect(store.getRun("run-1")).not.toBeNull();
      expect(count(sql, "SELECT count(*) AS n FROM runs")).toBe(RUNS_MAX + 1);
      expect(count(sql, "SELECT count(*) AS n FROM documents WHERE kind = 'action'")).toBe((RUNS_MAX + 1) * 2);
    }));

  it("remembers each namespace once an environment", () =>
    withStore("namespaces", (store) => {
      store.rememberNamespaces("one", [
        { name: "b", object: "B" },
        { name: "a", object: "A" },
        { name: "a", object: "A" },
      ]);
      store.rememberNamespaces("two", [{ name: "a", object: "A" }]);
      expect(store.listNamespaces(null)).toEqual([
        { name: "a", object: "A" },
        { name: "b", object: "B" },
      ]);
      expect(store.listNamespaces("two")).toEqual([{ name: "a", object: "A" }]);
    }));
});
