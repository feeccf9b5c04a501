import { describe, expect, it } from "vitest";

import type { HashLayout } from "../../../src/model/layout/layout.ts";
import { createOwnerLookup } from "../../../src/model/layout/owner-lookup.ts";
import { toKey } from "../../../src/model/layout/key.ts";
import { SLOT_COUNT } from "../../../src/model/layout/slots.ts";
import type { MemberOptions } from "../../../src/shards/member/member-state.ts";
import { Member } from "../../../src/shards/member/member.ts";
import type { KeyChecks } from "../../../src/shards/member/owned-keys.ts";
import { explainWrongKey } from "../../../src/shards/member/wrong-key.ts";
import { Sql } from "../../../src/shards/storage/storage.ts";
import { openSql, openStorage, runAlone } from "../support/node-storage.ts";

const [SELF, OTHER] = ["orders-g1-shard-0", "orders-g1-shard-1"] as const;
const LAYOUT: HashLayout = {
  kind: "hash",
  shardKey: "id",
  generation: 1,
  members: [SELF, OTHER],
  ranges: [
    { end: 8_000, member: SELF },
    { end: SLOT_COUNT, member: OTHER },
  ],
};
const owner = createOwnerLookup(LAYOUT);
const IDS = Array.from({ length: 50 }, (_, index) => `id-${index}`);
const MINE = IDS.filter((id) => owner(toKey(id)) === SELF);
const STRAY = IDS.find((id) => owner(toKey(id)) === OTHER) ?? "";

function optionsOf(sql: Sql, checkKeys?: KeyChecks): MemberOptions {
  return {
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
    checkKeys,
    ask: () => Promise.reject(new Error("Nobody is to be asked")),
  };
}

/** A member that has started and serves. */
function open(checkKeys?: KeyChecks, sql = openSql()): Member {
  sql.run("CREATE TABLE orders (id TEXT PRIMARY KEY, n INTEGER)");
  const member = new Member(optionsOf(sql, checkKeys));
  member.belongTo("orders", true);
  member.mend({ kind: "mend", epoch: 1, layout: LAYOUT, endedUpTo: 1, known: null });
  void member.keepWriteBlocks();
  return member;
}

/** Returns the reason that a write was refused for; "" when it was not. */
function refusal(
  { sql }: { readonly sql: Sql },
  statement: string,
  ...params: readonly string[]
): string {
  try {
    sql.run(statement, ...params).toArray();
    return "";
  } catch (error) {
    return String(error);
  }
}

const INSERT = "INSERT INTO orders (id) VALUES (?)";
const CHANGE = "UPDATE orders SET id = ?";

describe("writers 2: the option checkKeys", () => {
  it.each([
    [undefined, true, true],
    ["all", true, true],
    ["changes", false, true],
    ["none", false, false],
  ] as const)("%s refuses strays: %s, changes: %s", (checkKeys, strays, changes) => {
    const member = open(checkKeys);
    expect(refusal(member, INSERT, MINE[0] ?? "")).toBe("");
    expect(refusal(member, INSERT, STRAY).includes("wrong key")).toBe(strays);
    member.sql.run("DELETE FROM orders WHERE id <> ?", MINE[0] ?? "");
    expect(refusal(member, CHANGE, MINE[1] ?? "").includes("wrong key")).toBe(changes);
    expect(refusal(member, "UPDATE orders SET n = 1, id = id")).toBe("");
  });
});

describe("writers 2: the notes of what is owned", () => {
  it("count only for the epoch that they were made at: an older library makes none", () => {
    const member = open();
    expect(refusal(member, INSERT, STRAY)).toContain("wrong key");
    member.sql.run(
      "UPDATE shardctl_meta SET value = json_set(value, '$.epoch', 2) WHERE key = 'membership'",
    );
    expect(refusal(member, INSERT, STRAY)).toBe("");
  });

  it("are written anew only where something has changed, and follow the layout", () => {
    const member = open();
    const changes = (): number => Number(member.sql.first("SELECT total_changes() AS n")?.["n"]);
    const before = changes();
    void member.keepWriteBlocks();
    expect(changes()).toBe(before);
    member.mend({
      kind: "mend",
      epoch: 2,
      layout: { ...LAYOUT, ranges: [{ end: SLOT_COUNT, member: SELF }] },
      endedUpTo: 1,
      known: null,
    });
    expect(IDS.map((id) => refusal(member, INSERT, id))).toEqual(IDS.map(() => ""));
  });
});

describe("writers 2: a full object", () => {
  it("starts, and goes by no notes of another epoch, where there is no room for new ones", () => {
    const storage = openStorage();
    const { sql } = open("all", new Sql(storage));
    // As a library leaves it that knows of no notes, and serves more by now.
    sql.run(
      "UPDATE shardctl_meta SET value = json_set(value, '$.epoch', 2) WHERE key = 'membership'",
    );
    sql.run("DELETE FROM shardctl_owned");
    sql.run("CREATE TABLE filler (bytes BLOB NOT NULL)");
    storage.limit(storage.pages);
    const fill = "INSERT OR ABORT INTO filler SELECT zeroblob(3000) FROM json_each('[1]')";
    while (refusal({ sql }, fill) === "");
    const [kept] = sql.rows("SELECT count(*) AS n FROM filler");
    const again = new Member(optionsOf(sql));
    expect(again.beginStart()).toBe(true);
    void again.keepWriteBlocks();
    expect(again.membership).toMatchObject({ epoch: 2, ownedEpoch: 1 });
    expect(refusal(again, INSERT, STRAY)).toBe("");
    // Its storage has come to no harm.
    expect(sql.rows("SELECT count(*) AS n FROM filler")).toEqual([kept]);
    storage.limit(null);
    const later = new Member(optionsOf(sql));
    later.beginStart();
    void later.keepWriteBlocks();
    expect(later.membership).toMatchObject({ ownedEpoch: 2 });
    expect(
      refusal(
        later,
        "INSERT INTO orders (id) VALUES (?)",
        IDS.findLast((id) => owner(toKey(id)) === OTHER) ?? "",
      ),
    ).toContain("wrong key");
  });
});

describe("writers 2: what a caller is told", () => {
  const told = (message: string, cause?: Error): string | undefined =>
    explainWrongKey(cause ? new Error("Failed query", { cause }) : new Error(message), owner)
      ?.reason.message;

  it.each([STRAY, "it's", "", "two\nlines, '' and : nothing was written"])(
    "names the owner of %j",
    (key) => {
      const member = open();
      member.sql.run("DROP TRIGGER shardctl_owned_insert_orders");
      member.sql.run(INSERT, MINE[0] ?? "");
      const message = told(refusal(member, CHANGE, key));
      expect(message).toContain(
        `to '${key.replaceAll("'", "''")}' (of ${owner(toKey(key))}): nothing was written`,
      );
      expect(told("", new Error(refusal(member, CHANGE, key)))).toBe(message);
    },
  );

  it("names no long key, and leaves every other error alone", () => {
    const member = open();
    const long =
      Array.from({ length: 99 }, (_, index) => `${"x".repeat(300)}${index}`).find(
        (key) => owner(toKey(key)) === OTHER,
      ) ?? "";
    expect(told(refusal(member, INSERT, long))).toContain(
      `a key of ${long.length} bytes: nothing was written`,
    );
    expect(told("UNIQUE constraint failed")).toBeUndefined();
    expect(explainWrongKey("shardctl: wrong key: thrown as a text", owner)).toBeNull();
  });
});
