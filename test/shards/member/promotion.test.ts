/**
 * Rows of a wave are live before its cutover, under the fence of one attempt: they stay with the
 * attempt, or go with it.
 */
import { beforeEach, describe, expect, it } from "vitest";
import type { HashLayout } from "../../../src/model/layout/layout.ts";
import { SLOT_COUNT } from "../../../src/model/layout/slots.ts";
import { Member } from "../../../src/shards/member/member.ts";
import { stageName } from "../../../src/shards/move/move-plan.ts";
import { quoteName } from "../../../src/shards/storage/storage.ts";
import { openSql, runAlone } from "../support/node-storage.ts";

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
beforeEach(async () => {
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
    self: "orders-g1-shard-0",
    specs: [{ name: "orders" }],
    partitioners: {},
    checkKeys: "none",
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
  await member.activate(1, { epoch: 1, layout: FROM, incoming: [], outgoing: [] });
  member.finish({ kind: "finish", operation: 1, epoch: 1, layout: FROM });
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
      /orders-g1-shard-0 has promoted attempt \d of operation 7: it takes no rows before that is decided/,
    );
    return false;
  }
};
const stage = (id: string, slot: number): void => {
  member.sql.run(
    `INSERT INTO ${quoteName(stageName("orders"))} (id, shardctl_class, shardctl_position, shardctl_source) VALUES (?, 0, ?, 'orders-g1-shard-1')`,
    id,
    slot,
  );
};
const live = (): string[] =>
  member.sql.rows<{ id: string }>("SELECT id FROM orders ORDER BY id").map(({ id }) => id);
const promote = (attempt: number): void => member.promote(OPERATION, attempt, INCOMING);

describe("a target of a shift", () => {
  beforeEach(() => {
    member.sql.run("INSERT INTO orders (id) VALUES ('own')");
    stage("in-the-wave", 150);
    stage("in-another", 250);
  });

  it("makes the rows of the wave live under the fence, and no others", () => {
    member.fence(OPERATION, 1);
    promote(1);
    expect(live()).toEqual(["in-the-wave", "own"]);
  });

  it("promotes once, however often it is asked", () => {
    member.fence(OPERATION, 1);
    promote(1);
    promote(1);
    expect(live()).toEqual(["in-the-wave", "own"]);
  });

  it.each([0, 2])("promotes for no other attempt than that of its fence: %i", (attempt) => {
    member.fence(OPERATION, 1);
    expect(() => promote(attempt)).toThrow(`Fence attempt ${attempt} of operation 7 is over`);
    expect(live()).toEqual(["own"]);
  });

  it("takes no rows from then on", () => {
    member.fence(OPERATION, 1);
    expect(takesRows()).toBe(true);
    promote(1);
    expect(takesRows()).toBe(false);
  });

  it("takes the promotion back with its attempt, and only what it made live", () => {
    member.fence(OPERATION, 1);
    promote(1);
    member.unfence(OPERATION, 1);
    expect(live()).toEqual(["own"]);
    expect(takesRows()).toBe(true);
  });

  it("keeps the promotion when an earlier attempt is said to be over", () => {
    member.fence(OPERATION, 2);
    promote(2);
    member.unfence(OPERATION, 1);
    expect(live()).toEqual(["in-the-wave", "own"]);
  });

  it("takes the promotion back when a newer attempt replaces it", () => {
    member.fence(OPERATION, 1);
    promote(1);
    member.fence(OPERATION, 2);
    expect(live()).toEqual(["own"]);
    promote(2);
    expect(live()).toEqual(["in-the-wave", "own"]);
  });

  it("takes the promotion back when the operation is abandoned", () => {
    member.fence(OPERATION, 1);
    promote(1);
    member.abandon({ kind: "abandon", operation: OPERATION, epoch: 1, layout: FROM });
    expect(live()).toEqual(["own"]);
  });

  it("takes the promotion back when a newer operation finds it: the older one has ended without a word", () => {
    member.fence(OPERATION, 1);
    promote(1);
    const next = {
      epoch: 1,
      mode: "shift",
      from: FROM,
      to: TO,
      allowMissingKey: false,
      rowsPerSecondMax: null,
    } as const;
    member.prepare({ kind: "prepare", operation: OPERATION + 1, ...next });
    expect(live()).toEqual(["own"]);
  });

  it("takes the promotion back when a deploy has renamed the key meanwhile, and only what it made live", () => {
    stage("id", 160); // the name of the column that is gone, as a value
    member.fence(OPERATION, 1);
    promote(1);
    member.sql.run("ALTER TABLE orders RENAME COLUMN id TO number");
    member.unfence(OPERATION, 1);
    expect(member.sql.rows("SELECT number FROM orders")).toEqual([{ number: "own" }]);
  });

  it("can be given up when a deploy has taken the table away", () => {
    member.fence(OPERATION, 1);
    promote(1);
    member.sql.run("DROP TABLE orders");
    member.unfence(OPERATION, 1);
    expect(member.moving).toMatchObject({ fence: 0, promotion: null });
  });

  it("takes a promotion back whose fence the library before has lifted", () => {
    member.fence(OPERATION, 1);
    promote(1);
    const moving =
      member.sql.first<{ value: string }>("SELECT value FROM shardctl_meta WHERE key = 'moving'")
        ?.value ?? "";
    member.sql.run(
      "UPDATE shardctl_meta SET value = ? WHERE key = 'moving'",
      moving.replace('"fence":1', '"fence":0'),
    );
    member.unfence(OPERATION, 0); // reads nothing new: what is stored is read by the next change
    member.unfence(OPERATION, 1);
    expect(live()).toEqual(["own"]);
    expect(takesRows()).toBe(true);
  });

  it("only changes its epoch when the attempt is committed, and takes rows for the next wave", async () => {
    member.fence(OPERATION, 1);
    promote(1);
    await member.activate(OPERATION, {
      epoch: 2,
      layout: TO,
      incoming: INCOMING,
      outgoing: [],
      attempt: 1,
    });
    expect(live()).toEqual(["in-the-wave", "own"]);
    expect(member.membership.epoch).toBe(2);
    expect(takesRows()).toBe(true);
  });

  it("does not act by a commit that it has not promoted for", async () => {
    member.fence(OPERATION, 1);
    await expect(
      member.activate(OPERATION, {
        epoch: 2,
        layout: TO,
        incoming: INCOMING,
        outgoing: [],
        attempt: 1,
      }),
    ).rejects.toThrow("has not promoted attempt 1");
    expect(member.membership.epoch).toBe(1);
  });

  it("promotes with the commit for a root of protocol 1", async () => {
    member.fence(OPERATION, 1);
    await member.activate(OPERATION, { epoch: 2, layout: TO, incoming: INCOMING, outgoing: [] });
    expect(live()).toEqual(["in-the-wave", "own"]);
  });

  it("changes nothing when a row is in the way, names it, and can be given up", () => {
    member.sql.run("INSERT INTO orders (id) VALUES ('in-the-wave')");
    member.fence(OPERATION, 1);
    expect(() => promote(1)).toThrow(
      /ids that rows of 'orders' have here already: .*\["in-the-wave",null\]/,
    );
    member.unfence(OPERATION, 1);
    expect(live()).toEqual(["in-the-wave", "own"]);
  });
});
