/** Between its rehearsal and its promotion a target of a shift takes no rows: what comes then would replace what it has tried. */
import { beforeEach, describe, expect, it } from "vitest";
import type { HashLayout } from "../../src/core/layout.ts";
import { SLOT_COUNT } from "../../src/core/slots.ts";
import { Member } from "../../src/shards/member/member.ts";
import { rehearsePromotion } from "../../src/shards/move/promote.ts";
import { openSql } from "./support/node-storage.ts";

const OPERATION = 7;
const FROM: HashLayout = {
  kind: "hash",
  shardKey: "id",
  generation: 1,
  members: ["orders-g1-shard-0", "orders-g1-shard-1"],
  ranges: [
    { end: 100, member: "orders-g1-shard-0" },
    { end: SLOT_COUNT, member: "orders-g1-shard-1" },
  ],
};
const TO: HashLayout = {
  ...FROM,
  ranges: [
    { end: 200, member: "orders-g1-shard-0" },
    { end: SLOT_COUNT, member: "orders-g1-shard-1" },
  ],
};
const INCOMING = [{ kind: "slots" as const, from: 100, to: 200 }];

let member: Member;
beforeEach(() => {
  const sql = openSql();
  sql.run("CREATE TABLE orders (id TEXT PRIMARY KEY)");
  member = new Member({
    sql,
    runtime: { now: () => 0, sleep: () => Promise.resolve(), digest: () => Promise.reject(new Error("Nothing is to be hashed")) },
    namespace: "orders",
    self: "orders-g1-shard-0",
    specs: [{ name: "orders" }],
    localTables: [],
    partitioners: {},
    ask: () => Promise.reject(new Error("Nobody is to be asked")),
  });
  member.belongTo("orders", true);
  // An operation before has made it a member.
  member.prepare({
    kind: "prepare",
    operation: 1,
    epoch: 0,
    mode: "swap",
    from: { kind: "none", generation: 0, members: ["orders"] },
    to: FROM,
    allowMissingKey: false,
    rowsPerSecondMax: null,
  });
  member.finish(1, 1, FROM);
  member.prepare({
    kind: "prepare",
    operation: OPERATION,
    epoch: 1,
    mode: "shift",
    from: FROM,
    to: TO,
    allowMissingKey: false,
    rowsPerSecondMax: null,
  });
});

const takesRows = (): boolean => {
  try {
    return member.receivingPlan(OPERATION).moving.operation === OPERATION;
  } catch (error) {
    expect(String(error)).toMatch(
      /orders-g1-shard-0 has rehearsed attempt \d of operation 7: it takes no rows before that is decided/,
    );
    return false;
  }
};
const rehearse = (): void => {
  rehearsePromotion(member.sql, member.plan(OPERATION), INCOMING, member.self);
  member.noteRehearsal(OPERATION);
};

describe("a target of a shift", () => {
  it("takes rows until it has rehearsed under its fence", () => {
    expect(takesRows()).toBe(true);
    member.fence(OPERATION, 1);
    expect(takesRows()).toBe(true);
    rehearse();
    expect(takesRows()).toBe(false);
  });

  it("takes rows after a rehearsal without a fence", () => {
    rehearse();
    expect(takesRows()).toBe(true);
  });

  it("takes rows again when the attempt is over, and when another one begins", () => {
    member.fence(OPERATION, 1);
    rehearse();
    member.unfence(OPERATION, 1);
    expect(takesRows()).toBe(true);
    member.fence(OPERATION, 2);
    rehearse();
    member.fence(OPERATION, 3);
    expect(takesRows()).toBe(true);
  });

  it("takes rows for the next wave when it has promoted this one", async () => {
    member.fence(OPERATION, 1);
    rehearse();
    await member.activate(OPERATION, { epoch: 2, layout: TO, incoming: INCOMING, outgoing: [] });
    expect(takesRows()).toBe(true);
  });
});
