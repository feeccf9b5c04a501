/** Reconciliation over the real engine: what only real objects can have lost. */
import { runInDurableObject } from "cloudflare:test";
import { expect, it } from "vitest";

import type { DriftReport } from "../../src/core/drift.ts";
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
  await realObject(name).putMany(Array.from({ length: things }, (_, index) => ({ id: `thing-${index}` })));
}

async function reconcileNow(environment: string): Promise<DriftReport> {
  await setTurns(environment, { checkAt: 0, auditAt: 0 });
  return reconcileReal(environment);
}

it("finds a deleted shard", async () => {
  await fill("re-lost", 40);
  await applyReal("engine-1", [declareReal("re-lost", 4)]);
  await runInDurableObject(realObject("re-lost-shard-2"), async (_instance, state) => {
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
  await applyReal("engine-2", [declareReal("re-alarm", 2)]);
  const root = realObject("re-alarm");
  await runInDurableObject(root, async (instance: RealThings, state) => {
    await rebalanceByHand(askRoot(instance, "re-alarm"));
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
  await applyReal("engine-3", [declareReal("re-stray", 3, "apply")]);
  // Past the router: straight into a member's table.
  const inserted = `INSERT INTO things (id, type, name, data, visibility, createdAt, updatedAt) SELECT 'stray-' || value, '', NULL, '{}', 'private', 1, 1
    FROM json_each('[1,2,3,4,5,6,7,8,9,10]')`;
  await runInDurableObject(realObject("re-stray-shard-0"), (_instance, state) => void state.storage.sql.exec(inserted));
  await runInDurableObject(realObject("re-stray-shard-3"), (_instance, state) => void state.storage.sql.exec(inserted));
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
  const { data } = await realObject("re-stray").queryShards({ query: "SELECT count(*) AS n FROM things", aggregation: "sum" });
  expect(data).toBe(70);
});
