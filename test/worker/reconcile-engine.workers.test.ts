/** Reconciliation over the real engine: what only real objects can have lost, and many of them. */
import { runInDurableObject } from "cloudflare:test";
import { expect, it } from "vitest";

import type { Run } from "../../src/core/api.ts";
import type { DriftReport } from "../../src/core/drift.ts";
import type { LiveNamespace } from "../../src/core/live.ts";
import { DEFAULT_POLICY, type NamespaceSpec, type SelfHeal } from "../../src/core/spec.ts";
import type { RealThings } from "../support/control-worker.ts";
import { call, controlEnv, coordinatorStub, makePlan, spec } from "../support/control-api.ts";

const object = (name: string) => controlEnv.REAL.getByName(name);

function declared(name: string, count: number, selfHeal: SelfHeal = "alert"): NamespaceSpec {
  return spec(name, { object: "REAL", count, policy: { ...DEFAULT_POLICY, maxSkew: 100, selfHeal } });
}

/** Followed for as long as it takes: the test's own limit ends what hangs. */
async function apply(environment: string, specs: readonly NamespaceSpec[]): Promise<void> {
  const { fingerprint } = await makePlan(environment, specs);
  const { body } = await call<Run>("POST", `/v1/plans/${fingerprint}/apply`, { body: { overrides: ["bulkChange"] } });
  let run = body;
  while (run.finishedAt === null) run = (await call<Run>("GET", `/v1/runs/${run.id}?wait=5`)).body;
  if (run.state !== "succeeded") throw new Error(JSON.stringify(run.actions.filter(({ error }) => error !== null)));
}

async function fill(name: string, things: number): Promise<void> {
  await object(name).putMany(Array.from({ length: things }, (_, index) => ({ id: `thing-${index}` })));
}

async function reconcileNow(environment: string, isEverythingDue = true): Promise<DriftReport> {
  if (isEverythingDue) {
    await runInDurableObject(coordinatorStub(), (_instance, state) => {
      const due = `json_set(body, '$.auditDueAt', 0, '$.dueAt', 0)`;
      state.storage.sql.exec(`UPDATE reconciledNames SET dueAt = 0, body = ${due} WHERE environment = ?`, environment);
    });
  }
  for (let tries = 0; tries < 10; tries++) {
    const { status, body } = await call<DriftReport>("POST", `/v1/reconcile?environment=${environment}`);
    if (status === 200) return body;
  }
  throw new Error(`The pass in ${environment} does not end`);
}

it("finds a deleted shard", async () => {
  await fill("re-lost", 40);
  await apply("engine-1", [declared("re-lost", 4)]);
  await runInDurableObject(object("re-lost-shard-2"), async (_instance, state) => {
    await state.storage.deleteAll();
    state.abort("deleted");
  }).catch(() => undefined);
  await reconcileNow("engine-1");
  const report = await reconcileNow("engine-1");
  expect(report.drifts).toMatchObject([{ kind: "unhealthy", state: "open", reason: "re-lost-shard-2 does not answer" }]);
  expect(report.conditions).toMatchObject([{ type: "Stalled", reason: "Unhealthy" }]);
});

it("pokes an operation that has lost its alarm", async () => {
  await fill("re-alarm", 40);
  await apply("engine-2", [declared("re-alarm", 2)]);
  const root = object("re-alarm");
  await runInDurableObject(root, async (instance: RealThings, state) => {
    const ask = (request: unknown) => instance.shardctl({ protocol: 1, namespace: "re-alarm", member: "re-alarm", request });
    const described = await ask({ kind: "describe", object: "REAL" });
    if (!described.ok) throw new Error(described.failure.message);
    const { layout, epoch } = described.value as LiveNamespace;
    const start = {
      kind: "start",
      operation: {
        kind: "rebalance",
        epoch,
        to: layout,
        policy: { allowMissingKey: true, rowsPerSecondMax: null, waveRowsMax: 100, retainHours: 1 },
        correlationId: "by-hand",
        requestedBy: "someone",
        refuseEmpty: false,
      },
    };
    const reply = await ask(start);
    if (!reply.ok) throw new Error(reply.failure.message);
    await state.storage.deleteAlarm();
    // Nothing but a look sets it again.
    if ((await state.storage.getAlarm()) !== null) throw new Error("The alarm is still there");
  });
  const alarmOf = () => runInDurableObject(root, (_instance, state) => state.storage.getAlarm());
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
  await apply("engine-3", [declared("re-stray", 3, "apply")]);
  // Past the router: straight into a member's table.
  const inserted = `INSERT INTO things (id, type, name, data, visibility, createdAt, updatedAt) SELECT 'stray-' || value, '', NULL, '{}', 'private', 1, 1
    FROM json_each('[1,2,3,4,5,6,7,8,9,10]')`;
  await runInDurableObject(object("re-stray-shard-0"), (_instance, state) => void state.storage.sql.exec(inserted));
  await runInDurableObject(object("re-stray-shard-3"), (_instance, state) => void state.storage.sql.exec(inserted));
  // Met, found, found again.
  await reconcileNow("engine-3");
  await reconcileNow("engine-3");
  const found = await reconcileNow("engine-3");
  expect(found.drifts).toContainEqual(expect.objectContaining({ kind: "misplaced", namespace: "re-stray" }));
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
  const { data } = await object("re-stray").queryShards({ query: "SELECT count(*) AS n FROM things", aggregation: "sum" });
  expect(data).toBe(70);
});

// 200 namespaces take minutes to shard here; the cost of a pass over 10,000 is tested in memory.
const MANY = 40;

it(`looks at ${MANY} namespaces of 8 shards`, async () => {
  const names = Array.from({ length: MANY }, (_, index) => `re-many-${index}`);
  await apply(
    "engine-4",
    names.map((name) => declared(name, 8)),
  );
  const report = await reconcileNow("engine-4");
  expect(report.conditions).toHaveLength(MANY);
  expect(report.conditions.filter(({ type }) => type !== "Ready")).toEqual([]);
  expect(report.drifts).toEqual([]);
});
