/** Reads what objects have stored, for checks: from their databases, never through their code. */
import type { Layout } from "../../src/model/layout/layout.ts";
import { unshardedLayout } from "../../src/model/layout/layout.ts";
import type { Membership } from "../../src/shards/member/membership.ts";
import { type SqlRow, textOf } from "../../src/shards/storage/storage.ts";
import type { SimObject } from "./object.ts";
import { LIST_QUERY, type View, viewOf } from "./store.ts";
import type { WorldOptions } from "./surroundings.ts";

/** The objects, and whose namespace they are. */
export interface Peeked {
  readonly options: WorldOptions;
  readonly objects: ReadonlyMap<string, SimObject>;
  object(name: string): SimObject;
}

export function hasTable({ storage }: SimObject, name: string): boolean {
  return storage.peek("SELECT 1 FROM sqlite_master WHERE name = ?", name).length > 0;
}

/** A value that the engine keeps for the object itself. */
export function readMeta<Value>(object: SimObject, key: string): Value | undefined {
  if (!hasTable(object, "shardctl_meta")) return undefined;
  const row = object.storage.peek("SELECT value FROM shardctl_meta WHERE key = ?", key)[0];
  return row && (JSON.parse(textOf(row["value"])) as Value);
}

/** The epoch that the object acts by. */
export function epochOf(object: SimObject): number {
  return readMeta<Membership>(object, "membership")?.epoch ?? 0;
}

/** The epoch and layout of the root's registry. */
export function registryOf(world: Peeked): { readonly epoch: number; readonly layout: Layout } {
  const { namespace } = world.options;
  const root = world.object(namespace);
  const row = hasTable(root, "shardctl_registry")
    ? root.storage.peek(
        "SELECT epoch, layout FROM shardctl_registry ORDER BY epoch DESC LIMIT 1",
      )[0]
    : undefined;
  if (!row) return { epoch: 0, layout: unshardedLayout(namespace, 0) };
  return { epoch: Number(row["epoch"]), layout: JSON.parse(textOf(row["layout"])) as Layout };
}

/** The items in the object's own tables, live or not. */
export function viewsOf(object: SimObject): View[] {
  if (!hasTable(object, "items")) return [];
  return object.storage.peek<SqlRow>(`${LIST_QUERY} ORDER BY id`).map(viewOf);
}

/** The items that repairs have set aside there, each with the notes that went with it. */
export function asideOf(object: SimObject): View[] {
  if (!hasTable(object, "shardctl_aside_items")) return [];
  const notes = hasTable(object, "shardctl_aside_notes")
    ? `coalesce((SELECT group_concat(seq || ':' || body, ',') FROM
        (SELECT seq, body FROM shardctl_aside_notes AS n WHERE n.item = i.id AND n.shardctl_epoch = i.shardctl_epoch ORDER BY seq)), '')`
    : "''";
  return object.storage
    .peek<SqlRow>(
      `SELECT id, grp, n, tag, 1 AS intact, ${notes} AS notes FROM shardctl_aside_items AS i ORDER BY id`,
    )
    .map(viewOf);
}
