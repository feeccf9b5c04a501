/**
 * A user's own tables: foreign keys, cascades, triggers, unique indexes and generated columns move
 * and stay true.
 */
import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";

import { connect } from "../../../src/shards/router.ts";
import type { Cases, Shop, ShardsEnv } from "../../support/shards-worker.ts";
import { refusal } from "../../support/refusal.ts";
import { TestNamespace } from "../support/namespace.ts";

const { CASES, SHOP } = env as unknown as ShardsEnv;
const CUSTOMERS = 12;

function openCase(name: string): TestNamespace<Cases> {
  return new TestNamespace(CASES, name);
}

async function openShop(name: string): Promise<TestNamespace<Shop>> {
  const shop = new TestNamespace(SHOP, name);
  await shop.inside(name, (object, { storage: { sql } }) => {
    for (let id = 0; id < CUSTOMERS * 5; id++) {
      object.addOrder({
        id,
        customer: `customer-${id % CUSTOMERS}`,
        total: id + 0.25,
        lines: ["a", "b", "c"].slice(id % 3),
      });
    }
    sql.exec("UPDATE orders SET reference = 'ref-' || id WHERE id % 5 < 3");
    sql.exec("UPDATE order_lines SET payload = x'00ff' WHERE line = 1");
  });
  return shop;
}

const SHOP_TABLES = ["customers", "orders", "order_lines"];

async function rowsOf(
  namespace: TestNamespace<never>,
  tables: readonly string[],
): Promise<string[]> {
  const perTable = await Promise.all(
    tables.map(async (table) => (await namespace.contents(table)).map((row) => `${table} ${row}`)),
  );
  return perTable.flat();
}

/** Rows of the shop that are not on the member of the row they belong to. */
async function strays(shop: TestNamespace<Shop>): Promise<unknown[]> {
  const { layout } = await shop.live();
  const found = await Promise.all(
    layout.members.flatMap((member) => [
      shop.sql(member, "SELECT id FROM orders WHERE customer_id NOT IN (SELECT id FROM customers)"),
      shop.sql(
        member,
        "SELECT order_id FROM order_lines WHERE order_id NOT IN (SELECT id FROM orders)",
      ),
      shop.sql(member, "PRAGMA foreign_key_check"),
    ]),
  );
  return found.flat();
}

describe("a shop of customers, orders and lines", { timeout: 60_000 }, () => {
  it("moves whole families through every operation, and the user's triggers see nothing of it", async () => {
    const shop = await openShop("shop");
    const before = await rowsOf(shop as never, SHOP_TABLES);
    const steps = [
      () => shop.toHash("customer_id", 3),
      () => shop.toHash("customer_id", 5, { waveRowsMax: 20 }),
      () => shop.toHash("customer_id", 2),
      () => shop.unshard(),
    ];
    for (const step of steps) {
      await step();
      expect(await rowsOf(shop as never, SHOP_TABLES)).toEqual(before);
      expect(await strays(shop)).toEqual([]);
      expect(await shop.leftovers()).toEqual([]);
    }
    expect(await shop.sql("shop", "SELECT count(*) AS n FROM audit")).toEqual([
      { n: CUSTOMERS * 5 },
    ]);
    for (const index of [0, 1, 2, 3, 4])
      expect(await shop.sql(`shop-shard-${index}`, "SELECT count(*) AS n FROM audit")).toEqual([
        { n: 0 },
      ]);
  });

  it("keeps triggers, indexes, cascades and generated columns at work on the shards", async () => {
    const shop = await openShop("working");
    await shop.toHash("customer_id", 3);
    await shop.toHash("customer_id", 4);
    const router = connect<Shop>(SHOP, "working");
    await router
      .at("customer-3")
      .addOrder({ id: 1000, customer: "customer-3", total: 1.5, lines: ["x", "y"] });
    expect(await router.at("customer-3").ordersOf("customer-3")).toEqual([3, 15, 27, 39, 51, 1000]);
    const { layout } = await shop.live();
    const holders = [];
    for (const member of layout.members)
      if ((await shop.sql(member, "SELECT 1 FROM orders WHERE id = 1000")).length > 0)
        holders.push(member);
    expect(holders).toHaveLength(1);
    const [member = ""] = holders;
    expect(await shop.sql(member, "SELECT what FROM audit")).toEqual([{ what: "order 1000" }]);
    expect(await shop.sql(member, "SELECT doubled FROM orders WHERE id = 1000")).toEqual([
      { doubled: 3 },
    ]);
    await shop.sql(member, "DELETE FROM orders WHERE id = 1000");
    expect(await shop.sql(member, "SELECT * FROM order_lines WHERE order_id = 1000")).toEqual([]);
    const [taken] = await shop.sql(
      member,
      "SELECT reference FROM orders WHERE reference IS NOT NULL LIMIT 1",
    );
    const again = await refusal(() =>
      shop.sql(
        member,
        "INSERT INTO orders (id, customer_id, reference) VALUES (2000, 'customer-3', ?)",
        taken?.["reference"] as string,
      ),
    );
    expect(again).toContain("UNIQUE constraint failed: orders.reference");
  });

  it("says which tables no spec names", async () => {
    const shop = await openShop("described");
    const live = await shop.ask({ kind: "describe", object: "SHOP" });
    expect(live.undeclaredTables).toEqual(["audit"]);
    expect(live.tables).toEqual([
      { name: "customers", role: "keyed" },
      { name: "orders", role: "keyed" },
      { name: "order_lines", role: "follows" },
    ]);
  });
});

describe("tables that cannot be moved", { timeout: 60_000 }, () => {
  it.each([
    ["keyless", "", "Table 'loose' has no primary key: rows could not be told apart"],
    [
      "nullkey",
      "INSERT INTO holes VALUES (NULL, 'r')",
      "Table 'holes' has rows with NULL in the primary key (id): give them a value",
    ],
    [
      "keylacking",
      "INSERT INTO lacking VALUES ('a', 'b')",
      "Table 'lacking' has no column 'region', which shard key 'region' starts with (columns: id, word)",
    ],
    [
      "missing",
      "",
      "Table 'absent' is declared but does not exist: create it in the class's constructor",
    ],
    ["circular", "", "Tables follow each other in a circle: hens → eggs → hens"],
    ["stranger", "", "Table 'hosts' is followed by another but is not declared"],
    ["wide", "", "Table 'after' cannot follow 'doubles': its primary key has 2 columns"],
    [
      "expression",
      "INSERT INTO mails VALUES ('a', 'r', 'b')",
      "Table 'mails' has a unique index on an expression (mails_lower): a replaced row could not be seen. Use columns",
    ],
  ])("%s", async (kind, load, message) => {
    const namespace = openCase(`${kind}~refused`);
    if (load !== "") await namespace.sql(namespace.name, load);
    expect(await refusal(() => namespace.toHash("region", 2))).toContain(message);
    const { layout, epoch } = await namespace.live();
    expect([layout.kind, epoch]).toEqual(["none", 0]);
    expect(await namespace.leftovers()).toEqual([]);
    // The rows are as they were, and can be written.
    if (load !== "")
      await namespace.sql(namespace.name, load.replace("'a'", "'again'").replace("'b'", "'c'"));
  });
});

describe("rows that follow others", { timeout: 60_000 }, () => {
  const TABLES = ["tops", "middles", "leaves"];

  async function openChain(name: string): Promise<TestNamespace<Cases>> {
    const namespace = openCase(`chain~${name}`);
    await namespace.inside(namespace.name, (_, { storage: { sql } }) => {
      sql.exec(
        "INSERT INTO tops (id, region) VALUES ('t0', 'r0'), ('t1', 'r1'), ('t2', 'r2'), (7, 'r3'), (1.5, 'r4'), (x'00ff', 'r5'), ('r-less', NULL)",
      );
      sql.exec(
        "INSERT INTO middles (id, top) VALUES (1, 't0'), (2, 't1'), (3, 't2'), (4, 7), (5, 1.5), (6, x'00ff'), (7, 'r-less'), (8, NULL), (9, 'nowhere')",
      );
      for (let id = 1; id <= 12; id++)
        sql.exec(
          "INSERT INTO leaves (id, middle, word) VALUES ('l' || ?1, ?1, 'w'), ('k' || ?1, ?1, 'w')",
          id,
        );
      sql.exec("INSERT INTO leaves (id, middle) VALUES ('null', NULL)");
    });
    return namespace;
  }

  it("go with them over two hops; those that point at nothing are kept, exactly once", async () => {
    const namespace = await openChain("all");
    const before = await rowsOf(namespace as never, TABLES);
    for (const count of [3, 5, 2]) {
      await namespace.toHash("region", count, { waveRowsMax: 8 });
      expect(await rowsOf(namespace as never, TABLES)).toEqual(before);
      const { layout } = await namespace.live();
      // Each leaf is with its middle, each middle with its top, if there is one at all.
      for (const member of layout.members) {
        expect(
          await namespace.sql(
            member,
            "SELECT id FROM leaves WHERE middle BETWEEN 1 AND 9 AND middle NOT IN (SELECT id FROM middles)",
          ),
        ).toEqual([]);
        expect(
          await namespace.sql(
            member,
            "SELECT id FROM middles WHERE id <= 7 AND top NOT IN (SELECT id FROM tops)",
          ),
        ).toEqual([]);
      }
    }
    await namespace.unshard();
    expect(await rowsOf(namespace as never, TABLES)).toEqual(before);
  });

  it("are not lost when their member leaves, though they point at a row of another shard or at nothing", async () => {
    const namespace = await openChain("strays");
    await namespace.toHash("region", 4);
    const { layout } = await namespace.live();
    // Written where they do not belong, by code that bypasses the router.
    for (const [index, member] of layout.members.entries()) {
      await namespace.sql(
        member,
        "INSERT INTO leaves (id, middle, word) VALUES (?, 999, 'points at nothing')",
        `stray-${index}`,
      );
      await namespace.sql(
        member,
        "INSERT INTO leaves (id, middle, word) VALUES (?, 1, 'points at l1')",
        `far-${index}`,
      );
      await namespace.stray(
        member,
        "INSERT INTO tops (id, region) VALUES (?, 'r0')",
        `misplaced-${index}`,
      );
    }
    const before = await rowsOf(namespace as never, TABLES);
    await namespace.toHash("region", 5);
    expect(await rowsOf(namespace as never, TABLES)).toEqual(before);
    await namespace.toHash("region", 1);
    expect(await rowsOf(namespace as never, TABLES)).toEqual(before);
    await namespace.unshard();
    expect(await rowsOf(namespace as never, TABLES)).toEqual(before);
  });
});
