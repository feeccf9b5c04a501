/** Reconciliation over the real engine: what only real objects can have lost. */
import { runInDurableObject, SELF } from "cloudflare:test";
import { expect, it } from "vitest";

import type { NamespaceReport, Run } from "../../src/model/api.ts";
import type { DriftReport } from "../../src/model/drift.ts";
import type { RepairOutcome, RepairPlan } from "../../src/model/repair.ts";
import type { NamespaceSpec, Window } from "../../src/model/spec.ts";
import { applyPlan, call, coordinatorStub, followRun, makePlan } from "../support/control-api.ts";
import type { RealThings } from "../support/control-worker.ts";
import {
  applyReal,
  askRoot,
  declareReal,
  realObject,
  rebalanceByHand,
  reconcileReal,
  setTurns,
} from "../support/real-namespaces.ts";

async function fill(name: string, things: number): Promise<void> {
  await realObject(name).putMany(
    Array.from({ length: things }, (_, index) => ({ id: `thing-${index}` })),
  );
}

async function reconcileNow(environment: string): Promise<DriftReport> {
  await setTurns(environment, { checkAt: 0, auditAt: 0 });
  return reconcileReal(environment);
}

async function textOf(path: string): Promise<string> {
  const response = await SELF.fetch(`https://shardctl.test${path}`, {
    headers: { authorization: "Bearer apply-token" },
  });
  return response.text();
}

async function loseStorage(name: string): Promise<void> {
  await runInDurableObject(realObject(name), async (_instance, state) => {
    await state.storage.deleteAll();
    state.abort("deleted");
  }).catch(() => undefined);
}

async function planRepair(name: string, query = ""): Promise<RepairPlan> {
  const { status, body } = await call<RepairPlan>(
    "GET",
    `/v1/namespaces/${name}/repair?object=REAL${query}`,
  );
  expect(status).toBe(200);
  return body;
}

async function repair(name: string, body: object): Promise<RepairOutcome> {
  const answer = await call<RepairOutcome>("POST", `/v1/namespaces/${name}/repair?object=REAL`, {
    body,
  });
  expect(answer).toMatchObject({ status: 200 });
  return answer.body;
}

it("writers 1: finds a deleted shard, and is clean when it was repaired with its loss accepted", async () => {
  await fill("re-lost", 40);
  await applyReal("engine-1", [declareReal("re-lost", 4)]);
  await reconcileNow("engine-1");
  await loseStorage("re-lost-shard-2");
  await reconcileNow("engine-1");
  const report = await reconcileNow("engine-1");
  expect(report.drifts).toMatchObject([{ kind: "outOfStep", state: "open" }]);
  expect(report.drifts[0]?.reason).toContain("re-lost-shard-2");
  expect(report.conditions).toMatchObject([{ type: "Stalled", reason: "OutOfStep" }]);
  const plan = await planRepair("re-lost");
  expect(plan.losses).toMatchObject([{ member: "re-lost-shard-2" }]);
  expect(plan.obstacles).toHaveLength(1);
  const accepted = await planRepair("re-lost", "&acceptLoss=re-lost-shard-2");
  expect(accepted.obstacles).toEqual([]);
  await repair("re-lost", { fingerprint: accepted.fingerprint, acceptLoss: ["re-lost-shard-2"] });
  expect((await reconcileNow("engine-1")).drifts).toEqual([]);
  expect((await reconcileNow("engine-1")).conditions).toMatchObject([{ type: "Ready" }]);
});

it("writers 1: finds a root that lost its storage, and has its members prove the registry, without being told their names", async () => {
  await fill("re-root", 40);
  await applyReal("engine-6", [declareReal("re-root", 4)]);
  await reconcileNow("engine-6");
  await loseStorage("re-root");
  await reconcileNow("engine-6");
  expect((await reconcileNow("engine-6")).drifts).toMatchObject([
    { kind: "registryLost", state: "open" },
  ]);
  const plan = await planRepair("re-root");
  expect(plan).toMatchObject({ disorder: { kind: "registryLost" }, obstacles: [] });
  expect(plan.steps.map(({ kind }) => kind)).toContain("registry");
  await repair("re-root", { fingerprint: plan.fingerprint });
  expect((await reconcileNow("engine-6")).drifts).toEqual([]);
  const { body } = await call<NamespaceReport>("GET", "/v1/namespaces/re-root?object=REAL");
  const members = body.kind === "live" ? body.namespace.members : [];
  expect(members.map(({ rows }) => rows).reduce((sum, rows) => sum + rows, 0)).toBe(40);
});

it("wakes an operation that has lost its alarm", async () => {
  await fill("re-alarm", 40);
  await applyReal("engine-2", [declareReal("re-alarm", 2)]);
  const root = realObject("re-alarm");
  await runInDurableObject(root, async (instance: RealThings, state) => {
    await rebalanceByHand(askRoot(instance, "re-alarm"));
    // The runtime's: what stands on the storage itself is the class's own.
    const runtime = Object.getPrototypeOf(state.storage) as DurableObjectStorage;
    await runtime.deleteAlarm.call(state.storage);
    // Nothing but a look sets it again.
    if ((await runtime.getAlarm.call(state.storage)) !== null)
      throw new Error("The alarm is still there");
  });
  const alarmOf = () =>
    runInDurableObject(root, (_instance, { storage }) =>
      (Object.getPrototypeOf(storage) as DurableObjectStorage).getAlarm.call(storage),
    );
  expect(await alarmOf()).toBeNull();
  for (let tries = 0; tries < 20; tries++) {
    const { conditions } = await reconcileNow("engine-2");
    if (conditions[0]?.type === "Ready") return;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  throw new Error("The operation did not go on");
});

it("finds rows on a member that does not own them, and orphans; moves the first home when it may", async () => {
  await fill("re-stray", 60);
  await applyReal("engine-3", [declareReal("re-stray", 3, "apply")]);
  // Past the router: straight into a member's table.
  const inserted = `INSERT INTO things (id, type, name, data, visibility, createdAt, updatedAt) SELECT 'stray-' || value, '', NULL, '{}', 'private', 1, 1
    FROM json_each('[1,2,3,4,5,6,7,8,9,10]')`;
  await runInDurableObject(realObject("re-stray-shard-0"), (_instance, { storage: { sql } }) => {
    // As a constructor writes, whose rows are not checked for their key.
    sql.exec("PRAGMA legacy_alter_table = OFF");
    sql.exec(inserted);
    sql.exec("PRAGMA legacy_alter_table = ON");
  });
  await runInDurableObject(
    realObject("re-stray-shard-3"),
    (_instance, state) => void state.storage.sql.exec(inserted),
  );
  // Met, found, found again.
  await reconcileNow("engine-3");
  await reconcileNow("engine-3");
  const found = await reconcileNow("engine-3");
  expect(found.drifts).toContainEqual(
    expect.objectContaining({ kind: "misplaced", namespace: "re-stray" }),
  );
  expect(found.drifts).toContainEqual(
    expect.objectContaining({
      kind: "orphan",
      state: "open",
      reason: "objects that no layout names hold rows: re-stray-shard-3",
    }),
  );
  for (let tries = 0; tries < 30; tries++) {
    const { drifts, conditions } = await reconcileNow("engine-3");
    if (!drifts.some(({ kind }) => kind === "misplaced") && conditions[0]?.type === "Ready") break;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  const after = await reconcileNow("engine-3");
  expect(after.drifts.map(({ kind }) => kind)).toEqual(["orphan"]);
  const { data } = await realObject("re-stray").queryShards({
    query: "SELECT count(*) AS n FROM things",
    aggregation: "sum",
  });
  expect(data).toBe(70);
});

/** Has other windows applied and followed in the namespace, without a clock going on. */
async function setWindows(
  environment: string,
  { name, policy }: NamespaceSpec,
  windows: readonly Window[],
): Promise<void> {
  await runInDurableObject(coordinatorStub(), (_instance, { storage: { sql } }) => {
    sql.exec(
      `INSERT INTO appliedPolicies VALUES (?, ?, ?, 0)
         ON CONFLICT (environment, name) DO UPDATE SET policy = excluded.policy`,
      environment,
      name,
      JSON.stringify({ ...policy, windows }),
    );
    setDeclaredWindows(sql, environment, windows);
  });
}

function setDeclaredWindows(
  sql: SqlStorage,
  environment: string,
  windows: readonly Window[],
): void {
  sql.exec(
    "UPDATE reconciledNames SET body = json_set(body, '$.spec.policy.windows', json(?)) WHERE environment = ?",
    JSON.stringify(windows),
    environment,
  );
}

it("pauses an operation whose window closes, holds it over restarts of its root, and lets it go on with the next", async () => {
  await fill("re-window", 180);
  await applyReal("engine-5", [declareReal("re-window", 2)]);
  await reconcileNow("engine-5");
  const slow = declareReal("re-window", 3);
  const run = await applyPlan(
    await makePlan("engine-5", [{ ...slow, policy: { ...slow.policy, rowsPerSecondMax: 10 } }]),
  );
  await followRun(run.id, ({ actions }) => actions[0]?.state === "running");
  // Closed until New Year.
  const closed = { start: "0 0 1 1 *", durationMs: 60_000, timezone: "UTC" };
  await setWindows("engine-5", slow, [closed]);
  const isHeld = ({ actions }: Run): boolean => (actions[0]?.operation?.paused ?? null) !== null;
  const held = await followRun(run.id, (seen) => seen.finishedAt !== null || isHeld(seen));
  const why = { by: "shardctl reconciler", reason: "its window has closed" };
  expect(held).toMatchObject({
    state: "running",
    actions: [{ state: "running", operation: { state: "running", paused: why } }],
  });
  // Its writes are not held up, and a restart of the root lets nothing go on.
  await realObject("re-window").putMany([{ id: "late" }]);
  await runInDurableObject(realObject("re-window"), (_instance, state) =>
    state.abort("restart"),
  ).catch(() => undefined);
  const report = await reconcileNow("engine-5");
  expect(report.conditions).toMatchObject([
    { type: "Reconciling", reason: "Paused", message: expect.stringContaining(why.reason) },
  ]);
  const still = await followRun(run.id, () => true);
  expect(still.actions[0]?.operation).toMatchObject({
    paused: why,
    epoch: held.actions[0]?.operation?.epoch,
  });
  // The next window: here by a policy without one.
  await setWindows("engine-5", slow, []);
  expect(await followRun(run.id)).toMatchObject({
    state: "succeeded",
    actions: [{ state: "done", operation: { paused: null } }],
  });
  const { data } = await realObject("re-window").queryShards({
    query: "SELECT count(*) AS n FROM things",
    aggregation: "sum",
  });
  expect(data).toBe(181);
}, 120_000);

it("keeps the sizes that a tick sees, for the report, the page and the metrics", async () => {
  await fill("re-sized", 40);
  const declared = declareReal("re-sized", 2);
  const spec = { ...declared, policy: { ...declared.policy, storageBytesMax: 1_000_000 } };
  await applyReal("engine-sizes", [spec]);
  await reconcileNow("engine-sizes");
  const { body: report } = await call<NamespaceReport>(
    "GET",
    "/v1/namespaces/re-sized?object=REAL",
  );
  if (report.kind !== "live") throw new Error("re-sized cannot be read");
  const storage = Math.max(...report.namespace.members.map((member) => member.storage ?? 0));
  expect(report.capacity).toEqual({
    bytesMax: 1_000_000,
    maxFill: 0.7,
    forecast: { kind: "unknown" },
  });
  expect(await textOf("/metrics")).toContain(
    `shardctl_storage_bytes{namespace="re-sized",object="REAL"} ${storage}\n`,
  );
  // A month of growth, as if ticks had seen it.
  const days = Array.from({ length: 30 }, (_, day) => [
    Math.floor(Date.now() / 86_400_000) - 30 + day,
    storage - (30 - day) * 2_000,
    storage,
    report.namespace.epoch,
  ]);
  await runInDurableObject(coordinatorStub(), (_instance, state) => {
    state.storage.sql.exec(
      "UPDATE sizeDays SET body = json_set(body, '$.days', json(?)) WHERE name = 're-sized'",
      JSON.stringify(days),
    );
  });
  const { body: later } = await call<NamespaceReport>("GET", "/v1/namespaces/re-sized?object=REAL");
  const forecast = later.kind === "live" ? later.capacity?.forecast : undefined;
  expect(forecast).toMatchObject({ kind: "full" });
  const expected = (1_000_000 - storage) / 2_000;
  expect(forecast?.kind === "full" && Math.abs(forecast.fromDays - expected)).toBeLessThan(3);
  const page = await textOf("/namespaces/REAL/re-sized?environment=engine-sizes");
  expect(page).toContain("of 1.0 MB: full in ");
  expect(page).toContain('<polyline class="fullest"');
});
