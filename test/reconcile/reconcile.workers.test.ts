import {
  createExecutionContext,
  createScheduledController,
  runInDurableObject,
} from "cloudflare:test";
import { describe, expect, it } from "vitest";

import type { DriftReport } from "../../src/model/drift.ts";
import { hashOf } from "../support/state.ts";
import { DEFAULT_POLICY, type SelfHeal } from "../../src/model/spec.ts";
import {
  applyPlan,
  call,
  controlEnv,
  controlsOf,
  coordinatorStub,
  followRun,
  makePlan,
  refusal,
  spec,
} from "../support/control-api.ts";
import worker from "../support/control-worker.ts";

/** A cron tick, as the runtime sends it. */
async function scheduled(): Promise<void> {
  await worker.scheduled(
    createScheduledController({ cron: "* * * * *" }),
    controlEnv,
    createExecutionContext(),
  );
}

/** A pass that begins now, to its end. */
async function reconcileNow(environment: string): Promise<DriftReport> {
  const { status, body } = await call<DriftReport>(
    "POST",
    `/v1/reconcile?environment=${environment}`,
  );
  if (status !== 200) throw new Error(`The pass did not end: ${status} ${JSON.stringify(body)}`);
  return body;
}

async function driftOf(environment: string): Promise<DriftReport> {
  return (
    await call<DriftReport>("GET", `/v1/drift?environment=${environment}`, { token: "read-token" })
  ).body;
}

/** Lets every namespace be due again: tests do not wait for a minute to go by. */
async function makeDue(): Promise<void> {
  await runInDurableObject(coordinatorStub(), (_instance, state) => {
    state.storage.sql.exec("UPDATE reconciledNames SET dueAt = 0");
  });
}

it("takes an apply that was cancelled, without a repository, for no drift and no merge", async () => {
  await applied("left-1", "l1-orders");
  await controlsOf("l1-orders").setPace(1000);
  const wanted = spec("l1-orders", { count: 4, policy: { ...DEFAULT_POLICY, maxSkew: 100 } });
  const { id } = await applyPlan(await makePlan("left-1", [wanted]));
  await followRun(id, ({ actions }) => actions[0]?.state === "running");
  await call("POST", `/v1/runs/${id}/cancel`);
  expect((await followRun(id)).state).toBe("cancelled");
  for (let passes = 0; passes < 3; passes++) {
    await makeDue();
    const report = await reconcileNow("left-1");
    expect(report.drifts).toEqual([]);
    expect(report.conditions).toMatchObject([{ type: "Stalled", reason: "LeftUndone" }]);
    expect(JSON.stringify(report)).not.toMatch(/merged|reviewed/);
  }
  await controlsOf("l1-orders").setPace(1);
  await followRun((await applyPlan(await makePlan("left-1", [wanted]))).id);
  await makeDue();
  expect((await reconcileNow("left-1")).conditions).toMatchObject([{ type: "Ready" }]);
});

async function applied(environment: string, name: string, selfHeal: SelfHeal = "alert") {
  const declared = spec(name, { policy: { ...DEFAULT_POLICY, maxSkew: 100, selfHeal } });
  await followRun((await applyPlan(await makePlan(environment, [declared]))).id);
  return declared;
}

describe("a tick", () => {
  it("looks at what was applied, by alarm, after the scheduled event", async () => {
    await applied("tick-1", "t1-orders");
    await scheduled();
    for (let tries = 0; tries < 100 && (await driftOf("tick-1")).checkedAt === null; tries++) {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    const report = await driftOf("tick-1");
    expect(report).toMatchObject({
      environment: "tick-1",
      commit: "3f9c2e1",
      isComplete: true,
      drifts: [],
      paused: null,
    });
    expect(report.conditions).toMatchObject([
      { namespace: "t1-orders", type: "Ready", reason: "InSync", observedCommit: "3f9c2e1" },
    ]);
  });

  it("finds a change made behind its back, and says so after the second pass", async () => {
    await applied("tick-2", "t2-orders");
    await reconcileNow("tick-2");
    await controlsOf("t2-orders").edit({ epoch: 9, layout: hashOf("t2-orders", 3) });
    await makeDue();
    expect((await reconcileNow("tick-2")).drifts).toMatchObject([
      { kind: "spec", state: "watching" },
    ]);
    const report = await reconcileNow("tick-2");
    expect(report.drifts).toMatchObject([
      {
        kind: "spec",
        namespace: "t2-orders",
        object: "ORDERS",
        state: "open",
        reason: "rebalance: count 3 → 2 (live was changed)",
      },
    ]);
    expect(report.fingerprint).toMatch(/^[0-9a-f]{64}$/);
    expect(report.conditions).toMatchObject([{ type: "Stalled", reason: "Drifted" }]);
  });

  it("mends it with selfHeal apply, through a run of its own", async () => {
    await applied("tick-3", "t3-orders", "apply");
    await reconcileNow("tick-3");
    await controlsOf("t3-orders").edit({ epoch: 9, layout: hashOf("t3-orders", 3) });
    await makeDue();
    await reconcileNow("tick-3");
    expect((await reconcileNow("tick-3")).conditions).toMatchObject([{ reason: "Applying" }]);
    const runs = (
      await call<{ runs: { id: string; requestedBy: string }[] }>(
        "GET",
        "/v1/runs?environment=tick-3&limit=1",
      )
    ).body.runs;
    expect(runs).toMatchObject([{ requestedBy: "shardctl reconciler" }]);
    expect(await followRun(runs[0]?.id ?? "")).toMatchObject({ state: "succeeded" });
    expect((await reconcileNow("tick-3")).conditions).toMatchObject([
      { type: "Ready", reason: "InSync" },
    ]);
  });

  it("goes on after the coordinator crashed in the middle of it", async () => {
    await applied("tick-4", "t4-orders");
    await controlsOf("t4-orders").setDelay(300);
    await scheduled();
    await runInDurableObject(coordinatorStub(), (_instance, state) => state.abort("crash")).catch(
      () => undefined,
    );
    // No other tick: the alarm that was set carries it on.
    for (let tries = 0; tries < 200 && (await driftOf("tick-4")).checkedAt === null; tries++) {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    expect(await driftOf("tick-4")).toMatchObject({
      isComplete: true,
      conditions: [{ type: "Ready" }],
    });
  });
});

describe("a pass", () => {
  it("that is more than one slice may do goes on by alarm", async () => {
    const names = Array.from({ length: 450 }, (_, index) => `t5-${String(index).padStart(3, "0")}`);
    const declared = names.map((name) =>
      spec(name, { strategy: "none", shardKey: null, count: 1 }),
    );
    await followRun((await applyPlan(await makePlan("tick-5", declared))).id);
    // One call begins one slice of 400 calls.
    const report = await reconcileNow("tick-5");
    expect(report.isComplete).toBe(true);
    expect(report.conditions.filter(({ type }) => type === "Ready")).toHaveLength(names.length);
  });

  it("that fails in one environment does not stop that of another", async () => {
    await applied("fails-1", "f1-orders");
    await applied("fails-2", "f2-orders");
    await reconcileNow("fails-1");
    await runInDurableObject(coordinatorStub(), (_instance, state) => {
      state.storage.sql.exec(
        "UPDATE reconciledNames SET dueAt = 0, body = 'null' WHERE environment = 'fails-1'",
      );
    });
    expect((await call("POST", "/v1/reconcile?environment=fails-1&wait=1")).status).toBe(500);
    expect(await reconcileNow("fails-2")).toMatchObject({
      isComplete: true,
      conditions: [{ type: "Ready" }],
    });
    await runInDurableObject(coordinatorStub(), (_instance, state) => {
      state.storage.sql.exec("DELETE FROM reconciledNames WHERE environment = 'fails-1'");
    });
  });
});

describe("the switch", () => {
  it("stops what would be applied, and what a run has not started, until it is turned on again", async () => {
    const paused = await call("PUT", "/v1/pause", { body: { reason: "database upgrade" } });
    expect(paused).toMatchObject({ status: 200, body: { by: "ci", reason: "database upgrade" } });
    const run = await applyPlan(await makePlan("pause-1", [spec("p1-orders")]));
    await followRun(run.id, ({ actions }) => actions[0]?.error !== null);
    expect((await call("GET", `/v1/runs/${run.id}`)).body).toMatchObject({
      state: "running",
      actions: [{ state: "pending", error: "Waits: everything is paused by ci" }],
    });
    expect(await reconcileNow("pause-1")).toMatchObject({
      paused: { by: "ci", reason: "database upgrade" },
    });
    expect((await call("DELETE", "/v1/pause")).status).toBe(204);
    expect(await followRun(run.id)).toMatchObject({ state: "succeeded" });
    expect(await reconcileNow("pause-1")).toMatchObject({
      paused: null,
      conditions: [{ type: "Ready" }],
    });
  }, 90_000);

  it("pauses what runs, and lets it go on", async () => {
    await controlsOf("p2-orders").setPace(200);
    const run = await applyPlan(await makePlan("pause-2", [spec("p2-orders")]));
    await followRun(run.id, ({ actions }) => actions[0]?.state === "running");
    await call("PUT", "/v1/pause", { body: { reason: "database upgrade" } });
    const held = await followRun(run.id, ({ actions }) => actions[0]?.operation?.paused !== null);
    expect(held.actions[0]).toMatchObject({
      state: "running",
      operation: { paused: { by: "shardctl reconciler", reason: "everything is paused by ci" } },
    });
    // Nobody gets it past the switch by name.
    const refused = await refusal("DELETE", "/v1/namespaces/p2-orders/pause");
    expect(refused).toMatchObject({
      status: 409,
      body: { kind: "conflict", detail: expect.stringContaining("resume --all") },
    });
    await controlsOf("p2-orders").setPace(1);
    await call("DELETE", "/v1/pause");
    expect(await followRun(run.id)).toMatchObject({ state: "succeeded" });
    const { body } = await call<{ events: { summary: string; actor: string }[] }>(
      "GET",
      "/v1/events?environment=pause-2&kind=pause",
    );
    expect(body.events.map(({ summary, actor }) => ({ summary, actor }))).toEqual(
      expect.arrayContaining([
        {
          summary: "shard 1 → 2 members, operation 1 is paused: everything is paused by ci",
          actor: "shardctl reconciler",
        },
        { summary: "shard 1 → 2 members, operation 1 has resumed", actor: "shardctl reconciler" },
      ]),
    );
  }, 90_000);

  it.each([
    ["PUT", "/v1/pause", "plan-token", 403],
    ["DELETE", "/v1/pause", "plan-token", 403],
    ["POST", "/v1/reconcile", "plan-token", 403],
    ["GET", "/v1/drift?environment=nowhere", "read-token", 404],
    ["GET", "/v1/drift", "read-token", 400],
    ["PUT", "/v1/pause", "apply-token", 400],
    ["PUT", "/v1/namespaces/s1-orders/pause", "plan-token", 403],
    ["PUT", "/v1/namespaces/s1-orders/pause", "apply-token", 400],
    ["DELETE", "/v1/namespaces/s1-orders/pause", "plan-token", 403],
    ["DELETE", "/v1/namespaces/s1-orders/pause", "apply-token", 409],
    ["DELETE", "/v1/namespaces/s9-nobody/pause", "apply-token", 404],
  ])("%s %s as %s is refused with %i", async (method, path, token, status) => {
    await applied("switch-1", "s1-orders");
    await applied("switch-2", "s2-orders");
    const body = method === "PUT" ? {} : undefined;
    expect((await refusal(method, path, { token, ...(body ? { body } : {}) })).status).toBe(status);
  });
});

describe("a pause by name", () => {
  it("holds the one operation until it is taken back, in the name of who asked", async () => {
    await controlsOf("n1-orders").setPace(200);
    const run = await applyPlan(await makePlan("name-1", [spec("n1-orders")]));
    await followRun(run.id, ({ actions }) => actions[0]?.state === "running");
    const paused = await call("PUT", "/v1/namespaces/n1-orders/pause", {
      body: { reason: "black friday" },
    });
    expect(paused).toMatchObject({
      status: 200,
      body: { state: "running", paused: { by: "ci", reason: "black friday" } },
    });
    const held = await followRun(run.id, ({ actions }) => actions[0]?.operation?.paused !== null);
    expect(held.actions[0]?.error).toBe("Paused by ci: black friday");
    expect((await reconcileNow("name-1")).paused).toBeNull();
    // Neither a step of the run nor a tick takes it back.
    expect((await call("GET", "/v1/namespaces/n1-orders")).body).toMatchObject({
      namespace: { operation: { paused: { by: "ci" } } },
    });
    await controlsOf("n1-orders").setPace(1);
    expect(await call("DELETE", "/v1/namespaces/n1-orders/pause")).toMatchObject({
      status: 200,
      body: { paused: null },
    });
    // Twice is once.
    expect((await call("DELETE", "/v1/namespaces/n1-orders/pause")).status).toBeOneOf([200, 409]);
    expect(await followRun(run.id)).toMatchObject({ state: "succeeded" });
    const { body } = await call<{
      events: { summary: string; actor: string; namespace: string }[];
    }>("GET", "/v1/events?environment=name-1&kind=pause");
    expect(body.events).toMatchObject([
      { summary: "operation 1 has resumed", actor: "ci", namespace: "n1-orders" },
      { summary: "operation 1 is paused: black friday", actor: "ci", namespace: "n1-orders" },
    ]);
    const refused = await refusal("PUT", "/v1/namespaces/n1-orders/pause", {
      body: { reason: "again" },
    });
    expect(refused).toMatchObject({
      status: 409,
      body: { detail: expect.stringContaining("there is nothing to pause") },
    });
  }, 90_000);
});
