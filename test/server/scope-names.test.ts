/**
 * The namespaces beside stored plans and runs: a list for a token with a scope reads none of the
 * plans and runs that it leaves out.
 */
import { afterEach, describe, expect, it, vi } from "vitest";

import type { LiveAccess } from "../../src/live/port.ts";
import type { Plan } from "../../src/model/plan.ts";
import { DEFAULT_POLICY, type DesiredState } from "../../src/model/spec.ts";
import { createRun } from "../../src/runs/run-record.ts";
import { CoordinatorStore, encodeJson } from "../../src/runs/store.ts";
import { assembleCoordinator } from "../../src/server/coordinator/coordinator-parts.ts";
import { openNodeSql } from "../support/node-sql.ts";
import { everyKindPlan } from "../support/plans.ts";
import { size } from "../support/sample.ts";

const template = await everyKindPlan();
const [CHANGE] = template.changes;
const PLANS = size(2000, 200);
const NAMES = 100;
/** Names that are longer together than a value of the database may be. */
const MANY = size(50_000, 15_000);
const EVERYTHING = { limit: 1000, isActive: false, environment: null };

function assemble(sql = openNodeSql()) {
  const storage = {
    sql,
    transactionSync: <Value>(write: () => Value): Value => write(),
  } as unknown as DurableObjectStorage;
  const { api } = assembleCoordinator({
    id: "0".repeat(64),
    storage,
    settings: () => ({ github: null, guards: {}, alertWebhookUrl: null }) as never,
    github: () => null,
    githubReader: () => null,
    liveAccess: () => ({}) as LiveAccess,
    readSet: () => Promise.reject(new Error("Nothing is read here")),
  });
  return { sql, api, store: new CoordinatorStore(sql) };
}

function planOf(id: number, names: readonly string[]): Plan {
  if (!CHANGE) throw new Error("The template has a change");
  const fingerprint = id.toString(16).padStart(64, "0");
  const changes = names.map((namespace) => ({ ...CHANGE, namespace, object: "ORDERS" }));
  return { ...template, fingerprint, changes, inSync: [], blocks: [], notices: [] };
}

function desiredOf(names: readonly string[]): DesiredState {
  const namespaces = names.map((name) => ({
    name,
    object: "ORDERS",
    labels: {},
    strategy: "hash" as const,
    shardKey: "id",
    count: 2,
    directory: false,
    splitPoints: null,
    partitioner: null,
    dependsOn: [],
    policy: DEFAULT_POLICY,
    source: { file: "a.yaml", line: 1, column: 1 },
  }));
  return { environment: "production", commit: null, namespaces };
}

function put({ api }: ReturnType<typeof assemble>, plan: Plan, names: readonly string[]): void {
  const { fingerprint, environment } = plan;
  const desired = encodeJson(desiredOf(names));
  api.plans.put({ fingerprint, environment, body: encodeJson(plan), desired }, [], "ci");
}

const namesOf = (id: number): string[] =>
  Array.from({ length: NAMES }, (_, index) => `n${(id * 7 + index) % 5000}`);

const blocksOf = (names: readonly string[]): Plan["blocks"] =>
  names.map((namespace) => ({ guard: "skew", namespace, message: "", overridable: true }));

/** Texts of plans, desired states and actions of runs that were parsed since. */
function countParsed() {
  const spy = vi.spyOn(JSON, "parse");
  return () =>
    spy.mock.calls.filter(([text]) => /"(?:inSync|namespaces|operation)":/.test(text)).length;
}

afterEach(() => vi.restoreAllMocks());

describe("the namespaces of plans", () => {
  it("are told without one plan being parsed", () => {
    const coordinator = assemble();
    for (let id = 0; id < PLANS; id++) put(coordinator, planOf(id, namesOf(id)), namesOf(id));
    const { api } = coordinator;
    const stored = coordinator.sql
      .exec<{ fingerprint: string }>("SELECT fingerprint FROM plans")
      .toArray()
      .map(({ fingerprint }) => fingerprint);
    const parsed = countParsed();
    const scopes = api.scopes.plans([...stored, "f".repeat(64)]);
    expect(parsed()).toBe(0);
    expect(scopes.at(-1)).toBeNull();
    expect(scopes.filter((scope) => scope?.refs.length === NAMES)).toHaveLength(stored.length);
  });

  it("are read once from plans of before, and go with their plan", () => {
    const coordinator = assemble();
    const { api, sql } = coordinator;
    for (let id = 0; id < 5; id++) put(coordinator, planOf(id, namesOf(id)), namesOf(id));
    const fingerprints = [0, 1, 2, 3, 4].map((id) => planOf(id, []).fingerprint);
    const before = api.scopes.plans(fingerprints);
    sql.exec("DELETE FROM documents WHERE kind = 'planNames'");
    const parsed = countParsed();
    expect(api.scopes.plans(fingerprints)).toEqual(before);
    expect(parsed()).toBe(2 * 5);
    expect(api.scopes.plans(fingerprints)).toEqual(before);
    expect(parsed()).toBe(2 * 5);
    sql.exec("DELETE FROM plans WHERE fingerprint = ?", fingerprints[0] ?? "");
    expect(sql.exec("SELECT 1 FROM documents WHERE kind = 'planNames'").toArray()).toHaveLength(4);
  });

  it("are read from the plans again where an earlier version has kept them in rows", () => {
    const sql = openNodeSql();
    const before = assemble(sql);
    for (const id of [1, 2]) put(before, planOf(id, namesOf(id)), namesOf(id));
    sql.exec("DELETE FROM documents WHERE kind = 'planNames'");
    sql.exec(`CREATE TABLE scopeNames (kind TEXT, id TEXT, body TEXT NOT NULL, PRIMARY KEY (kind, id)) WITHOUT ROWID;
      CREATE TRIGGER planGone AFTER DELETE ON plans BEGIN DELETE FROM scopeNames WHERE kind = 'plan' AND id = old.fingerprint; END;`);
    const { api } = assemble(sql);
    const fingerprints = [1, 2].map((id) => planOf(id, []).fingerprint);
    expect(api.scopes.plans(fingerprints).map((scope) => scope?.refs.length)).toEqual([
      NAMES,
      NAMES,
    ]);
    sql.exec("DELETE FROM plans WHERE fingerprint = ?", fingerprints[0] ?? "");
    expect(sql.exec("SELECT id FROM documents WHERE kind = 'planNames'").toArray()).toEqual([
      { id: fingerprints[1] },
    ]);
    expect(sql.exec("SELECT 1 FROM sqlite_master WHERE name = 'scopeNames'").toArray()).toEqual([]);
  });

  it("are those of the plan that is stored now, where one took the place of another", () => {
    const coordinator = assemble();
    const { fingerprint } = planOf(1, []);
    const refs = () => coordinator.api.scopes.plans([fingerprint])[0]?.refs;
    put(coordinator, planOf(1, []), ["a"]);
    expect(refs()).toEqual([{ name: "a", object: "ORDERS" }]);
    put(coordinator, planOf(1, []), ["b"]);
    expect(refs()).toEqual([{ name: "b", object: "ORDERS" }]);
    // One with changes stays as people were shown it.
    put(coordinator, planOf(2, ["a"]), ["a"]);
    put(coordinator, planOf(2, ["a"]), ["a", "b"]);
    const [kept] = coordinator.api.scopes.plans([planOf(2, []).fingerprint]);
    expect(kept?.refs).toEqual([{ name: "a", object: "ORDERS" }]);
  });
});

describe("the namespaces of runs", () => {
  it("are told page by page without an action being parsed, and read once from runs of before", () => {
    const { api, store } = assemble();
    for (let id = 0; id < 30; id++) {
      const plan = planOf(id, namesOf(id));
      const order = { requestedBy: "ci", overrides: [], origin: null, leaseToken: 1, shown: null };
      store.putRun(createRun(plan, { ...order, id: `run-${id}`, now: 1000 + id }), null, 0);
    }
    const first = api.scopes.runs(EVERYTHING, 0, 20);
    expect(first.map(({ id }) => id)).toEqual(
      Array.from({ length: 20 }, (_, index) => `run-${29 - index}`),
    );
    expect(api.scopes.runs(EVERYTHING, 20, 20)).toHaveLength(10);
    const parsed = countParsed();
    expect(api.scopes.runs(EVERYTHING, 0, 20)).toEqual(first);
    expect(parsed()).toBe(0);
    const [run, none] = api.runs.read(["run-3", "run-none"]);
    expect(run?.actions).toHaveLength(NAMES);
    expect(none).toBeNull();
    expect(parsed()).toBeGreaterThanOrEqual(NAMES);
  });
});

describe("runs of many actions", () => {
  it("are read in answers that a call can carry, each once and in their order", () => {
    const { api, store } = assemble();
    const names = Array.from({ length: 2000 }, (_, index) => `run-of-many-${index}`);
    for (let id = 0; id < 20; id++) {
      const plan = planOf(id, names);
      const order = { requestedBy: "ci", overrides: [], origin: null, leaseToken: 1, shown: null };
      store.putRun(createRun(plan, { ...order, id: `run-${id}`, now: 1000 + id }), null, 0);
    }
    const ids = api.runs.listIds(EVERYTHING);
    const read: string[] = [];
    let pages = 0;
    for (; read.length < ids.length; pages++) {
      const page = api.runs.read(ids.slice(read.length));
      expect(JSON.stringify(page).length).toBeLessThan(5 * 1024 * 1024);
      read.push(...page.flatMap((run) => run?.id ?? []));
    }
    expect(read).toEqual(ids);
    expect(pages).toBeGreaterThan(1);
  });
});

describe(`${MANY} names, of which one value of the database is too small for all`, () => {
  const many = Array.from({ length: MANY }, (_, index) => `many-${index}`.padEnd(40, "ü"));

  it("are kept of a plan that changes them all, also of one of before, and of its run", () => {
    const coordinator = assemble();
    const { api, sql, store } = coordinator;
    const plan = planOf(1, many);
    put(coordinator, plan, many);
    const inPlan = () => api.scopes.plans([plan.fingerprint])[0];
    const first = inPlan();
    expect(first?.refs).toHaveLength(MANY);
    expect(first?.changes).toHaveLength(MANY);
    sql.exec("DELETE FROM documents WHERE kind = 'planNames'");
    expect(inPlan()).toEqual(first);
    const order = { requestedBy: "ci", overrides: [], origin: null, leaseToken: 1, shown: null };
    store.putRun(createRun(plan, { ...order, id: "run-many", now: 1 }), null, 0);
    expect(api.scopes.runs(EVERYTHING, 0, 1)[0]?.refs).toHaveLength(MANY);
  });

  it("are told page by page, each plan and run once", () => {
    const coordinator = assemble();
    const { api } = coordinator;
    const fingerprints = [1, 2, 3, 4].map((id) => {
      const plan = { ...planOf(id, []), blocks: blocksOf(many) };
      put(coordinator, plan, []);
      return plan.fingerprint;
    });
    let told = 0;
    let pages = 0;
    while (told < fingerprints.length) {
      const page = api.scopes.plans(fingerprints.slice(told));
      expect(page.every((scope) => scope?.refs.length === MANY)).toBe(true);
      told += page.length;
      pages++;
    }
    expect(pages).toBeGreaterThan(1);
    expect(told).toBe(fingerprints.length);
  });

  it("are compared with what is known, and with others of their names", () => {
    const { api, sql } = assemble();
    const body = JSON.stringify({ spec: { labels: { team: "a" } }, faults: [], differences: [] });
    for (const name of many)
      sql.exec(
        `INSERT INTO reconciledNames (environment, name, object, dueAt, pass, specDigest, isPending, silences, rowCount, body)
           VALUES ('production', ?, 'ORDERS', 0, 0, 'digest', 0, 0, 0, ?)`,
        name,
        body,
      );
    const [shared] = many;
    if (shared === undefined) throw new Error("There are names");
    sql.exec("INSERT INTO namespaces VALUES ('production', ?, 'USERS')", shared);
    const held = api.scopes.labelled({ team: "a" });
    expect(held).toHaveLength(MANY);
    expect(held.filter(({ isShared }) => isShared).map(({ name }) => name)).toEqual([shared]);
    expect(api.scopes.known(many.map((name) => ({ name, object: "ORDERS" })))).toHaveLength(MANY);
  });
});
