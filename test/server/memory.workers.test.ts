/**
 * The Worker's memory of namespaces, on the real runtime: it keeps what is or was sharded, and
 * nothing else, and `forget` takes that away.
 */
import { runInDurableObject } from "cloudflare:test";
import { describe, expect, it, vi } from "vitest";

import type { NamespaceList } from "../../src/model/api.ts";
import type { EventList } from "../../src/model/event.ts";
import type { ForgetPlan } from "../../src/model/forget.ts";
import { unshardedLayout } from "../../src/model/layout/layout.ts";
import type { Plan } from "../../src/model/plan.ts";
import { reachCoordinator } from "../../src/server/coordinator/reach-coordinator.ts";
import {
  applyPlan,
  call,
  controlEnv,
  controlsOf,
  coordinatorStub,
  desired,
  followRun,
  makePlan,
  refusal,
  spec,
} from "../support/control-api.ts";
import { ask } from "../support/scoped-tokens.ts";
import { journal, thrownBy } from "../support/control-worker.ts";

/** The engine's own objects: one that was only asked is at epoch 0, without a row. */
const real = (name: string) => spec(name, { object: "REAL", shardKey: "data.country" });

async function namesIn(environment: string): Promise<string[]> {
  const { body } = await call<NamespaceList>("GET", `/v1/namespaces?environment=${environment}`);
  return body.namespaces.map((one) => (one.kind === "live" ? one.namespace.name : one.name));
}

function sqlOf<Value>(use: (sql: SqlStorage) => Value): Promise<Value> {
  return runInDurableObject(coordinatorStub(), (_instance, state) => use(state.storage.sql));
}

/** As an earlier version has left it. */
async function remember(environment: string, name: string, object: string): Promise<void> {
  await sqlOf((sql) =>
    sql.exec("INSERT INTO namespaces VALUES (?, ?, ?)", environment, name, object),
  );
}

async function sharded(environment: string, name: string): Promise<void> {
  const run = await followRun((await applyPlan(await makePlan(environment, [spec(name)]))).id);
  expect(run.state).toBe("succeeded");
}

/** Unsharded, and without a row. */
async function emptied(name: string): Promise<void> {
  await controlsOf(name).edit({ epoch: 7, layout: unshardedLayout(name, 1), rows: [] });
}

async function reconcile(environment: string): Promise<void> {
  await sqlOf((sql) => sql.exec("UPDATE reconciledNames SET dueAt = 0"));
  await call("POST", `/v1/reconcile?environment=${environment}&wait=20`);
}

/** The environment follows what was applied last, which declares another namespace. */
async function undeclare(environment: string): Promise<void> {
  await sharded(environment, `${environment}-other`);
  await reconcile(environment);
}

/** Tables that have a row for each namespace that is remembered. */
const TABLES = [
  "namespaces",
  "claims",
  "registries",
  "reconciledNames",
  "sights",
  "listedNames",
  "sizeHours",
  "sizeDays",
];

function planForget(name: string, object = "ORDERS") {
  return call<ForgetPlan>("GET", `/v1/namespaces/${name}/forget?object=${object}`, {
    token: "read-token",
  });
}

/** The environments that claim it, as tokens of environments are judged. */
function claimantsOf(name: string): Promise<string[]> {
  return sqlOf((sql) =>
    sql
      .exec<{ environment: string }>(
        "SELECT environment FROM claims WHERE name = ? ORDER BY environment",
        name,
      )
      .toArray()
      .map(({ environment }) => environment),
  );
}

function forgetIn<Body = ForgetPlan>(environment: string, name: string, method = "POST") {
  const path = `/v1/namespaces/${name}/forget?object=ORDERS&environment=${environment}`;
  return call<Body>(method, path);
}

function forget<Body = ForgetPlan>(name: string, object = "ORDERS", token = "apply-token") {
  return call<Body>("POST", `/v1/namespaces/${name}/forget?object=${object}`, { token });
}

describe("a plan", () => {
  it("remembers no name that was only made up", async () => {
    const made = Array.from({ length: 200 }, (_, index) => real(`m1-${index}`));
    await makePlan("memory-1", made);
    expect(await namesIn("memory-1")).toEqual([]);
    const asked = journal.length;
    const next = await makePlan("memory-1", [real("m1-orders")]);
    expect(next.notices).toEqual([]);
    // The next plan asks none of them.
    expect(new Set(journal.slice(asked).map((sent) => sent.split(" ")[1]))).toEqual(
      new Set(["m1-orders"]),
    );
    await reconcile("memory-1");
    expect(
      await sqlOf((sql) => sql.exec("SELECT * FROM registries WHERE name LIKE 'm1-%'").toArray()),
    ).toEqual([]);
  });

  it("remembers what is sharded, whoever has sharded it, and what was", async () => {
    await controlsOf("m2-hand").edit({ epoch: 3 });
    await makePlan("memory-2", [spec("m2-hand")]);
    await emptied("m2-hand");
    const { notices } = await makePlan("memory-2", []);
    expect(notices).toMatchObject([{ kind: "unmanaged", namespace: "m2-hand" }]);
    expect(await namesIn("memory-2")).toEqual(["m2-hand"]);
  });

  it("forgets the names that an earlier version has remembered for nothing", async () => {
    for (const name of ["m3-typo", "m3-other"]) await remember("memory-3", name, "REAL");
    const { notices } = await makePlan("memory-3", [real("m3-orders")]);
    expect(notices).toEqual([]);
    expect(await namesIn("memory-3")).toEqual([]);
  });

  it("keeps a name that could not be read: silence proves nothing", async () => {
    await remember("memory-4", "m4-silent", "REAL");
    thrownBy.set("m4-silent", "the object fell over");
    const { notices } = await makePlan("memory-4", [real("m4-orders")]);
    thrownBy.delete("m4-silent");
    expect(notices).toMatchObject([{ kind: "unmanaged", namespace: "m4-silent" }]);
    expect(await namesIn("memory-4")).toEqual(["m4-silent"]);
  });

  it("of what is only proposed remembers and forgets nothing", async () => {
    await remember("memory-5", "m5-typo", "REAL");
    await call<Plan>("POST", "/v1/plans", {
      body: { desired: desired("memory-5", [spec("m5-orders")]), isProposal: true },
    });
    const names = await sqlOf((sql) =>
      sql.exec("SELECT name FROM namespaces WHERE environment = 'memory-5'").toArray(),
    );
    expect(names).toEqual([{ name: "m5-typo" }]);
  });
});

describe("a run", () => {
  it("has its namespaces remembered from its start, before any of them is sharded", async () => {
    await controlsOf("m6-orders").edit({ epoch: 0 });
    await controlsOf("m6-orders").setPace(1_000_000);
    const run = await applyPlan(await makePlan("memory-6", [spec("m6-orders")]));
    expect(await namesIn("memory-6")).toEqual(["m6-orders"]);
    await call("POST", `/v1/runs/${run.id}/cancel`, { body: {} });
    await followRun(run.id);
  });
});

describe("a tick", () => {
  it("lists what a manifest declares, and drops a name that none declares any more", async () => {
    await sharded("memory-7", "m7-orders");
    const typo = spec("m7-ordres", { object: "REAL", strategy: "none", shardKey: null, count: 1 });
    const both = await makePlan("memory-7", [spec("m7-orders", { count: 3 }), typo]);
    await followRun((await applyPlan(both)).id);
    await reconcile("memory-7");
    expect(await namesIn("memory-7")).toEqual(["m7-orders", "m7-ordres"]);
    const one = await makePlan("memory-7", [spec("m7-orders", { count: 2 })]);
    expect(one.notices).toEqual([]);
    await followRun((await applyPlan(one)).id);
    await reconcile("memory-7");
    expect(await namesIn("memory-7")).toEqual(["m7-orders"]);
    const left = await sqlOf((sql) =>
      sql.exec("SELECT name FROM reconciledNames WHERE environment = 'memory-7'").toArray(),
    );
    expect(left).toEqual([{ name: "m7-orders" }]);
  });
});

describe("forget", () => {
  it("is refused while the namespace is sharded, has rows, is declared, or cannot be read", async () => {
    await sharded("memory-8", "m8-orders");
    await reconcile("memory-8");
    const declared = await planForget("m8-orders");
    expect(declared.body.obstacles).toMatchObject([
      expect.stringContaining("a manifest declares 'm8-orders' in memory-8"),
      expect.stringContaining("is sharded: unshard it first"),
    ]);
    await undeclare("memory-8");
    expect((await planForget("m8-orders")).body.obstacles).toHaveLength(1);
    await emptied("m8-orders");
    await controlsOf("m8-orders").edit({ rows: [{ keys: { id: "a" }, rows: 1 }] });
    expect((await planForget("m8-orders")).body.obstacles).toMatchObject([
      expect.stringContaining("has rows"),
    ]);
    await emptied("m8-orders");
    await controlsOf("m8-orders").breakCalls({ kind: "unreachable", message: "" }, 1);
    const refused = await forget<{ kind: string; detail: string }>("m8-orders");
    expect(refused).toMatchObject({
      status: 409,
      body: { kind: "blocked", detail: expect.stringContaining("could not be read") },
    });
    expect(await namesIn("memory-8")).toContain("m8-orders");
  });

  it("is refused while a root is behind an epoch that was seen, and while a run is about it", async () => {
    await sharded("memory-9", "m9-orders");
    await undeclare("memory-9");
    // Seen at epoch 2; the root has lost its storage.
    await controlsOf("m9-orders").edit({
      epoch: 0,
      layout: unshardedLayout("m9-orders", 0),
      rows: [],
    });
    expect((await planForget("m9-orders")).body.obstacles).toMatchObject([
      expect.stringContaining("shardctl repair m9-orders"),
    ]);
    await controlsOf("m9-run").setPace(1_000_000);
    const run = await applyPlan(await makePlan("memory-9b", [spec("m9-run")]));
    const { obstacles } = (await planForget("m9-run")).body;
    expect(obstacles).toContainEqual(expect.stringContaining(`run ${run.id} changes 'm9-run'`));
    await call("POST", `/v1/runs/${run.id}/cancel`, { body: {} });
    await followRun(run.id);
  });

  it("forgets it everywhere, tells the history, and is done once however often it is asked", async () => {
    await sharded("memory-10", "m10-orders");
    await makePlan("memory-10b", [spec("m10-orders")]);
    await undeclare("memory-10");
    await emptied("m10-orders");
    // As of objects that say how much they store, which these do not.
    await sqlOf((sql) => {
      sql.exec("INSERT INTO sizeHours VALUES ('ORDERS', 'm10-orders', 1, '[]')");
      sql.exec("INSERT INTO sizeDays VALUES ('ORDERS', 'm10-orders', 1, '{}')");
    });
    const plan = (await planForget("m10-orders")).body;
    expect(plan).toMatchObject({
      isKnown: true,
      environments: ["memory-10", "memory-10b"],
      epoch: 2,
      members: 2,
      obstacles: [],
    });
    expect(
      await refusal("POST", "/v1/namespaces/m10-orders/forget", { token: "plan-token" }),
    ).toMatchObject({ status: 403 });
    expect((await forget("m10-orders")).body).toEqual(plan);
    expect((await forget("m10-orders")).body).toMatchObject({ isKnown: false });
    for (const environment of ["memory-10", "memory-10b"]) {
      const { body } = await call<EventList>(
        "GET",
        `/v1/events?environment=${environment}&kind=forget`,
      );
      expect(body.events).toMatchObject([
        {
          namespace: "m10-orders",
          actor: "ci",
          summary: "what was remembered of it in ORDERS was forgotten: last seen at epoch 2",
        },
      ]);
      expect(await namesIn(environment)).not.toContain("m10-orders");
    }
    const next = await makePlan("memory-10", [spec("memory-10-other", { count: 3 })]);
    expect(next.notices).toEqual([]);
    await reconcile("memory-10");
    for (const table of TABLES) {
      const left = await sqlOf((sql) =>
        sql.exec(`SELECT name FROM ${table} WHERE name = 'm10-orders'`).toArray(),
      );
      expect(left, table).toEqual([]);
    }
  });

  it.each<[string, (environment: string) => Promise<unknown>]>([
    ["a tick", (environment) => reconcile(environment)],
    ["a plan", (environment) => makePlan(environment, [spec(`${environment}-other`)])],
  ])("is not undone by %s that has asked the object before", async (what, begin) => {
    const environment = `memory-13-${what.slice(2)}`;
    const name = `${environment}-orders`;
    await sharded(environment, name);
    await undeclare(environment);
    await emptied(name);
    const controls = controlsOf(name);
    const before = (await controls.verbs()).length;
    await controls.setDelay(2000);
    const asking = begin(environment);
    await vi.waitFor(async () => expect((await controls.verbs()).length).toBeGreaterThan(before), {
      timeout: 10_000,
      interval: 20,
    });
    await controls.setDelay(0);
    expect((await forget(name)).status).toBe(200);
    await asking;
    for (const table of TABLES) {
      const left = await sqlOf((sql) =>
        sql.exec(`SELECT name FROM ${table} WHERE name = ?`, name).toArray(),
      );
      expect(left, table).toEqual([]);
    }
    expect((await planForget(name)).body).toMatchObject({ isKnown: false });
  });

  it("is not undone by a status page that has asked the object before", async () => {
    await sharded("memory-14", "m14-orders");
    const { page } = reachCoordinator(controlEnv.SHARDCTL);
    const looks = ["m14-orders", "m14-gone"].map((name) => ({
      object: "ORDERS",
      name,
      live: null,
      problem: "it did not answer",
    }));
    await page.noteLooks(looks, "memory-14");
    const kept = await sqlOf((sql) =>
      sql.exec("SELECT name FROM sights WHERE name LIKE 'm14-%'").toArray(),
    );
    expect(kept).toEqual([{ name: "m14-orders" }]);
  });

  it("forgets what is behind a binding that the Worker no longer has", async () => {
    await remember("memory-11", "m11-orders", "OLD_ORDERS");
    expect((await planForget("m11-orders", "OLD_ORDERS")).body.obstacles).toEqual([]);
    expect((await forget("m11-orders", "OLD_ORDERS")).status).toBe(200);
    expect(await namesIn("memory-11")).toEqual([]);
  });

  it("takes back a claim that is all that is left of a name", async () => {
    // An earlier version's list, whose names became claims, before a plan has dropped the name.
    await sqlOf((sql) =>
      sql.exec("INSERT INTO claims VALUES ('memory-15', 'm15-ordres', 'ORDERS')"),
    );
    await emptied("m15-ordres");
    expect((await planForget("m15-ordres")).body).toMatchObject({
      isKnown: true,
      environments: ["memory-15"],
      obstacles: [],
    });
    expect((await forget("m15-ordres")).status).toBe(200);
    expect(await claimantsOf("m15-ordres")).toEqual([]);
  });

  it("takes back what one environment has claimed by mistake, and leaves it to the others", async () => {
    const name = "m16-orders";
    await sharded("memory-16", name);
    await reconcile("memory-16");
    const mistaken = await makePlan("memory-16b", [spec(name, { count: 3 })]);
    await followRun((await applyPlan(mistaken)).id);
    await reconcile("memory-16b");
    const owner = { name: "m16-owner", environments: ["memory-16"] };
    const statusOf = async () => (await ask(owner, "GET", `/v1/namespaces/${name}`)).status;
    expect(await statusOf()).toBe(403);
    // Declared, it is no mistake yet.
    expect((await forgetIn<{ kind: string }>("memory-16b", name)).body.kind).toBe("blocked");
    await undeclare("memory-16b");
    expect((await forgetIn("memory-16b", name, "GET")).body).toMatchObject({
      environments: ["memory-16b"],
      keptIn: ["memory-16"],
      obstacles: [],
    });
    expect((await forgetIn("memory-16b", name)).status).toBe(200);
    expect(await claimantsOf(name)).toEqual(["memory-16"]);
    expect(await statusOf()).toBe(200);
    expect(await namesIn("memory-16b")).not.toContain(name);
    expect(await namesIn("memory-16")).toContain(name);
    const kept = await sqlOf((sql) =>
      sql.exec("SELECT name FROM registries WHERE name = ?", name).toArray(),
    );
    expect(kept).toHaveLength(1);
    for (const environment of ["memory-16", "memory-16b"]) {
      const path = `/v1/events?environment=${environment}&kind=forget`;
      const { events } = (await call<EventList>("GET", path)).body;
      expect(events).toHaveLength(environment === "memory-16" ? 0 : 1);
    }
  });

  it("leaves the last environment that claims what lives its claim", async () => {
    const name = "m17-orders";
    await sharded("memory-17", name);
    // A plan of another one has seen it, which is no claim.
    await makePlan("memory-17b", [spec(name)]);
    await undeclare("memory-17");
    const refused = await forgetIn<{ kind: string; detail: string }>("memory-17", name);
    expect(refused).toMatchObject({
      status: 409,
      body: { kind: "blocked", detail: expect.stringContaining("is sharded") },
    });
    expect(await claimantsOf(name)).toEqual(["memory-17"]);
  });

  it("of one environment is refused while a run of it is about the name", async () => {
    const name = "m18-orders";
    await sharded("memory-18", name);
    await controlsOf(name).setPace(1_000_000);
    const run = await applyPlan(await makePlan("memory-18b", [spec(name, { count: 3 })]));
    const { obstacles } = (await forgetIn("memory-18b", name, "GET")).body;
    expect(obstacles).toContainEqual(expect.stringContaining(`run ${run.id} changes '${name}'`));
    await call("POST", `/v1/runs/${run.id}/cancel`, { body: {} });
    await followRun(run.id);
  });

  it("knows nothing of a name that nobody remembers", async () => {
    expect(await refusal("GET", "/v1/namespaces/m12-none/forget")).toMatchObject({ status: 404 });
    expect((await planForget("m12-none")).body).toMatchObject({ isKnown: false, obstacles: [] });
  });
});
