import {
  abortAllDurableObjects,
  createExecutionContext,
  createScheduledController,
  runDurableObjectAlarm,
  runInDurableObject,
} from "cloudflare:test";
import { afterEach, describe, expect, it, vi } from "vitest";

import type { Run, RunList } from "../../src/model/api.ts";
import { FAULTS_MAX } from "../../src/runs/step-runs.ts";
import worker, { switches } from "../support/control-worker.ts";
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

/** Kills the coordinator the way a crash does: what is not durable is lost, its memory too. */
async function crashCoordinator(): Promise<void> {
  await runInDurableObject(coordinatorStub(), (_instance, state) => state.abort("crash")).catch(
    () => undefined,
  );
}

async function dropAlarm(): Promise<void> {
  await runInDurableObject(coordinatorStub(), (_instance, state) => state.storage.deleteAlarm());
}

/** Makes every step of a run throw, and keeps its log out of the test's output. */
function breakObjects(): void {
  vi.spyOn(console, "error").mockImplementation(() => undefined);
  switches.areObjectsBroken = true;
}

afterEach(() => {
  switches.areObjectsBroken = false;
  vi.restoreAllMocks();
});

describe("following a run", () => {
  it("long-polls until there is news", async () => {
    await controlsOf("f1-orders").setPace(4);
    const run = await applyPlan(await makePlan("follow-1", [spec("f1-orders")]));
    const seen: Run[] = [run];
    while (seen.at(-1)?.finishedAt === null) {
      const { body } = await call<Run>(
        "GET",
        `/v1/runs/${run.id}?wait=10&since=${seen.at(-1)?.updatedAt}`,
      );
      seen.push(body);
    }
    const times = seen.map(({ updatedAt }) => updatedAt);
    expect(times).toEqual([...new Set(times)].toSorted((left, right) => left - right));
    expect(seen.length).toBeGreaterThan(2);
    expect(seen.at(-1)).toMatchObject({ state: "succeeded" });
  });

  it("does not wait for news of a run that has ended", async () => {
    await controlsOf("f2-orders").setPace(1000);
    const run = await applyPlan(await makePlan("follow-2", [spec("f2-orders")]));
    await followRun(run.id, ({ actions }) => actions[0]?.state === "running");
    await call("POST", `/v1/runs/${run.id}/cancel`);
    const ended = await followRun(run.id);
    const again = await call<Run>("GET", `/v1/runs/${run.id}?wait=30&since=${ended.updatedAt}`);
    expect(again.body).toEqual(ended);
  });

  it.each(["wait=31", "wait=-1", "wait=1.5", "wait=soon", "since=x", "wait="])(
    "refuses ?%s",
    async (query) => {
      expect(await refusal("GET", `/v1/runs/any?${query}`)).toMatchObject({
        status: 400,
        body: { kind: "invalid" },
      });
    },
  );

  it("does not know every run", async () => {
    for (const path of ["/v1/runs/run-0", "/v1/runs/run-0?wait=1"]) {
      expect(await refusal("GET", path)).toMatchObject({ status: 404, body: { kind: "notFound" } });
    }
    expect((await refusal("POST", "/v1/runs/run-0/cancel")).status).toBe(404);
  });

  it("lists runs, newest first", async () => {
    const ids: string[] = [];
    for (const name of ["f3-a", "f3-b"]) {
      const run = await applyPlan(await makePlan("follow-3", [spec(name)]));
      ids.unshift((await followRun(run.id)).id);
    }
    const { body } = await call<RunList>("GET", "/v1/runs?limit=2", { token: "read-token" });
    expect(body.runs.map(({ id }) => id)).toEqual(ids);
    expect((await refusal("GET", "/v1/runs?limit=0")).status).toBe(400);
  });
});

describe("a run", () => {
  it("goes in dependency order and ends with what failed and what was not executed", async () => {
    await controlsOf("r1-base").failNext({ kind: "mismatch", message: "1 of 1 chunks differ" });
    const plan = await makePlan("run-1", [
      spec("r1-a-dependent", { dependsOn: ["r1-base"] }),
      spec("r1-base"),
      spec("r1-other"),
      spec("r1-third", { dependsOn: ["r1-a-dependent"] }),
    ]);
    const run = await followRun((await applyPlan(plan)).id);
    expect(run.state).toBe("failed");
    expect(
      Object.fromEntries(run.actions.map(({ namespace, state }) => [namespace, state])),
    ).toEqual({
      "r1-base": "failed",
      "r1-a-dependent": "notExecuted",
      "r1-other": "done",
      "r1-third": "notExecuted",
    });
    expect(await controlsOf("r1-a-dependent").verbs()).not.toContain("start");
  });

  it("is cancelled: the running operation is undone and the rest never starts", async () => {
    await controlsOf("r2-slow").setPace(1000);
    const plan = await makePlan("run-2", [
      spec("r2-slow"),
      spec("r2-then", { dependsOn: ["r2-slow"] }),
    ]);
    const { id } = await applyPlan(plan);
    await followRun(id, ({ actions }) => actions[0]?.state === "running");
    const answer = await call<Run>("POST", `/v1/runs/${id}/cancel`);
    expect(answer.status).toBe(202);
    const run = await followRun(id);
    expect(run).toMatchObject({
      state: "cancelled",
      actions: [{ state: "cancelled" }, { state: "notExecuted" }],
    });
    expect((await call("POST", `/v1/runs/${id}/cancel`)).status).toBe(202);
    expect((await makePlan("run-2", [spec("r2-slow")])).changes).toHaveLength(1);
  });

  it("keeps a cancel that comes in while a step is asking a namespace", async () => {
    const controls = controlsOf("r2-busy");
    await controls.setPace(1000);
    const { id } = await applyPlan(await makePlan("run-2-busy", [spec("r2-busy")]));
    await followRun(id, ({ actions }) => actions[0]?.state === "running");
    await controls.setDelay(400);
    const asked = (await controls.verbs()).length;
    while ((await controls.verbs()).length <= asked)
      await new Promise((resolve) => setTimeout(resolve, 5));
    await call("POST", `/v1/runs/${id}/cancel`);
    expect(await followRun(id)).toMatchObject({ state: "cancelled" });
  });

  it("cannot be cancelled when it has succeeded", async () => {
    const run = await followRun((await applyPlan(await makePlan("run-3", [spec("r3-orders")]))).id);
    const answer = await refusal("POST", `/v1/runs/${run.id}/cancel`);
    expect(answer).toMatchObject({
      status: 409,
      body: { kind: "conflict", detail: expect.stringContaining("succeeded") },
    });
  });

  it("waits out a namespace that falls over", async () => {
    const plan = await makePlan("run-4", [spec("r4-orders")]);
    const { id } = await applyPlan(plan);
    await controlsOf("r4-orders").breakCalls({ kind: "unreachable", message: "" }, 2);
    expect(await followRun(id)).toMatchObject({ state: "succeeded" });
  });

  it("resumes after the coordinator crashed in the middle, any number of times, and starts each operation once", async () => {
    const names = Array.from({ length: 6 }, (_, index) => `r5-${index}`);
    for (const name of names) await controlsOf(name).setPace(3);
    const { id } = await applyPlan(
      await makePlan(
        "run-5",
        names.map((name) => spec(name)),
      ),
    );
    let crashes = 0;
    for (let run = await followRun(id, () => true); run.finishedAt === null; crashes++) {
      await crashCoordinator();
      run = await followRun(
        id,
        ({ updatedAt, finishedAt }) => updatedAt > run.updatedAt || finishedAt !== null,
      );
    }
    expect(crashes).toBeGreaterThan(2);
    const run = await followRun(id);
    expect(run.actions.map(({ state }) => state)).toEqual(names.map(() => "done"));
    for (const name of names) {
      const history = await call<{ operations: unknown[] }>(
        "GET",
        `/v1/namespaces/${name}/history`,
      );
      expect(history.body.operations).toHaveLength(1);
    }
  });

  it("is picked up by the schedule when the runtime has lost its alarm", async () => {
    await controlsOf("r6-orders").setPace(3);
    const { id } = await applyPlan(await makePlan("run-6", [spec("r6-orders")]));
    await crashCoordinator();
    await dropAlarm();
    const before = (await call<Run>("GET", `/v1/runs/${id}`)).body;
    expect(before.state).toBe("running");
    await worker.scheduled(createScheduledController(), controlEnv, createExecutionContext());
    expect(await followRun(id)).toMatchObject({ state: "succeeded" });
  });

  it("is picked up by the next request when a crash has lost its alarm", async () => {
    await controlsOf("r6-crash").setPace(3);
    const { id } = await applyPlan(await makePlan("run-6-crash", [spec("r6-crash")]));
    await runInDurableObject(coordinatorStub(), async (_instance, state) => {
      await state.storage.deleteAlarm();
      await state.storage.sync();
      state.abort("crash");
    }).catch(() => undefined);
    expect(await followRun(id)).toMatchObject({ state: "succeeded" });
  });

  it("takes its steps by alarm, one after the other", async () => {
    await controlsOf("r7-orders").setPace(1000);
    const { id } = await applyPlan(await makePlan("run-7", [spec("r7-orders")]));
    await followRun(id, ({ actions }) => actions[0]?.state === "running");
    const before = (await call<Run>("GET", `/v1/runs/${id}`)).body;
    expect(await runDurableObjectAlarm(coordinatorStub())).toBe(true);
    const armed = await runInDurableObject(coordinatorStub(), (_instance, state) =>
      state.storage.getAlarm(),
    );
    expect(armed).not.toBeNull();
    const after = (await call<Run>("GET", `/v1/runs/${id}`)).body;
    expect(after.updatedAt).toBeGreaterThanOrEqual(before.updatedAt);
    await call("POST", `/v1/runs/${id}/cancel`);
    await followRun(id);
  });

  it("goes on after unexpected errors of its own", async () => {
    await controlsOf("r9-orders").setPace(3);
    const { id } = await applyPlan(await makePlan("run-9", [spec("r9-orders")]));
    breakObjects();
    await crashCoordinator();
    await runDurableObjectAlarm(coordinatorStub());
    switches.areObjectsBroken = false;
    expect(await followRun(id)).toMatchObject({ state: "succeeded" });
  });

  it("is given up after too many unexpected errors, also over restarts, and frees the environment", async () => {
    await controlsOf("r10-orders").setPace(1000);
    const plan = await makePlan("run-10", [spec("r10-orders")]);
    const { id } = await applyPlan(plan);
    await followRun(id, ({ actions }) => actions[0]?.state === "running");
    breakObjects();
    for (let faults = 0; faults < FAULTS_MAX; faults++) {
      await crashCoordinator();
      await runDurableObjectAlarm(coordinatorStub());
    }
    switches.areObjectsBroken = false;
    const run = await followRun(id);
    expect(run).toMatchObject({
      state: "failed",
      actions: [{ state: "failed", error: expect.stringContaining("internal errors") }],
    });
    expect(JSON.stringify(run)).not.toContain("secret internals");
    expect(await refusal("POST", `/v1/plans/${plan.fingerprint}/apply`)).toMatchObject({
      body: { kind: "stalePlan" },
    });
  });

  it("survives every object of the Worker being restarted at once", async () => {
    await controlsOf("r8-orders").setPace(1000);
    const { id } = await applyPlan(await makePlan("run-8", [spec("r8-orders")]));
    await followRun(id, ({ actions }) => actions[0]?.state === "running");
    await abortAllDurableObjects();
    // The fake namespace keeps its operations in memory: it says that it knows none, and the action
    // fails with that.
    const run = await followRun(id);
    expect(run).toMatchObject({
      state: "failed",
      actions: [{ state: "failed", error: expect.stringContaining("no operation 1") }],
    });
  });
});
