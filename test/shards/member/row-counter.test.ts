/** Counting the rows of an object while it serves, and keeping what was long to count. */
import { beforeEach, describe, expect, it } from "vitest";

import { Member } from "../../../src/shards/member/member.ts";
import { RowCounter } from "../../../src/shards/member/row-counter.ts";
import { RefusedError } from "../../../src/shards/protocol/refused-error.ts";
import { ensureSchema } from "../../../src/shards/storage/schema.ts";
import { type Runtime, Sql, type SqlValue } from "../../../src/shards/storage/storage.ts";
import type { SimStorage } from "../../sim/storage.ts";
import { openStorage, runAlone } from "../support/node-storage.ts";

const DAY_MS = 24 * 3_600_000;
const MANY = 25_000;
const MINUTE_MS = 60_000;

/** Fills `t` with so many rows, numbered from 1, by the expression of each of its columns. */
function fill(sql: Sql, definition: string, values: string, rows: number): void {
  sql.run(`CREATE TABLE t ${definition}`);
  sql.run(
    `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1) INSERT INTO t SELECT ${values} FROM n WHERE i <= ?1`,
    rows,
  );
}

let storage: SimStorage;
let sql: Sql;
let now: number;
let sleeps: number[];
/** Runs in each pause between two slices. */
let between: () => void;
let statements: string[];

beforeEach(() => {
  storage = openStorage();
  const { exec } = storage.sql;
  statements = [];
  storage.sql.exec = (query: string, ...bindings: SqlValue[]) => {
    statements.push(query);
    return exec(query, ...bindings);
  };
  sql = new Sql(storage);
  now = 1_000_000;
  sleeps = [];
  between = () => undefined;
});

const runtime: Runtime = {
  now: () => now,
  sleep: async (delayMs, signal) => {
    if (delayMs > 0)
      return new Promise((resolve) => {
        signal?.addEventListener("abort", () => {
          resolve();
        });
      });
    sleeps.push(delayMs);
    between();
    await Promise.resolve();
  },
  digest: () => Promise.resolve(""),
};

function open(table = "t"): { member: Member; counter: RowCounter } {
  const specs = [{ name: table }];
  const member = new Member({
    sql,
    runtime,
    alone: runAlone,
    self: "ns",
    specs,
    localTables: [],
    partitioners: {},
    ask: () => Promise.reject(new Error("unused")),
  } as unknown as ConstructorParameters<typeof Member>[0]);
  return { member, counter: new RowCounter(member, { specs, localTables: [] }) };
}

/** Statements that read rows of the table. */
function reads(): string[] {
  return statements.filter((query) => /FROM "?t"? AS t|FROM "t" LIMIT/.test(query));
}

describe("a count in slices", () => {
  it.each([
    ["a rowid and a TEXT key", "(id TEXT PRIMARY KEY, v)", "'k' || i, zeroblob(i % 7)"],
    [
      "negative and large rowids",
      "(id INTEGER PRIMARY KEY, v)",
      "(i - 10000) * 368934881474191, i",
    ],
    [
      "no rowid",
      "(a TEXT, b INTEGER, v, PRIMARY KEY (b, a)) WITHOUT ROWID",
      "'a' || (i % 9), i, i",
    ],
    ["keys that are blobs", "(id BLOB PRIMARY KEY, v) WITHOUT ROWID", "CAST('x' || i AS BLOB), i"],
    [
      "keys that compare alike",
      "(id TEXT PRIMARY KEY COLLATE NOCASE, v) WITHOUT ROWID",
      "CASE i % 2 WHEN 0 THEN 'K' ELSE 'k' END || i, i",
    ],
    ["columns that hide the rowid", "(rowid TEXT PRIMARY KEY, _rowid_, oid)", "'k' || i, i, i"],
    ["a rowid under another name", "(id TEXT PRIMARY KEY, RowId, v)", "'k' || i, i, i"],
  ])("of a table with %s is the count", async (_, definition, values) => {
    fill(sql, definition, values, MANY);
    const { counter, member } = open();
    const columns = member.tables()[0]?.columns ?? [];
    const bytes = columns.map((column) => `coalesce(octet_length("${column}"), 0)`).join(" + ");
    const { tables } = await counter.count();
    expect(tables).toEqual([
      { table: "t", rows: MANY, bytes: sql.first(`SELECT sum(${bytes}) AS n FROM t`)?.["n"] },
    ]);
    // Others come between.
    expect(sleeps.length).toBeGreaterThanOrEqual(6);
  });

  it.each([0, 1, 3_999, 4_000, 4_001, 8_000])("of %d rows is the count", async (rows) => {
    fill(sql, "(id TEXT PRIMARY KEY)", "'k' || i", rows);
    expect((await open().counter.count()).tables).toMatchObject([{ rows }]);
  });

  it("counts while rows come and go", async () => {
    fill(sql, "(id INTEGER PRIMARY KEY)", "i", MANY);
    between = () => {
      sql.run("DELETE FROM t WHERE id <= 10");
      sql.run("INSERT INTO t SELECT max(id) + 1 FROM t");
    };
    const { tables } = await open().counter.count();
    expect(tables[0]?.rows).toBeGreaterThan(MANY - 20);
    expect(tables[0]?.rows).toBeLessThan(MANY + 20);
  });

  it("is shared by all who ask meanwhile", async () => {
    fill(sql, "(id INTEGER PRIMARY KEY)", "i", MANY);
    await open().counter.count();
    const once = reads().length;
    statements = [];
    const { counter } = open();
    await Promise.all([counter.count(), counter.count(), counter.count()]);
    expect(reads()).toHaveLength(once);
  });

  it("that takes long is refused, goes on, and is there later", async () => {
    fill(sql, "(id INTEGER PRIMARY KEY)", "i", MANY);
    let goOn = (): void => undefined;
    const stopped = new Promise<void>((resolve) => (goOn = resolve));
    const slow: Runtime = {
      ...runtime,
      sleep: (delayMs) => (delayMs > 0 ? Promise.resolve() : stopped),
    };
    const { member } = open();
    Object.assign(member, { runtime: slow });
    const counter = new RowCounter(member, { specs: [{ name: "t" }], localTables: [] });
    const refused = await counter.count(DAY_MS).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(RefusedError);
    expect(refused).toMatchObject({
      reason: { kind: "moving", retryable: true, counted: 4_000 },
    });
    expect(String(refused)).toContain("still counting its rows (4000 so far)");
    goOn();
    await expect.poll(async () => (await counter.count(DAY_MS)).tables[0]?.rows).toBe(MANY);
  });
});

it("a count that somebody was sent away from is his when he comes back, whatever age he asks for", async () => {
  fill(sql, "(id INTEGER PRIMARY KEY)", "i", MANY);
  const { member } = open();
  let goOn = (): void => undefined;
  const stopped = new Promise<void>((resolve) => (goOn = resolve));
  Object.assign(member, {
    runtime: {
      ...runtime,
      sleep: (delayMs: number) => (delayMs > 0 ? Promise.resolve() : stopped),
    },
  });
  const counter = new RowCounter(member, { specs: [{ name: "t" }], localTables: [] });
  await expect(counter.count()).rejects.toThrow(/still counting its rows/);
  goOn();
  await expect.poll(() => statements.at(-1)).toContain("INSERT INTO shardctl_counts");
  Object.assign(member, { runtime });
  statements = [];
  now += MINUTE_MS;
  expect((await counter.count()).tables).toMatchObject([{ rows: MANY }]);
  expect(reads()).toEqual([]);
  // Once: the next wants the rows of now.
  await counter.count();
  expect(reads()).not.toEqual([]);
});

it("a count that takes long is done without by who watches, once there is an older one", async () => {
  fill(sql, "(id INTEGER PRIMARY KEY)", "i", MANY);
  const first = await open().counter.count(DAY_MS);
  const { member } = open();
  Object.assign(member, {
    runtime: {
      ...runtime,
      sleep: (delayMs: number) => (delayMs > 0 ? Promise.resolve() : new Promise(() => undefined)),
    },
  });
  const counter = new RowCounter(member, { specs: [{ name: "t" }], localTables: [] });
  now += 2 * DAY_MS;
  expect(await counter.count(DAY_MS)).toEqual(first);
  await expect(counter.count(10 * MINUTE_MS)).rejects.toThrow(/still counting its rows/);
});

describe("a count that was long", () => {
  it("is kept: looking at it once a minute reads no row, over lives and for a day", async () => {
    fill(sql, "(id INTEGER PRIMARY KEY)", "i", MANY);
    const first = await open().counter.count(DAY_MS);
    statements = [];
    for (let tick = 0; tick < 60; tick++) {
      now += MINUTE_MS;
      expect(await open().counter.count(DAY_MS)).toEqual(first);
    }
    expect(reads()).toEqual([]);
    now += DAY_MS;
    expect((await open().counter.count(DAY_MS)).countedAt).toBe(now);
  });

  it("is taken again by who wants it newer", async () => {
    fill(sql, "(id INTEGER PRIMARY KEY)", "i", MANY);
    const { counter } = open();
    await counter.count(DAY_MS);
    sql.run("DELETE FROM t WHERE id % 2 = 0");
    now += 10 * MINUTE_MS;
    expect((await counter.count(DAY_MS)).tables).toMatchObject([{ rows: MANY }]);
    expect((await counter.count(9 * MINUTE_MS)).tables).toMatchObject([{ rows: MANY / 2 }]);
    expect((await counter.count(DAY_MS)).tables).toMatchObject([{ rows: MANY / 2 }]);
  });

  it("is of no use once the object has another part, or declares other tables", async () => {
    fill(sql, "(id INTEGER PRIMARY KEY)", "i", MANY);
    ensureSchema(sql);
    const { counter, member } = open();
    await counter.count(DAY_MS);
    sql.run("DELETE FROM t WHERE id % 2 = 0");
    const { membership } = member;
    sql.run(
      "INSERT INTO shardctl_meta (key, value) VALUES ('membership', ?)",
      JSON.stringify({ ...membership, epoch: 1 }),
    );
    expect((await open().counter.count(DAY_MS)).tables).toMatchObject([{ rows: MANY / 2 }]);
    sql.run("CREATE TABLE other (id INTEGER PRIMARY KEY)");
    expect((await open("other").counter.count(DAY_MS)).tables).toMatchObject([{ rows: 0 }]);
  });

  it("makes no private table but its own, and none where there are few rows", async () => {
    fill(sql, "(id INTEGER PRIMARY KEY)", "i", 9_999);
    const privates = (): unknown[] =>
      sql
        .rows("SELECT name FROM sqlite_master WHERE name LIKE 'shardctl%'")
        .map(({ name }) => name);
    await open().counter.count(DAY_MS);
    expect(privates()).toEqual([]);
    sql.run("INSERT INTO t VALUES (20000)");
    await open().counter.count(DAY_MS);
    expect(privates()).toEqual(["shardctl_counts"]);
  });

  it("is not kept on a full object, which is only looked at", async () => {
    fill(sql, "(id INTEGER PRIMARY KEY, v)", "i, zeroblob(20)", MANY);
    ensureSchema(sql);
    storage.flush();
    storage.limit(storage.pages);
    const { counter } = open();
    expect((await counter.count(DAY_MS)).tables).toMatchObject([{ rows: MANY }]);
    expect(sql.rows("SELECT name FROM sqlite_master WHERE name = 'shardctl_counts'")).toEqual([]);
    expect((await counter.count(DAY_MS)).tables).toMatchObject([{ rows: MANY }]);
  });
});
