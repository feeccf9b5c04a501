/**
 * Write blocks by a row: armed in each life, and understood by the library of before, which knew
 * only write blocks that always abort.
 */
import { beforeEach, describe, expect, it } from "vitest";

import { freshHashLayout } from "../../../src/model/strategies/hash.ts";
import { Host } from "../../../src/shards/host/host.ts";
import { type Membership, writeMembership } from "../../../src/shards/member/membership.ts";
import {
  WRITE_BLOCK_MESSAGES,
  armWriteBlocks,
  keepWriteBlocks,
  removeWriteBlocks,
  setWriteBlock,
  triggersOf,
  withoutTriggers,
} from "../../../src/shards/move/write-blocks.ts";
import { ensureSchema } from "../../../src/shards/storage/schema.ts";
import { Sql } from "../../../src/shards/storage/storage.ts";
import type { SimStorage } from "../../sim/storage.ts";
import { openStorage, runAlone } from "../support/node-storage.ts";

const EVENTS = ["insert", "update", "delete"];
const INSERT = "INSERT INTO items (id) VALUES ('a')";

let storage: SimStorage;
let sql: Sql;
beforeEach(() => {
  storage = openStorage();
  sql = new Sql(storage);
  sql.run("CREATE TABLE items (id TEXT PRIMARY KEY, grp TEXT)");
  ensureSchema(sql);
});

/** The write blocks as the library of before made them. */
function installOld(reason: keyof typeof WRITE_BLOCK_MESSAGES): void {
  for (const event of EVENTS)
    sql.run(
      `CREATE TRIGGER "shardctl_guard_${event}_items" BEFORE ${event.toUpperCase()} ON "items" BEGIN SELECT RAISE(ABORT, '${WRITE_BLOCK_MESSAGES[reason]}'); END`,
    );
}

/** An object that is no member. */
function open(changes: Partial<Membership> = {}): Host {
  const layout = freshHashLayout("grp", 0, ["s-0", "s-1"]);
  const membership = {
    namespace: "ns",
    epoch: 1,
    layout,
    serving: false,
    retired: false,
    operation: 1,
    ended: 1,
    ...changes,
  };
  writeMembership(sql, membership);
  const runtime = {
    now: () => 0,
    sleep: () => Promise.resolve(),
    digest: () => Promise.resolve(""),
  };
  const platform = {
    self: "ns",
    identify: () => "mine" as const,
    idOf: String,
    storage,
    runtime,
    alone: runAlone,
    peers: null,
  };
  return new Host(platform, {}, { tables: [{ name: "items" }] });
}

describe("guards", () => {
  it("abort by what their row says, and only once they are armed", () => {
    sql.transaction(() => keepWriteBlocks(sql, ["items"]));
    setWriteBlock(sql, "notMember");
    sql.run("INSERT INTO items (id) VALUES ('by the constructor')");
    armWriteBlocks(sql);
    expect(() => sql.run(INSERT)).toThrow(WRITE_BLOCK_MESSAGES.notMember);
    expect(() => sql.run("UPDATE items SET grp = 'g'")).toThrow(WRITE_BLOCK_MESSAGES.notMember);
    expect(() => sql.run("DELETE FROM items")).toThrow(WRITE_BLOCK_MESSAGES.notMember);
    setWriteBlock(sql, "moving");
    expect(() => sql.run(INSERT)).toThrow(WRITE_BLOCK_MESSAGES.moving);
    setWriteBlock(sql, null);
    sql.run(INSERT);
    setWriteBlock(sql, "moving");
    storage.flush();
    storage.discard();
    sql.run("INSERT INTO items (id) VALUES ('in the next life')");
  });

  it("follow no table that was renamed, and come back on one that was rebuilt", () => {
    sql.transaction(() => keepWriteBlocks(sql, ["items"]));
    const before = triggersOf(sql);
    sql.run("ALTER TABLE items RENAME TO old");
    sql.run("CREATE TABLE items (id TEXT PRIMARY KEY, grp TEXT)");
    sql.transaction(() => keepWriteBlocks(sql, ["items"]));
    expect(triggersOf(sql)).toEqual(before);
    sql.run("DROP TABLE items");
    sql.run("CREATE TABLE items (id TEXT PRIMARY KEY)");
    sql.transaction(() => keepWriteBlocks(sql, ["items"]));
    expect(triggersOf(sql)).toEqual(before);
    sql.run("DELETE FROM old");
  });

  it("that are right are left as they are", () => {
    sql.transaction(() => keepWriteBlocks(sql, ["items"]));
    const rows = (): unknown =>
      sql.rows("SELECT rowid, name FROM sqlite_master WHERE type = 'trigger' ORDER BY rowid");
    const before = rows();
    sql.transaction(() => keepWriteBlocks(sql, ["items"]));
    expect(rows()).toEqual(before);
  });
});

describe("the engine's own writes", () => {
  const few = 3;
  const isBlocked = (): void => expect(() => sql.run(INSERT)).toThrow(/owns no part/);

  beforeEach(() => {
    keepWriteBlocks(sql, ["items"]);
    setWriteBlock(sql, "notMember");
    armWriteBlocks(sql);
  });

  it.each([few, 10_000])("pass, %i rows of them, and nobody else's do afterwards", (rows) => {
    const before = triggersOf(sql);
    const version = (): unknown => storage.peek("PRAGMA schema_version")[0]?.["schema_version"];
    const unchanged = version();
    withoutTriggers(sql, ["items"], () => sql.run(INSERT), rows);
    expect(sql.rows("SELECT id FROM items")).toHaveLength(1);
    expect(triggersOf(sql)).toStrictEqual(before);
    expect(version() === unchanged).toBe(rows === few);
    expect(() => sql.run("DELETE FROM items")).toThrow(/owns no part/);
  });

  it.each([few, 10_000])("leave the block as it was when they fail, of %i rows", (rows) => {
    const write = (): never => {
      sql.run(INSERT);
      throw new Error("failed");
    };
    expect(() => withoutTriggers(sql, ["items"], write, rows)).toThrow("failed");
    expect(sql.rows("SELECT id FROM items")).toHaveLength(0);
    isBlocked();
  });

  it("fire no trigger of the class, few as they are", () => {
    sql.run("CREATE TABLE seen (id TEXT)");
    sql.run("CREATE TRIGGER see AFTER INSERT ON ITEMS BEGIN INSERT INTO seen VALUES (NEW.id); END");
    withoutTriggers(sql, ["items"], () => sql.run(INSERT), few);
    expect(sql.rows("SELECT id FROM seen")).toHaveLength(0);
    sql.run("UPDATE shardctl_guard SET reason = ''");
    sql.run("INSERT INTO items (id) VALUES ('b')");
    expect(sql.rows("SELECT id FROM seen")).toHaveLength(1);
  });

  it("pass the write blocks of the library of before, few as they are", () => {
    removeWriteBlocks(sql);
    installOld("notMember");
    withoutTriggers(sql, ["items"], () => sql.run(INSERT), few);
    expect(sql.rows("SELECT id FROM items")).toHaveLength(1);
    expect(() => sql.run("DELETE FROM items")).toThrow(/owns no part/);
  });
});

describe("the library of before", () => {
  it("finds a number of guards that it takes for wrong, and puts up its own", () => {
    sql.transaction(() => keepWriteBlocks(sql, ["items"]));
    const found = triggersOf(sql).filter(({ name }) => name.startsWith("shardctl_guard_"));
    expect(found.length).not.toBe(EVENTS.length);
    // As its `installGuards` does.
    for (const { name } of found) sql.run(`DROP TRIGGER "${name}"`);
    installOld("notMember");
    expect(() => sql.run(INSERT)).toThrow(WRITE_BLOCK_MESSAGES.notMember);
  });

  it("leaves guards that would abort a constructor: they are lifted when the host is made, and new ones come when it has ended", () => {
    installOld("notMember");
    const host = open();
    expect(host.member.beginStart()).toBe(true);
    sql.run("INSERT INTO items (id) VALUES ('by the constructor')");
    void host.member.keepWriteBlocks();
    expect(() => sql.run(INSERT)).toThrow(WRITE_BLOCK_MESSAGES.notMember);
    const guards = triggersOf(sql).filter(({ name }) => name.startsWith("shardctl_guard_"));
    expect(guards.length).toBeGreaterThan(0);
    expect(guards.every((trigger) => trigger.sql.includes("shardctl_guard"))).toBe(true);
  });

  it("leaves the rows of a retired member where they are: they are deleted, as they were meant to be", () => {
    sql.run(INSERT);
    const host = open({ retired: true });
    void host.member.keepWriteBlocks();
    expect(sql.rows("SELECT * FROM items")).toHaveLength(1);
    host.member.empty(1);
    expect(sql.rows("SELECT * FROM items")).toEqual([]);
  });

  it("never wrote the row of the guards: it is made when the object starts", () => {
    installOld("moving");
    sql.run("DROP TABLE shardctl_guard");
    const host = open();
    sql.run("DROP TABLE IF EXISTS shardctl_guard");
    host.member.beginStart();
    void host.member.keepWriteBlocks();
    expect(() => sql.run(INSERT)).toThrow(WRITE_BLOCK_MESSAGES.notMember);
  });
});

describe("a member that owns nothing", () => {
  it("is armed again by every message, whatever its own code has set", () => {
    const host = open();
    void host.member.keepWriteBlocks();
    sql.run("PRAGMA legacy_alter_table = OFF");
    void host.member.keepWriteBlocks();
    expect(() => sql.run(INSERT)).toThrow(WRITE_BLOCK_MESSAGES.notMember);
  });

  it("keeps what a stray writer stored, when it is emptied and when it is to be a target", () => {
    const host = open();
    sql.run(INSERT);
    void host.member.keepWriteBlocks();
    host.member.empty(1);
    expect(sql.rows("SELECT id FROM items")).toEqual([{ id: "a" }]);
    const from = freshHashLayout("grp", 0, ["s-0", "s-1"]);
    const to = { kind: "none", generation: 1, members: ["ns"] } as const;
    const request = {
      kind: "prepare",
      operation: 2,
      epoch: 1,
      mode: "swap",
      from,
      to,
      allowMissingKey: true,
      rowsPerSecondMax: null,
    } as const;
    expect(() => host.member.prepare(request)).toThrow("already holds 1 rows that no layout names");
    removeWriteBlocks(sql);
  });
});
