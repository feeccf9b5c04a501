/**
 * Deploys: whatever the constructor of a new version does to the tables, in whichever order it
 * makes its host, every object starts, no operation is stuck, and nothing that was written is
 * deleted later.
 */
import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";

import { WRITE_BLOCK_MESSAGES } from "../../../src/shards/move/write-blocks.ts";
import { ORDERS } from "../../support/deployed.ts";
import { refusal } from "../../support/refusal.ts";
import { sample } from "../../support/sample.ts";
import type { ShardsEnv } from "../../support/shards-worker.ts";
import {
  BACKFILL,
  DeployedNamespace,
  ITEMS,
  type Migrate,
  has,
  statements,
} from "../support/deploy.ts";
import { messageOf } from "../../../src/shards/storage/faults.ts";
import { beforeFirst, interceptMessages } from "../support/intercept.ts";

const { DEPLOYED } = env as unknown as ShardsEnv;
const ROWS = 40;
let namespaces = 0;

function open(
  order: (typeof ORDERS)[number],
  kind = "deploy",
  migrate: Migrate = statements(ITEMS),
): DeployedNamespace {
  return new DeployedNamespace(`${kind}-${namespaces++}`, order, migrate);
}

const REBUILD: Migrate = statements(
  ITEMS,
  "CREATE TABLE items_new (id TEXT PRIMARY KEY, region TEXT NOT NULL DEFAULT '')",
  "INSERT INTO items_new (id, region) SELECT id, region FROM items",
  "DROP TABLE items",
  "ALTER TABLE items_new RENAME TO items",
);

const BROKEN: Migrate = (storage) => {
  BACKFILL(storage);
  throw new Error("the migration is wrong");
};

/** Constructors' migrations, each with its effect on an existing row. */
const MIGRATIONS: readonly (readonly [string, Migrate])[] = [
  ["a column with a backfill", BACKFILL],
  ["a seed", statements(ITEMS, "INSERT OR IGNORE INTO items (id, region) VALUES ('seed', 'r0')")],
  [
    "a seed that replaces",
    statements(ITEMS, "INSERT OR REPLACE INTO items (id, region) VALUES ('seed', 'r0')"),
  ],
  ["a table that is rebuilt", REBUILD],
  ["a table that is dropped and made again", statements("DROP TABLE IF EXISTS items", ITEMS)],
  [
    "a unique index",
    statements(ITEMS, "CREATE UNIQUE INDEX IF NOT EXISTS items_by_both ON items (region, id)"),
  ],
  [
    "a table that is renamed, and one in its place",
    statements(ITEMS, "DROP TABLE IF EXISTS old", "ALTER TABLE items RENAME TO old", ITEMS),
  ],
  [
    "a delete",
    statements(ITEMS, "DELETE FROM items WHERE id = 'seed'", "UPDATE items SET region = region"),
  ],
];

describe("1a: a deploy on a namespace that was sharded", { timeout: 120_000 }, () => {
  it.each(sample(ORDERS, 2))(
    "with a backfill starts every object, the root that has retired too: host %s",
    async (order) => {
      const namespace = open(order);
      await namespace.load(ROWS);
      await namespace.toHash("region", 2);
      await namespace.deploy(BACKFILL, await namespace.everybody());
      for (let index = 0; index < 5; index++) {
        const rows = await namespace.router
          .at(`r${index}`)
          .read(`SELECT status FROM items WHERE region = 'r${index}'`);
        expect(rows).toEqual(Array.from({ length: ROWS / 5 }, () => ({ status: "new" })));
      }
      expect(await namespace.leftovers([namespace.name])).toEqual([]);
      expect(await namespace.ids()).toHaveLength(ROWS);
      await namespace.toHash("region", 3);
      await namespace.unshard();
      expect(
        await namespace.sql(namespace.name, "SELECT count(*) AS n FROM items WHERE status = 'new'"),
      ).toEqual([{ n: ROWS }]);
      expect(await namespace.leftovers()).toEqual([]);
    },
  );

  // Every migration with two orders, every order with some migration.
  const migrated = MIGRATIONS.flatMap(([name, migrate], index) =>
    [0, 3].map(
      (offset) => [name, ORDERS[(index + offset) % ORDERS.length] ?? "field", migrate] as const,
    ),
  );
  it.each(sample(migrated, MIGRATIONS.length))(
    "with %s starts every object, and guards it before its own code runs: host %s",
    async (_, order, migrate) => {
      const namespace = open(order);
      await namespace.load(ROWS);
      await namespace.toHash("region", 3);
      await namespace.toHash("region", 2);
      const retired = [namespace.name, `${namespace.name}-shard-2`];
      for (let deploys = 0; deploys < 2; deploys++) {
        await namespace.deploy(migrate, [...(await namespace.everybody()), ...retired]);
        for (const member of retired) {
          if (order === "lazy") await namespace.ask({ kind: "health" }, member);
          // The first thing that reaches the object is its own method, by no message of the engine.
          const stray = (): Promise<unknown> =>
            namespace.stub(member).write("INSERT INTO items (id, region) VALUES ('stray', 'r0')");
          expect(await refusal(stray)).toContain(WRITE_BLOCK_MESSAGES.notMember);
        }
        await namespace.router.at("r1").read("SELECT 1");
      }
    },
  );

  it("guards before the class's own fetch runs", async () => {
    const namespace = open("field");
    await namespace.load(ROWS);
    await namespace.toHash("region", 2);
    await namespace.deploy(BACKFILL, [namespace.name]);
    const fetched = async (): Promise<unknown> =>
      DEPLOYED.get(DEPLOYED.idFromName(namespace.name)).fetch("https://x/");
    expect(await refusal(fetched)).toContain(WRITE_BLOCK_MESSAGES.notMember);
  });

  it("with a migration that throws fails by the user's own error, and starts again once that is mended", async () => {
    const namespace = open("field");
    await namespace.load(ROWS);
    await namespace.toHash("region", 2);
    const everybody = await namespace.everybody();
    await namespace.deploy(BROKEN, everybody);
    expect(await refusal(async () => namespace.stub().read("SELECT 1"))).toContain(
      "the migration is wrong",
    );
    await namespace.deploy(BACKFILL, everybody);
    expect(await namespace.ids()).toHaveLength(ROWS);
    expect(await namespace.leftovers([namespace.name])).toEqual([]);
  });

  it("of a class whose base counts its sections starts, though its host is made in the midst of one", async () => {
    const namespace = open("field", "base");
    await namespace.load(ROWS);
    await namespace.toHash("region", 2);
    await namespace.deploy(BACKFILL, await namespace.everybody());
    const stray = (): Promise<unknown> =>
      namespace.stub().write("INSERT INTO items (id, region) VALUES ('stray', 'r0')");
    expect(await refusal(stray)).toContain(WRITE_BLOCK_MESSAGES.notMember);
    expect(await namespace.ids()).toHaveLength(ROWS);
  });

  it("with twenty tables", async () => {
    const names = Array.from({ length: 20 }, (_, index) => `t${index}`);
    const create = names.map(
      (name) => `CREATE TABLE IF NOT EXISTS ${name} (id TEXT PRIMARY KEY, region TEXT)`,
    );
    const namespace = new DeployedNamespace("twenty", "field", statements(...create, ITEMS), [
      { name: "items" },
      ...names.map((name) => ({ name })),
    ]);
    await namespace.load(ROWS);
    for (const name of names)
      await namespace.sql(namespace.name, `INSERT INTO ${name} SELECT id, region FROM items`);
    await namespace.toHash("region", 2);
    const backfill: Migrate = (storage) => {
      for (const name of names) {
        if (has(storage, name, "status")) continue;
        storage.sql.exec(`ALTER TABLE ${name} ADD COLUMN status TEXT`);
        storage.sql.exec(`UPDATE ${name} SET status = 'new'`);
      }
    };
    await namespace.deploy(backfill, await namespace.everybody());
    for (const name of names) expect(await namespace.contents(name)).toHaveLength(ROWS);
    expect(await namespace.leftovers([namespace.name])).toEqual([]);
  });
});

describe("1b: a deploy while a source is fenced", { timeout: 120_000 }, () => {
  it.each(sample(ORDERS, 2))("starts it, and the operation ends: host %s", async (order) => {
    const namespace = open(order);
    await namespace.load(ROWS);
    await namespace.toHash("region", 2);
    const sources = [`${namespace.name}-shard-0`, `${namespace.name}-shard-1`];
    const strays: string[] = [];
    const deployed = beforeFirst(namespace.name, "activate", async () => {
      await namespace.deploy(BACKFILL, sources);
      // A host that is made when it is first used write blocks from then on.
      if (order === "lazy") await namespace.ask({ kind: "health" }, sources[0]);
      strays.push(await refusal(async () => namespace.stub(sources[0]).write("DELETE FROM items")));
    });
    await namespace.toHash("id", 2);
    expect(deployed.done).toBe(true);
    expect(strays[0]).toContain(WRITE_BLOCK_MESSAGES.moving);
    expect(await namespace.ids()).toHaveLength(ROWS);
    expect(await namespace.leftovers([namespace.name, ...sources])).toEqual([]);
  });

  it.each(["field", "after"] as const)(
    "that has said it is drained, and then writes, ends that attempt: host %s",
    async (order) => {
      const namespace = open(order);
      await namespace.load(ROWS);
      await namespace.toHash("region", 2);
      const seed = statements(
        ITEMS,
        "INSERT OR IGNORE INTO items (id, region) VALUES ('seed', 'r0')",
      );
      const source = `${namespace.name}-shard-0`;
      const refused: string[] = [];
      interceptMessages(namespace.name, async ({ member, request }, forward) => {
        const reply = await forward();
        if (request.kind !== "fence" || member !== source || refused.length > 0) return reply;
        await namespace.deploy(seed, [source]);
        // The same attempt, asked for again by a root that has not heard the answer.
        try {
          return await forward();
        } catch (error) {
          refused.push(messageOf(error));
          throw error;
        }
      });
      await namespace.toHash("id", 2);
      expect(refused).toHaveLength(1);
      expect(refused[0]).toContain("was restarted behind fence attempt");
      expect(await namespace.ids()).toHaveLength(ROWS + 1);
      expect(await namespace.leftovers([namespace.name, source])).toEqual([]);
    },
  );

  it("during the copy captures what its constructor writes", async () => {
    const namespace = open("field");
    await namespace.load(ROWS);
    const backfill = statements(
      ITEMS,
      "UPDATE items SET region = 'r9' WHERE id = 'i7'",
      "DELETE FROM items WHERE id = 'i8'",
    );
    const deployed = beforeFirst(namespace.name, "verify", async () => {
      await namespace.deploy(backfill, [namespace.name]);
    });
    await namespace.toHash("region", 2);
    expect(deployed.done).toBe(true);
    const rows = await namespace.router.at("r9").read("SELECT id FROM items WHERE region = 'r9'");
    expect(rows).toEqual([{ id: "i7" }]);
    expect(await namespace.ids()).toHaveLength(ROWS - 1);
  });
});

describe("a migration that throws in the middle of a rebalance", { timeout: 120_000 }, () => {
  const PARTS = { source: 0, target: 2 } as const;
  // Each with one of the orders in which a constructor makes its host.
  const table = (["copy", "verify", "fence", "activate"] as const).flatMap((kind, index) => [
    [kind, "source", ORDERS[index] ?? "field"] as const,
    [kind, "target", ORDERS[(index + 2) % ORDERS.length] ?? "field"] as const,
  ]);

  it.each(sample(table, 3))(
    "before '%s', on a %s, holds it up until a deploy mends it: host %s",
    async (kind, who, order) => {
      const namespace = open(order);
      await namespace.load(ROWS);
      await namespace.toHash("region", 2);
      const to = await namespace.hashTo("region", 3);
      const member = `${namespace.name}-shard-${PARTS[who]}`;
      const deployed = beforeFirst(namespace.name, kind, () => namespace.deploy(BROKEN, [member]));
      let failures = 0;
      interceptMessages(namespace.name, async (message, forward) => {
        try {
          return await forward();
        } catch (error) {
          if (message.member === member && messageOf(error).includes("the migration is wrong"))
            failures++;
          throw error;
        }
      });
      const { id } = await namespace.start("rebalance", to);
      expect(await namespace.reached(id, () => failures >= 2)).toMatchObject({ state: "running" });
      expect(deployed.done).toBe(true);
      expect(await refusal(async () => namespace.stub(member).read("SELECT 1"))).toContain(
        "the migration is wrong",
      );
      await namespace.deploy(BACKFILL, to.members);
      expect(await namespace.reached(id)).toMatchObject({ state: "completed", fault: null });
      const rows = await Promise.all(
        to.members.map((each) => namespace.sql(each, "SELECT id FROM items WHERE status = 'new'")),
      );
      expect(new Set(rows.flat().map((row) => row["id"])).size).toBe(ROWS);
      expect(await namespace.ids()).toHaveLength(ROWS);
      expect(await namespace.leftovers([namespace.name])).toEqual([]);
    },
  );
});

describe(
  "1e: a table that the constructor of a retired member rebuilds",
  { timeout: 120_000 },
  () => {
    it.each(sample(["field", "after", "asyncAfter"] as const, 1))(
      "has its guards again, and what was written to it is not deleted later: host %s",
      async (order) => {
        const namespace = open(order);
        await namespace.load(ROWS);
        await namespace.toHash("region", 2, { retainHours: 1 });
        await namespace.settled();
        const seeded: Migrate = (storage) => {
          REBUILD(storage);
          storage.sql.exec("INSERT OR IGNORE INTO items (id, region) VALUES ('seed', 'r0')");
        };
        await namespace.deploy(seeded, [namespace.name]);
        expect(await refusal(async () => namespace.stub().write("DELETE FROM items"))).toContain(
          WRITE_BLOCK_MESSAGES.notMember,
        );
        const kept = await namespace.ask({ kind: "count" });
        expect(kept.tables[0]?.rows).toBe(ROWS + 1);
        await namespace.ask({ kind: "empty", operation: 1 });
        expect(await namespace.sql(namespace.name, "SELECT id FROM items")).toEqual([
          { id: "seed" },
        ]);
        const counted = await namespace.ask({ kind: "count" });
        expect(counted.tables[0]?.rows).toBe(1);
        expect(
          await namespace.sql(
            namespace.name,
            "SELECT name FROM sqlite_master WHERE name LIKE 'shardctl%retired%'",
          ),
        ).toEqual([]);
        expect(await namespace.leftovers([namespace.name])).toEqual([]);
      },
    );
  },
);

describe("starting an object", { timeout: 60_000 }, () => {
  it.each(sample(ORDERS, 2))("writes nothing, whatever its role: host %s", async (order) => {
    const namespace = open(order);
    await namespace.load(ROWS);
    const written = async (member: string): Promise<unknown> => {
      await namespace.abort(member);
      // Of this life of the object. Its constructor makes no table that is there.
      return (await namespace.sql(member, "SELECT total_changes() AS n"))[0]?.["n"];
    };
    expect(await written(namespace.name)).toBe(0);
    await namespace.toHash("region", 2);
    for (const member of await namespace.everybody()) expect(await written(member)).toBe(0);
  });
});
