/** A query is proven to read only before anything of it runs, whatever its text. */
import { describe, expect, it } from "vitest";
import { runQuery } from "../../../src/shards/member/query.ts";
import { RefusedError } from "../../../src/shards/protocol/refused-error.ts";
import type { Sql } from "../../../src/shards/storage/storage.ts";
import { openSql } from "../support/node-storage.ts";

function openTable(): Sql {
  const sql = openSql();
  sql.run("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT)");
  sql.run("CREATE TABLE heard (what TEXT)");
  sql.run("CREATE TRIGGER hears AFTER DELETE ON t BEGIN INSERT INTO heard VALUES (OLD.name); END");
  sql.run("INSERT INTO t VALUES (1, 'one'), (2, 'two')");
  return sql;
}

function everythingIn(sql: Sql): unknown[] {
  return [
    sql.rows("SELECT * FROM t"),
    sql.rows("SELECT * FROM heard"),
    sql.rows("SELECT name, sql FROM sqlite_master"),
  ];
}

function refusalOf(query: () => unknown): RefusedError {
  try {
    query();
  } catch (error) {
    if (error instanceof RefusedError) return error;
    throw error;
  }
  throw new Error("It was not refused");
}

const WRITES = [
  "WITH a AS (SELECT 1) DELETE FROM t RETURNING id",
  "with a as (select 1) delete from t",
  "WITH a (id) AS (SELECT 1) UPDATE t SET name = 'changed' FROM a WHERE a.id = t.id",
  "WITH a AS (SELECT 7 AS id) INSERT INTO t (id) SELECT id FROM a",
  "WITH a AS (SELECT 1 AS id) REPLACE INTO t (id) SELECT id FROM a RETURNING *",
  "WITH a AS (SELECT 1 AS id) INSERT INTO t (id) SELECT id FROM a WHERE true ON CONFLICT DO UPDATE SET name = 'changed'",
  "WITH RECURSIVE a (v) AS (SELECT 1 UNION ALL SELECT v + 1 FROM a WHERE v < 9) DELETE FROM t WHERE id IN a",
  'WITH "select" AS (SELECT 1) DELETE FROM t',
  "WITH a AS (SELECT 'SELECT; --') DELETE FROM t",
  "-- WITH\n/* SELECT; */ WITH a AS (SELECT 1) DELETE FROM t -- WHERE false",
  "\ufeff \t\r\n\fWITH a AS (SELECT 1) DELETE FROM t;",
  "WITH a AS (SELECT 1) DELETE FROM t WHERE id = ?",
  "DELETE FROM t",
  "/* a */ DELETE FROM t /* */ SELECT 1",
  "REPLACE INTO t VALUES (1, 'changed')",
  "WITH a AS NOT MATERIALIZED (SELECT 1 AS id) DELETE FROM t WHERE id IN (SELECT id FROM a)",
  "WITH a AS MATERIALIZED (SELECT 1), b (v) AS (SELECT * FROM a) UPDATE t SET name = 'changed'",
  "WITH RECURSIVE a (v) AS (VALUES (8) UNION SELECT v + 1 FROM a WHERE v < 9) INSERT INTO t (id) SELECT v FROM a RETURNING id",
  "WITH [a] AS (SELECT 1) DELETE FROM t",
  "WITH a(b) AS (SELECT ')') DELETE FROM t",
  "INSERT INTO t DEFAULT VALUES RETURNING id",
  "UPDATE t SET name = 'changed' RETURNING *",
  "ALTER TABLE t RENAME TO u",
  "CREATE TEMP TABLE u AS SELECT * FROM t",
  "CREATE VIEW u AS SELECT * FROM t",
  "SAVEPOINT a",
  "RELEASE a",
  "COMMIT",
  "ROLLBACK",
  "DETACH main",
  "PRAGMA wal_checkpoint",
  "SELECT * FROM t UNION ALL SELECT * FROM t; DROP TABLE t",
  "SELECT * FROM t WHERE id = (SELECT 1); UPDATE t SET name = 'changed' RETURNING 1",
  "SELECT 1\u00a0; DELETE FROM t",
  "DROP TABLE t",
  "PRAGMA user_version = 7",
  "PRAGMA legacy_alter_table = ON",
  "EXPLAIN DELETE FROM t",
  "EXPLAIN QUERY PLAN DELETE FROM t",
  "ATTACH ':memory:' AS other",
  "ANALYZE",
  "REINDEX",
  "VACUUM",
  "BEGIN",
  "SELECT 1; DELETE FROM t",
  "SELECT 1;;DELETE FROM t;",
  "SELECT ';'; DELETE FROM t",
  "SELECT 'it''s;'; DELETE FROM t",
  "SELECT 1 /* ; */; -- ;\nDELETE FROM t",
  'SELECT 1 AS "a;""b"; DELETE FROM t',
  "SELECT 1 AS [a;']; DELETE FROM t --']",
  "SELECT 1 AS `a;'`; DELETE FROM t --'",
  "SELECT $a('); DELETE FROM t; --'",
  "SELECT :a('); DELETE FROM t; --'",
  "SELECT 1\0; DELETE FROM t",
  "VALUES (1); DELETE FROM t",
  "SELECT 1) ; DELETE FROM t; SELECT * FROM (SELECT 1",
  "SELECT * FROM pragma_optimize",
  'SELECT * FROM "PRAGMA_optimize"(65538)',
  "WITH a AS (SELECT 1) SELECT * FROM a, pragma_optimize(-1)",
  "",
  ";",
  "-- SELECT 1",
];

const READS: readonly (readonly [string, readonly unknown[], (readonly number[])?])[] = [
  ["SELECT name FROM t ORDER BY id", [{ name: "one" }, { name: "two" }]],
  ["select name from t where id = ?;", [{ name: "two" }], [2]],
  ["  -- a comment; with 'a quote\n SELECT 1 AS v /* another; \" */ ; -- and one more", [{ v: 1 }]],
  ["\ufeffSELECT 1 AS v", [{ v: 1 }]],
  // For SQLite only a line feed ends such a comment.
  ["SELECT 1 AS v --\u2028; DELETE FROM t", [{ v: 1 }]],
  ["SELECT ';' AS v", [{ v: ";" }]],
  ["SELECT 'DELETE FROM t; --' AS v", [{ v: "DELETE FROM t; --" }]],
  ["SELECT 'it''s; fine' AS v;", [{ v: "it's; fine" }]],
  ['SELECT 1 AS "a;b"', [{ "a;b": 1 }]],
  ["SELECT 1 AS [a;b]", [{ "a;b": 1 }]],
  ["SELECT 1 AS `a;b`;;", [{ "a;b": 1 }]],
  ["WITH a AS (SELECT 1 AS v) SELECT v FROM a", [{ v: 1 }]],
  ["WITH a AS (SELECT id FROM t WHERE id > ?) SELECT count(*) AS n FROM a", [{ n: 1 }], [1]],
  ['WITH "delete" AS (SELECT 1 AS v) SELECT v FROM "delete"', [{ v: 1 }]],
  [
    "WITH RECURSIVE n (v) AS (SELECT 1 UNION ALL SELECT v + 1 FROM n WHERE v < 3) SELECT max(v) AS v FROM n ORDER BY 1 LIMIT 1",
    [{ v: 3 }],
  ],
  ["WITH a AS (VALUES (1)) VALUES (7)", [{ column1: 7 }]],
  ["VALUES (1, 'a;')", [{ column1: 1, column2: "a;" }]],
  ["SELECT name FROM pragma_table_info('t') ORDER BY cid", [{ name: "id" }, { name: "name" }]],
  ["SELECT replace(name, 'o', 'O') AS name FROM t WHERE id = 1", [{ name: "One" }]],
];

describe("writers 6: a query", () => {
  it.each(WRITES)("that would write is refused, and nothing of it runs: %j", (query) => {
    const sql = openTable();
    const before = everythingIn(sql);
    const { reason } = refusalOf(() => runQuery(sql, query, query.includes("?") ? [1] : []));
    expect(reason).toMatchObject({ kind: "invalid", retryable: false });
    expect(reason.message).toContain("queryShards reads only: ");
    expect(everythingIn(sql)).toEqual(before);
  });

  it.each(READS.map((each) => ({ query: each[0], rows: each[1], params: each[2] ?? [] })))(
    "that reads is answered: $query",
    ({ query, rows, params }) => {
      expect(runQuery(openTable(), query, params).rows).toEqual(rows);
    },
  );

  it("is explained before it runs only where its first word leaves it open what it does", () => {
    const sql = openTable();
    const ran: string[] = [];
    const spied = Object.assign(Object.create(sql) as Sql, {
      run: (query: string) => (ran.push(query), sql.run(query)),
      rows: (query: string) => (ran.push(query), sql.rows(query)),
    });
    runQuery(spied, "SELECT 1", []);
    runQuery(spied, "WITH a AS (SELECT 1) SELECT 1", []);
    expect(ran).toEqual([
      "SELECT 1",
      "EXPLAIN WITH a AS (SELECT 1) SELECT 1",
      "WITH a AS (SELECT 1) SELECT 1",
    ]);
  });
});
