/**
 * Rows that `OR REPLACE` takes away without a delete trigger are in the log of captured keys, by
 * whichever index they were in the way.
 */
import { expect, it } from "vitest";
import { keepCapture } from "../../../src/shards/move/capture.ts";
import { ensureSchema } from "../../../src/shards/storage/schema.ts";
import { resolveTables } from "../../../src/shards/storage/tables.ts";
import { openSql } from "../support/node-storage.ts";

const COLUMNS = "id TEXT PRIMARY KEY, region TEXT, mail TEXT, active INTEGER";
const ROWS =
  "INSERT INTO t (id, region, mail, active) VALUES ('a', 'r', 'x', 1), ('b', 'r', 'x', 0), ('c', 'r', 'y', 1)";
const PARTIAL = "CREATE UNIQUE INDEX u ON t (mail) WHERE active = 1";

/** Table, rows, and a write that takes row `a` away. */
const CASES: Readonly<Record<string, readonly string[]>> = {
  "an update that enters a partial index by its condition alone": [
    `CREATE TABLE t (${COLUMNS}); ${PARTIAL}`,
    ROWS,
    "UPDATE OR REPLACE t SET active = 1 WHERE id = 'b'",
  ],
  "an update of a column in a partial index": [
    `CREATE TABLE t (${COLUMNS}); ${PARTIAL}`,
    ROWS,
    "UPDATE OR REPLACE t SET mail = 'x' WHERE id = 'c'",
  ],
  "an insert into a partial index": [
    `CREATE TABLE t (${COLUMNS}); ${PARTIAL}`,
    ROWS,
    "INSERT OR REPLACE INTO t VALUES ('d', 'r', 'x', 1)",
  ],
  "the condition of an index over a table without rowids": [
    `CREATE TABLE t (${COLUMNS}) WITHOUT ROWID; ${PARTIAL}`,
    ROWS,
    "UPDATE OR REPLACE t SET active = 1 WHERE id = 'b'",
  ],
  "the condition of an index that ignores case": [
    `CREATE TABLE t (${COLUMNS}); CREATE UNIQUE INDEX u ON t (mail COLLATE NOCASE) WHERE t.active IS NOT 0`,
    ROWS.replace("'x', 0", "'X', 0"),
    "UPDATE OR REPLACE t SET active = NULL WHERE id = 'b'",
  ],
  "a condition on a generated column": [
    `CREATE TABLE t (${COLUMNS}, lives AS (active + 0)); CREATE UNIQUE INDEX u ON t (mail) WHERE lives = 1`,
    ROWS,
    "UPDATE OR REPLACE t SET active = 1 WHERE id = 'b'",
  ],
  "a virtual column in an index": [
    `CREATE TABLE t (${COLUMNS}, low AS (lower(mail)) UNIQUE)`,
    ROWS.replace("'x', 0", "'z', 0"),
    "UPDATE OR REPLACE t SET mail = 'X' WHERE id = 'b'",
  ],
  "a stored column in an index": [
    `CREATE TABLE t (${COLUMNS}, low AS (lower(mail)) STORED UNIQUE)`,
    ROWS.replace("'x', 0", "'z', 0"),
    "INSERT OR REPLACE INTO t (id, region, mail) VALUES ('d', 'r', 'X')",
  ],
  "a column generated from one that gets its default": [
    `CREATE TABLE t (id TEXT PRIMARY KEY, region TEXT, mail NOT NULL DEFAULT 'X', low AS (lower(mail)) STORED UNIQUE)`,
    "INSERT INTO t VALUES ('a', 'r', 'x'), ('b', 'r', 'y')",
    "INSERT OR REPLACE INTO t (id, region, mail) VALUES ('d', 'r', NULL)",
  ],
  "an update of a column generated from one that gets its default": [
    `CREATE TABLE t (id TEXT PRIMARY KEY, region TEXT, mail NOT NULL DEFAULT 'x', low AS (coalesce(mail, 'y')) UNIQUE)`,
    "INSERT INTO t VALUES ('a', 'r', 'x'), ('b', 'r', 'y')",
    "UPDATE OR REPLACE t SET mail = NULL WHERE id = 'b'",
  ],
  ...Object.fromEntries(
    [
      ["REAL", "(1 + 1)", "2.0"],
      ["REAL", "'2'", "2.0"],
      ["INTEGER", "'2.0'", "2"],
      ["NUMERIC", "(4 / 2.0)", "2"],
      ["TEXT", "(1 + 1)", "2"],
    ].map(([type = "", written = "", shown = ""]) => [
      `a column generated from one of type ${type} whose default is ${written}`,
      [
        `CREATE TABLE t (id TEXT PRIMARY KEY, region TEXT, mail ${type} NOT NULL DEFAULT ${written}, low TEXT AS ('=' || mail) UNIQUE)`,
        `INSERT INTO t VALUES ('a', 'r', ${shown}), ('b', 'r', 7)`,
        "INSERT OR REPLACE INTO t (id, region, mail) VALUES ('d', 'r', NULL)",
      ],
    ]),
  ),
  "a chain of generated columns, with names and comments that mislead": [
    `CREATE TABLE t (id TEXT PRIMARY KEY, region TEXT, "a (b, c" AS ([last, one] || ')') UNIQUE, -- x AS (1), y
     mail NOT NULL DEFAULT ('x'), [last, one] TEXT GENERATED ALWAYS AS (/* ) */ lower(mail) -- )
     ) VIRTUAL, CHECK (CAST(mail AS TEXT) <> ''))`,
    "INSERT INTO t VALUES ('a', 'r', 'X'), ('b', 'r', 'y')",
    "INSERT OR REPLACE INTO t (id, region, mail) VALUES ('d', 'r', NULL)",
  ],
  ...Object.fromEntries(
    [
      ["'x'", "x"],
      ["x", "x"],
      ['"x"', "x"],
      ["[x]", "x"],
      ["`x`", "x"],
      ["(lower('X') -- small\n)", "x"],
      ["-5", "-5"],
      ["true", "1"],
    ].flatMap(([written, value]) => {
      const table = `CREATE TABLE t (id TEXT PRIMARY KEY, region TEXT, mail NOT NULL DEFAULT ${written} UNIQUE)`;
      const rows = `INSERT INTO t VALUES ('a', 'r', ${value === "x" ? "'x'" : value}), ('b', 'r', 'y')`;
      return [
        [
          `an update to NULL where the default is ${written}`,
          [table, rows, "UPDATE OR REPLACE t SET mail = NULL WHERE id = 'b'"],
        ],
        [
          `an insert of NULL where the default is ${written}`,
          [table, rows, "INSERT OR REPLACE INTO t VALUES ('d', 'r', NULL)"],
        ],
      ];
    }),
  ),
};

it.each(Object.entries(CASES))("writers 5: %s", (_, [table = "", rows = "", write = ""]) => {
  const sql = openSql();
  ensureSchema(sql);
  for (const statement of [...table.split("; "), rows]) sql.run(statement);
  keepCapture(sql, resolveTables(sql, [{ name: "t" }]), "region");
  sql.run(write);
  expect(sql.first("SELECT id FROM t WHERE id = 'a'")).toBeUndefined();
  const entry = sql.first("SELECT is_moved FROM shardctl_captured WHERE pk = ?", '["a",null]');
  expect(entry).toEqual({ is_moved: 1 });
});

it.each([
  PARTIAL,
  "create unique index u on t(mail)where(active=1)",
  `CREATE UNIQUE INDEX "where" ON t /* WHERE mail */ (mail) -- WHERE
   WHERE active = 1 AND mail <> ' WHERE ' -- those`,
])("rows that the condition leaves out are no rivals: %s", (index) => {
  const sql = openSql();
  ensureSchema(sql);
  for (const statement of [
    `CREATE TABLE t (${COLUMNS})`,
    index,
    ROWS,
    "INSERT INTO t VALUES ('e', 'r', 'x', 0)",
  ])
    sql.run(statement);
  keepCapture(sql, resolveTables(sql, [{ name: "t" }]), "region");
  sql.run("UPDATE OR REPLACE t SET active = 1 WHERE id = 'b'");
  const entries = sql
    .rows<{ pk: string }>("SELECT pk FROM shardctl_captured ORDER BY pk")
    .map(({ pk }) => pk);
  expect(entries).toEqual(['["a",null]', '["b",null]']);
});
