/**
 * Dangling references that a wave would leave: found by the rows that it makes live, not by all
 * existing rows.
 */
import { beforeEach, describe, expect, it } from "vitest";
import { keyFromSql } from "../../../src/model/layout/key.ts";
import type { RangeLayout } from "../../../src/model/layout/layout.ts";
import type { MoveRange } from "../../../src/model/layout/move-range.ts";
import { EngineFault } from "../../../src/shards/storage/faults.ts";
import type { Moving } from "../../../src/shards/move/moving.ts";
import { type MovePlan, buildMovePlan, stageName } from "../../../src/shards/move/move-plan.ts";
import { ensureSchema } from "../../../src/shards/storage/schema.ts";
import { type Sql, quoteName } from "../../../src/shards/storage/storage.ts";
import { resolveTables } from "../../../src/shards/storage/tables.ts";
import { promoteRows, rehearsePromotion } from "../../../src/shards/move/promote.ts";
import { createStaging } from "../../../src/shards/move/staging.ts";
import { movingOf } from "../support/moving.ts";
import { openSql } from "../support/node-storage.ts";

const TABLES = [{ name: "parents" }, { name: "pairs" }, { name: "children" }];
const SCHEMA = [
  "CREATE TABLE parents (id TEXT PRIMARY KEY COLLATE NOCASE, region TEXT, boss TEXT REFERENCES parents)",
  "CREATE TABLE pairs (a INTEGER, b TEXT, region TEXT, PRIMARY KEY (a, b))",
  `CREATE TABLE children (id TEXT PRIMARY KEY, region TEXT, parent REFERENCES parents (id), a, b,
     FOREIGN KEY (a, b) REFERENCES pairs)`,
];

const layoutOf = (members: readonly string[]): RangeLayout => ({
  kind: "range",
  shardKey: "region",
  generation: 1,
  members,
  ranges: members.map((member, index) => ({
    end: members.length - 1 === index ? null : keyFromSql("text", "m"),
    member,
  })),
});
const MOVING = movingOf({
  mode: "shift",
  isTarget: true,
  from: layoutOf(["s-0"]),
  to: layoutOf(["s-0", "s-1"]),
});
/** The first wave: regions from m up to q. The second: the rest. */
const FIRST: MoveRange = {
  kind: "keys",
  from: keyFromSql("text", "m"),
  to: keyFromSql("text", "q"),
};
const SECOND: MoveRange = { kind: "keys", from: keyFromSql("text", "q"), to: null };

let sql: Sql;
let plan: MovePlan;
beforeEach(() => {
  sql = openSql();
  // As the engine has it while it writes. First: inside a transaction it does nothing.
  sql.run("PRAGMA foreign_keys = OFF");
  ensureSchema(sql);
  for (const statement of SCHEMA) sql.run(statement);
  plan = buildMovePlan(sql, MOVING, resolveTables(sql, TABLES), {});
  createStaging(sql, plan);
});

const live = (table: string, ...values: string[]): unknown =>
  sql.run(`INSERT INTO ${quoteName(table)} VALUES (${values.join(", ")})`);
/** Values in the order of the live table's columns. Text is class 2 in the order of keys. */
function staged(table: string, region: string, ...values: string[]): unknown {
  const columns = sql
    .rows<{ name: string }>(`PRAGMA table_info(${quoteName(table)})`)
    .map(({ name }) => quoteName(name));
  const names = [...columns, "shardctl_class", "shardctl_position", "shardctl_source"].join(", ");
  const row = values.map((value) => (value === "?" ? `'${region}'` : value)).join(", ");
  return sql.run(
    `INSERT INTO ${quoteName(stageName(table))} (${names}) VALUES (${row}, 2, '${region}', 's-0')`,
  );
}
const rehearse = (...incoming: MoveRange[]): void => rehearsePromotion(sql, plan, incoming, "s-1");

/** Returns SQLite's own count of violations once the rows are live. */
function countByPragma(...incoming: MoveRange[]): number {
  const rolledBack = new Error("only to see");
  let found = 0;
  try {
    sql.transaction(() => {
      try {
        promoteRows(sql, plan, incoming, "s-1");
      } catch (error) {
        if (!(error instanceof EngineFault)) throw error; // its rows are live all the same
      }
      found = sql.rows("PRAGMA foreign_key_check").length;
      throw rolledBack;
    });
  } catch (error) {
    if (error !== rolledBack) throw error;
  }
  return found;
}

describe("rows of a wave", () => {
  it.each<[string, () => unknown, number]>([
    ["none at all", () => undefined, 0],
    [
      "a child whose parent is here",
      () => [live("parents", "'p'", "'z'", "NULL"), child("m", "'p'")],
      0,
    ],
    [
      "a child whose parent comes with it",
      () => [parent("m", "'p'", "NULL"), child("m", "'p'")],
      0,
    ],
    ["a child that has no parent", () => child("m", "NULL"), 0],
    ["a child whose parent is nowhere", () => child("m", "'p'"), 1],
    [
      "a child whose parent comes with a later wave",
      () => [parent("q", "'p'", "NULL"), child("m", "'p'")],
      1,
    ],
    ["a child of a later wave whose parent is nowhere", () => child("q", "'p'"), 0],
    [
      "a parent whose name is written in other letters",
      () => [parent("m", "'P'", "NULL"), child("m", "'p'")],
      0,
    ],
    [
      "a parent named by a number, which is a text there",
      () => [parent("m", "'7'", "NULL"), child("m", "7")],
      0,
    ],
    ["a number that is another text", () => [parent("m", "'07'", "NULL"), child("m", "7")], 1],
    ["a row that points at itself", () => parent("m", "'p'", "'p'"), 0],
    [
      "a row that points at one of its table",
      () => [parent("m", "'p'", "'q'"), parent("n", "'q'", "NULL")],
      0,
    ],
    ["a row that points at one of its table that stays", () => parent("m", "'p'", "'q'"), 1],
    [
      "a key of two columns",
      () => [staged("pairs", "m", "1", "'x'", "?"), child("m", "NULL", "'1'", "'x'")],
      0,
    ],
    [
      "a key of two columns, one of them wrong",
      () => [staged("pairs", "m", "1", "'x'", "?"), child("m", "NULL", "1", "'y'")],
      1,
    ],
    ["a key of two columns, one of them missing", () => child("m", "NULL", "1", "NULL"), 0],
  ])("%s", (_, fill, dangling) => {
    fill();
    expect(countByPragma(FIRST)).toBe(dangling);
    expect(faultOf(() => rehearse(FIRST))).toMatch(
      dangling === 0
        ? /^none$/
        : /^1 rows of '(children|parents)' point at rows of '(parents|pairs)' that would not be with/,
    );
  });

  it("are counted over all ranges of the wave", () => {
    child("m", "'p'");
    child("r", "'p'");
    expect(() => rehearse(FIRST, SECOND)).toThrow(
      "2 rows of 'children' point at rows of 'parents'",
    );
    expect(sql.rows("SELECT id FROM children")).toEqual([]);
  });

  it("do not answer for rows that were here before", () => {
    live("children", "'old'", "'a'", "'gone'", "NULL", "NULL");
    parent("m", "'p'", "NULL");
    child("m", "'p'");
    expect(countByPragma(FIRST)).toBe(1);
    expect(() => rehearse(FIRST)).not.toThrow();
  });
});

describe("rows of a swap", () => {
  it("are read whole, as there are no others", () => {
    const swap = buildMovePlan(sql, { ...MOVING, mode: "swap" }, resolveTables(sql, TABLES), {});
    live("children", "'c'", "'a'", "'p'", "NULL", "NULL");
    expect(() => rehearsePromotion(sql, swap, [], "s-1")).toThrow(
      "1 rows of 'children' point at rows of 'parents'",
    );
    live("parents", "'p'", "'a'", "NULL");
    expect(() => rehearsePromotion(sql, swap, [], "s-1")).not.toThrow();
  });
});

function faultOf(work: () => void): string {
  try {
    work();
    return "none";
  } catch (error) {
    if (error instanceof EngineFault) return error.message;
    throw error;
  }
}

let children = 0;
function child(region: string, parentId: string, a = "NULL", b = "NULL"): unknown {
  return staged("children", region, `'c${children++}'`, "?", parentId, a, b);
}

function parent(region: string, id: string, boss: string): unknown {
  return staged("parents", region, id, "?", boss);
}

describe("a table that cannot take what comes", () => {
  const planFor = (moving: Moving, ...tables: string[]): void => {
    plan = buildMovePlan(
      sql,
      moving,
      resolveTables(
        sql,
        tables.map((name) => ({ name })),
      ),
      {},
    );
    if (moving.mode === "shift") createStaging(sql, plan);
  };

  it("by a rule for its values is a fault of the schema: no id stands twice", () => {
    sql.run("CREATE TABLE limited (id TEXT PRIMARY KEY, region TEXT CHECK (region <> 'm'))");
    planFor(MOVING, "limited");
    staged("limited", "m", "'a'", "?");
    expect(() => rehearse(FIRST)).toThrow(expect.objectContaining({ kind: "schema" }) as Error);
  });

  it("for it points at a column whose values are not unique is one too", () => {
    sql.run(
      "CREATE TABLE strays (id TEXT PRIMARY KEY, region TEXT, parent REFERENCES parents (region))",
    );
    planFor({ ...MOVING, mode: "swap" }, "parents", "strays");
    live("parents", "'p'", "'z'", "NULL");
    live("strays", "'s'", "'z'", "'z'");
    expect(() => rehearse()).toThrow(expect.objectContaining({ kind: "schema" }) as Error);
  });
});
