/**
 * Rows that a wave would leave behind on their source, while the rows that they point at leave.
 *
 * Targets see only rows that come. A source looks at those that stay, under the fence: it asks its
 * targets which rows of each table that is pointed at are about to leave, and follows the foreign
 * keys backwards. What it reads is bounded by the wave and by the rows that point at it. Not looked
 * at are rows that cannot be parted: those that follow the row they point at, or point at it by the
 * shard key itself.
 */
import { NOTHING_CHANGED } from "../../model/operation.ts";
import { type MoveRange, rangeContains } from "../../model/layout/move-range.ts";
import type { StagedKeysReply } from "../protocol/replies.ts";
import { EngineFault } from "../storage/faults.ts";
import { primaryKeyMatches } from "../storage/row-codec.ts";
import { type Sql, type SqlRow, quoteName } from "../storage/storage.ts";
import { type MovePlan, type MoveTable, keyColumn, keyOf } from "./move-plan.ts";
import {
  type Reference,
  isAlike,
  isSameName,
  pointingTables,
  pointsAt,
  referencesOf,
} from "./references.ts";
import { findRefuge } from "./refuge.ts";
import type { SourceContext } from "./source-context.ts";

/** Range that leaves this source in a wave, and its target. */
export interface Outgoing {
  readonly target: string;
  readonly range: MoveRange;
}

/** @throws EngineFault when a row would stay whose parent leaves. */
export async function refuseLeftBehind(
  context: SourceContext,
  operation: number,
  outgoing: readonly Outgoing[],
): Promise<void> {
  const { sql, self } = context;
  for (const pair of partable(sql, context.plan(operation))) {
    const { reference, parent } = pair;
    let rows = 0;
    for (const { target, range } of outgoing) {
      let after: string | null = null;
      do {
        const request = {
          kind: "stagedKeys",
          operation,
          source: self,
          range,
          table: parent.table.name,
          after,
        } as const;
        const page: StagedKeysReply = await context.ask(target, request);
        rows += countStaying(context, context.plan(operation), pair, page.keys, outgoing);
        after = page.after;
      } while (after !== null);
    }
    if (rows === 0) continue;
    const { table } = reference;
    throw new EngineFault(
      "schema",
      `${rows} rows of '${table}' stay on ${self} while the rows of '${parent.table.name}' that they point at leave: declare '${table}' so that it moves along, give both the same shard key, or drop the foreign key. ${NOTHING_CHANGED}`,
    );
  }
}

interface Partable {
  readonly reference: Reference;
  readonly parent: MoveTable;
}

/**
 * The foreign keys to tables that move, by which rows of different keys may point at each other.
 */
function partable(sql: Sql, plan: MovePlan): Partable[] {
  const find = (name: string): MoveTable | undefined =>
    plan.tables.find(({ table }) => isSameName(table.name, name));
  return pointingTables(sql)
    .flatMap((name) => referencesOf(sql, name))
    .flatMap((reference) => {
      const [parent, child] = [find(reference.parent), find(reference.table)];
      return parent && !(child && goTogether(sql, plan, reference, parent, child))
        ? [{ reference, parent }]
        : [];
    });
}

function goTogether(
  sql: Sql,
  { moving }: MovePlan,
  reference: Reference,
  parent: MoveTable,
  child: MoveTable,
): boolean {
  const [column, more] = reference.columns;
  const [id] = parent.table.primaryKey;
  if (!column || more || id === undefined || parent.table.primaryKey.length > 1) return false;
  // Keys that are merely alike may lie in different slots.
  if (!isSameName(column.key, id) || parent.table.hasLikeKeys || !isAlike(sql, reference))
    return false;
  const { followed } = child.table;
  if (followed !== null)
    return followed.table.name === parent.table.name && isSameName(followed.by, column.child);
  if (parent.table.followed !== null || moving.to.kind === "none") return false;
  const keyOfTable = ({ table }: MoveTable, key: string): string => table.shardKeys[key] ?? key;
  const { shardKey } = moving.to;
  return (
    isSameName(keyOfTable(child, shardKey), column.child) &&
    isSameName(keyOfTable(parent, shardKey), column.key)
  );
}

/** Rows that point at some of these parents, and are in no range that leaves. One turn. */
function countStaying(
  { sql, self }: SourceContext,
  plan: MovePlan,
  { reference, parent }: Partable,
  keys: string,
  outgoing: readonly Outgoing[],
): number {
  if (keys === "[]") return 0;
  const child = plan.tables.find(({ table }) => isSameName(table.name, reference.table));
  const origin = child?.originSql("c") ?? null;
  const columns = [
    ...(child ? [keyColumn(child.routeSql("c"), "route")] : ["NULL AS route"]),
    ...(origin === null ? [] : [keyColumn(origin, "origin")]),
  ];
  const query = `SELECT ${columns.join(", ")} FROM json_each(?1) AS j
    JOIN ${quoteName(parent.table.name)} AS p ON ${primaryKeyMatches(parent.table, "p", "j.value")}
    JOIN ${quoteName(reference.table)} AS c ON ${pointsAt(sql, reference, "p", "c")}`;
  const refuge = findRefuge(plan.moving, self);
  let staying = 0;
  for (const row of sql.stream<SqlRow>(query, keys)) {
    const isMisplaced =
      origin !== null && plan.originOf !== null && plan.originOf(keyOf(row["origin"])) !== self;
    // As `Batch.add` decides: what is misplaced stays, or takes refuge.
    const leaves = (range: MoveRange): boolean =>
      isMisplaced ? (refuge?.isWithin(range) ?? false) : rangeContains(range, keyOf(row["route"]));
    if (child === undefined || !outgoing.some(({ range }) => leaves(range))) staying++;
  }
  return staying;
}
