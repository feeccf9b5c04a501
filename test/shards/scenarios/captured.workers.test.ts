/**
 * Writes by every way that SQL has, made while their rows are being moved, arrive as they were
 * made.
 */
import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";

import type { MemberRequest } from "../../../src/shards/protocol/messages.ts";
import type { Sql } from "../../../src/shards/storage/storage.ts";
import { refusal } from "../../support/refusal.ts";
import type { Cases, Shop, ShardsEnv } from "../../support/shards-worker.ts";
import { sample } from "../../support/sample.ts";
import { beforeFirst, interceptMessages } from "../support/intercept.ts";
import { TestNamespace } from "../support/namespace.ts";

const { CASES, SHOP } = env as unknown as ShardsEnv;
let namespaces = 0;

async function openCase(kind: string, load: readonly string[]): Promise<TestNamespace<Cases>> {
  const namespace = new TestNamespace(CASES, `${kind}~captured-${namespaces++}`);
  for (const statement of load) await namespace.sql(namespace.name, statement);
  return namespace;
}

/**
 * Shards, and makes the writes on the source before the first message of a kind. What they make of
 * the table is what they would have made of it without a move, in `expected`, an object that is not
 * part of any.
 */
async function shardUnder(
  namespace: TestNamespace<Cases>,
  load: readonly string[],
  writes: readonly string[],
  kind: MemberRequest["kind"],
  table: string,
): Promise<string[]> {
  const twin = new TestNamespace(CASES, `${namespace.name}-twin`);
  for (const statement of [...load, ...writes]) await twin.sql(twin.name, statement);
  const wrote = beforeFirst(namespace.name, kind, ({ host }) => run(host.sql, writes));
  await namespace.toHash("region", 3);
  const found = wrote.done ? [] : ["the writes were not made"];
  const [expected, there] = [await twin.contents(table), await namespace.contents(table)];
  found.push(...expected.filter((row) => !there.includes(row)).map((row) => `lost ${row}`));
  found.push(...there.filter((row) => !expected.includes(row)).map((row) => `new ${row}`));
  return [...found, ...(await namespace.leftovers())];
}

function run(sql: Sql, statements: readonly string[]): void {
  for (const statement of statements) sql.run(statement).toArray();
}

const USERS = Array.from(
  { length: 30 },
  (_, index) =>
    `INSERT INTO users (id, region, email, a, b) VALUES ('u${index}', 'r${index % 7}', 'mail-${index}', ${index}, ${index})`,
);

const WRITES: Readonly<Record<string, readonly string[]>> = {
  "INSERT OR REPLACE of another row by its unique column": [
    "INSERT OR REPLACE INTO users VALUES ('new', 'r1', 'mail-3', 100, 100)",
  ],
  "INSERT OR REPLACE of two rows by two unique indexes": [
    "INSERT OR REPLACE INTO users VALUES ('new', 'r1', 'mail-4', 5, 5)",
  ],
  "REPLACE of a row by its primary key": [
    "REPLACE INTO users VALUES ('u6', 'r2', 'mail-600', 600, 600)",
  ],
  "UPDATE OR REPLACE that removes another row": [
    "UPDATE OR REPLACE users SET email = 'mail-8' WHERE id = 'u7'",
  ],
  "an upsert": [
    "INSERT INTO users VALUES ('u9', 'r3', 'other', 9, 9) ON CONFLICT (id) DO UPDATE SET email = 'upserted'",
  ],
  "a new primary key": ["UPDATE users SET id = 'renamed' WHERE id = 'u10'"],
  "primary keys that change places": [
    "UPDATE users SET id = 'tmp' WHERE id = 'u11'",
    "UPDATE users SET id = 'u11' WHERE id = 'u12'",
    "UPDATE users SET id = 'u12' WHERE id = 'tmp'",
  ],
  "another shard key, and the user's trigger on it": [
    "UPDATE users SET region = 'r99' WHERE id IN ('u13', 'u14')",
  ],
  "delete, and insert again": [
    "DELETE FROM users WHERE id = 'u15'",
    "INSERT INTO users VALUES ('u15', 'r6', 'again', 15, 15)",
  ],
  "insert, and delete again": [
    "INSERT INTO users VALUES ('short', 'r6', 'short', 150, 150)",
    "DELETE FROM users WHERE id = 'short'",
  ],
  "all deleted": ["DELETE FROM users"],
  "INSERT OR IGNORE, with and without effect": [
    "INSERT OR IGNORE INTO users VALUES ('u16', 'r1', 'x', 1, 1), ('fresh', 'r1', 'fresh', 160, 160)",
  ],
  "a unique value that goes from one row to another": [
    "UPDATE users SET email = NULL WHERE id = 'u2'",
    "UPDATE users SET email = 'mail-2' WHERE id = 'u16'",
  ],
  "unique values that change places": [
    "UPDATE users SET email = 'tmp' WHERE id = 'u17'",
    "UPDATE users SET email = 'mail-17' WHERE id = 'u24'",
    "UPDATE users SET email = 'mail-24' WHERE id = 'u17'",
  ],
};

describe(
  "writes to a table with unique indexes and a trigger of its own",
  { timeout: 60_000 },
  () => {
    it.each(
      sample(
        Object.keys(WRITES).flatMap((name) =>
          (["copy", "verify", "fence"] as const).map((kind) => [name, kind] as const),
        ),
        6,
      ),
    )("%s, before '%s'", async (name, kind) => {
      const namespace = await openCase("unique", USERS);
      expect(await shardUnder(namespace, USERS, WRITES[name] ?? [], kind, "users")).toEqual([]);
    });
  },
);

/** Two with each address: the first of them is active. */
const SEATS = Array.from(
  { length: 30 },
  (_, index) =>
    `INSERT INTO seats VALUES ('s${index}', 'r${index % 7}', 'mail-${index % 15}', ${index < 15 ? 1 : 0}, ${index === 4 ? "'none'" : index})`,
);

const WRITES_TO_SEATS: Readonly<Record<string, readonly string[]>> = {
  "UPDATE OR REPLACE of the condition's column": [
    "UPDATE OR REPLACE seats SET active = 1 WHERE id IN ('s17', 's18')",
  ],
  "UPDATE OR REPLACE of an active row's address": [
    "UPDATE OR REPLACE seats SET mail = 'mail-5' WHERE id = 's6'",
  ],
  "INSERT OR REPLACE beside an active row": [
    "INSERT OR REPLACE INTO seats VALUES ('new', 'r1', 'mail-3', 1, 'new')",
  ],
  "UPDATE OR REPLACE to NULL, which stores the default": [
    "UPDATE OR REPLACE seats SET badge = NULL WHERE id = 's9'",
  ],
  "INSERT OR REPLACE of NULL, which stores the default": [
    "INSERT OR REPLACE INTO seats VALUES ('new', 'r1', 'mail-new', 1, NULL)",
  ],
};

describe("writes to a table with a partial unique index", { timeout: 60_000 }, () => {
  it.each(
    sample(
      Object.keys(WRITES_TO_SEATS).flatMap((name) =>
        (["verify", "fence"] as const).map((kind) => [name, kind] as const),
      ),
      Object.keys(WRITES_TO_SEATS).length,
    ),
  )("%s, before '%s'", async (name, kind) => {
    const namespace = await openCase("partial", SEATS);
    expect(await shardUnder(namespace, SEATS, WRITES_TO_SEATS[name] ?? [], kind, "seats")).toEqual(
      [],
    );
  });
});

describe("unique values over several shards", { timeout: 60_000 }, () => {
  it("that collide end an unshard before its cutover, with a message that says where", async () => {
    const namespace = await openCase("unique", USERS);
    await namespace.toHash("region", 3);
    const { layout } = await namespace.live();
    const regions = await Promise.all(
      layout.members.map((member) => namespace.sql(member, "SELECT DISTINCT region FROM users")),
    );
    for (const [index, member] of layout.members.entries()) {
      const region = regions[index]?.[0]?.["region"] as string;
      await namespace.sql(
        member,
        "INSERT INTO users VALUES (?, ?, 'the same', ?, 0)",
        `own-${index}`,
        region,
        1000 + index,
      );
    }
    const before = await namespace.contents("users");
    const message = await refusal(() => namespace.unshard());
    expect(message).toContain("have values that rows of other shards have");
    expect(message).toContain("users.email");
    expect(await namespace.contents("users")).toEqual(before);
    expect((await namespace.live()).layout.members).toEqual(layout.members);
    expect(await namespace.leftovers([namespace.name])).toEqual([]);
  });

  it("that change places while several shards are merged arrive as they are", async () => {
    const namespace = await openCase("unique", USERS);
    await namespace.toHash("region", 3);
    const swapped = new Set<string>();
    interceptMessages(namespace.name, async ({ host, request }, forward) => {
      const self = host.platform.self ?? "";
      // Once on each source, after its rows were copied.
      if (request.kind === "check" && !swapped.has(self)) {
        swapped.add(self);
        const [one, other] = host.sql.rows<{ id: string; email: string }>(
          "SELECT id, email FROM users ORDER BY id LIMIT 2",
        );
        if (one && other) {
          host.sql.run("UPDATE users SET email = NULL WHERE id = ?", one.id);
          host.sql.run("UPDATE users SET email = ? WHERE id = ?", one.email, other.id);
          host.sql.run("UPDATE users SET email = ? WHERE id = ?", other.email, one.id);
        }
      }
      return forward();
    });
    const before = await namespace.contents("users");
    await namespace.unshard();
    expect(swapped.size).toBe(3);
    const after = await namespace.contents("users");
    expect(after).toHaveLength(30);
    expect(after.filter((row) => !before.includes(row))).toHaveLength(6);
    expect(await namespace.leftovers()).toEqual([]);
  });
});

describe("writes to tables whose rows depend on each other", { timeout: 60_000 }, () => {
  it("a cascade takes the lines of a deleted order along, a new order brings its own", async () => {
    const shop = new TestNamespace<Shop>(SHOP, "cascade");
    await shop.inside("cascade", (object) => {
      for (let id = 0; id < 20; id++)
        object.addOrder({ id, customer: `c${id % 5}`, total: id, lines: ["a", "b"] });
    });
    const wrote = beforeFirst("cascade", "verify", ({ host }) =>
      run(host.sql, [
        "DELETE FROM orders WHERE id IN (3, 4)",
        "INSERT INTO orders (id, customer_id, total) VALUES (100, 'c1', 1)",
        "INSERT INTO order_lines (order_id, line, sku) VALUES (100, 0, 'new'), (5, 7, 'more')",
        "UPDATE orders SET customer_id = 'c2' WHERE id = 6",
      ]),
    );
    await shop.toHash("customer_id", 4);
    expect(wrote.done).toBe(true);
    const { layout } = await shop.live();
    const orders = await Promise.all(
      layout.members.map((member) =>
        shop.sql(
          member,
          "SELECT o.id, count(l.line) AS lines FROM orders o LEFT JOIN order_lines l ON l.order_id = o.id GROUP BY o.id",
        ),
      ),
    );
    const byId = new Map(orders.flat().map((row) => [row["id"], row["lines"]]));
    expect([...byId.keys()].toSorted((left, right) => Number(left) - Number(right))).toEqual([
      0, 1, 2, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 100,
    ]);
    expect([byId.get(100), byId.get(5), byId.get(6)]).toEqual([1, 3, 2]);
    expect(await shop.contents("order_lines")).toHaveLength(18 * 2 + 2);
  });

  it.each([
    [
      "parents that are declared after their children",
      "family",
      "owners",
      ["INSERT INTO owners VALUES ('o' || 0, 'r0'), ('o1', 'r1'), ('o2', 'r2')"],
      "pets",
      ["INSERT INTO pets VALUES ('p0', 'o0', 'r0'), ('p1', 'o1', 'r1'), ('p2', 'o2', 'r2')"],
    ],
    [
      "rows that refer to rows of their own table",
      "selfish",
      "nodes",
      [
        "INSERT INTO nodes VALUES ('a', NULL, 'r0'), ('b', 'a', 'r0'), ('0', 'b', 'r0'), ('z', NULL, 'r1'), ('y', 'z', 'r1')",
      ],
      "nodes",
      [],
    ],
  ] as const)(
    "%s: shard, rebalance up and down, unshard",
    async (_, kind, first, loadFirst, second, loadSecond) => {
      const namespace = await openCase(kind, [...loadFirst, ...loadSecond]);
      const before = [...(await namespace.contents(first)), ...(await namespace.contents(second))];
      for (const step of [
        () => namespace.toHash("region", 2),
        () => namespace.toHash("region", 4),
        () => namespace.toHash("region", 1),
        () => namespace.unshard(),
      ]) {
        await step();
        expect([
          ...(await namespace.contents(first)),
          ...(await namespace.contents(second)),
        ]).toEqual(before);
      }
      expect(await namespace.leftovers()).toEqual([]);
    },
  );

  it("an undeclared table that refers to rows which leave cannot stop a cutover half-way", async () => {
    const namespace = await openCase("outside", [
      "INSERT INTO notes VALUES ('n0', 'r0'), ('n1', 'r1'), ('n2', 'r2'), ('n3', 'r3')",
    ]);
    await namespace.toHash("region", 2);
    const { layout } = await namespace.live();
    for (const member of layout.members)
      await namespace.sql(
        member,
        "INSERT INTO pins (id, note_id) SELECT 'pin ' || id, id FROM notes",
      );
    await refusal(() => namespace.toHash("region", 4));
    expect(await namespace.contents("notes")).toHaveLength(4);
    expect(await namespace.leftovers()).toEqual([]);
  });

  it("a primary key that differs only in case, where case does not count", async () => {
    const load = [
      "INSERT INTO names VALUES ('Anna', 'r1', 1), ('Bea', 'r2', 2), ('Cleo', 'r3', 3)",
    ];
    const namespace = await openCase("folded", load);
    const writes = [
      "UPDATE names SET id = 'ANNA' WHERE id = 'anna'",
      "REPLACE INTO names VALUES ('bea', 'r5', 22)",
    ];
    expect(await shardUnder(namespace, load, writes, "verify", "names")).toEqual([]);
  });
});
