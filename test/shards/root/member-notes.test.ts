/** The root's memory of its members, including members that do not answer. */
import { beforeEach, describe, expect, it } from "vitest";
import type { MemberStatus } from "../../../src/model/live.ts";
import { noteMembers } from "../../../src/shards/root/member-notes.ts";
import { ensureSchema } from "../../../src/shards/storage/schema.ts";
import { Sql } from "../../../src/shards/storage/storage.ts";
import type { SimStorage } from "../../sim/storage.ts";
import { openStorage } from "../support/node-storage.ts";

const HOUR = 3_600_000;
const FACTS = { library: "0.2.0", schema: "aa", storage: 5_000 };

let storage: SimStorage;
let sql: Sql;
beforeEach(() => {
  storage = openStorage();
  sql = new Sql(storage);
  ensureSchema(sql);
});

function status(name: string, facts: Partial<MemberStatus> = {}): MemberStatus {
  return { name, healthy: true, error: null, rows: 1, bytes: 1, responseMs: 1, ...facts };
}
const silent = (name: string): MemberStatus =>
  status(name, { healthy: false, error: "no answer", rows: 0, bytes: 0 });
const saidAt = (): number[] =>
  storage
    .peek("SELECT said_at FROM shardctl_members ORDER BY name")
    .map((row) => Number(row["said_at"]));

describe("noteMembers", () => {
  it("gives what a member last said when it does not answer, and when that was", () => {
    noteMembers(sql, [status("a", FACTS), status("b", FACTS)], 1_000);
    expect(noteMembers(sql, [status("a", FACTS), silent("b")], 2_000)).toEqual([
      status("a", FACTS),
      { ...silent("b"), ...FACTS, saidAt: 1_000 },
    ]);
  });

  it("says nothing of a member that never answered", () => {
    expect(noteMembers(sql, [silent("a")], 1_000)).toEqual([silent("a")]);
  });

  it("writes what has changed, and else once an hour: looking costs nothing", () => {
    noteMembers(sql, [status("a", FACTS)], 1_000);
    noteMembers(sql, [status("a", { ...FACTS, storage: 6_000 })], 2_000);
    expect(saidAt()).toEqual([1_000]);
    noteMembers(sql, [status("a", { ...FACTS, library: "0.3.0" })], 3_000);
    expect(saidAt()).toEqual([3_000]);
    noteMembers(sql, [status("a", { ...FACTS, library: "0.3.0" })], 3_000 + HOUR);
    expect(saidAt()).toEqual([3_000 + HOUR]);
  });

  it("forgets who is no member any more", () => {
    noteMembers(sql, [status("a", FACTS), status("b", FACTS)], 1_000);
    noteMembers(sql, [status("a", FACTS)], 2_000);
    expect(storage.peek("SELECT name FROM shardctl_members")).toEqual([{ name: "a" }]);
  });

  it("makes no table on an object that was never sharded", () => {
    const fresh = openStorage();
    expect(noteMembers(new Sql(fresh), [status("a", FACTS)], 1_000)).toEqual([status("a", FACTS)]);
    expect(fresh.peek("SELECT name FROM sqlite_master")).toEqual([]);
  });

  it("is still seen when no room is left", () => {
    storage.sql.exec("CREATE TABLE filler (content TEXT)");
    storage.flush();
    storage.peek(
      `PRAGMA max_page_count = ${Number(storage.peek("PRAGMA page_count")[0]?.["page_count"])}`,
    );
    const long = "x".repeat(20_000);
    expect(noteMembers(sql, [status("a", { ...FACTS, schema: long })], 1_000)).toHaveLength(1);
    expect(saidAt()).toEqual([]);
  });
});
