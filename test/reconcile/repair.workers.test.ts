/**
 * Repairs by the HTTP API, on the real runtime: what is shown, what is applied, and what the Worker
 * knows that a root does not.
 */
import { runInDurableObject } from "cloudflare:test";
import { describe, expect, it } from "vitest";

import type { NamespaceReport } from "../../src/model/api.ts";
import type { DriftReport } from "../../src/model/drift.ts";
import type { EventList, HistoryEvent } from "../../src/model/event.ts";
import { unshardedLayout } from "../../src/model/layout/layout.ts";
import type { Disorder, RepairOutcome, RepairPlan, RepairStep } from "../../src/model/repair.ts";
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

const HEX = "ab".repeat(32);

function outOfStep(name: string): Disorder {
  const member = `${name}-shard-1`;
  return { kind: "outOfStep", members: [member], message: `${member} was restored`, since: 1 };
}

function stepsOf(name: string): RepairStep[] {
  const member = `${name}-shard-1`;
  return [
    {
      kind: "member",
      member,
      summary: "takes epoch 2",
      setAside: [{ member, table: "things", rows: 3 }],
    },
  ];
}

/** Sharded by a run, and looked at once. */
async function sharded(environment: string, name: string): Promise<void> {
  const run = await followRun((await applyPlan(await makePlan(environment, [spec(name)]))).id);
  expect(run.state).toBe("succeeded");
  await reconcileNow(environment);
}

/** A pass that looks at everything. */
async function reconcileNow(environment: string): Promise<DriftReport> {
  await runInDurableObject(coordinatorStub(), (_instance, state) => {
    state.storage.sql.exec("UPDATE reconciledNames SET dueAt = 0");
  });
  return (await call<DriftReport>("POST", `/v1/reconcile?environment=${environment}`)).body;
}

async function planOf(name: string, query = ""): Promise<RepairPlan> {
  const { status, body } = await call<RepairPlan>(
    "GET",
    `/v1/namespaces/${name}/repair?object=ORDERS${query}`,
    {
      token: "plan-token",
    },
  );
  expect(status).toBe(200);
  return body;
}

function repair<Body>(name: string, body: unknown) {
  return call<Body>("POST", `/v1/namespaces/${name}/repair?object=ORDERS`, { body });
}

async function repairsOf(environment: string): Promise<readonly HistoryEvent[]> {
  return (await call<EventList>("GET", `/v1/events?environment=${environment}&kind=repair`)).body
    .events;
}

async function lookOf(name: string): Promise<Disorder | null | undefined> {
  const { body } = await call<NamespaceReport>("GET", `/v1/namespaces/${name}?object=ORDERS`);
  return body.kind === "live" ? body.namespace.disorder : null;
}

describe("writers 1: a repair", () => {
  it("is shown, applied once however often it is asked for, told, and over with the next look", async () => {
    const name = "rp1-orders";
    await sharded("repair-1", name);
    const testimonies = [{ member: `${name}-shard-1`, says: "epoch 1, 26 rows" }];
    await controlsOf(name).edit({
      disorder: outOfStep(name),
      // Answered only by who asks the members that were seen live.
      repair: {
        steps: stepsOf(name),
        losses: [],
        testimonies,
        needs: [`${name}-shard-0`, `${name}-shard-1`],
        to: {},
      },
    });
    await reconcileNow("repair-1");
    const report = await reconcileNow("repair-1");
    expect(report.drifts).toMatchObject([{ kind: "outOfStep", namespace: name, state: "open" }]);

    const plan = await planOf(name);
    expect(plan).toMatchObject({
      namespace: name,
      disorder: { kind: "outOfStep" },
      steps: stepsOf(name),
      obstacles: [],
    });
    expect(await planOf(name)).toEqual(plan);

    const first = await repair<RepairOutcome>(name, { fingerprint: plan.fingerprint });
    expect(first).toMatchObject({
      status: 200,
      body: { steps: stepsOf(name), setAside: [{ rows: 3 }] },
    });
    const again = await repair<RepairOutcome>(name, { fingerprint: plan.fingerprint });
    expect(again).toMatchObject({ status: 200, body: first.body });
    expect((await controlsOf(name).verbs()).filter((verb) => verb === "repair")).toHaveLength(1);
    expect(await repairsOf("repair-1")).toMatchObject([
      {
        namespace: name,
        actor: "ci",
        fingerprint: plan.fingerprint,
        summary: expect.stringContaining("3 rows were set aside"),
      },
    ]);
    expect((await reconcileNow("repair-1")).drifts).toEqual([]);
  });

  it("is refused when it is not what was shown, when something blocks it, and while an operation makes progress", async () => {
    const name = "rp2-orders";
    await sharded("repair-2", name);
    const losses = [{ member: `${name}-shard-1`, summary: "what was written since is lost" }];
    await controlsOf(name).edit({
      disorder: outOfStep(name),
      repair: { steps: stepsOf(name), losses, testimonies: [], to: {} },
    });
    const plan = await planOf(name);
    expect(plan.obstacles).toHaveLength(1);
    expect((await repair(name, { fingerprint: HEX })).body).toMatchObject({ kind: "stalePlan" });
    expect((await repair(name, { fingerprint: plan.fingerprint })).body).toMatchObject({
      kind: "blocked",
    });
    const accepted = await planOf(name, `&acceptLoss=${name}-shard-1`);
    const order = { fingerprint: accepted.fingerprint, acceptLoss: [`${name}-shard-1`] };
    expect(accepted.obstacles).toEqual([]);

    await controlsOf(name).edit({ disorder: null });
    await controlsOf(name).setPace(1000);
    const run = await applyPlan(await makePlan("repair-2", [spec(name, { count: 4 })]));
    await followRun(run.id, ({ actions }) => actions[0]?.state === "running");
    await controlsOf(name).edit({ disorder: outOfStep(name) });
    expect(await repair(name, order)).toMatchObject({ status: 409, body: { kind: "conflict" } });
    await call("POST", `/v1/runs/${run.id}/cancel`);
    await followRun(run.id);
    expect(await repair(name, order)).toMatchObject({ status: 200 });
    expect(await repairsOf("repair-2")).toHaveLength(1);
  });

  it.each([
    [{}, "fingerprint"],
    [{ fingerprint: "short" }, "hex digits of a repair plan"],
    [{ fingerprint: HEX, members: [""] }, "members"],
    [{ fingerprint: HEX, members: ["a\nb"] }, "control characters"],
    [{ fingerprint: HEX, acceptLoss: "orders" }, "acceptLoss"],
    [{ fingerprint: HEX, force: true }, "force"],
  ])("takes no %j", async (body, says) => {
    const refused = await refusal("POST", "/v1/namespaces/rp3-orders/repair?object=ORDERS", {
      body,
    });
    expect(refused).toMatchObject({ status: 400, body: { kind: "invalid" } });
    expect(JSON.stringify(refused.body)).toContain(says);
  });

  it("takes no names that are none", async () => {
    const path = "/v1/namespaces/rp3-orders/repair?object=ORDERS&member=";
    expect(await refusal("GET", path)).toMatchObject({ status: 400, body: { kind: "invalid" } });
    expect(await refusal("GET", "/v1/namespaces/rp3-orders/repair?directory=no")).toMatchObject({
      status: 400,
      body: { kind: "invalid" },
    });
    expect(await refusal("GET", "/v1/namespaces/rp3-orders/repair?object=NOWHERE")).toMatchObject({
      status: 404,
    });
  });
});

describe("writers 1: a root that has lost its storage without knowing it", () => {
  it("is told of in status and drift, is planned for by nobody, and is accepted only by name", async () => {
    const name = "rp4-orders";
    const plan = await makePlan("repair-4", [spec(name)]);
    await followRun((await applyPlan(plan)).id);
    await reconcileNow("repair-4");
    expect(await lookOf(name)).toBeUndefined();
    await controlsOf(name).edit({ epoch: 0, layout: unshardedLayout(name, 0), rows: [] });

    expect(await lookOf(name)).toMatchObject({ kind: "registryLost", members: [name] });
    await reconcileNow("repair-4");
    expect((await reconcileNow("repair-4")).drifts).toMatchObject([
      { kind: "registryLost", state: "open" },
    ]);
    const blocked = await makePlan("repair-4", [spec(name, { count: 4 })]);
    expect(blocked).toMatchObject({ changes: [], blocks: [{ guard: "outOfStep" }] });
    const refused = await refusal("POST", `/v1/plans/${plan.fingerprint}/apply`, {
      body: { overrides: [] },
    });
    expect(refused).toMatchObject({ status: 409, body: { kind: "stalePlan" } });
    expect(refused.body.detail).toContain(`shardctl repair ${name}`);

    const unproven = await planOf(name);
    expect(unproven).toMatchObject({
      disorder: { kind: "registryLost" },
      steps: [],
      losses: [{ member: name }],
    });
    expect(unproven.obstacles[0]).toContain(`--accept-loss ${name}`);
    const { fingerprint } = unproven;
    expect(await repair(name, { fingerprint })).toMatchObject({
      status: 409,
      body: { kind: "blocked" },
    });
    expect(await lookOf(name)).toMatchObject({ kind: "registryLost" });
    // The memory's fingerprint is made with what is accepted, as it may be.
    const accepted = await planOf(name, `&acceptLoss=${name}`);
    const applied = await repair<RepairOutcome>(name, {
      fingerprint: accepted.fingerprint,
      acceptLoss: [name],
    });
    expect(applied).toMatchObject({ status: 200, body: { steps: [] } });
    expect(await lookOf(name)).toBeUndefined();
    expect(await repairsOf("repair-4")).toMatchObject([{ namespace: name, actor: "ci" }]);
  });

  it("is repaired by the members that were seen before", async () => {
    const name = "rp5-orders";
    await sharded("repair-5", name);
    const { body } = await call<NamespaceReport>("GET", `/v1/namespaces/${name}?object=ORDERS`);
    if (body.kind !== "live") throw new Error("It is not live");
    const { layout, epoch } = body.namespace;
    const steps: RepairStep[] = [
      { kind: "registry", member: name, summary: `takes epoch ${epoch}`, setAside: [] },
    ];
    await controlsOf(name).edit({
      epoch: 0,
      layout: unshardedLayout(name, 0),
      repair: { steps, losses: [], testimonies: [], needs: layout.members, to: { epoch, layout } },
    });
    const plan = await planOf(name);
    expect(plan).toMatchObject({
      disorder: { kind: "registryLost" },
      steps,
      losses: [],
      obstacles: [],
    });
    expect(await repair(name, { fingerprint: plan.fingerprint })).toMatchObject({ status: 200 });
    expect(await lookOf(name)).toBeUndefined();
    await reconcileNow("repair-5");
    expect((await reconcileNow("repair-5")).drifts).toEqual([]);
  });
});
