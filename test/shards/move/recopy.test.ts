/**
 * A table that is copied again begins with nothing: no page from before may bring a row back that
 * its source has deleted unseen.
 */
import { beforeEach, expect, it } from "vitest";

import type { Layout } from "../../../src/model/layout/layout.ts";
import { Member } from "../../../src/shards/member/member.ts";
import { receiveRows } from "../../../src/shards/move/receive.ts";
import type { RowsPart } from "../../../src/shards/protocol/messages.ts";
import { openSql, runAlone } from "../support/node-storage.ts";

const OPERATION = 1;
const SOURCE = "orders";
const SELF = "orders-g1-shard-0";
const FROM: Layout = { kind: "none", generation: 0, members: [SOURCE] };
const TO: Layout = {
  kind: "hash",
  shardKey: "id",
  generation: 1,
  members: [SELF],
  ranges: [{ end: 16_384, member: SELF }],
};

let member: Member;
beforeEach(() => {
  const sql = openSql();
  sql.run("CREATE TABLE orders (id TEXT PRIMARY KEY)");
  member = new Member({
    sql,
    runtime: {
      now: () => 0,
      sleep: () => Promise.resolve(),
      digest: () => Promise.reject(new Error("Nothing is to be hashed")),
    },
    alone: runAlone,
    namespace: "orders",
    self: SELF,
    specs: [{ name: "orders" }],
    partitioners: {},
    checkKeys: "none",
    ask: () => Promise.reject(new Error("Nobody is to be asked")),
  });
  member.belongTo("orders", true);
  const prepare = {
    kind: "prepare",
    operation: OPERATION,
    epoch: 0,
    mode: "swap",
    from: FROM,
    to: TO,
  } as const;
  member.prepare({ ...prepare, allowMissingKey: false, rowsPerSecondMax: null });
});

const page = (id: string): RowsPart => ({
  table: "orders",
  columns: ["id"],
  rows: JSON.stringify([[id, ""]]),
  rowCount: 1,
  keys: JSON.stringify([[id]]),
  withBlobs: false,
  large: [],
  absent: "[]",
  absentCount: 0,
  origins: "[]",
  originCount: 0,
});
const receive = (sequence: number, id: string): unknown =>
  receiveRows(
    { sql: member.sql, plan: member.receivingPlan(OPERATION), source: SOURCE },
    { sequence, parts: [page(id)] },
  );
const recopy = (sequence: number): unknown =>
  member.recopy({
    kind: "recopy",
    operation: OPERATION,
    part: "target",
    round: 1,
    tables: ["orders"],
    floors: [{ source: SOURCE, target: SELF, sequence }],
  });
const live = (): string[] =>
  member.sql.rows<{ id: string }>("SELECT id FROM orders ORDER BY id").map(({ id }) => id);

it("takes no page that was sent before, also one that never came", () => {
  receive(1, "kept");
  recopy(2);
  expect(live()).toEqual([]);
  // Of the same number as the floor: what it is answered by, it stores nothing.
  receive(2, "deleted-unseen");
  expect(() => receive(1, "kept")).toThrow("came after page 2");
  expect(live()).toEqual([]);
  receive(3, "copied-again");
  expect(live()).toEqual(["copied-again"]);
});

it("takes pages on after a recopy that comes twice", () => {
  recopy(2);
  receive(3, "copied-again");
  recopy(2);
  expect(live()).toEqual(["copied-again"]);
  receive(4, "more");
  expect(live()).toEqual(["copied-again", "more"]);
});
