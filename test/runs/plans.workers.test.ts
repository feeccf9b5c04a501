import { describe, expect, it } from "vitest";

import type { NamespaceList, Run } from "../../src/model/api.ts";
import type { Plan } from "../../src/model/plan.ts";
import { DEFAULT_POLICY, type NamespaceSpec } from "../../src/model/spec.ts";
import { decodeJson } from "../../src/runs/store.ts";
import { reachCoordinator } from "../../src/server/coordinator/reach-coordinator.ts";
import {
  applyPlan,
  call,
  controlsOf,
  controlEnv,
  desired,
  followRun,
  makePlan,
  refusal,
  spec,
} from "../support/control-api.ts";
import type { MemoryRows } from "../support/live/memory-rows.ts";

/** A minute that is over for a year whenever the test runs: no window is open. */
const LONG_AGO = { start: "0 0 29 2 *", durationMs: 60_000, timezone: "UTC" };
const ALWAYS = { start: "* * * * *", durationMs: 3_600_000, timezone: "Europe/Berlin" };

const coordinator = reachCoordinator(controlEnv.SHARDCTL);

function manyRows(count: number): MemoryRows[] {
  return Array.from({ length: count }, (_, index) => ({ keys: { id: `k${index}` }, rows: 1 }));
}

describe("POST /v1/plans", () => {
  it("plans what differs, and keeps the plan under its fingerprint", async () => {
    const plan = await makePlan("plan-1", [
      spec("p1-orders"),
      spec("p1-carts", { strategy: "none", shardKey: null, count: 1 }),
    ]);
    expect(plan).toMatchObject({
      environment: "plan-1",
      changes: [{ kind: "shard", namespace: "p1-orders", epoch: 1, rowsTotal: 3 }],
      inSync: [{ namespace: "p1-carts", rows: 3 }],
      blocks: [],
    });
    const stored = await call<Plan>("GET", `/v1/plans/${plan.fingerprint}`, {
      token: "read-token",
    });
    expect(stored.status).toBe(200);
    expect(stored.body).toEqual(plan);
  });

  it("gives the same fingerprint for the same state, whatever the order of the namespaces", async () => {
    const first = await makePlan("plan-2", [spec("p2-a"), spec("p2-b")]);
    const second = await makePlan("plan-2", [spec("p2-b"), spec("p2-a")]);
    expect(second.fingerprint).toBe(first.fingerprint);
    expect(first.changes).toHaveLength(2);
  });

  it("reports a namespace that was planned before and has no manifest now as unmanaged", async () => {
    await makePlan("plan-3", [spec("p3-old"), spec("p3-new")]);
    const plan = await makePlan("plan-3", [spec("p3-new")]);
    expect(plan.notices).toMatchObject([{ kind: "unmanaged", namespace: "p3-old" }]);
    const elsewhere = await makePlan("plan-3b", [spec("p3-new")]);
    expect(elsewhere.notices).toEqual([]);
  });

  it.each([
    ["an unknown binding", "p4-orders", "ODERS", "ORDERS"],
    ["a class without shardctl", "p4-bare", "BARE", "no shardctl() method"],
    ["an object that throws", "p4-throws", "ODD", "could not be reached: (not shown)"],
  ])("has no plan, and no fingerprint, with %s", async (_name, name, object, message) => {
    await makePlan("plan-4", [spec("p4-fine")]);
    const clean = await makePlan("plan-4", [spec("p4-fine")]);
    const body = { desired: desired("plan-4", [spec("p4-fine"), spec(name, { object })]) };
    const answer = await refusal("POST", "/v1/plans", { body });
    expect(answer).toMatchObject({ status: 409, body: { kind: "conflict" } });
    expect(answer.body.detail).toContain("No plan for plan-4 could be made: 1 namespace could not");
    expect(answer.body.detail).toContain(`'${name}'`);
    expect(answer.body.detail).toContain(message);
    expect(JSON.stringify(answer.body)).not.toContain(clean.fingerprint);
    const known = await call<NamespaceList>("GET", "/v1/namespaces?environment=plan-4");
    expect(known.body.namespaces).toMatchObject([{ namespace: { name: "p4-fine" } }]);
  });

  it("names twenty of many that could not be read, and says how many there are", async () => {
    const unbound = Array.from({ length: 30 }, (_, index) =>
      spec(`p4-many-${String(index).padStart(2, "0")}`, { object: "NOPE" }),
    );
    const body = { desired: desired("plan-4b", unbound) };
    const { detail } = (await refusal("POST", "/v1/plans", { body })).body;
    expect(detail).toContain("30 namespaces could not be read");
    expect(detail).toContain("p4-many-19");
    expect(detail).not.toContain("p4-many-20");
    expect(detail).toContain("And 10 more");
  });

  it("builds on a basis, and refuses one that it does not know", async () => {
    const basis = await makePlan("plan-5", [spec("p5-orders", { strategy: "range" })]);
    const body = { desired: desired("plan-5", [spec("p5-orders", { strategy: "range" })]) };
    const again = await call<Plan>("POST", "/v1/plans", {
      body: { ...body, basis: basis.fingerprint },
    });
    expect(again.body.fingerprint).toBe(basis.fingerprint);
    const unknown = await refusal("POST", "/v1/plans", {
      body: { ...body, basis: "0".repeat(64) },
    });
    expect(unknown).toMatchObject({ status: 404, body: { kind: "unknownPlan" } });
  });

  it("never replaces a stored plan behind its fingerprint: blocks, labels, files, commit", async () => {
    const honest = ["a", "b", "c", "d"].map((name) =>
      spec(`p7-${name}`, { labels: { team: "shop" } }),
    );
    const idle = Array.from({ length: 6 }, (_, index) =>
      spec(`p7-idle-${index}`, {
        strategy: "none",
        shardKey: null,
        count: 1,
        policy: DEFAULT_POLICY,
      }),
    );
    const first = await makePlan("plan-7", [...honest, ...idle]);
    expect(first.blocks).toMatchObject([{ guard: "bulkChange" }]);
    const read = async (): Promise<{ plan: Plan; desired: unknown }> => ({
      plan: (await call<Plan>("GET", `/v1/plans/${first.fingerprint}`)).body,
      desired: decodeJson(
        (await coordinator.plans.readDesiredBody(first.fingerprint)) ?? new Uint8Array(),
      ),
    });
    const before = await read();
    const padded = [...honest, ...idle].concat(
      Array.from({ length: 20 }, (_, index) =>
        spec(`p7-pad-${index}`, {
          strategy: "none",
          shardKey: null,
          count: 1,
          policy: DEFAULT_POLICY,
        }),
      ),
    );
    expect((await makePlan("plan-7", padded)).fingerprint).not.toBe(first.fingerprint);
    const renamed = [...honest, ...idle].map((one) => ({
      ...one,
      labels: { team: "evil" },
      source: { file: "manifests/other.yaml", line: 9, column: 9 },
    }));
    const others = {
      desired: { environment: "plan-7", commit: "0000000", namespaces: renamed },
    };
    const second = await call<Plan>("POST", "/v1/plans", { body: others, token: "plan-token" });
    expect(second.body.fingerprint).toBe(first.fingerprint);
    const after = await read();
    const withoutTimes = ({ plan }: typeof after): Plan => ({
      ...plan,
      changes: plan.changes.map((change) => ({ ...change, countedAt: 0 })),
    });
    expect(withoutTimes(after)).toEqual(withoutTimes(before));
    expect(after.desired).toEqual(before.desired);
    expect(await refusal("POST", `/v1/plans/${first.fingerprint}/apply`)).toMatchObject({
      status: 409,
      body: { kind: "blocked", detail: expect.stringContaining("bulkChange") },
    });
  });

  it.each<[string, Partial<NamespaceSpec>]>([
    ["labels", { labels: { team: "evil" } }],
    ["no labels", { labels: {} }],
    ["files", { source: { file: "manifests/other.yaml", line: 1, column: 1 } }],
  ])(
    "refuses a second plan of one fingerprint and one commit with other %s",
    async (what, other) => {
      const environment = `plan-9-${what.replace(" ", "-")}`;
      const honest = spec(`${environment}-orders`, { labels: { team: "shop" } });
      const first = await makePlan(environment, [honest]);
      const of = (commit: string | null) => ({
        desired: { environment, commit, namespaces: [{ ...honest, ...other }] },
      });
      const body = of("3f9c2e1");
      for (const token of ["plan-token", "apply-token"]) {
        const answer = await refusal("POST", "/v1/plans", { body, token });
        expect(answer).toMatchObject({ status: 409, body: { kind: "conflict" } });
        expect(answer.body.detail).toContain(`labels or files of '${honest.name}'`);
        expect(answer.body.detail).toContain("commit 3f9c2e1");
        expect(JSON.stringify(answer.body)).not.toContain("evil");
      }
      const read = await call<Plan>("GET", `/v1/plans/${first.fingerprint}`);
      expect(read.body.changes[0]?.source).toEqual(first.changes[0]?.source);
      // Another commit, or none, may have others: what was shown first stays.
      for (const commit of ["0000000", null])
        expect((await call("POST", "/v1/plans", { body: of(commit) })).status).toBe(200);
      // As does the same text at another place of the repository, or another line.
      const moved = { ...honest, source: { ...honest.source, line: 40 } };
      const elsewhere = { ...moved, source: { ...moved.source, file: `../${moved.source.file}` } };
      for (const namespaces of [[moved], [elsewhere]])
        expect((await makePlan(environment, namespaces)).fingerprint).toBe(first.fingerprint);
    },
  );

  it("renews the counts of a plan that is made again, and nothing else", async () => {
    const first = await makePlan("plan-8", [spec("p8-orders")]);
    await controlsOf("p8-orders").edit({ rows: manyRows(300) });
    const second = await makePlan("plan-8", [spec("p8-orders")]);
    expect(second.fingerprint).toBe(first.fingerprint);
    const { body } = await call<Plan>("GET", `/v1/plans/${first.fingerprint}`);
    expect(body).toMatchObject({ changes: [{ rowsTotal: 300 }] });
    const { kind, policy, from, to, source } = first.changes[0] ?? {};
    expect(body.changes[0]).toMatchObject({ kind, policy, from, to, source });
  });

  it("stores and returns a plan larger than a row may be", async () => {
    const long = "x".repeat(4000);
    const specs = Array.from({ length: 600 }, (_, index) =>
      spec(`p6-${index}`, {
        source: { file: long, line: 1, column: 1 },
        labels: { long: long.slice(0, 256), longer: long.slice(0, 244) },
      }),
    );
    const plan = await makePlan("plan-6", specs);
    expect(plan.changes).toHaveLength(600);
    const stored = await call<Plan>("GET", `/v1/plans/${plan.fingerprint}`);
    expect(stored.body).toEqual(plan);
  });
});

describe("a request body", () => {
  const good = spec("b-orders");
  it.each([
    ["nothing", "", "empty"],
    ["text that is not JSON", "{ desired: 1", "not JSON"],
    ["a list", [], "the body"],
    ["null", "null", "the body"],
    ["an unknown key", { desired: desired("b", [good]), force: true }, "force"],
    ["an unknown key inside", { desired: { ...desired("b", [good]), extra: 1 } }, "extra"],
    [
      "an unknown key in a namespace",
      { desired: desired("b", [{ ...good, shards: 3 } as never]) },
      "desired.namespaces.0",
    ],
    ["a missing field", { desired: { environment: "b", commit: null } }, "desired.namespaces"],
    [
      "a count of 0",
      { desired: desired("b", [{ ...good, count: 0 }]) },
      "desired.namespaces.0.count",
    ],
    [
      "a count of 1001",
      { desired: desired("b", [{ ...good, count: 1001 }]) },
      "desired.namespaces.0.count",
    ],
    [
      "half a shard",
      { desired: desired("b", [{ ...good, count: 1.5 }]) },
      "desired.namespaces.0.count",
    ],
    [
      "an unknown strategy",
      { desired: desired("b", [{ ...good, strategy: "modulo" as never }]) },
      "desired.namespaces.0.strategy",
    ],
    ["a hash without a key", { desired: desired("b", [{ ...good, shardKey: null }]) }, "shardKey"],
    [
      "none with a key",
      { desired: desired("b", [{ ...good, strategy: "none", count: 1 }]) },
      "shardKey",
    ],
    [
      "none with shards",
      { desired: desired("b", [{ ...good, strategy: "none", shardKey: null }]) },
      "count",
    ],
    [
      "custom without a partitioner",
      { desired: desired("b", [{ ...good, strategy: "custom" }]) },
      "partitioner",
    ],
    [
      "hash with a partitioner",
      { desired: desired("b", [{ ...good, partitioner: "byRegion" }]) },
      "partitioner",
    ],
    [
      "hash with split points",
      { desired: desired("b", [{ ...good, splitPoints: [] }]) },
      "splitPoints",
    ],
    [
      "too few split points",
      { desired: desired("b", [{ ...good, strategy: "range", splitPoints: [] }]) },
      "one less than count 2",
    ],
    [
      "roundRobin without a directory",
      { desired: desired("b", [{ ...good, strategy: "roundRobin" }]) },
      "directory",
    ],
    ["the same namespace twice", { desired: desired("b", [good, good]) }, "twice"],
    [
      "a name with a line break",
      { desired: desired("b", [{ ...good, name: "a\nb" }]) },
      "control characters",
    ],
    [
      "an empty name",
      { desired: desired("b", [{ ...good, name: "" }]) },
      "desired.namespaces.0.name",
    ],
    [
      "a binding that is no name",
      { desired: desired("b", [{ ...good, object: "OR DERS" }]) },
      "binding",
    ],
    [
      "a basis that is no fingerprint",
      { desired: desired("b", [good]), basis: "abc" },
      "64 lower-case hex",
    ],
    [
      "a window that is no cron expression",
      {
        desired: desired("b", [
          { ...good, policy: { ...DEFAULT_POLICY, windows: [{ ...ALWAYS, start: "soon" }] } },
        ]),
      },
      "cron expression",
    ],
    [
      "a window in an unknown time zone",
      {
        desired: desired("b", [
          {
            ...good,
            policy: { ...DEFAULT_POLICY, windows: [{ ...ALWAYS, timezone: "Mars/Olympus" }] },
          },
        ]),
      },
      "time zone",
    ],
  ])("with %s is refused and named", async (_name, body, message) => {
    const answer = await refusal("POST", "/v1/plans", { body });
    expect(answer.status).toBe(400);
    expect(answer.headers.get("content-type")).toBe("application/problem+json");
    expect(answer.body).toMatchObject({
      kind: "invalid",
      status: 400,
      type: "https://shardctl.dev/problems/invalid",
    });
    expect(answer.body.detail).toContain(message);
  });

  it("tells every error by its path", async () => {
    const body = { desired: desired("b", [{ ...good, count: 0, strategy: "modulo" as never }]) };
    const { body: problem } = await refusal("POST", "/v1/plans", { body });
    expect(problem.errors?.map(({ path }) => path).toSorted()).toEqual([
      "desired.namespaces.0.count",
      "desired.namespaces.0.strategy",
    ]);
  });

  it("is read only up to 8 MiB", async () => {
    const answer = await refusal("POST", "/v1/plans", { body: " ".repeat(8 * 1024 * 1024 + 1) });
    expect(answer).toMatchObject({ status: 413, body: { kind: "tooLarge" } });
    const apply = await refusal("POST", `/v1/plans/${"0".repeat(64)}/apply`, {
      body: " ".repeat(8 * 1024 * 1024 + 1),
    });
    expect(apply.status).toBe(413);
  });
});

describe("POST /v1/plans/:fingerprint/apply", () => {
  it("starts a run that carries the plan out", async () => {
    const plan = await makePlan("apply-1", [spec("a1-orders")]);
    const answer = await call<Run>("POST", `/v1/plans/${plan.fingerprint}/apply`);
    expect(answer.status).toBe(202);
    expect(answer.headers.get("location")).toBe(`/v1/runs/${answer.body.id}`);
    expect(answer.body).toMatchObject({
      environment: "apply-1",
      fingerprint: plan.fingerprint,
      state: "running",
      requestedBy: "ci",
    });
    const run = await followRun(answer.body.id);
    expect(run).toMatchObject({
      state: "succeeded",
      actions: [{ namespace: "a1-orders", state: "done", error: null }],
    });
    const next = await makePlan("apply-1", [spec("a1-orders")]);
    expect(next).toMatchObject({
      changes: [],
      inSync: [{ namespace: "a1-orders", members: 2, epoch: 2 }],
    });
  });

  it("answers with the active run when the same plan is applied again", async () => {
    await controlsOf("a2-orders").setPace(1000);
    const plan = await makePlan("apply-2", [spec("a2-orders")]);
    const path = `/v1/plans/${plan.fingerprint}/apply`;
    const [one, two] = await Promise.all([call<Run>("POST", path), call<Run>("POST", path)]);
    const three = await call<Run>("POST", path);
    expect([one.status, two.status, three.status]).toEqual([202, 202, 202]);
    expect(new Set([one.body.id, two.body.id, three.body.id]).size).toBe(1);
  });

  it("refuses while another run of the environment is active, and names it", async () => {
    await controlsOf("a3-slow").setPace(1000);
    const slow = await makePlan("apply-3", [spec("a3-slow")]);
    const other = await makePlan("apply-3", [
      spec("a3-slow", { strategy: "none", shardKey: null, count: 1 }),
      spec("a3-other"),
    ]);
    const run = await applyPlan(slow);
    const answer = await refusal("POST", `/v1/plans/${other.fingerprint}/apply`);
    expect(answer).toMatchObject({
      status: 409,
      body: { kind: "locked", detail: expect.stringContaining(run.id) },
    });
    await call("POST", `/v1/runs/${run.id}/cancel`);
    await followRun(run.id);
    expect((await call("POST", `/v1/plans/${other.fingerprint}/apply`)).status).toBe(202);
  });

  it("gives the lock to one of two plans that are applied at the same moment", async () => {
    for (const name of ["a4-one", "a4-two"]) await controlsOf(name).setPace(1000);
    const plans = [
      await makePlan("apply-4", [spec("a4-one")]),
      await makePlan("apply-4", [spec("a4-two")]),
    ];
    const answers = await Promise.all(
      plans.map(({ fingerprint }) => refusal("POST", `/v1/plans/${fingerprint}/apply`)),
    );
    expect(answers.map(({ status }) => status).toSorted((left, right) => left - right)).toEqual([
      202, 409,
    ]);
  });

  it("locks a namespace across environments, and leaves other environments alone", async () => {
    await controlsOf("a5-shared").setPace(1000);
    const one = await makePlan("apply-5-one", [spec("a5-shared")]);
    const same = await makePlan("apply-5-two", [spec("a5-shared", { count: 3 })]);
    const free = await makePlan("apply-5-three", [spec("a5-free")]);
    await applyPlan(one);
    expect(await refusal("POST", `/v1/plans/${same.fingerprint}/apply`)).toMatchObject({
      status: 409,
      body: { kind: "locked" },
    });
    expect((await followRun((await applyPlan(free)).id)).state).toBe("succeeded");
  });

  it.each([
    ["another epoch", "a6-epoch", { epoch: 4 }, "epoch 4"],
    [
      "another layout",
      "a6-layout",
      { layout: { kind: "none", generation: 9, members: ["a6-layout"] } },
      "layout",
    ],
  ] as const)("refuses a stale plan: %s", async (_name, name, change, message) => {
    const plan = await makePlan("apply-6", [spec(name), spec(`${name}-too`)]);
    await controlsOf(name).edit(change);
    const answer = await refusal("POST", `/v1/plans/${plan.fingerprint}/apply`);
    expect(answer).toMatchObject({
      status: 409,
      body: { kind: "stalePlan", detail: expect.stringContaining(message) },
    });
    expect(answer.body.errors).toMatchObject([{ path: name }]);
    expect(await controlsOf(`${name}-too`).verbs()).not.toContain("start");
  });

  it("refuses a plan under which an operation is running", async () => {
    await controlsOf("a7-orders").setPace(1000);
    const plan = await makePlan("apply-7", [spec("a7-orders")]);
    const run = await applyPlan(await makePlan("apply-7-other", [spec("a7-orders", { count: 3 })]));
    await followRun(run.id, ({ actions }) => actions[0]?.state === "running");
    // The other run's operation is live, but not its lock: an operation may also be started by the
    // object's own code.
    const answer = await refusal("POST", `/v1/plans/${plan.fingerprint}/apply`);
    expect(answer).toMatchObject({
      status: 409,
      body: { detail: expect.stringContaining(run.id) },
    });
  });

  it("refuses a plan that was applied already", async () => {
    const plan = await makePlan("apply-8", [spec("a8-orders")]);
    await followRun((await applyPlan(plan)).id);
    const answer = await refusal("POST", `/v1/plans/${plan.fingerprint}/apply`);
    expect(answer).toMatchObject({
      status: 409,
      body: { kind: "stalePlan", detail: expect.stringContaining("epoch 2") },
    });
  });

  it("refuses for now when a namespace cannot be read", async () => {
    const plan = await makePlan("apply-9", [spec("a9-orders")]);
    await controlsOf("a9-orders").breakCalls({ kind: "unreachable", message: "" }, 1);
    const answer = await refusal("POST", `/v1/plans/${plan.fingerprint}/apply`);
    expect(answer).toMatchObject({
      status: 503,
      body: { kind: "unavailable", detail: expect.stringContaining("could not be reached") },
    });
    expect((await call("POST", `/v1/plans/${plan.fingerprint}/apply`)).status).toBe(202);
  });

  it("refuses a plan that it does not know", async () => {
    const answer = await refusal("POST", `/v1/plans/${"0".repeat(64)}/apply`);
    expect(answer).toMatchObject({ status: 404, body: { kind: "unknownPlan" } });
    expect((await refusal("GET", "/v1/plans/nonsense")).body.kind).toBe("unknownPlan");
  });

  it("refuses a blocked plan until every guard is overridden", async () => {
    const policy = { ...DEFAULT_POLICY, maxSkew: 100, suspend: true, budgetRows: 1 };
    const plan = await makePlan("apply-10", [spec("a10-orders", { policy })]);
    const path = `/v1/plans/${plan.fingerprint}/apply`;
    const blocked = await refusal("POST", path);
    expect(blocked).toMatchObject({
      status: 409,
      body: { kind: "blocked", detail: expect.stringContaining("2 guards") },
    });
    expect(blocked.body.errors?.map(({ message }) => message.split(":")[0]).toSorted()).toEqual([
      "budget",
      "suspend",
    ]);
    expect((await refusal("POST", path, { body: { overrides: ["budget"] } })).status).toBe(409);
    const answer = await call<Run>("POST", path, { body: { overrides: ["budget", "suspend"] } });
    expect(answer).toMatchObject({ status: 202, body: { overrides: ["budget", "suspend"] } });
  });

  it("judges guards with numbers by the counts of the apply", async () => {
    const policy = { ...DEFAULT_POLICY, budgetRows: 100, maxSkew: 100 };
    const plan = await makePlan("apply-counts", [spec("ac-orders", { policy })]);
    expect(plan.blocks).toEqual([]);
    await controlsOf("ac-orders").edit({ rows: manyRows(3_050) });
    const path = `/v1/plans/${plan.fingerprint}/apply`;
    expect(await refusal("POST", path)).toMatchObject({
      status: 409,
      body: { kind: "blocked", detail: expect.stringContaining("3,050 rows would move") },
    });
    await controlsOf("ac-orders").edit({ rows: manyRows(20) });
    expect((await call("POST", path)).status).toBe(202);
  });

  it("asks again when far more rows would move than the plan said, and not once it was made anew", async () => {
    const plan = await makePlan("apply-moved", [spec("am-orders")]);
    await controlsOf("am-orders").edit({ rows: manyRows(5_000) });
    const path = `/v1/plans/${plan.fingerprint}/apply`;
    expect(await refusal("POST", path)).toMatchObject({
      status: 409,
      body: { kind: "stalePlan", detail: expect.stringContaining("5,000 rows would move now") },
    });
    const again = await makePlan("apply-moved", [spec("am-orders")]);
    expect(again.fingerprint).toBe(plan.fingerprint);
    expect((await call("POST", path)).status).toBe(202);
  });

  it("judges windows by the clock of the apply", async () => {
    const open = { ...DEFAULT_POLICY, maxSkew: 100, windows: [LONG_AGO, ALWAYS] };
    const plan = await makePlan("apply-11", [spec("a11-open", { policy: open })]);
    expect((await call("POST", `/v1/plans/${plan.fingerprint}/apply`)).status).toBe(202);
    const closed = await makePlan("apply-11b", [
      spec("a11-closed", { policy: { ...open, windows: [LONG_AGO] } }),
    ]);
    const path = `/v1/plans/${closed.fingerprint}/apply`;
    expect(await refusal("POST", path)).toMatchObject({
      status: 409,
      body: { kind: "blocked", detail: expect.stringContaining("0 0 29 2 *") },
    });
    expect((await call("POST", path, { body: { overrides: ["window"] } })).status).toBe(202);
  });

  it("keeps who asked, and never lets a body replace the token's name", async () => {
    const plan = await makePlan("apply-12", [spec("a12-orders")]);
    const answer = await call<Run>("POST", `/v1/plans/${plan.fingerprint}/apply`, {
      body: { requestedBy: "alice" },
    });
    expect(answer.body.requestedBy).toBe("ci (alice)");
  });

  it.each([
    ["an unknown guard", { overrides: ["gravity"] }],
    ["an unknown key", { force: true }],
    ["a name with control characters", { requestedBy: "al\u001b[31mice" }],
    ["nonsense", "nonsense"],
  ])("refuses a body with %s", async (_name, body) => {
    expect(await refusal("POST", `/v1/plans/${"0".repeat(64)}/apply`, { body })).toMatchObject({
      status: 400,
      body: { kind: "invalid" },
    });
  });
});
