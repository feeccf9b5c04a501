/**
 * A table may say itself what becomes of a row in the way of another. A move never does as it says:
 * a row that is in the way ends it.
 */
import { describe, expect, it } from "vitest";
import { keyFromSql } from "../../../src/model/layout/key.ts";
import type { MoveRange } from "../../../src/model/layout/move-range.ts";
import type { Moving } from "../../../src/shards/move/moving.ts";
import { buildMovePlan, stageName } from "../../../src/shards/move/move-plan.ts";
import { Batch, createScan, tableFrom } from "../../../src/shards/move/outbox.ts";
import { promoteRows, rehearsePromotion } from "../../../src/shards/move/promote.ts";
import { receiveRows } from "../../../src/shards/move/receive.ts";
import { createStaging } from "../../../src/shards/move/staging.ts";
import type { RowsPart } from "../../../src/shards/protocol/messages.ts";
import { messageOf } from "../../../src/shards/storage/faults.ts";
import { ensureSchema } from "../../../src/shards/storage/schema.ts";
import { type Sql, type SqlRow, quoteName } from "../../../src/shards/storage/storage.ts";
import { resolveTables } from "../../../src/shards/storage/tables.ts";
import { TWO_REGIONS, movingOf } from "../support/moving.ts";
import { openSql } from "../support/node-storage.ts";

const MOVING = movingOf({
  isTarget: true,
  from: TWO_REGIONS,
  to: { kind: "none", generation: 2, members: ["root"] },
});
const SHIFT: Moving = {
  ...MOVING,
  mode: "shift",
  to: {
    ...TWO_REGIONS,
    ranges: [
      { end: keyFromSql("text", "z"), member: "a" },
      { end: null, member: "b" },
    ],
  },
};
const INCOMING: MoveRange[] = [
  { kind: "keys", from: keyFromSql("text", "m"), to: keyFromSql("text", "z") },
];

const DEFINITIONS: readonly (readonly [string, string])[] = [
  [
    "a unique value that replaces",
    "id TEXT PRIMARY KEY, region TEXT, mail TEXT UNIQUE ON CONFLICT REPLACE",
  ],
  [
    "a unique value that is ignored",
    "id TEXT PRIMARY KEY, region TEXT, mail TEXT UNIQUE ON CONFLICT IGNORE",
  ],
  [
    "a key that replaces",
    "id TEXT, region TEXT, mail TEXT PRIMARY KEY ON CONFLICT REPLACE, other TEXT UNIQUE",
  ],
];

function openObject(columns: string): Sql {
  const sql = openSql();
  sql.run("PRAGMA foreign_keys = OFF");
  ensureSchema(sql);
  sql.run(`CREATE TABLE items (${columns})`);
  return sql;
}

function partsOf(sql: Sql, self: string): RowsPart[] {
  const plan = buildMovePlan(sql, MOVING, resolveTables(sql, [{ name: "items" }]), {});
  const [table] = plan.tables;
  if (!table) throw new Error("No table");
  const batch = new Batch(sql, plan, self);
  const scan = createScan(sql, table, "plain");
  for (const row of sql.rows<SqlRow>(scan.sql(tableFrom(table)))) batch.add(table, scan.read(row));
  return batch.rowsFor("root").map(({ part }) => part);
}

function outcomeOf(receive: () => readonly string[]): string {
  try {
    return receive().join(", ");
  } catch (error) {
    return messageOf(error);
  }
}

describe.each(DEFINITIONS)("%s", (_, columns) => {
  it("takes no row of one source away for that of another", () => {
    const [a, b, root] = [openObject(columns), openObject(columns), openObject(columns)];
    a.run("INSERT INTO items (id, region, mail) VALUES ('x', 'east', 'same')");
    b.run("INSERT INTO items (id, region, mail) VALUES ('y', 'west', 'same')");
    const plan = buildMovePlan(root, MOVING, resolveTables(root, [{ name: "items" }]), {});
    receiveRows({ sql: root, plan, source: "a" }, { sequence: 1, parts: partsOf(a, "a") });
    // A rival of the key is answered, one of another unique value ends the operation.
    const answer = outcomeOf(
      () =>
        receiveRows({ sql: root, plan, source: "b" }, { sequence: 1, parts: partsOf(b, "b") })
          .duplicates,
    );
    expect(answer).toMatch(/^(\["same",null\]|.* have values that rows of other shards have.*)$/);
    expect(root.rows("SELECT id FROM items")).toEqual([{ id: "x" }]);
  });

  it("takes no row away for one that a wave makes live", () => {
    const sql = openObject(columns);
    const plan = buildMovePlan(sql, SHIFT, resolveTables(sql, [{ name: "items" }]), {});
    createStaging(sql, plan);
    sql.run("INSERT INTO items (id, region, mail) VALUES ('x', 'east', 'same')");
    sql.run(
      `INSERT INTO ${quoteName(stageName("items"))} (id, region, mail, shardctl_class, shardctl_position, shardctl_source) VALUES ('y', 'west', 'same', 2, 'west', 'b')`,
    );
    for (const promote of [promoteRows, rehearsePromotion])
      expect(() => sql.transaction(() => promote(sql, plan, INCOMING, "a"))).toThrow(
        /have (values|ids) that rows .*(UNIQUE constraint failed|have here already: ⟦\["same",null\]⟧)/,
      );
    expect(sql.rows("SELECT id FROM items")).toEqual([{ id: "x" }]);
  });
});
