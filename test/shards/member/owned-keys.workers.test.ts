/**
 * Rows whose shard key their member does not own, and shard keys that change in place: refused in
 * the transaction, by whatever code they are written. What is allowed stays allowed, nothing is
 * written for it, and an insert bills no row more.
 */
import { env } from "cloudflare:workers";
import { beforeAll, describe, expect, it } from "vitest";

import { toKey } from "../../../src/model/layout/key.ts";
import type { KeyInput } from "../../../src/model/layout/key.ts";
import type { Layout, RangeLayout } from "../../../src/model/layout/layout.ts";
import { createOwnerLookup } from "../../../src/model/layout/owner-lookup.ts";
import { RefusedError, connect } from "../../../src/shards/router.ts";
import { sample, size } from "../../support/sample.ts";
import {
  type Cases,
  type Shop,
  type ShardsEnv,
  type Things,
  partitioners,
} from "../../support/shards-worker.ts";
import { DeployedNamespace, ITEMS, statements } from "../support/deploy.ts";
import { TestNamespace } from "../support/namespace.ts";

const { CASES, SHOP, THINGS } = env as unknown as ShardsEnv;
/** Writers must not go on for ever after a test that failed. */
const TURNS_MAX = size(5_000, 500);
const REGIONS = Array.from({ length: 40 }, (_, index) => `r${index}`);

/** Keys of each member, those of the first member first. */
function keysOf(layout: Layout, keys: readonly KeyInput[] = REGIONS): Map<string, KeyInput[]> {
  const owner = createOwnerLookup(layout, partitioners);
  const found = new Map<string, KeyInput[]>(layout.members.map((member) => [member, []]));
  for (const key of keys) found.get(owner(toKey(key)))?.push(key);
  return found;
}

/** Two keys of one member, and one of another. */
interface Keys {
  readonly member: string;
  readonly mine: string;
  readonly mineToo: string;
  readonly other: string;
  readonly otherMember: string;
}

function pick(layout: Layout, keys?: readonly string[]): Keys {
  const [first, second] = [...keysOf(layout, keys)].filter(([, owned]) => owned.length > 1);
  if (!first || !second) throw new Error("Too few keys");
  const [mine, mineToo] = first[1] as string[];
  return {
    member: first[0],
    mine: mine ?? "",
    mineToo: mineToo ?? "",
    other: String(second[1][0]),
    otherMember: second[0],
  };
}

async function refusal(call: Promise<unknown>): Promise<RefusedError["reason"]> {
  const error = await call.then(
    () => new Error("nothing was refused"),
    (thrown: unknown) => thrown,
  );
  if (error instanceof RefusedError) return error.reason;
  throw error;
}

/**
 * Returns the outcome of a write by code that is no routed call. @throws what else it was refused
 * for.
 */
async function outcome(write: Promise<unknown>): Promise<"stored" | "refused"> {
  try {
    await write;
    return "stored";
  } catch (error) {
    if (String(error).includes("shardctl: wrong key: table ")) return "refused";
    throw error;
  }
}

describe("writers 2: by hash, of a table with", () => {
  const namespace = new TestNamespace<Cases>(CASES, "keys~hash");
  const router = connect<Cases>(CASES, "keys~hash");
  let keys: Keys;

  beforeAll(async () => {
    const values = REGIONS.map((region, index) => `('seed-${index}', '${region}')`).join(", ");
    await namespace.sql(namespace.name, `INSERT INTO items (id, region) VALUES ${values}`);
    await namespace.toHash("region", 4);
    keys = pick((await namespace.live()).layout);
    for (const region of REGIONS)
      await router.at(region).write("INSERT INTO areas (region) VALUES (?)", region);
  });

  const insert = (
    statement: string,
    ...params: string[]
  ): [string, (k: Keys) => [string, ...string[]]] => [
    statement,
    (k) => [statement.replaceAll("$other", k.other).replaceAll("$mine", k.mine), ...params],
  ];

  it.each([
    insert("INSERT INTO items (id, region) VALUES ('x', '$other')"),
    insert("INSERT OR IGNORE INTO items (id, region) VALUES ('x', '$other')"),
    insert("INSERT OR REPLACE INTO items (id, region) VALUES ('x', '$other')"),
    insert("INSERT INTO items (id, region) VALUES ('y', '$mine'), ('x', '$other')"),
    insert("INSERT INTO items (id, region) SELECT 'x', '$other'"),
    insert("INSERT INTO pairs (region, n) VALUES ('$other', 1)"),
    insert("INSERT INTO papers (id, doc) VALUES ('x', json_object('region', '$other'))"),
    insert("INSERT INTO anything (id, region) VALUES ('x', '$other')"),
    insert("INSERT INTO posts (id, region) VALUES ('x', '$other')"),
    insert("INSERT INTO wishes (id, region) VALUES ('x', '$other')"),
  ])("the key of another member: %s", async (_, statement) => {
    const areas = "INSERT OR IGNORE INTO areas (region) VALUES (?)";
    await router.at(keys.mine).write(areas, keys.other);
    const reason = await refusal(router.at(keys.mine).write(...statement(keys)));
    expect(reason).toMatchObject({ kind: "wrongKey", retryable: false });
    expect(reason.message).toContain(`'${keys.other}' (of ${keys.otherMember})`);
    expect(reason.message).toMatch(/table (items|pairs|papers|anything|posts): /);
    for (const table of ["items", "pairs", "papers", "anything", "posts", "wishes"])
      expect(
        await namespace.sql(
          keys.member,
          `SELECT * FROM ${table} WHERE ${table === "pairs" ? "n = 1" : "id IN ('x', 'y')"}`,
        ),
      ).toEqual([]);
  });

  it.each([
    insert("UPDATE items SET region = '$other' WHERE id = 'old'"),
    insert("UPDATE items SET region = upper('$mine') WHERE id = 'old'"),
    insert("UPDATE items SET region = NULL WHERE id = 'old'"),
    insert(
      "INSERT INTO items (id, region) VALUES ('old', '$mine') ON CONFLICT (id) DO UPDATE SET region = '$other'",
    ),
    insert("UPDATE pairs SET region = '$other' WHERE n = 7"),
    insert("UPDATE papers SET doc = json_set(doc, '$.region', '$other')"),
    insert("UPDATE papers SET doc = 'no json'"),
    insert("UPDATE areas SET region = 'elsewhere' WHERE region = '$mine'"),
    insert("DELETE FROM areas WHERE region = '$mine'"),
  ])("a key that changes in place: %s", async (_, statement) => {
    const { mine, member } = keys;
    await router
      .at(mine)
      .write("INSERT OR REPLACE INTO items (id, region) VALUES ('old', ?)", mine);
    await router.at(mine).write("INSERT OR REPLACE INTO pairs (region, n) VALUES (?, 7)", mine);
    await router
      .at(mine)
      .write(
        "INSERT OR REPLACE INTO papers (id, doc) VALUES ('old', json_object('region', ?))",
        mine,
      );
    await router
      .at(mine)
      .write("INSERT OR REPLACE INTO posts (id, region) VALUES ('old', ?)", mine);
    const before = await Promise.all(
      ["items", "pairs", "papers", "posts", "areas"].map((table) =>
        namespace.exactRows(member, table),
      ),
    );
    const reason = await refusal(router.at(mine).write(...statement(keys)));
    expect(reason).toMatchObject({ kind: "wrongKey", retryable: false });
    expect(reason.message).toContain(`from '${mine}' to `);
    const after = await Promise.all(
      ["items", "pairs", "papers", "posts", "areas"].map((table) =>
        namespace.exactRows(member, table),
      ),
    );
    expect(after).toEqual(before);
  });

  it("what one member owns is written together, and updated, upserted and replaced", async () => {
    const { mine, mineToo, member } = keys;
    await router
      .at(mine)
      .write("INSERT INTO items (id, region) VALUES ('a', ?), ('b', ?)", mine, mineToo);
    await router
      .at(mine)
      .write(
        "INSERT INTO items (id, region) VALUES ('a', ?) ON CONFLICT (id) DO UPDATE SET n = n + 1",
        mineToo,
      );
    await router.at(mine).write("INSERT OR REPLACE INTO items (id, region) VALUES ('b', ?)", mine);
    await router.at(mine).write("UPDATE items SET region = region, n = 9 WHERE id = 'a'");
    await router.at(mine).write("INSERT INTO notes (id, item_id) VALUES ('n', 'a')");
    expect(
      await namespace.sql(
        member,
        "SELECT id, region, n FROM items WHERE id IN ('a', 'b') ORDER BY id",
      ),
    ).toEqual([
      { id: "a", region: mine, n: 9 },
      { id: "b", region: mine, n: 0 },
    ]);
  });

  it("hash tags, numbers and texts that read the same, and NULL", async () => {
    const layout = (await namespace.live()).layout;
    const tagged = `{${keys.mine}}-tagged`;
    await router
      .at(keys.mine)
      .write("INSERT INTO anything (id, region) VALUES ('tagged', ?)", tagged);
    for (const key of [7, -12345678, 0.5, "7", "", null, "ключ", new Uint8Array([0, 255]).buffer]) {
      const asKey = key instanceof ArrayBuffer ? new Uint8Array(key) : key;
      const owner = createOwnerLookup(layout)(toKey(asKey));
      const write = (at: string): Promise<unknown> =>
        namespace.inside(at, (object) =>
          object.write("INSERT OR REPLACE INTO anything (id, region) VALUES ('typed', ?)", key),
        );
      await write(owner);
      const stranger = layout.members.find((member) => member !== owner) ?? "";
      // SQL does not make the text of 0.5 as JavaScript does: such a key is taken anywhere.
      expect(await outcome(write(stranger)), typeof key).toBe(key === 0.5 ? "stored" : "refused");
      for (const member of layout.members)
        await namespace.sql(member, "DELETE FROM anything WHERE id = 'typed'");
    }
    const sevens = createOwnerLookup(layout)(toKey(7));
    await namespace.sql(sevens, "INSERT INTO anything (id, region) VALUES ('seven', 7)");
    await namespace.sql(sevens, "UPDATE anything SET region = '7' WHERE id = 'seven'");
  });

  it("a direct writer is told by the trigger itself, and its transaction is rolled back", async () => {
    await namespace.inside(keys.member, (_, { storage }) => {
      const both = (): void =>
        storage.transactionSync(() => {
          storage.sql.exec("INSERT INTO items (id, region) VALUES ('first', ?)", keys.mine);
          storage.sql.exec("INSERT INTO items (id, region) VALUES ('second', ?)", keys.other);
        });
      expect(both).toThrow(
        `shardctl: wrong key: table items: this member does not own the shard key of the new row, '${keys.other}'`,
      );
      expect(
        storage.sql.exec("SELECT id FROM items WHERE id IN ('first', 'second')").toArray(),
      ).toEqual([]);
    });
  });

  it("callAll names the members that it may have run on", async () => {
    const call = router.callAll(
      "write",
      "INSERT INTO items (id, region) VALUES ('everywhere', ?)",
      keys.mine,
    );
    await expect(call).rejects.toThrow(/'write' has run on .*, perhaps also on .*wrong key/);
    const rows = await Promise.all(
      (await namespace.live()).layout.members.map((member) =>
        namespace.sql(member, "SELECT id FROM items WHERE id = 'everywhere'"),
      ),
    );
    expect(rows.flat()).toHaveLength(1);
    await router.at(keys.mine).write("DELETE FROM items WHERE id = 'everywhere'");
  });

  it("an insert bills no row more, and a routed read writes nothing", async () => {
    const billed = await namespace.inside(keys.member, (_, { storage: { sql } }) => {
      sql.exec(
        "CREATE TABLE free_items (id TEXT PRIMARY KEY, region TEXT COLLATE NOCASE, n INTEGER NOT NULL DEFAULT 0)",
      );
      const count = (table: string): number => {
        const cursor = sql.exec(
          `INSERT INTO ${table} (id, region) VALUES ('billed', ?)`,
          keys.mine,
        );
        return cursor.rowsWritten;
      };
      const both = [count("free_items"), count("items")];
      sql.exec("DROP TABLE free_items");
      return both;
    });
    expect(billed[1]).toBe(billed[0]);
    const changes = (): Promise<number> =>
      namespace.inside(keys.member, (_, { storage: { sql } }) =>
        Number(sql.exec("SELECT total_changes() AS n").one()["n"]),
      );
    const before = await changes();
    await router.queryShards({ query: "SELECT * FROM items", aggregation: "concat" });
    await router.at(keys.mine).write("UPDATE items SET n = 1 WHERE 0");
    expect(await changes()).toBe(before);
  });

  it("a table that was rebuilt is checked again from the next start on", async () => {
    const stray = "INSERT INTO anything (id, region) VALUES ('x', ?)";
    await namespace.inside(keys.member, (_, { storage: { sql } }) => {
      sql.exec("CREATE TABLE new_anything (id TEXT PRIMARY KEY, region, more TEXT)");
      sql.exec("INSERT INTO new_anything (id, region) SELECT id, region FROM anything");
      sql.exec("DROP TABLE anything");
      sql.exec("ALTER TABLE new_anything RENAME TO anything");
    });
    await namespace.abort(keys.member);
    expect((await refusal(router.at(keys.mine).write(stray, keys.other))).kind).toBe("wrongKey");
    await namespace.sql(keys.member, "ALTER TABLE anything RENAME COLUMN more TO most");
    await namespace.sql(keys.member, "ALTER TABLE anything ADD COLUMN further");
    expect((await refusal(router.at(keys.mine).write(stray, keys.other))).kind).toBe("wrongKey");
  });
});

describe("writers 2: a key that other statements of the class lead to", () => {
  it.each<[string, string, string]>([
    [
      "a trigger that changes the key of a new row",
      "CREATE TRIGGER leads AFTER INSERT ON items WHEN NEW.id = 'x' BEGIN UPDATE items SET region = '$other' WHERE id = NEW.id; END",
      "INSERT INTO items (id, region) VALUES ('x', '$mine')",
    ],
    [
      "a trigger of an undeclared table that inserts",
      "CREATE TABLE inbox (id TEXT, region TEXT); CREATE TRIGGER leads AFTER INSERT ON inbox BEGIN INSERT INTO items (id, region) VALUES (NEW.id, NEW.region); END",
      "INSERT INTO inbox VALUES ('x', '$other')",
    ],
    [
      "a view whose trigger inserts",
      "CREATE VIEW shown AS SELECT id, region FROM items; CREATE TRIGGER leads INSTEAD OF INSERT ON shown BEGIN INSERT INTO items (id, region) VALUES (NEW.id, NEW.region); END",
      "INSERT INTO shown VALUES ('x', '$other')",
    ],
    [
      "a view whose trigger updates",
      "CREATE VIEW shown AS SELECT id, region FROM items; CREATE TRIGGER leads INSTEAD OF UPDATE ON shown BEGIN UPDATE items SET region = NEW.region WHERE id = OLD.id; END",
      "UPDATE shown SET region = '$other' WHERE id = 'old'",
    ],
    [
      "an update from another table",
      "CREATE TABLE moves (id TEXT, region TEXT); INSERT INTO moves VALUES ('old', '$other')",
      "UPDATE items SET region = moves.region FROM moves WHERE moves.id = items.id",
    ],
    [
      "an update of the key that another constraint replaces rows for",
      "CREATE UNIQUE INDEX one_n ON items (n) WHERE n > 100",
      "UPDATE OR REPLACE items SET region = '$other', n = 101 WHERE id = 'old'",
    ],
    [
      "an upsert from a select",
      "CREATE TABLE moves (id TEXT, region TEXT); INSERT INTO moves VALUES ('old', '$other')",
      "INSERT INTO items (id, region) SELECT id, '$mine' FROM moves WHERE true ON CONFLICT (id) DO UPDATE SET region = (SELECT region FROM moves)",
    ],
    [
      "a write of a CTE that returns",
      "SELECT 1",
      "WITH a (id, region) AS (VALUES ('x', '$other')) INSERT INTO items (id, region) SELECT * FROM a RETURNING id",
    ],
    [
      "the same key in another case",
      "SELECT 1",
      "UPDATE items SET region = upper(region) WHERE id = 'old'",
    ],
    [
      "a key that becomes bytes",
      "SELECT 1",
      "UPDATE items SET region = CAST(region AS BLOB) WHERE id = 'old'",
    ],
  ])("%s is refused, and nothing is written", async (what, schema, statement) => {
    const name = `keys~hash-led-${what.replaceAll(/\W/g, "-")}`;
    const namespace = new TestNamespace<Cases>(CASES, name);
    const router = connect<Cases>(CASES, name);
    const values = REGIONS.map((region, index) => `('seed-${index}', '${region}')`).join(", ");
    await namespace.sql(name, `INSERT INTO items (id, region) VALUES ${values}`);
    await namespace.toHash("region", 3);
    const { mine, other, member } = pick((await namespace.live()).layout);
    const fit = (text: string): string =>
      text.replaceAll("$other", other).replaceAll("$mine", mine);
    await router.at(mine).write("INSERT INTO items (id, region) VALUES ('old', ?)", mine);
    await namespace.sql(member, fit(schema));
    const before = await namespace.exactRows(member, "items");
    const reason = await refusal(router.at(mine).write(fit(statement)));
    expect(reason).toMatchObject({ kind: "wrongKey", retryable: false });
    expect(await namespace.exactRows(member, "items")).toEqual(before);
  });
});

describe("writers 2: a constructor", () => {
  it("writes what it likes at every start of a member", async () => {
    for (const order of ["field", "after"] as const) {
      const namespace = new DeployedNamespace(`keys-${order}`, order, statements(ITEMS));
      await namespace.load(20);
      await namespace.toHash("region", 3);
      const { members } = (await namespace.live()).layout;
      const seed = statements(
        ITEMS,
        "INSERT OR IGNORE INTO items (id, region) VALUES ('seed', 'r1')",
        "UPDATE items SET region = 'r2' WHERE id = 'seed'",
      );
      await namespace.deploy(seed, members);
      for (const member of members) {
        expect(await namespace.sql(member, "SELECT region FROM items WHERE id = 'seed'")).toEqual([
          { region: "r2" },
        ]);
        await expect(
          namespace.sql(member, "UPDATE items SET region = 'r3' WHERE id = 'seed'"),
        ).rejects.toThrow("shardctl: wrong key");
      }
    }
  });
});

describe("writers 2: by range, custom and by no key", () => {
  const rangeTo = (name: string, generation: number): RangeLayout => ({
    kind: "range",
    shardKey: "region",
    generation,
    members: [0, 1, 2].map((index) => `${name}-g${generation}-shard-${index}`.replace("-g0", "")),
    ranges: [
      { end: toKey(100), member: "" },
      { end: toKey("m"), member: "" },
      { end: null, member: "" },
    ],
  });

  it("a range takes the keys between its bounds, by storage class and bytes", async () => {
    const namespace = new TestNamespace<Cases>(CASES, "keys~range");
    const router = connect<Cases>(CASES, namespace.name);
    await namespace.sql(
      namespace.name,
      "INSERT INTO items (id, region) VALUES ('a', 'a'), ('z', 'z')",
    );
    const layout = rangeTo(namespace.name, 1);
    const to: RangeLayout = {
      ...layout,
      ranges: layout.ranges.map((range, index) => ({
        ...range,
        member: layout.members[index] ?? "",
      })),
    };
    await namespace.run("shard", to);
    const owner = createOwnerLookup(to);
    for (const key of [
      null,
      -5,
      99.5,
      100,
      1e300,
      "",
      "5",
      "M",
      "m",
      "l\u{10ffff}",
      "zz",
      new Uint8Array([1]).buffer,
    ]) {
      const asKey = key instanceof ArrayBuffer ? new Uint8Array(key) : key;
      const mine = owner(toKey(asKey));
      for (const member of to.members) {
        const write = namespace.inside(member, (object) =>
          object.write("INSERT OR REPLACE INTO anything (id, region) VALUES ('k', ?)", key),
        );
        expect(await outcome(write), `${toKey(asKey).text} at ${member}`).toBe(
          member === mine ? "stored" : "refused",
        );
      }
    }
    const reason = await refusal(
      router.at("a").write("UPDATE items SET region = 'b' WHERE id = 'a'"),
    );
    expect(reason.message).toContain(`from 'a' to 'b'`);
    // Bytes, not the collation of the column.
    await refusal(router.at("z").write("INSERT INTO items (id, region) VALUES ('upper', 'Z')"));
  });

  it("a partitioner is not asked for a new row, but no key changes in place", async () => {
    const namespace = new TestNamespace<Cases>(CASES, "keys~custom");
    const router = connect<Cases>(CASES, namespace.name, { partitioners });
    await namespace.sql(
      namespace.name,
      "INSERT INTO items (id, region) VALUES ('a', 'eu-1'), ('z', 'us-1')",
    );
    const members = [0, 1].map((index) => `${namespace.name}-shard-${index}`);
    const to: Layout = {
      kind: "custom",
      shardKey: "region",
      generation: 0,
      members,
      partitioner: { name: "byRegion", version: 1 },
    };
    await namespace.run("shard", to);
    await router.at("eu-1").write("INSERT INTO items (id, region) VALUES ('b', 'eu-2')");
    const reason = await refusal(
      router.at("eu-1").write("UPDATE items SET region = 'us-2' WHERE id = 'a'"),
    );
    expect(reason.kind).toBe("wrongKey");
  });

  it("an object that is not sharded, before and after, refuses nothing", async () => {
    const namespace = new TestNamespace<Cases>(CASES, "keys~none");
    const router = connect<Cases>(CASES, namespace.name);
    const change = async (): Promise<void> => {
      await router.at("any").write("INSERT OR REPLACE INTO items (id, region) VALUES ('a', 'r1')");
      await router.at("any").write("UPDATE items SET region = 'r2' WHERE id = 'a'");
    };
    await change();
    await namespace.toHash("region", 2);
    await namespace.unshard();
    await change();
    const triggers =
      "SELECT name FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'shardctl%' AND tbl_name NOT LIKE 'shardctl%'";
    expect(await namespace.sql((await namespace.live()).layout.members[0] ?? "", triggers)).toEqual(
      [],
    );
  });
});

describe("writers 2: during an operation", () => {
  it("each member refuses by what it owns now, in every step, and owns what it got after it", async () => {
    const namespace = new TestNamespace<Cases>(CASES, "keys~moving");
    const router = connect<Cases>(CASES, namespace.name);
    const values = REGIONS.map((region, index) => `('seed-${index}', '${region}')`).join(", ");
    await namespace.sql(namespace.name, `INSERT INTO items (id, region) VALUES ${values}`);
    await namespace.toHash("region", 2);
    const state = { isStopped: false };
    let refused = 0;
    const members = new Set<string>();
    const write = async (turn: number): Promise<void> => {
      const { layout } = await router.layout();
      const key = REGIONS[turn % REGIONS.length] ?? "";
      const other = REGIONS.find(
        (region) =>
          createOwnerLookup(layout)(toKey(region)) !== createOwnerLookup(layout)(toKey(key)),
      );
      await router.at(key).write("INSERT INTO items (id, region) VALUES (?, ?)", `w${turn}`, key);
      const reason = await refusal(
        router.at(key).write("UPDATE items SET region = ? WHERE id = ?", other ?? "", `w${turn}`),
      );
      expect(reason.kind).toBe("wrongKey");
      refused++;
    };
    let turns = 0;
    const writers = Promise.all(
      [0, 1, 2].map(async () => {
        while (!state.isStopped && turns < TURNS_MAX) await write(turns++);
      }),
    );
    try {
      for (const count of sample([4, 3, 5], 1)) await namespace.toHash("region", count);
    } finally {
      state.isStopped = true;
    }
    await writers;
    const { layout } = await namespace.live();
    for (const member of layout.members) members.add(member);
    const owner = createOwnerLookup(layout);
    for (const member of layout.members) {
      const rows = await namespace.sql(member, "SELECT region FROM items");
      expect(rows.filter(({ region }) => owner(toKey(region as string)) !== member)).toEqual([]);
    }
    expect(await namespace.contents("items")).toHaveLength(REGIONS.length + turns);
    expect(refused).toBe(turns);
    // Every member refuses by the last layout.
    for (const [index, region] of REGIONS.entries()) {
      for (const member of members) {
        const put = namespace.sql(
          member,
          "INSERT INTO items (id, region) VALUES (?, ?)",
          `last-${index}`,
          region,
        );
        expect(await outcome(put)).toBe(owner(toKey(region)) === member ? "stored" : "refused");
      }
    }
    await namespace.unshard();
    expect(await namespace.contents("items")).toHaveLength(2 * REGIONS.length + turns);
    expect(await namespace.leftovers()).toEqual([]);
  });
});

describe("writers 2: what was found", () => {
  it("a routed update moves no row out of reach, and an insert by the wrong key is not stored", async () => {
    const namespace = new TestNamespace<Shop>(SHOP, "shop-owners");
    const router = connect<Shop>(SHOP, namespace.name);
    for (let id = 0; id < 8; id++)
      await router.at("c1").addOrder({ id, customer: `c${id}`, total: 1, lines: ["x"] });
    await namespace.toHash("customer_id", 4);
    const owner = createOwnerLookup((await namespace.live()).layout);
    const strangers = Array.from({ length: 60 }, (_, index) => `n${index}`).filter(
      (key) => owner(toKey(key)) !== owner(toKey("wrong")),
    );
    const wrong = strangers.slice(0, 8);
    const before = Date.now();
    for (const [index, customer] of wrong.entries()) {
      const order = { id: 100 + index, customer, total: 1, lines: ["x"] };
      expect((await refusal(router.at("wrong").addOrder(order))).message).toContain(
        `'${customer}' (of ${owner(toKey(customer))})`,
      );
      await router.at(customer).addOrder(order);
    }
    // A look tells it, so that rows that were written so before are looked for.
    const { members } = await namespace.ask({ kind: "describe", object: "SHOP" });
    const refusedAt = new Map(members.map(({ name, refusedWriteAt }) => [name, refusedWriteAt]));
    expect(refusedAt.get(owner(toKey("wrong")))).toBeGreaterThanOrEqual(before);
    expect([...refusedAt.values()].filter((at) => at !== undefined)).toHaveLength(1);
    await namespace.unshard();
    expect(await namespace.contents("orders")).toHaveLength(16);
  });

  it("things are put, changed and related as before", async () => {
    const namespace = new TestNamespace<Things>(THINGS, "things-keys");
    const put = async (ids: readonly string[]): Promise<void> => {
      for (const id of ids)
        await namespace.inside(namespace.name, (object) =>
          object.put({ id, type: "t", data: { country: `c${id.length % 3}` } }),
        );
    };
    await put(["a", "bb", "ccc"]);
    await namespace.toHash("data.country", 3);
    await put(["a", "dddd", "eeeee"]);
    expect(await namespace.contents("things")).toHaveLength(5);
  });
});
