/**
 * Line 1 of what owners do, in tables whose keys or names a deploy changes: by their keys the
 * engine knows which rows came, and which left.
 */
import { describe, expect, it } from "vitest";

import type { TableSpec } from "../../../src/shards/index.ts";
import { DeployedNamespace, type Migrate } from "../support/deploy.ts";
import { beforeFirst, interceptMessages } from "../support/intercept.ts";

const ROWS = 40;
const SPECS: readonly TableSpec[] = [{ name: "items" }, { name: "parts" }];
const FIRST = [
  "CREATE TABLE items (id TEXT PRIMARY KEY, region TEXT, n INTEGER)",
  "CREATE TABLE parts (id TEXT PRIMARY KEY, region TEXT)",
];

interface Change {
  readonly step: readonly string[];
  /** The class declares these tables then. */
  readonly tables?: readonly TableSpec[];
  /** Rows of each table then. */
  readonly rows?: Readonly<Record<string, number>>;
}

function rebuild(columns: string, from: string): string[] {
  return [
    `CREATE TABLE items_new (${columns})`,
    `INSERT INTO items_new (id, region, n) SELECT ${from} FROM items`,
    "DROP TABLE items",
    "ALTER TABLE items_new RENAME TO items",
  ];
}

const CHANGES: Readonly<Record<string, Change>> = {
  "gives all rows other ids": { step: ["UPDATE items SET id = 'x' || id"] },
  "gives the table a key of two columns": {
    step: rebuild("id TEXT, region TEXT, n INTEGER, PRIMARY KEY (region, id)", "id, region, n"),
  },
  "gives the table keys of another class": {
    step: rebuild(
      "id INTEGER PRIMARY KEY, region TEXT, n INTEGER",
      "CAST(id AS INTEGER), region, n",
    ),
  },
  "derives rows from those that it finds": {
    step: ["INSERT OR IGNORE INTO parts SELECT 'copy-' || id, region FROM items"],
    rows: { items: ROWS, parts: 2 * ROWS },
  },
};

const BEHIND_COMMIT: Readonly<Record<string, Change>> = {
  ...CHANGES,
  "renames a table and its spec": {
    step: ["ALTER TABLE items RENAME TO things"],
    tables: [{ name: "things" }, { name: "parts" }],
    rows: { things: ROWS, parts: ROWS },
  },
  "fills a table that it declares": {
    step: [
      "CREATE TABLE extras (id TEXT PRIMARY KEY, region TEXT)",
      "INSERT INTO extras SELECT id, region FROM items",
    ],
    tables: [...SPECS, { name: "extras" }],
    rows: { items: ROWS, parts: ROWS, extras: ROWS },
  },
  "makes other keys, one after the other": {
    step: rebuild(
      "uid INTEGER PRIMARY KEY, id TEXT UNIQUE, region TEXT, n INTEGER",
      "id, region, n",
    ),
  },
};

/** Steps that a constructor runs once each, in their order. */
function migrate(...steps: readonly (readonly string[])[]): Migrate {
  return ({ sql }) => {
    sql.exec("CREATE TABLE IF NOT EXISTS steps (n INTEGER PRIMARY KEY)");
    for (const [index, step] of steps.entries()) {
      if (sql.exec("SELECT 1 FROM steps WHERE n = ?", index).toArray().length > 0) continue;
      for (const statement of step) sql.exec(statement).toArray();
      sql.exec("INSERT INTO steps VALUES (?)", index);
    }
  };
}

let namespaces = 0;

async function open(shards: number): Promise<DeployedNamespace> {
  const name = `keys${namespaces++}`;
  const namespace = new DeployedNamespace(name, "field", migrate(FIRST), SPECS);
  const numbers = `WITH RECURSIVE n (i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM n WHERE i < ${99 + ROWS})`;
  for (const rows of [
    "items SELECT CAST(i AS TEXT), 'r' || (i % 5), i",
    "parts SELECT 'p' || i, 'r' || (i % 5)",
  ])
    await namespace.sql(name, `${numbers} INSERT INTO ${rows} FROM n`);
  if (shards > 0) await namespace.toHash("region", shards);
  return namespace;
}

/** Ids of a table over all members, or these. */
async function idsOf(
  namespace: DeployedNamespace,
  table: string,
  members?: readonly string[],
): Promise<unknown[]> {
  const of = members ?? (await namespace.live()).layout.members;
  const found = await Promise.all(
    of.map((member) => namespace.sql(member, `SELECT id FROM ${table}`)),
  );
  return found.flat().map(({ id }) => id);
}

/** Every row once. */
async function expectOnce(
  namespace: DeployedNamespace,
  { rows = { items: ROWS, parts: ROWS } }: Pick<Change, "rows">,
): Promise<void> {
  for (const [table, count] of Object.entries(rows)) {
    const ids = await idsOf(namespace, table);
    expect([table, ids.length, new Set(ids).size]).toEqual([table, count, count]);
  }
}

describe("line 1: a deploy behind the commit of a wave", { timeout: 60_000 }, () => {
  it.concurrent.each(Object.entries(BEHIND_COMMIT))(
    "that %s leaves no row twice",
    async (_, change) => {
      const namespace = await open(2);
      const to = await namespace.hashTo("region", 3);
      const options = change.tables ? { tables: change.tables } : {};
      const deployed = beforeFirst(namespace.name, "activate", () =>
        namespace.deploy(
          migrate(FIRST, change.step),
          [...to.members, namespace.name],
          undefined,
          options,
        ),
      );
      const { id } = await namespace.start("rebalance", to);
      expect(await namespace.reached(id)).toMatchObject({ state: "completed" });
      expect(deployed.done).toBe(true);
      await expectOnce(namespace, change);
      expect(await namespace.leftovers([namespace.name])).toEqual([]);
    },
  );
});

describe("line 1: a deploy behind a promotion that is given up", { timeout: 60_000 }, () => {
  it.concurrent.each(Object.entries(CHANGES))(
    "that %s leaves none of its rows on a member that serves",
    async (_, change) => {
      const namespace = await open(3);
      const to = await namespace.hashTo("region", 2);
      let isDeployed = false;
      interceptMessages(namespace.name, async ({ request }, forward) => {
        const answer = await forward();
        if (request.kind !== "promote" || isDeployed) return answer;
        isDeployed = true;
        const members = [...to.members, `${namespace.name}-shard-2`, namespace.name];
        await namespace.deploy(migrate(FIRST, change.step), members);
        return forward();
      });
      const { id } = await namespace.start("rebalance", to);
      expect(await namespace.reached(id)).toMatchObject({ state: "completed" });
      await expectOnce(namespace, change);
    },
  );
});

describe("line 1: a deploy that undeclares a table amid a swap", { timeout: 60_000 }, () => {
  it.concurrent.each(["shard", "rekey"] as const)(
    "and is rolled back leaves no copies on its targets: %s",
    async (kind) => {
      const namespace = await open(kind === "rekey" ? 2 : 0);
      const key = kind === "rekey" ? "id" : "region";
      const to = await namespace.hashTo(key, 2);
      const { layout } = await namespace.live();
      const everybody = [...new Set([...layout.members, ...to.members, namespace.name])];
      const tables = [{ name: "items" }];
      beforeFirst(namespace.name, "verify", () =>
        namespace.deploy(migrate(FIRST), everybody, undefined, { tables }),
      );
      const { id } = await namespace.start(kind, to);
      expect(await namespace.reached(id)).toMatchObject({ state: "failed" });
      expect(await idsOf(namespace, "parts", to.members)).toEqual([]);
      await namespace.deploy(migrate(FIRST), everybody, undefined, { tables: SPECS });
      expect(await namespace.toHash(key, 2)).toMatchObject({ state: "completed" });
      await expectOnce(namespace, {});
    },
  );
});
