/// <reference types="@cloudflare/vitest-plugin/types" />
/**
 * A canary, as id, key and value of rows, goes through every kind of failure. Then it is looked for
 * in all that leaves the objects that hold it: answers, stored state, log, and each text made of
 * them.
 */
import { runInDurableObject, SELF } from "cloudflare:test";
import { afterEach, beforeEach, expect, it, vi } from "vitest";

import { renderAlertChat } from "../../src/alerts/alert-chat.ts";
import { renderAlertIssue } from "../../src/alerts/alert-markdown.ts";
import type { NamespaceReport, OperationList, Problem, RunList } from "../../src/model/api.ts";
import type { DriftReport } from "../../src/model/drift.ts";
import type { EventList } from "../../src/model/event.ts";
import type { LiveNamespace, RowIds } from "../../src/model/live.ts";
import type { Plan } from "../../src/model/plan.ts";
import type { NamespaceSpec } from "../../src/model/spec.ts";
import { specOfLive } from "../../src/cli/live-spec.ts";
import type { OperationStatus } from "../../src/model/operation.ts";
import { renderComment } from "../../src/pulls/plan-comment.ts";
import { renderDrift } from "../../src/render/drift-text.ts";
import { renderEvents } from "../../src/render/events-text.ts";
import { renderHistory } from "../../src/render/history-text.ts";
import { renderPlanMarkdown } from "../../src/render/plan-markdown.ts";
import { renderPlanText } from "../../src/render/plan-text.ts";
import { renderRun } from "../../src/render/run-text.ts";
import { renderStatus } from "../../src/render/status-text.ts";
import { call, coordinatorStub, followRun, makePlan } from "../support/control-api.ts";
import { type RealThings, spoiltAt, thrownBy } from "../support/control-worker.ts";
import {
  applyReal,
  askRoot,
  declareReal,
  endOfOperation,
  realObject,
  rebalanceByHand,
  reconcileReal,
  setTurns,
} from "../support/real-namespaces.ts";

const CANARY = "canary-7f3a@example.test";
const NOW = Date.now();

/** All that was logged. */
let logged: string[] = [];

beforeEach(() => {
  logged = [];
  for (const level of ["log", "warn", "error", "info", "debug"] as const)
    vi.spyOn(console, level).mockImplementation((...parts: unknown[]) => {
      logged.push(parts.map(String).join(" "));
    });
});

afterEach(() => {
  thrownBy.clear();
  spoiltAt.clear();
  vi.restoreAllMocks();
});

/** Stores rows past the class, its keys and its triggers, as a bug or a restore would. */
async function plant(
  member: string,
  rows: readonly { readonly id: string; readonly data: object }[],
) {
  await runInDurableObject(realObject(member), (_instance: RealThings, { storage }) => {
    const names = storage.sql
      .exec<{ name: string }>(
        "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'things'",
      )
      .toArray();
    for (const { name } of names) storage.sql.exec(`DROP TRIGGER "${name}"`);
    for (const { id, data } of rows)
      storage.sql.exec(
        "INSERT OR REPLACE INTO things (id, type, data, visibility, createdAt, updatedAt) VALUES (?, 'Thing', ?, 'public', 1, 1)",
        id,
        JSON.stringify(data),
      );
  });
}

/** Starts by hand what the planner would not, and gives its end. */
async function operate(name: string, change: object = {}): Promise<OperationStatus> {
  const root = realObject(name);
  return runInDurableObject(root, async (instance: RealThings) => {
    const ask = askRoot(instance, name);
    const described = await ask({ kind: "describe", object: "REAL" });
    if (!described.ok) throw new Error(described.failure.message);
    const { layout, epoch } = described.value as LiveNamespace;
    const started = await ask({
      kind: "start",
      operation: {
        kind: "rebalance",
        epoch,
        to: layout,
        policy: { allowMissingKey: true, rowsPerSecondMax: null, waveRowsMax: 100, retainHours: 1 },
        correlationId: `canary-${name}`,
        requestedBy: "someone",
        refuseEmpty: false,
        ...change,
      },
    });
    if (!started.ok) throw new Error(started.failure.message);
    return endOfOperation(ask, (started.value as OperationStatus).id);
  });
}

async function report(environment: string): Promise<DriftReport> {
  await setTurns(environment, { checkAt: 0, auditAt: 0 });
  await reconcileReal(environment);
  await setTurns(environment, { checkAt: 0, auditAt: 0 });
  return reconcileReal(environment);
}

async function page(path: string): Promise<string> {
  const response = await SELF.fetch(`http://control.test${path}`, {
    headers: { authorization: "Bearer read-token" },
  });
  return response.text();
}

/** All that others than the owner of the rows can read of a namespace, by where it stands. */
async function outputsOf(environment: string, name: string): Promise<Record<string, string>> {
  const read = { token: "read-token" };
  const drift = await report(environment);
  const of = `object=REAL&environment=${environment}`;
  const one = await call<NamespaceReport>("GET", `/v1/namespaces/${name}?${of}`, read);
  const history = await call<OperationList>("GET", `/v1/namespaces/${name}/history?${of}`, read);
  const runs = await call<RunList>("GET", `/v1/runs?environment=${environment}`, read);
  const events = await call<EventList>("GET", `/v1/events?environment=${environment}`, read);
  const repair = await call<unknown>("GET", `/v1/namespaces/${name}/repair?${of}`, {});
  const planned = await call<Plan & Problem>("POST", "/v1/plans", {
    body: { desired: { environment, commit: null, namespaces: [declareReal(name, 3)] } },
  });
  const plan = planned.status === 200 ? planned.body : null;
  const alert = {
    environment,
    drifts: drift.drifts,
    driftCount: drift.drifts.length,
    commit: null,
    cause: "drift" as const,
  };
  const context = { environment, headSha: "3f9c2e1", url: null, now: NOW };
  const stored = await runInDurableObject(coordinatorStub(), (_instance, { storage }) => {
    const tables = storage.sql
      .exec<{ name: string }>(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '\\_cf%' ESCAPE '\\'",
      )
      .toArray();
    const texts = new TextDecoder();
    return tables
      .flatMap(({ name: table }) => storage.sql.exec(`SELECT * FROM "${table}"`).toArray())
      .map((row) =>
        Object.values(row)
          .map((value) => (value instanceof ArrayBuffer ? texts.decode(value) : String(value)))
          .join("|"),
      )
      .join("\n");
  });
  return {
    stored,
    log: logged.join("\n"),
    drift: JSON.stringify(drift),
    namespace: JSON.stringify(one.body),
    history: JSON.stringify(history.body),
    runs: JSON.stringify(runs.body),
    events: JSON.stringify(events.body),
    repair: JSON.stringify(repair.body),
    plan: JSON.stringify(planned.body),
    metrics: await page("/metrics"),
    overview: await page(`/?environment=${environment}`),
    page: await page(`/namespaces/REAL/${name}?environment=${environment}`),
    comment: renderComment(
      plan === null
        ? { kind: "unplanned", message: planned.body.detail }
        : { kind: "planned", plan },
      context,
    ),
    ...Object.fromEntries(
      runs.body.runs.map((run) => [
        `comment of ${run.id}`,
        (plan === null ? "" : renderComment({ kind: "run", plan, run }, context)) +
          renderRun(run, { now: NOW }),
      ]),
    ),
    alertIssue: renderAlertIssue(alert),
    alertChat: JSON.stringify(renderAlertChat(alert, null)),
    statusText: renderStatus([one.body], { now: NOW }),
    historyText: renderHistory(history.body.operations ?? [], { now: NOW }),
    driftText: renderDrift(drift, { now: NOW }),
    eventsText: renderEvents(events.body.events),
  };
}

async function expectNoCanary(environment: string, name: string): Promise<void> {
  const outputs = await outputsOf(environment, name);
  const found = Object.entries(outputs).filter(([, text]) => text.includes("canary-7f3a"));
  expect(found.map(([where, text]) => `${where}: ${excerpt(text)}`)).toEqual([]);
}

function excerpt(text: string): string {
  const at = text.indexOf("canary-7f3a");
  return text.slice(Math.max(0, at - 100), at + 60);
}

function idsOf(name: string, token?: string) {
  return call<RowIds>(
    "GET",
    `/v1/namespaces/${name}/ids?object=REAL`,
    token === undefined ? {} : { token },
  );
}

/** Names that `shardctl status NAMESPACE --ids` gives. */
async function told(name: string): Promise<string> {
  const { status, body } = await idsOf(name);
  expect(status).toBe(200);
  return JSON.stringify(body);
}

async function shardedWith(environment: string, name: string): Promise<void> {
  const things = Array.from({ length: 20 }, (_, index) => ({ id: `thing-${index}` }));
  await realObject(name).putMany(things);
  await applyReal(environment, [declareReal(name, 2)]);
}

it("missingKey: a row without its key", async () => {
  await shardedWith("canary-1", "c-beside");
  await realObject("c-missing").putMany([{ id: CANARY }]);
  const end = await operate("c-missing", {
    kind: "shard",
    to: (await makePlan("canary-1", [{ ...declareReal("c-missing", 2), shardKey: "data.mail" }]))
      .changes[0]?.to,
    policy: { allowMissingKey: false, rowsPerSecondMax: null, waveRowsMax: 100, retainHours: 1 },
  });
  expect(end.fault).toMatchObject({ kind: "missingKey" });
  expect(end.fault?.message).toContain("Row (not shown) of table 'things' has no shard key");
  expect(end.fault?.message).toContain("shardctl status c-missing --ids");
  await expectNoCanary("canary-1", "c-missing");
  expect(await told("c-missing")).toContain(CANARY);
});

it("duplicateId: one id on two shards, in a run of the Worker", async () => {
  await shardedWith("canary-2", "c-twice");
  for (const member of ["c-twice-shard-0", "c-twice-shard-1"])
    await plant(member, [{ id: CANARY, data: { mail: `${CANARY}/${member}` } }]);
  const { fingerprint } = await makePlan("canary-2", [
    { ...declareReal("c-twice", 1), strategy: "none", shardKey: null },
  ]);
  const { body } = await call<{ id: string }>("POST", `/v1/plans/${fingerprint}/apply`, {
    body: { overrides: ["bulkChange", "missingKey"] },
  });
  const run = await followRun(body.id);
  expect(run.state).toBe("failed");
  expect(run.actions[0]?.operation?.fault).toMatchObject({ kind: "duplicateId" });
  await expectNoCanary("canary-2", "c-twice");
  expect(await told("c-twice")).toContain(CANARY);
});

it("rowTooLarge: a row that no message carries", async () => {
  await shardedWith("canary-8", "c-beside-8");
  await realObject("c-large").putMany([{ id: "small" }]);
  const pad = "x".repeat(2_150_000);
  await plant("c-large", [{ id: CANARY, data: { mail: CANARY, pad } }]);
  const to = (await makePlan("canary-8", [declareReal("c-large", 2)])).changes[0]?.to;
  const end = await operate("c-large", { kind: "shard", to });
  expect(end.fault).toMatchObject({ kind: "rowTooLarge" });
  expect(end.fault?.message).toContain("Row (not shown) of table 'things' has 2150");
  await expectNoCanary("canary-8", "c-large");
  expect(await told("c-large")).toContain(CANARY);
});

it("mismatch: a target that stores other rows than it was sent", async () => {
  await shardedWith("canary-9", "c-beside-9");
  const rows = Array.from({ length: 20 }, (_, index) => ({
    id: `${CANARY}-${index}`,
    data: { mail: CANARY },
  }));
  await realObject("c-spoilt").putMany(rows);
  for (const shard of [0, 1]) spoiltAt.add(`c-spoilt-shard-${shard}`);
  const to = (await makePlan("canary-9", [declareReal("c-spoilt", 2)])).changes[0]?.to;
  const end = await operate("c-spoilt", { kind: "shard", to });
  expect(end.fault).toMatchObject({ kind: "mismatch" });
  await expectNoCanary("canary-9", "c-spoilt");
});

it("foreign keys: rows that stay behind those that they point at", async () => {
  const rows = Array.from({ length: 40 }, (_, index) => ({ id: `${CANARY}-${index}` }));
  await realObject("c-pointed").putMany(rows);
  await applyReal("canary-10", [declareReal("c-pointed", 2)]);
  for (const shard of [0, 1])
    await runInDurableObject(realObject(`c-pointed-shard-${shard}`), (_instance, { storage }) => {
      storage.sql.exec(
        "CREATE TABLE notes (id TEXT PRIMARY KEY, thing TEXT NOT NULL REFERENCES things (id))",
      );
      storage.sql.exec("INSERT INTO notes SELECT id || '-note', id FROM things");
    });
  const to = (await makePlan("canary-10", [declareReal("c-pointed", 3)])).changes[0]?.to;
  const end = await operate("c-pointed", { to });
  expect(end.fault?.message).toContain("rows of 'notes' stay on c-pointed-shard-");
  await expectNoCanary("canary-10", "c-pointed");
});

it.each(["CHECK", "UNIQUE", "FOREIGN KEY"])(
  "lastError: words that only look like those of a %s constraint",
  async (kind) => {
    const name = `c-like-${kind.toLowerCase().replace(" ", "-")}`;
    await shardedWith("canary-11", name);
    await runInDurableObject(realObject(name), async (instance: RealThings) => {
      await rebalanceByHand(askRoot(instance, name));
    });
    thrownBy.set(`${name}-shard-1`, `${kind} constraint failed: ${CANARY} is no address`);
    await vi.waitFor(async () => expect(await told(name)).toContain(CANARY), 10_000);
    await expectNoCanary("canary-11", name);
  },
);

it("misplaced: rows on a shard that does not own them", async () => {
  await shardedWith("canary-3", "c-lost");
  for (const member of ["c-lost-shard-0", "c-lost-shard-1"])
    await plant(member, [{ id: CANARY, data: { value: CANARY } }]);
  const drift = await report("canary-3");
  expect(drift.drifts).toMatchObject([{ kind: "misplaced" }]);
  await expectNoCanary("canary-3", "c-lost");
  const { body } = await idsOf("c-lost");
  expect(body.misplaced).toMatchObject([
    { table: "things", id: `["${CANARY}",null]`, key: `"${CANARY}"` },
  ]);
});

it("unreachable: a class that throws what it reads", async () => {
  await shardedWith("canary-4", "c-throws");
  thrownBy.set("c-throws-shard-1", `no customer ${CANARY}`);
  await expectNoCanary("canary-4", "c-throws");
  expect(await told("c-throws")).toContain(CANARY);
  thrownBy.set("c-throws", `no customer ${CANARY}`);
  await expectNoCanary("canary-4", "c-throws");
});

it("lastError: a step that is tried again", async () => {
  await shardedWith("canary-5", "c-again");
  await runInDurableObject(realObject("c-again"), async (instance: RealThings) => {
    await rebalanceByHand(askRoot(instance, "c-again"));
  });
  thrownBy.set("c-again-shard-1", `UNIQUE constraint failed: ${CANARY}`);
  await vi.waitFor(async () => expect(await told("c-again")).toContain(CANARY), 10_000);
  await expectNoCanary("canary-5", "c-again");
});

it("split points: a plan keeps them, and shows them to the role apply alone", async () => {
  await realObject("c-range").putMany(
    [CANARY, "a", "b", "x", "y", "z"].map((id) => ({ id: id === CANARY ? id : `${id}-thing` })),
  );
  const declared: NamespaceSpec = {
    ...declareReal("c-range", 2),
    strategy: "range",
    splitPoints: [{ type: "text", text: CANARY }],
  };
  const body = { desired: { environment: "canary-7", commit: null, namespaces: [declared] } };
  const plan = await call<Plan>("POST", "/v1/plans", { body });
  expect(JSON.stringify(plan.body)).toContain(CANARY);
  expect(renderPlanText(plan.body, { moves: true })).not.toContain(CANARY);
  expect(renderPlanMarkdown(plan.body)).not.toContain(CANARY);
  const shown = await call<Plan>("POST", "/v1/plans", { body, token: "plan-token" });
  expect(JSON.stringify(shown.body)).not.toContain(CANARY);
  expect(shown.body.fingerprint).toBe(plan.body.fingerprint);
  expect(renderPlanText(shown.body, { moves: true })).toBe(
    renderPlanText(plan.body, { moves: true }),
  );
  await applyReal("canary-7", [declared]);
  const again: NamespaceSpec = { ...declared, splitPoints: [{ type: "text", text: `${CANARY}b` }] };
  const moved = await makePlan("canary-7", [again]);
  expect(renderPlanText(moved, { moves: true }) + renderPlanMarkdown(moved)).not.toContain(CANARY);
  expect(moved.changes[0]?.reason).toBe("other split points (1)");
  await report("canary-7");
  for (const path of [
    `/v1/plans/${plan.body.fingerprint}`,
    "/v1/namespaces?object=REAL&name=c-range",
    "/v1/namespaces/c-range?object=REAL",
    "/v1/namespaces/c-range/history?object=REAL",
    "/v1/runs?environment=canary-7",
    "/v1/events?environment=canary-7",
    "/v1/drift?environment=canary-7",
    "/",
    "/namespaces/REAL/c-range?environment=canary-7",
    "/metrics",
  ])
    expect(await page(path)).not.toContain("canary-7f3a");
  const report_ = await call<NamespaceReport>("GET", "/v1/namespaces/c-range?object=REAL", {
    token: "read-token",
  });
  const live = report_.body.kind === "live" ? report_.body.namespace : null;
  expect(live && specOfLive(live, "a.yaml")).toMatchObject({
    strategy: "range",
    splitPoints: null,
  });
});

it("gives ids to the role apply alone", async () => {
  await realObject("c-roles").putMany([{ id: CANARY }]);
  for (const token of ["read-token", "plan-token"])
    expect(await idsOf("c-roles", token)).toMatchObject({ status: 403 });
  expect(await idsOf("c-roles")).toMatchObject({ status: 200 });
});
