/**
 * The Worker's own state as a file, on the real runtime: what an export has, and what an import
 * does to an empty, an older and a newer coordinator.
 */
import { runInDurableObject } from "cloudflare:test";
import { describe, expect, inject, it, vi } from "vitest";

import type { Run, RunList } from "../../src/model/api.ts";
import type { DriftReport } from "../../src/model/drift.ts";
import type { EventList } from "../../src/model/event.ts";
import type { Review, ReviewList } from "../../src/model/review.ts";
import type { ImportReport, StateDocument } from "../../src/model/state-file.ts";
import { CoordinatorStore } from "../../src/runs/store.ts";
import { NUMBERS_SKIPPED } from "../../src/server/coordinator/state/merge-events.ts";
import { DEFAULT_POLICY, type NamespaceSpec } from "../../src/model/spec.ts";
import { allTables, LEFT_OUT } from "../../src/server/coordinator/state/state-tables.ts";
import { stateJsonSchema } from "../../src/server/state-schema.ts";
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
import { isLongRun } from "../support/sample.ts";
import {
  exportState,
  importState,
  loseState,
  rowsOf,
  type Send,
  showImport,
} from "../support/state-file.ts";

const send: Send = (method, path, body) => call(method, path, body === undefined ? {} : { body });

function sqlOf<Value>(use: (sql: SqlStorage) => Value): Promise<Value> {
  return runInDurableObject(coordinatorStub(), (_instance, state) => use(state.storage.sql));
}

const HEAD = "a".repeat(40);

/** In a long run as many namespaces as are looked at within an hour. */
const NAMESPACES = inject("isLong") ? 10_000 : 2_000;
const EVENTS = inject("isLong") ? 100_000 : 20_000;

async function review(fingerprint: string, pull: number): Promise<Review> {
  const body = { pull, headSha: HEAD, fingerprint, runUrl: null };
  const answer = await call<{ review: Review }>("PUT", "/v1/reviews", { body });
  expect(answer.status).toBe(200);
  return answer.body.review;
}

async function release(fingerprint: string, pull: number): Promise<void> {
  const body = { fingerprint, releasedBy: "ada", overrides: [] };
  expect((await call("PUT", `/v1/reviews/${pull}/release`, { body })).status).toBe(200);
}

async function reviewsOf(environment: string): Promise<readonly Review[]> {
  return (await call<ReviewList>("GET", `/v1/reviews?environment=${environment}`)).body.reviews;
}

async function eventsOf(environment: string) {
  return (await call<EventList>("GET", `/v1/events?environment=${environment}&limit=1000`)).body
    .events;
}

function reconcile(environment: string) {
  return call("POST", `/v1/reconcile?environment=${environment}&wait=20`);
}

/** Rows that differ by when they were read, and by nothing that an import takes over. */
function comparable({ tables }: StateDocument): StateDocument["tables"] {
  return { ...tables, reconcileDocuments: [] };
}

/** With the default policy: others are new to a Worker that has lost its state. */
function plain(name: string, count = 2): NamespaceSpec {
  return spec(name, { count, policy: DEFAULT_POLICY });
}

/** A Worker with a run, a reviewed plan that waits, a pause and a tick behind it. */
async function lived(environment: string, name: string): Promise<string> {
  await followRun((await applyPlan(await makePlan(environment, [plain(name)]))).id);
  await reconcile(environment);
  const { fingerprint } = await makePlan(environment, [plain(name, 4)]);
  await review(fingerprint, 7);
  return fingerprint;
}

const COPIES = ["dueAt", "pass", "specDigest", "isPending", "silences", "rowCount"];

function columnsOf(table: string): string[] {
  return Object.keys(allTables().get(table)?.columns ?? {}).toSorted();
}

describe("an export", () => {
  it("has every table of the coordinator with every column, or says why not", async () => {
    await makePlan("state-tables", [spec("st-orders")]);
    const tables = await sqlOf((sql) =>
      sql
        .exec<{ name: string }>(
          "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name NOT LIKE '\\_cf\\_%' ESCAPE '\\'",
        )
        .toArray()
        .map(({ name }) => ({
          name,
          columns: sql
            .exec<{ name: string }>(`SELECT name FROM pragma_table_info('${name}')`)
            .toArray()
            .map((column) => column.name),
        })),
    );
    // Bodies leave as text, in pieces; copies of what a body has need not leave at all.
    const stored: Record<string, readonly string[]> = {
      documents: ["body", "id", "kind", "part"],
      reconciledNames: [...columnsOf("reconciledNames"), ...COPIES].toSorted(),
    };
    const wanted = [...allTables().keys()].map((name) => [name, stored[name] ?? columnsOf(name)]);
    const found = tables.filter(({ name }) => !Object.hasOwn(LEFT_OUT, name));
    expect(
      Object.fromEntries(found.map(({ name, columns }) => [name, columns.toSorted()])),
    ).toEqual(Object.fromEntries(wanted));
    const names = tables.map(({ name }) => name);
    expect(names).toEqual(expect.arrayContaining(Object.keys(LEFT_OUT)));
  });

  it("is for people with the role apply", async () => {
    for (const path of ["/v1/state", "/v1/state/reviews", "/v1/state/imports/x"])
      expect(await refusal("GET", path, { token: "plan-token" })).toMatchObject({ status: 403 });
    expect(await refusal("POST", "/v1/state/imports", { token: "plan-token" })).toMatchObject({
      status: 403,
    });
  });

  it("names no table and no page that there is not", async () => {
    for (const path of [
      "/v1/state/secrets",
      "/v1/state/sqlite_master",
      "/v1/state/tasks",
      "/v1/state/reviews?after=%5B1%5D",
      "/v1/state/documents?after=%5B%5D",
    ])
      expect(await refusal("GET", path), path).toMatchObject({ status: 404 });
    for (const after of ["x", "{}", "null", "[null]", "[{}]", `["${"x".repeat(5000)}"]`])
      expect(
        await refusal("GET", `/v1/state/reviews?after=${encodeURIComponent(after)}`),
      ).toMatchObject({ status: 400 });
  });

  it("comes page by page: each row once, and large documents in pieces", async () => {
    await sqlOf((sql) => {
      for (let id = 0; id < 2500; id++)
        sql.exec("INSERT INTO namespaces VALUES ('state-pages', ?, 'ORDERS')", `n${id}`);
      const text = `"${"ä😀".repeat(700_000)}"`;
      sql.exec("INSERT INTO runs VALUES ('run-large', 'f', 'state-pages', 'failed', 1, 0, 0)");
      const bytes = new TextEncoder().encode(text);
      for (let part = 0; part * 1_000_001 < bytes.length; part++)
        sql.exec(
          "INSERT INTO documents VALUES ('shown', 'run-large', ?, ?)",
          part,
          bytes.slice(part * 1_000_001, (part + 1) * 1_000_001),
        );
    });
    const { tables } = await exportState(send);
    const names = tables["namespaces"]?.filter((row) => row["environment"] === "state-pages") ?? [];
    expect(new Set(names.map((row) => row["name"])).size).toBe(2500);
    expect(names).toHaveLength(2500);
    const pieces = tables["documents"]?.filter((row) => row["id"] === "run-large") ?? [];
    expect(pieces.length).toBeGreaterThan(4);
    expect(pieces.map((row) => row["text"]).join("")).toBe(`"${"ä😀".repeat(700_000)}"`);
    await sqlOf((sql) => {
      sql.exec("DELETE FROM documents WHERE id = 'run-large'");
      sql.exec("DELETE FROM runs WHERE id = 'run-large'");
      sql.exec("DELETE FROM namespaces WHERE environment = 'state-pages'");
    });
  });
});

describe("an import", () => {
  it("gives an empty coordinator back what it was, and twice is once", async () => {
    const fingerprint = await lived("state-1", "s1-orders");
    await call("PUT", "/v1/pause", { body: { reason: "incident 7" } });
    const before = await eventsOf("state-1");
    const file = await exportState(send);
    await loseState(coordinatorStub());
    expect(await eventsOf("state-1")).toEqual([]);
    const report = await importState(send, file);
    expect(report.isApplied).toBe(true);
    expect(report.notes).toMatchObject([expect.stringContaining("Everything is paused again")]);
    expect(await reviewsOf("state-1")).toMatchObject([{ pull: 7, fingerprint }]);
    const [own, ...events] = await eventsOf("state-1");
    expect(own).toMatchObject({ kind: "import", actor: "ci" });
    expect(events).toEqual(before);
    const { runs } = (await call<RunList>("GET", "/v1/runs?environment=state-1")).body;
    expect(runs).toMatchObject([{ state: "succeeded", actions: [{ state: "done" }] }]);
    expect((await call<Run>("GET", `/v1/plans/${fingerprint}`)).status).toBe(200);
    expect((await refusal("GET", "/v1/namespaces/s1-orders")).status).toBe(200);
    // The same file again, and the file of what is there now: nothing is left to do.
    for (const again of [file, await exportState(send)]) {
      const second = await importState(send, again);
      expect(second.tables.filter(({ added, replaced }) => added + replaced > 0)).toEqual([]);
    }
    const after = await exportState(send);
    const { events: _events, orders: _orders, ...rest } = comparable(file);
    expect(comparable(after)).toMatchObject({ ...rest, reconciledNames: [{ name: "s1-orders" }] });
    await call("DELETE", "/v1/pause");
  });

  it("shows first, changes nothing by it, and does exactly what was shown or nothing", async () => {
    await lived("state-2", "s2-orders");
    const file = await exportState(send);
    await loseState(coordinatorStub());
    const shown = await showImport(send, file);
    expect(rowsOf(shown, "reviews").added).toBeGreaterThan(0);
    expect(await reviewsOf("state-2")).toEqual([]);
    expect(await eventsOf("state-2")).toEqual([]);
    expect(await showImport(send, file)).toMatchObject({ fingerprint: shown.fingerprint });
    const now = await showImport(send, file);
    // Something of the file has come back meanwhile.
    await sqlOf((sql) => sql.exec("INSERT INTO leases VALUES ('state-2', 99)"));
    const body = { fingerprint: now.fingerprint };
    expect(await refusal("POST", `/v1/state/imports/${now.id}/apply`, { body })).toMatchObject({
      status: 409,
      body: { kind: "stalePlan" },
    });
    expect(await reviewsOf("state-2")).toEqual([]);
    // The one before is gone with the one that came after it.
    expect(await refusal("GET", `/v1/state/imports/${shown.id}`)).toMatchObject({ status: 404 });
    const current = (await call<ImportReport>("GET", `/v1/state/imports/${now.id}`)).body;
    const apply = () =>
      call<ImportReport>("POST", `/v1/state/imports/${now.id}/apply`, {
        body: { fingerprint: current.fingerprint },
      });
    const first = await apply();
    expect(first).toMatchObject({ status: 200, body: { isApplied: true } });
    // An answer that was lost is asked for again.
    expect((await apply()).body).toEqual(first.body);
    expect(await reviewsOf("state-2")).toHaveLength(1);
    expect((await eventsOf("state-2")).filter(({ kind }) => kind === "import")).toHaveLength(1);
  });

  it("is given up half way, and leaves nothing", async () => {
    const { id } = (
      await call<{ id: string }>("POST", "/v1/state/imports", {
        body: { kind: "shardctl/state", version: 1, exportedAt: 1, repositoryId: null },
      })
    ).body;
    const rows = [{ environment: "state-half", name: "a", object: "A" }];
    expect((await call("PUT", `/v1/state/imports/${id}/namespaces`, { body: rows })).status).toBe(
      204,
    );
    await runInDurableObject(coordinatorStub(), (_instance, state) => state.abort("crash")).catch(
      () => {},
    );
    expect((await call("PUT", `/v1/state/imports/${id}/namespaces`, { body: rows })).status).toBe(
      204,
    );
    const report = (await call<ImportReport>("GET", `/v1/state/imports/${id}`)).body;
    expect(rowsOf(report, "namespaces")).toEqual({ added: 1, replaced: 0, kept: 0 });
    const names = await sqlOf((sql) =>
      sql.exec("SELECT * FROM namespaces WHERE environment = 'state-half'").toArray(),
    );
    expect(names).toEqual([]);
  });

  it.each<[string, string, unknown]>([
    ["reviews", "a column that is missing", [{ environment: "x" }]],
    [
      "namespaces",
      "a column too many",
      [{ environment: "x", name: "a", object: "A", role: "apply" }],
    ],
    ["leases", "a text for a number", [{ environment: "x", token: "1" }]],
    ["leases", "a fraction", [{ environment: "x", token: 1.5 }]],
    ["alerts", "a text for JSON", [{ environment: "x", body: "{}" }]],
    ["namespaces", "no rows", { environment: "x" }],
  ])("refuses in %s %s", async (table, _what, body) => {
    const { id } = (
      await call<{ id: string }>("POST", "/v1/state/imports", {
        body: { kind: "shardctl/state", version: 1, exportedAt: 1, repositoryId: null },
      })
    ).body;
    expect(await refusal("PUT", `/v1/state/imports/${id}/${table}`, { body })).toMatchObject({
      status: 400,
    });
  });

  it.each<[string, (file: StateDocument) => StateDocument, string]>([
    [
      "another Worker",
      (file) => ({ ...file, worker: "0".repeat(64) }),
      "the file is of another Worker (000000000000), and this one is ",
    ],
    [
      "nobody knows which Worker",
      ({ worker: _worker, ...file }) => file,
      "the file does not say which Worker it is of",
    ],
    [
      "a Worker that follows a repository",
      (file) => ({ ...file, repositoryId: "7" }),
      "follows repository 7, and this one follows no repository",
    ],
  ])(
    "of %s is refused, unless whoever imports it says that it is meant",
    async (what, make, reason) => {
      await loseState(coordinatorStub());
      const environment = `state-30-${what.split(" ")[0]}`;
      await lived(environment, `${environment}-orders`);
      const file = make(await exportState(send));
      await loseState(coordinatorStub());
      const shown = await showImport(send, file);
      expect(shown.obstacles).toMatchObject([expect.stringContaining(reason)]);
      const body = { fingerprint: shown.fingerprint };
      const refused = await refusal("POST", `/v1/state/imports/${shown.id}/apply`, { body });
      expect(refused).toMatchObject({ status: 409, body: { kind: "blocked" } });
      expect(await reviewsOf(environment)).toEqual([]);
      const accepted = await importState(send, file, true);
      expect(accepted).toMatchObject({ isApplied: true, obstacles: [] });
      expect(accepted.notes).toContainEqual(expect.stringContaining(reason));
      expect(await reviewsOf(environment)).toHaveLength(1);
    },
  );

  it("says which Worker it is of, before and after its state was lost", async () => {
    const { worker } = await exportState(send);
    expect(worker).toMatch(/^[0-9a-f]{64}$/);
    await loseState(coordinatorStub());
    expect((await exportState(send)).worker).toBe(worker);
  });

  it("refuses another version, and what is no state", async () => {
    for (const body of [
      { kind: "shardctl/state", version: 2, exportedAt: 1, repositoryId: null },
      { kind: "other", version: 1, exportedAt: 1, repositoryId: null },
      { kind: "shardctl/state", version: 1, exportedAt: 1, repositoryId: null, tables: {} },
    ])
      expect(await refusal("POST", "/v1/state/imports", { body })).toMatchObject({ status: 400 });
  });

  it("puts nothing older in the place of what is newer, and nothing in the place of what is here", async () => {
    const first = await lived("state-3", "s3-orders");
    const yesterday = await exportState(send);
    const { fingerprint } = await makePlan("state-3", [spec("s3-orders", { count: 6 })]);
    await review(fingerprint, 7);
    await call("PUT", "/v1/pause", { body: { reason: "incident 8" } });
    await call("DELETE", "/v1/pause");
    await followRun(
      (await applyPlan(await makePlan("state-3", [spec("s3-orders", { count: 3 })]))).id,
    );
    await reconcile("state-3");
    const before = await exportState(send);
    const report = await importState(send, yesterday);
    expect(report.tables.filter(({ added, replaced }) => added + replaced > 0)).toEqual([]);
    expect(comparable(await exportState(send))).toEqual(comparable(before));
    expect((await reviewsOf("state-3")).map((one) => one.fingerprint)).toEqual([
      fingerprint,
      first,
    ]);
  });

  it("takes the newer of two when the coordinator was restored to an earlier time", async () => {
    await lived("state-4", "s4-orders");
    const older = await exportState(send);
    const { fingerprint } = await makePlan("state-4", [spec("s4-orders", { count: 6 })]);
    await review(fingerprint, 7);
    await followRun(
      (await applyPlan(await makePlan("state-4", [spec("s4-orders", { count: 3 })]))).id,
    );
    await reconcile("state-4");
    const newer = await exportState(send);
    await loseState(coordinatorStub());
    await importState(send, older);
    const report = await importState(send, newer);
    expect(rowsOf(report, "reviews").added).toBe(1);
    expect(rowsOf(report, "registries").replaced).toBe(1);
    expect(rowsOf(report, "runs").added).toBe(1);
    expect((await reviewsOf("state-4"))[0]).toMatchObject({ fingerprint });
    const { rows } = await sqlOf((sql) => ({
      rows: sql.exec("SELECT epoch FROM registries WHERE name = 's4-orders'").toArray(),
    }));
    expect(rows).toEqual([{ epoch: 3 }]);
  });

  it("brings no release and no order of an apply job back, and no used token", async () => {
    const fingerprint = await lived("state-5", "s5-orders");
    await release(fingerprint, 7);
    const later = Date.now() + 600_000;
    await sqlOf((sql) => {
      sql.exec("INSERT INTO orders VALUES ('state-5', 7, ?)", fingerprint);
      sql.exec("INSERT INTO once VALUES ('token', 'jti-used', 'claim-1', ?)", later);
      sql.exec("INSERT INTO once VALUES ('token', 'jti-old', 'claim-2', 1)");
    });
    // A file may say of itself what it likes.
    const file = { ...(await exportState(send)), exportedAt: later };
    await loseState(coordinatorStub());
    const report = await importState(send, file);
    expect(report.notes).toMatchObject([
      expect.stringContaining("1 release ends"),
      expect.stringContaining("1 order of an apply job is not taken over"),
    ]);
    const [known] = await reviewsOf("state-5");
    expect(known?.release).toMatchObject({ releasedBy: "ci (ada)" });
    expect(known?.release?.expiresAt).toBeLessThanOrEqual(Date.now());
    const left = await sqlOf((sql) => ({
      orders: sql.exec("SELECT * FROM orders").toArray(),
      used: sql.exec("SELECT id FROM once").toArray(),
    }));
    expect(left).toEqual({ orders: [], used: [{ id: "jti-used" }] });
  });

  it("takes what was shown before the merge as the proof, also where it was shown once more since", async () => {
    const fingerprint = await lived("state-11", "s11-orders");
    const file = await exportState(send);
    await loseState(coordinatorStub());
    await makePlan("state-11", [plain("s11-orders", 4)]);
    await review(fingerprint, 7);
    await sqlOf((sql) => sql.exec("UPDATE reviews SET counts = 0"));
    expect(rowsOf(await importState(send, file), "reviews").replaced).toBe(1);
    const rows = await sqlOf((sql) =>
      sql.exec("SELECT counts, reviewedAt FROM reviews WHERE environment = 'state-11'").toArray(),
    );
    const shown = file.tables["reviews"]?.find((row) => row["environment"] === "state-11");
    expect(rows).toEqual([{ counts: 1, reviewedAt: shown?.["reviewedAt"] }]);
  });

  it.each<[string, number, number]>([
    ["newer", 1, 30],
    ["older", -1, 20],
    ["of the same time", 0, 20],
  ])("has the counts of each review with it, where the file's is %s", async (what, later, rows) => {
    const environment = `state-12-${what.split(" ")[0]}`;
    await loseState(coordinatorStub());
    const fingerprint = await lived(environment, `${environment}-orders`);
    const edit = (count: number, shift: number) =>
      sqlOf((sql) => {
        sql.exec("UPDATE reviewFigures SET figures = ?", JSON.stringify({ rows: count }));
        sql.exec("UPDATE reviews SET reviewedAt = reviewedAt + ?", shift);
      });
    await edit(30, later);
    const file = await exportState(send);
    await edit(20, -later);
    await importState(send, file);
    const figures = () =>
      sqlOf((sql) =>
        sql.exec("SELECT figures FROM reviewFigures WHERE fingerprint = ?", fingerprint).toArray(),
      );
    expect(await figures()).toEqual([{ figures: JSON.stringify({ rows }) }]);
    // Older counts are no counts of a newer review.
    await sqlOf((sql) => sql.exec("DELETE FROM reviewFigures"));
    await importState(send, { ...file, exportedAt: file.exportedAt + 1 });
    expect(await figures()).toHaveLength(later < 0 ? 0 : 1);
  });

  it("takes a run that was under way over as failed, and its operation goes on", async () => {
    await controlsOf("s6-orders").setPace(1_000_000);
    const run = await applyPlan(await makePlan("state-6", [spec("s6-orders")]));
    await followRun(run.id, ({ actions }) => actions[0]?.operation?.state === "running");
    const file = await exportState(send);
    await loseState(coordinatorStub());
    const report = await importState(send, file);
    expect(report.notes).toMatchObject([expect.stringContaining("1 run that was under way is")]);
    const imported = (await call<Run>("GET", `/v1/runs/${run.id}`)).body;
    expect(imported).toMatchObject({ state: "failed", actions: [{ state: "failed" }] });
    expect(imported.actions[0]?.error).toContain("continue by themselves");
    const active = (await call<RunList>("GET", "/v1/runs?active=1&environment=state-6")).body;
    expect(active.runs).toEqual([]);
    const live = await call("GET", "/v1/namespaces/s6-orders?object=ORDERS");
    expect(live.body).toMatchObject({ namespace: { operation: { state: "running" } } });
    await controlsOf("s6-orders").setPace(0);
  });

  it("undoes nothing that was applied since, where what was applied last is all that declares", async () => {
    const heals = { policy: { ...spec("").policy, selfHeal: "apply" as const } };
    const wanted = (count: number) => spec("s9-orders", { count, ...heals });
    await followRun((await applyPlan(await makePlan("state-9", [wanted(2)]))).id);
    await reconcile("state-9");
    const yesterday = await exportState(send);
    await followRun((await applyPlan(await makePlan("state-9", [wanted(3)]))).id);
    await loseState(coordinatorStub());
    await importState(send, yesterday);
    for (let tick = 0; tick < 3; tick++) {
      await sqlOf((sql) => sql.exec("UPDATE reconciledNames SET dueAt = 0"));
      await reconcile("state-9");
    }
    const { body } = await call<DriftReport>("GET", "/v1/drift?environment=state-9");
    expect(body.conditions).toMatchObject([{ type: "Stalled", reason: "RunUnknown" }]);
    const live = await call("GET", "/v1/namespaces/s9-orders?object=ORDERS");
    expect(live.body).toMatchObject({ namespace: { layout: { members: { length: 3 } } } });
  });

  describe("follows the manifests that are followed here", () => {
    /** The last look at an environment that declared two, and a new one with another manifest. */
    async function movedOn(environment: string, since: readonly NamespaceSpec[]) {
      const [kept, gone] = [`${environment}-kept`, `${environment}-gone`];
      const both = [plain(kept), plain(gone)];
      await followRun((await applyPlan(await makePlan(environment, both))).id);
      await reconcile(environment);
      const file = await exportState(send);
      await loseState(coordinatorStub());
      await followRun((await applyPlan(await makePlan(environment, since))).id);
      await reconcile(environment);
      return { kept, gone, file };
    }

    async function followedIn(environment: string): Promise<Record<string, number | null>> {
      const rows = await sqlOf((sql) =>
        sql
          .exec<{ name: string; count: number | null; specDigest: string | null }>(
            "SELECT name, specDigest, json_extract(body, '$.spec.count') AS count FROM reconciledNames WHERE environment = ?",
            environment,
          )
          .toArray(),
      );
      for (const { count, specDigest } of rows) expect(specDigest === null).toBe(count === null);
      return Object.fromEntries(rows.map(({ name, count }) => [name, count]));
    }

    async function conditions(environment: string) {
      await reconcile(environment);
      const { body } = await call<DriftReport>("GET", `/v1/drift?environment=${environment}`);
      return Object.fromEntries(body.conditions.map((one) => [one.namespace, one.reason]));
    }

    it("and declares nothing again that was taken out of them", async () => {
      const { kept, gone, file } = await movedOn("state-20", [plain("state-20-kept", 3)]);
      await importState(send, file);
      expect(await followedIn("state-20")).toEqual({ [kept]: 3, [gone]: null });
      expect(await conditions("state-20")).toEqual({ [kept]: "InSync" });
    });

    it("also for a namespace that did not answer here yet", async () => {
      const environment = "state-21";
      const kept = `${environment}-kept`;
      const other = plain(`${environment}-other`);
      const { gone, file } = await movedOn(environment, [other]);
      await controlsOf(kept).breakCalls({ kind: "unreachable", message: "" }, 100);
      // Declared with another count, and never seen by this coordinator.
      await sqlOf((sql) => {
        const body = `json_set(body, '$.name', ?1, '$.registry', null, '$.spec.name', ?1, '$.spec.count', 5)`;
        sql.exec(
          `INSERT INTO reconciledNames SELECT environment, ?1, object, 0, 0, 'other', 0, 1, 0, json_set(${body}, '$.specDigest', 'other')
            FROM reconciledNames WHERE name = ?2`,
          kept,
          other.name,
        );
      });
      await importState(send, file);
      await controlsOf(kept).breakCalls({ kind: "unreachable", message: "" }, 0);
      expect(await followedIn(environment)).toEqual({ [kept]: 5, [gone]: null, [other.name]: 2 });
    });

    it("and those of the file where it is newer, whole", async () => {
      const environment = "state-22";
      const { kept, gone, file } = await movedOn(environment, [plain(`${environment}-kept`, 3)]);
      const newer = await exportState(send);
      await loseState(coordinatorStub());
      await importState(send, file);
      await importState(send, newer);
      expect(await followedIn(environment)).toEqual({ [kept]: 3, [gone]: null });
    });

    it("and those of the file where none could be read here", async () => {
      const environment = "state-23";
      const { kept, gone, file } = await movedOn(environment, [plain(`${environment}-kept`, 3)]);
      await sqlOf((sql) => sql.exec("DELETE FROM reconciledNames"));
      await importState(send, file);
      expect(await followedIn(environment)).toEqual({ [kept]: 2, [gone]: 2 });
      // They are read again, though nothing has moved.
      expect(await conditions(environment)).toEqual({ [kept]: "InSync" });
      expect(await followedIn(environment)).toEqual({ [kept]: 3, [gone]: null });
    });
  });

  it("is not undone by a tick that has begun before it", async () => {
    await loseState(coordinatorStub());
    await lived("state-24", "s24-orders");
    const file = await exportState(send);
    await sqlOf((sql) => {
      sql.exec(
        "UPDATE reconciledNames SET dueAt = 0, body = json_set(body, '$.rows', 1) WHERE name = 's24-orders'",
      );
      sql.exec(
        "UPDATE reconcileDocuments SET body = json_set(body, '$.checkedAt', 1) WHERE id = 'state-24'",
      );
    });
    const controls = controlsOf("s24-orders");
    const before = (await controls.verbs()).length;
    await controls.setDelay(3000);
    const tick = reconcile("state-24");
    await vi.waitFor(async () => expect((await controls.verbs()).length).toBeGreaterThan(before), {
      timeout: 10_000,
      interval: 20,
    });
    await controls.setDelay(0);
    expect(rowsOf(await importState(send, file), "reconciledNames").replaced).toBe(1);
    const imported = await exportState(send);
    // A caller who waits for the tick does not wait for one that is over.
    expect((await tick).status).toBe(200);
    // By now the object has answered the tick that had asked it.
    await vi.waitFor(
      async () => expect(await controls.answered()).toBe((await controls.verbs()).length),
      { timeout: 10_000, interval: 20 },
    );
    const after = await exportState(send);
    expect(after.tables["reconciledNames"]).toEqual(imported.tables["reconciledNames"]);
    expect(after.tables["reconcileDocuments"]).toEqual(imported.tables["reconcileDocuments"]);
    await reconcile("state-24");
    const { body } = await call<DriftReport>("GET", "/v1/drift?environment=state-24");
    expect(body.conditions).toMatchObject([{ namespace: "s24-orders", reason: "InSync" }]);
  });

  it("keeps declared what several have applied, each for some namespaces", async () => {
    const { fingerprint } = await makePlan("state-19", [plain("s19-mine")]);
    const whole = JSON.stringify({ environment: "state-19", namespaces: [plain("s19-other")] });
    const bytes = new TextEncoder().encode(whole);
    await sqlOf((sql) => new CoordinatorStore(sql).rememberApplied("state-19", fingerprint, bytes));
    const file = await exportState(send);
    await loseState(coordinatorStub());
    await importState(send, file);
    const found = await sqlOf((sql) => new CoordinatorStore(sql).getAppliedDesired("state-19"));
    expect(found && new TextDecoder().decode(found)).toBe(whole);
  });

  it("leaves a namespace nothing that would let something start by itself", async () => {
    await lived("state-10", "s10-orders");
    await sqlOf((sql) =>
      sql.exec(
        `UPDATE reconciledNames SET body = json_set(body, '$.run', 'run-1', '$.pending', json('{"kind":"rekey"}'),
          '$.approval', json('{"run":"run-1","shapeDigest":"d","pull":7}'), '$.dueAt', 9e15, '$.pass', 900) WHERE name = 's10-orders'`,
      ),
    );
    const file = await exportState(send);
    await loseState(coordinatorStub());
    await importState(send, file);
    const { body } = await sqlOf((sql) =>
      sql
        .exec<{ body: string }>("SELECT body FROM reconciledNames WHERE name = 's10-orders'")
        .one(),
    );
    expect(JSON.parse(body)).toMatchObject({
      run: null,
      pending: null,
      approval: null,
      dueAt: 0,
      pass: 0,
      registry: { epoch: 2 },
    });
  });

  it("numbers what has happened since behind the history, and tells a drift once", async () => {
    await lived("state-7", "s7-orders");
    const member = "s7-orders-shard-1";
    const disorder = { members: [member], message: `${member} was restored`, since: 1 };
    await controlsOf("s7-orders").edit({ disorder: { kind: "outOfStep", ...disorder } });
    for (let tick = 0; tick < 3; tick++) {
      await sqlOf((sql) => sql.exec("UPDATE reconciledNames SET dueAt = 0"));
      await reconcile("state-7");
    }
    const drifts = (await eventsOf("state-7")).filter(({ kind }) => kind === "drift");
    expect(drifts.length).toBeGreaterThan(0);
    const file = await exportState(send);
    const newest = Number(file.tables["events"]?.at(-1)?.["id"]);
    await loseState(coordinatorStub());
    const [told] = drifts;
    await makePlan("state-7", [spec("s7-carts", { count: 5 })]);
    // As the emptied coordinator tells the same drift once more.
    await sqlOf((sql) => {
      const { id: _id, at, environment, kind, namespace, ...body } = told ?? {};
      sql.exec(
        "INSERT INTO events (at, environment, kind, namespace, body) VALUES (?, ?, ?, ?, ?)",
        (at ?? 0) + 60_000,
        environment ?? "",
        kind ?? "",
        namespace ?? null,
        JSON.stringify(body),
      );
    });
    await importState(send, file);
    const events = await eventsOf("state-7");
    expect(events.filter(({ kind }) => kind === "drift")).toEqual(drifts);
    const [own, plan] = events;
    expect([own?.kind, plan?.kind]).toEqual(["import", "plan"]);
    // A reader who was further than the file continues without a gap.
    expect(plan?.id).toBe(newest + 1 + NUMBERS_SKIPPED);
    expect(own?.id).toBeGreaterThan(plan?.id ?? 0);
    await makePlan("state-7", [spec("s7-carts", { count: 6 })]);
    expect((await eventsOf("state-7"))[0]?.id).toBeGreaterThan(own?.id ?? 0);
  });

  it.runIf(isLongRun())(
    "fits its limits with thousands of namespaces and tens of thousands of events",
    async () => {
      await loseState(coordinatorStub());
      await lived("state-8", "s8-orders");
      await sqlOf((sql) => {
        sql.exec(`INSERT INTO reconciledNames SELECT environment, 'n' || value, object, dueAt, pass, specDigest, isPending, silences, rowCount,
        json_set(body, '$.name', 'n' || value, '$.condition.message', printf('%.*c', 2000, 'x')) FROM reconciledNames,
        (WITH RECURSIVE counted(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM counted WHERE value < ${NAMESPACES}) SELECT value FROM counted)
        WHERE name = 's8-orders'`);
        sql.exec(`INSERT INTO events SELECT NULL, at, environment, kind, namespace, body FROM (SELECT * FROM events WHERE environment = 'state-8' LIMIT 1),
        (WITH RECURSIVE counted(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM counted WHERE value < ${EVENTS}) SELECT value FROM counted)`);
      });
      let largest = 0;
      const measured: Send = async (method, path, body) => {
        const answer = await send(method, path, body);
        largest = Math.max(largest, JSON.stringify([body, answer.body]).length);
        return answer;
      };
      const file = await exportState(measured);
      await loseState(coordinatorStub());
      const report = await importState(measured, file);
      expect(rowsOf(report, "reconciledNames").added).toBe(NAMESPACES + 1);
      expect(rowsOf(report, "events").added).toBeGreaterThan(EVENTS);
      expect(largest).toBeLessThan(4 * 1024 * 1024);
      await loseState(coordinatorStub());
    },
    300_000,
  );
});

describe("schemas/state.schema.json", () => {
  it("describes each table", () => {
    const { properties } = JSON.parse(stateJsonSchema().text) as {
      properties: { tables: { properties: Record<string, { description: string }> } };
    };
    const { properties: tables } = properties.tables;
    expect(Object.keys(tables)).toEqual([...allTables().keys()]);
    for (const [name, { description }] of Object.entries(tables))
      expect(description).not.toBe(name);
  });
});
