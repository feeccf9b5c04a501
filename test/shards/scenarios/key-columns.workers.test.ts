/**
 * Migrations of the column that is the shard key, on members that serve. Their triggers name it,
 * and must keep no object from starting; once it has started, keys are checked as before.
 */
import { describe, expect, it } from "vitest";

import { toKey } from "../../../src/model/layout/key.ts";
import { createOwnerLookup } from "../../../src/model/layout/owner-lookup.ts";
import type { TableSpec } from "../../../src/shards/index.ts";
import { ORDERS, type Order } from "../../support/deployed.ts";
import { refusal } from "../../support/refusal.ts";
import { sample } from "../../support/sample.ts";
import { DeployedNamespace, ITEMS, type Migrate, has, statements } from "../support/deploy.ts";
import { CREATE, MigratedNamespace } from "../support/migrated-namespace.ts";

/** Makes the host before the migration runs. */
const HOST_FIRST: readonly Order[] = ["field", "async", "asyncAfter"];
const HOST_LAST: readonly Order[] = ["after", "asyncLast", "lazy"];
const ROWS = 20;
const AREA: readonly TableSpec[] = [{ name: "items", shardKeys: { region: "area" } }];
const FILL = ["ALTER TABLE items ADD COLUMN area TEXT", "UPDATE items SET area = region"];
const DROP = "ALTER TABLE items DROP COLUMN region";
let namespaces = 0;

async function open(order: Order): Promise<DeployedNamespace> {
  const namespace = new DeployedNamespace(`key-columns-${namespaces++}`, order, statements(ITEMS));
  await namespace.load(ROWS);
  await namespace.toHash("region", 3);
  return namespace;
}

/** A table as it begins, and once what makes `area` its key. */
function once(...list: readonly string[]): Migrate {
  return (storage) => {
    if (!has(storage, "items")) statements(ITEMS)(storage);
    if (!has(storage, "items", "area")) statements(...list)(storage);
  };
}

/** Returns the flaws of a namespace whose key is in this column. */
async function flaws(namespace: DeployedNamespace, column: string): Promise<string[]> {
  const { layout } = await namespace.live();
  const owner = createOwnerLookup(layout);
  const found: string[] = [];
  for (const member of layout.members) {
    for (const key of ["r0", "r1", "r2", "r3", "r4", "x1", "x2", "x3"]) {
      const isMine = owner(toKey(key)) === member;
      const insert = `INSERT INTO items (id, ${column}) VALUES ('${member}/${key}', '${key}')`;
      const refused = await refusal(() => namespace.sql(member, insert));
      if (refused.includes("shardctl: wrong key") === isMine)
        found.push(`${member}, ${key}: ${refused || "stored"}`);
    }
    const changed = await refusal(() => namespace.sql(member, `UPDATE items SET ${column} = 'r9'`));
    if (!changed.includes("shardctl: wrong key"))
      found.push(`${member} changes keys in place: ${changed}`);
  }
  await namespace.router
    .at("r1")
    .write(`INSERT INTO items (id, ${column}) VALUES ('routed', 'r1')`);
  const rows = (await namespace.ids()).length;
  if (rows !== ROWS + 8 + 1) found.push(`${rows} rows`);
  return found;
}

/**
 * Starts every object in the new version, and makes its host. @throws what keeps one from starting.
 */
async function started(namespace: DeployedNamespace, members: readonly string[]): Promise<void> {
  for (const member of members) {
    await namespace.sql(member, "SELECT 1");
    await namespace.ask({ kind: "health" }, member);
  }
}

describe(
  "writers 2: a deploy that changes the column of the shard key",
  { timeout: 60_000 },
  () => {
    it.each(sample(HOST_FIRST, 1))("drops it for another: %s", async (order) => {
      const namespace = await open(order);
      const all = await namespace.everybody();
      await namespace.deploy(once(...FILL, DROP), all, order, { tables: AREA });
      await started(namespace, all);
      expect(await flaws(namespace, "area")).toEqual([]);
    });

    it.each(sample(ORDERS, 2))("renames it: %s", async (order) => {
      const namespace = await open(order);
      const all = await namespace.everybody();
      await namespace.deploy(once("ALTER TABLE items RENAME COLUMN region TO area"), all, order, {
        tables: AREA,
      });
      await started(namespace, all);
      expect(await flaws(namespace, "area")).toEqual([]);
    });

    it.each(sample(ORDERS, 2))(
      "renames the table and makes another in its place: %s",
      async (order) => {
        const namespace = await open(order);
        const all = await namespace.everybody();
        const rebuild = once(
          "ALTER TABLE items RENAME TO old_items",
          "CREATE TABLE items (id TEXT PRIMARY KEY, region TEXT NOT NULL, area TEXT)",
          "INSERT INTO items (id, region) SELECT id, region FROM old_items",
          "DROP TABLE old_items",
        );
        await namespace.deploy(rebuild, all, order);
        await started(namespace, all);
        expect(await flaws(namespace, "region")).toEqual([]);
      },
    );

    it.each(sample(ORDERS, 2))("drops it after a deploy that checks nothing: %s", async (order) => {
      const namespace = await open(order);
      const all = await namespace.everybody();
      await namespace.deploy(statements(ITEMS), all, order, { checkKeys: "none" });
      await started(namespace, all);
      await namespace.deploy(once(...FILL, DROP), all, order, { tables: AREA, checkKeys: "none" });
      await started(namespace, all);
      await namespace.deploy(once(), all, order, { tables: AREA, checkKeys: "all" });
      await started(namespace, all);
      expect(await flaws(namespace, "area")).toEqual([]);
    });

    it.each(sample(HOST_FIRST, 1))(
      "gives it another type, in a deploy that checks nothing: %s",
      async (order) => {
        const namespace = await open(order);
        const all = await namespace.everybody();
        const retype = once(
          ...FILL,
          DROP,
          "ALTER TABLE items RENAME COLUMN area TO region",
          "ALTER TABLE items ADD COLUMN area TEXT",
        );
        await namespace.deploy(retype, all, order, { checkKeys: "none" });
        await started(namespace, all);
        await namespace.deploy(retype, all, order, { checkKeys: "all" });
        await started(namespace, all);
        expect(await flaws(namespace, "region")).toEqual([]);
      },
    );

    it.each(sample(HOST_LAST, 1))(
      "is told what stands in the way where the host is made after it: %s",
      async (order) => {
        const namespace = await open(order);
        const [member = ""] = (await namespace.live()).layout.members;
        await namespace.deploy(once(...FILL, DROP), [member], order, { tables: AREA });
        expect(await refusal(() => namespace.sql(member, "SELECT 1"))).toContain(
          "error in trigger shardctl_owned_",
        );
        // The way out, with the same migration.
        await namespace.deploy(once(...FILL, DROP), await namespace.everybody(), "field", {
          tables: AREA,
        });
        expect(await flaws(namespace, "area")).toEqual([]);
      },
    );

    it("is free to use shards.migrate, which lifts the triggers itself", async () => {
      const namespace = new MigratedNamespace("key-columns-migrate", "host");
      await namespace.load(ROWS);
      await namespace.toHash("region", 3);
      const { layout } = await namespace.live();
      const retype = [
        "ALTER TABLE docs ADD COLUMN other ANY",
        "UPDATE docs SET other = region",
        "ALTER TABLE docs DROP COLUMN region",
        "ALTER TABLE docs RENAME COLUMN other TO region",
      ];
      await namespace.deploy(
        [CREATE, { id: "2-retype", up: retype }],
        [namespace.name, ...layout.members],
      );
      const owner = createOwnerLookup(layout);
      for (const member of layout.members) {
        const stray =
          ["r0", "r1", "r2", "r3", "r4"].find((key) => owner(toKey(key)) !== member) ?? "";
        const insert = `INSERT INTO docs (id, region) VALUES ('x', '${stray}')`;
        expect(await refusal(() => namespace.sql(member, insert))).toContain("shardctl: wrong key");
      }
      expect(await namespace.contents("docs")).toHaveLength(ROWS);
    });

    it("an object that starts anew without a change writes nothing", async () => {
      const namespace = await open("field");
      const [member = ""] = (await namespace.live()).layout.members;
      await namespace.abort(member);
      await namespace.ask({ kind: "health" }, member);
      expect(await namespace.sql(member, "SELECT total_changes() AS n")).toEqual([{ n: 0 }]);
    });
  },
);
