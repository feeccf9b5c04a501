/**
 * Checks the tables once every object runs the newest version: each member has them as the version
 * makes them, and no row lacks a value that it was given.
 */
import { textOf } from "../../src/shards/storage/storage.ts";
import type { Deploys } from "./hazards.ts";
import type { SimObject } from "./object.ts";
import type { Change, StoreVersion } from "./versions.ts";
import type { World } from "./world.ts";

export function checkVersions(
  world: World,
  members: readonly SimObject[],
  { goesBack, versions }: Deploys,
): void {
  const { changes, runsOnce } = world.deployment.newest;
  for (const { name, version } of world.objects.values())
    if (version !== world.deployment.newest && versions.length > 1)
      world.violate(`${name} does not run the newest version`);
  // A migrator that has run its step does not see what an older version stores afterwards.
  const fillsAll = !(runsOnce && goesBack);
  const tables = new Set<string>();
  for (const member of members) {
    if (member.storage.peek("SELECT 1 FROM sqlite_master WHERE name = 'items'").length === 0)
      continue;
    if (member.hasFailedFull && !member.isLimited)
      world.violate(`${member.name} has room again, and does not start`);
    // The class's own constructor finds no room: what it would have made cannot be there.
    if (member.hasFailedFull) continue;
    tables.add(describeTables(member.storage));
    checkRows(world, member, changes, fillsAll);
  }
  if (tables.size > 1 && knowsAll(versions))
    world.violate(`the members' tables differ: ${[...tables].join(" and ")}`);
}

/** False when the newest version does not know what another has added: that stays where it ran. */
export function knowsAll(versions: readonly StoreVersion[]): boolean {
  const newest = versions.at(-1)?.changes ?? [];
  return versions.every(({ changes }) => changes.every((change) => newest.includes(change)));
}

function checkRows(
  world: World,
  { name, storage }: SimObject,
  changes: readonly Change[],
  fillsAll: boolean,
): void {
  const count = (query: string): number =>
    Number(storage.peek(`SELECT count(*) AS n FROM ${query}`)[0]?.["n"]);
  const hasColumn = count("pragma_table_info('items') WHERE name = 'extra'") > 0;
  const hasLabels = count("sqlite_master WHERE name = 'labels'") > 0;
  if (changes.includes("column") !== hasColumn)
    world.violate(`${name} has not the columns that the newest version makes`);
  if (changes.includes("table") !== hasLabels)
    world.violate(`${name} has not the tables that the newest version makes`);
  if (hasColumn) {
    const lacking = count("items WHERE extra IS NULL");
    if (fillsAll && lacking > 0)
      world.violate(`${name} has ${lacking} rows that no constructor has filled`);
    const wrong = count("items WHERE extra <> iif(extra_tag = 0, 'filled', 'put ' || extra_tag)");
    if (wrong > 0)
      world.violate(`${name} has ${wrong} rows that lost what was stored in the new column`);
  }
  if (changes.includes("stamp") && fillsAll) {
    const lacking = count("items WHERE stamped = 0");
    if (lacking > 0) world.violate(`${name} has ${lacking} rows that no migration has stamped`);
  }
  if (hasLabels) {
    const lacking = count("items WHERE id NOT IN (SELECT item FROM labels)");
    if (fillsAll && lacking > 0)
      world.violate(`${name} has ${lacking} rows without the label that each was given`);
    const orphans = count("labels WHERE item NOT IN (SELECT id FROM items)");
    if (orphans > 0) world.violate(`${name} has ${orphans} labels without their item`);
  }
}

/** Columns and indexes of the class's own tables, in no order. */
function describeTables(storage: SimObject["storage"]): string {
  return storage
    .peek(
      `SELECT m.name || coalesce((SELECT '(' || group_concat(name) || ')' FROM (SELECT name FROM pragma_table_info(m.name) ORDER BY name)), '') AS text
       FROM sqlite_master AS m WHERE m.type IN ('table', 'index') AND m.name NOT LIKE 'shardctl%' AND m.name NOT LIKE 'sqlite%' ORDER BY 1`,
    )
    .map((row) => textOf(row["text"]))
    .join(" ");
}
