/** Policies in plans that people apply, on the real runtime, without a repository. */
import { runInDurableObject } from "cloudflare:test";
import { describe, expect, it } from "vitest";

import type { Run } from "../../src/model/api.ts";
import type { DriftReport } from "../../src/model/drift.ts";
import type { EventList } from "../../src/model/event.ts";
import type { Plan } from "../../src/model/plan.ts";
import { DEFAULT_POLICY, type NamespaceSpec, type Policy } from "../../src/model/spec.ts";
import {
  applyPlan,
  call,
  controlsOf,
  coordinatorStub,
  followRun,
  makePlan,
  refusal,
  spec,
} from "../support/control-api.ts";
import { hashOf } from "../support/state.ts";

function governed(name: string, changes: Partial<Policy> = {}, count = 2): NamespaceSpec {
  return spec(name, { count, policy: { ...DEFAULT_POLICY, maxSkew: 100, ...changes } });
}

async function applied(environment: string, ...specs: NamespaceSpec[]): Promise<Plan> {
  const plan = await makePlan(environment, specs);
  const { state } = await followRun((await applyPlan(plan)).id);
  expect(state).toBe("succeeded");
  return plan;
}

async function reconcileNow(environment: string): Promise<DriftReport> {
  await runInDurableObject(coordinatorStub(), (_instance, state) => {
    state.storage.sql.exec("UPDATE reconciledNames SET dueAt = 0");
  });
  return (await call<DriftReport>("POST", `/v1/reconcile?environment=${environment}`)).body;
}

function manyRows(count: number) {
  return Array.from({ length: count }, (_, index) => ({ keys: { id: `k${index}` }, rows: 1 }));
}

/** Another token of the list, as a plan job has it. */
const JOB = { token: "plan-token" };

async function planAsJob(environment: string, namespaces: readonly NamespaceSpec[]): Promise<Plan> {
  const desired = { environment, commit: "3f9c2e1", namespaces };
  return (await call<Plan>("POST", "/v1/plans", { ...JOB, body: { desired } })).body;
}

describe("a policy that was edited", () => {
  it("is followed once it was applied, though nothing else changes", async () => {
    const first = await applied("pol-1", governed("pl1-orders"));
    const wanted = governed("pl1-orders", { selfHeal: "apply" });
    const plan = await makePlan("pol-1", [wanted]);
    expect(plan).toMatchObject({
      changes: [],
      policies: [
        { namespace: "pl1-orders", fields: [{ field: "selfHeal", from: "alert", to: "apply" }] },
      ],
    });
    expect(plan.fingerprint).not.toBe(first.fingerprint);
    await reconcileNow("pol-1");
    const edit = { epoch: 9, layout: hashOf("pl1-orders", 3) };
    await controlsOf("pl1-orders").edit(edit);
    for (let passes = 0; passes < 3; passes++) await reconcileNow("pol-1");
    expect((await reconcileNow("pol-1")).conditions).toMatchObject([{ reason: "Drifted" }]);
    await controlsOf("pl1-orders").edit({ epoch: 10, layout: first.changes[0]?.to as never });
    const again = await makePlan("pol-1", [wanted]);
    const run = await applyPlan(again);
    expect(run).toMatchObject({ state: "succeeded", actions: [], finishedAt: expect.any(Number) });
    expect((await makePlan("pol-1", [wanted])).policies).toBeUndefined();
    await reconcileNow("pol-1");
    await controlsOf("pl1-orders").edit({ epoch: 11, layout: hashOf("pl1-orders", 3) });
    for (let passes = 0; passes < 3; passes++) await reconcileNow("pol-1");
    const { body } = await call<{ runs: readonly Run[] }>("GET", "/v1/runs?environment=pol-1");
    expect(body.runs[0]).toMatchObject({
      requestedBy: "shardctl reconciler",
      actions: [{ namespace: "pl1-orders" }],
    });
    await followRun(body.runs[0]?.id ?? "");
  });

  it("is told to the history, old and new", async () => {
    await applied("pol-2", governed("pl2-orders", { budgetRows: 100 }));
    await applyPlan(await makePlan("pol-2", [governed("pl2-orders", { retainHours: 0 })]));
    const events = await call<EventList>("GET", "/v1/events?environment=pol-2&kind=policy");
    expect(events.body.events.map(({ namespace, summary }) => [namespace, summary])).toEqual([
      [
        "pl2-orders",
        "the policy has changed: budget.rows 100 → no limit (loosens), retainHours 24 hours → 0 hours (loosens)",
      ],
      [
        "pl2-orders",
        "the policy has changed: maxSkew 1.5 → 100 (loosens), budget.rows no limit → 100",
      ],
    ]);
  });

  it("is not applied in the place of another one that was applied meanwhile", async () => {
    await applied("pol-3", governed("pl3-orders"));
    const late = await makePlan("pol-3", [governed("pl3-orders", { budgetRows: 9_999 })]);
    await applied("pol-3", governed("pl3-orders", { budgetRows: 1 }));
    const answer = await refusal("POST", `/v1/plans/${late.fingerprint}/apply`);
    expect(answer).toMatchObject({ status: 409, body: { kind: "stalePlan" } });
    expect(answer.body.detail).toContain("the policy of 'pl3-orders' is no longer the one");
    const { policies } = await makePlan("pol-3", [governed("pl3-orders", { budgetRows: 9_999 })]);
    expect(policies).toMatchObject([
      { revision: 2, fields: [{ field: "budgetRows", from: 1, to: 9_999 }] },
    ]);
  });

  it("does not hold when its run has failed, and the plan is the same again", async () => {
    await controlsOf("pl4-orders").setPace(1000);
    const wanted = governed("pl4-orders", { selfHeal: "apply" });
    const plan = await makePlan("pol-4", [wanted]);
    const run = await applyPlan(plan);
    await call("POST", `/v1/runs/${run.id}/cancel`);
    expect((await followRun(run.id)).state).toBe("cancelled");
    await controlsOf("pl4-orders").setPace(1);
    expect((await makePlan("pol-4", [wanted])).fingerprint).toBe(plan.fingerprint);
  });

  it("cannot be used by the change beside it, at no door", async () => {
    await applied("pol-5", governed("pl5-orders", { budgetRows: 10 }));
    await controlsOf("pl5-orders").edit({ rows: manyRows(3_050) });
    const plan = await makePlan("pol-5", [governed("pl5-orders", {}, 5)]);
    expect(plan.blocks).toMatchObject([{ guard: "budget" }]);
    const path = `/v1/plans/${plan.fingerprint}/apply`;
    expect(await refusal("POST", path)).toMatchObject({ status: 409, body: { kind: "blocked" } });
    // By itself it may be loosened, and helps the next plan.
    await applied("pol-5", governed("pl5-orders"));
    const next = await makePlan("pol-5", [governed("pl5-orders", {}, 5)]);
    expect(next.blocks).toEqual([]);
    expect((await followRun((await applyPlan(next)).id)).state).toBe("succeeded");
  });
});

describe("the counts that an apply by fingerprint is compared with", () => {
  it("are not renewed by somebody else's plan job", async () => {
    const specs = [governed("pl6-orders")];
    const plan = await makePlan("pol-6", specs);
    await controlsOf("pl6-orders").edit({ rows: manyRows(5_000) });
    const again = await planAsJob("pol-6", specs);
    expect(again).toMatchObject({ fingerprint: plan.fingerprint, changes: [{ rowsTotal: 5_000 }] });
    const path = `/v1/plans/${plan.fingerprint}/apply`;
    expect(await refusal("POST", path)).toMatchObject({
      status: 409,
      body: { kind: "stalePlan", detail: expect.stringContaining("5,000") },
    });
    await makePlan("pol-6", specs);
    expect((await call("POST", path)).status).toBe(202);
  });

  it("are those of the first plan for who has made none", async () => {
    const specs = [governed("pl7-orders")];
    const plan = await planAsJob("pol-7", specs);
    await controlsOf("pl7-orders").edit({ rows: manyRows(5_000) });
    await planAsJob("pol-7", specs);
    expect(await refusal("POST", `/v1/plans/${plan.fingerprint}/apply`)).toMatchObject({
      status: 409,
      body: { kind: "stalePlan" },
    });
  });
});
