/**
 * Plans of as many namespaces as one may have, with the calls of the real runtime: one carries 32
 * MiB at most. The limit of a row is tried in `scope-names.test.ts`.
 */
import { runInDurableObject } from "cloudflare:test";
import { describe, expect, it } from "vitest";

import type { InSync, Plan } from "../../src/model/plan.ts";
import type { EventList } from "../../src/model/event.ts";
import type { ReviewList } from "../../src/model/review.ts";
import type { DesiredState } from "../../src/model/spec.ts";
import { newNamespaceState } from "../../src/reconcile/namespace-state.ts";
import { encodeJson } from "../../src/runs/store.ts";
import { reachCoordinator } from "../../src/server/coordinator/reach-coordinator.ts";
import { planOf, shardChange } from "../support/apply-plans.ts";
import { call, controlEnv, coordinatorStub, spec } from "../support/control-api.ts";
import { isLongRun } from "../support/sample.ts";
import { ask } from "../support/scoped-tokens.ts";

const NAMES = 50_000;
const NAME_LENGTH = 40;

const namesOf = (prefix: string): string[] =>
  Array.from({ length: NAMES }, (_, index) => `${prefix}-${index}`.padEnd(NAME_LENGTH, "x"));

const inSync = (namespace: string): InSync => ({
  namespace,
  object: "ORDERS",
  strategy: "hash",
  members: 2,
  rows: 0,
  bytes: 0,
  skew: 1,
  epoch: 1,
});

const fingerprintOf = (id: number): string => id.toString(16).padStart(64, "0");

function planIn(environment: string, id: number, parts: Partial<Plan>): Plan {
  return { ...planOf([]), ...parts, environment, fingerprint: fingerprintOf(id) };
}

function sqlOf<Value>(use: (sql: SqlStorage) => Value): Promise<Value> {
  return runInDurableObject(coordinatorStub(), (_instance, state) => use(state.storage.sql));
}

/** Stores it, and has it shown in a pull request of its own. */
async function show(plan: Plan, pull: number): Promise<void> {
  const { fingerprint, environment } = plan;
  const desired: DesiredState = { environment, commit: null, namespaces: [] };
  await reachCoordinator(controlEnv.SHARDCTL).plans.put(
    { fingerprint, environment, body: encodeJson(plan), desired: encodeJson(desired) },
    [],
    "ci",
  );
  const body = { fingerprint, pull, headSha: "a".repeat(40), runUrl: null };
  const { status } = await call("PUT", "/v1/reviews", { body });
  expect(status).toBe(200);
}

async function shownTo(environment: string): Promise<number[]> {
  const { status, text } = await ask(
    { name: `only-${environment}`, environments: [environment] },
    "GET",
    "/v1/reviews?limit=100",
  );
  expect(status, text).toBe(200);
  const { reviews } = JSON.parse(text) as ReviewList;
  return reviews.map(({ pull }) => pull).toSorted((left, right) => left - right);
}

describe(`plans of ${NAMES} namespaces`, () => {
  it("are stored, and listed for those whose token holds for all of them", async () => {
    await show(planIn("many", 1, { inSync: namesOf("s").map(inSync) }), 1);
    // In a first plan each of them is changed as well.
    const blocks = namesOf("b").map((namespace) => ({
      guard: "skew" as const,
      namespace,
      message: "is skewed",
      overridable: true,
    }));
    await show(planIn("many", 2, { changes: [shardChange("one")], blocks }), 2);
    expect(await shownTo("many")).toEqual([1, 2]);
    expect(await shownTo("few")).toEqual([]);
  });

  it("are listed where an earlier version has stored them without their names", async () => {
    await sqlOf((sql) => sql.exec("DELETE FROM documents WHERE kind = 'planNames'"));
    expect(await shownTo("many")).toEqual([1, 2]);
    expect(
      await sqlOf((sql) =>
        sql.exec("SELECT DISTINCT id FROM documents WHERE kind = 'planNames'").toArray(),
      ),
    ).toHaveLength(2);
  });

  it.runIf(isLongRun())("are told in as many answers as it takes", async () => {
    const pulls = Array.from({ length: 14 }, (_, index) => 10 + index);
    const names = namesOf("p").map(inSync);
    for (const pull of pulls) await show(planIn("pages", pull, { inSync: names }), pull);
    expect(await shownTo("pages")).toEqual(pulls);
  });
});

describe(`a label that ${NAMES} namespaces have`, () => {
  it("is resolved to all of them, and to those that share their name", async () => {
    const state = {
      ...newNamespaceState({ name: "", object: "ORDERS" }, 0),
      spec: spec("", { labels: { team: "a" } }),
    };
    await sqlOf((sql) => {
      sql.exec(
        `WITH RECURSIVE counted(id) AS (VALUES (1) UNION ALL SELECT id + 1 FROM counted WHERE id < ?1)
         INSERT INTO reconciledNames (environment, name, object, dueAt, pass, specDigest, isPending, silences, rowCount, body)
           SELECT 'labels', printf('%040d', id), 'ORDERS', 0, 0, 'digest', 0, 0, 0, json_set(?2, '$.name', printf('%040d', id))
           FROM counted`,
        NAMES,
        JSON.stringify(state),
      );
      sql.exec(`INSERT INTO namespaces VALUES ('labels', ?, 'USERS')`, "7".padStart(40, "0"));
    });
    const { scopes } = reachCoordinator(controlEnv.SHARDCTL);
    const held = await scopes.labelled({ team: "a" });
    expect(held).toHaveLength(NAMES);
    expect(held.filter(({ isShared }) => isShared).map(({ name }) => Number(name))).toEqual([7]);
  });

  it.runIf(isLongRun())(
    "limits lists to them, which one value of the database cannot hold",
    async () => {
      const named = (id: number): string => String(id).padStart(40, "0");
      const told = { summary: "told", commit: null, pull: null, run: null, fingerprint: null };
      const body = JSON.stringify({ ...told, actor: "ci" });
      await sqlOf((sql) => {
        for (const [environment, name] of [
          ["labels", named(7)],
          ["labels", named(8)],
          ["labels", named(NAMES)],
          ["labels", named(NAMES + 1)],
          ["elsewhere", named(8)],
        ])
          sql.exec(
            "INSERT INTO events (at, environment, kind, namespace, body) VALUES (1, ?, 'drift', ?, ?)",
            environment,
            name,
            body,
          );
      });
      const entry = { name: "by-label", labels: { team: "a" } };
      const events = await ask(entry, "GET", "/v1/events?limit=100");
      expect(events.status, events.text).toBe(200);
      const { events: shown } = JSON.parse(events.text) as EventList;
      expect(shown.map(({ environment, namespace }) => [environment, Number(namespace)])).toEqual([
        ["labels", NAMES],
        ["labels", 8],
      ]);
      const page = await ask(entry, "GET", "/?environment=labels");
      expect(page.status).toBe(200);
      expect(page.text).toContain("50,000");
      const found = await ask(entry, "GET", `/?environment=labels&search=${named(NAMES)}`);
      expect(found.text).toContain(named(NAMES));
      const hidden = await ask(entry, "GET", "/?environment=labels&state=Unknown");
      expect(hidden.text).not.toContain("USERS");
    },
  );
});
