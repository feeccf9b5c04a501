/**
 * Writes the rows of a page into their tables, and decides what becomes of rows that are in their
 * way.
 */
import { NOTHING_CHANGED } from "../../model/operation.ts";
import { EngineFault, messageOf } from "../storage/faults.ts";
import type { Incoming, IncomingPart } from "./incoming.ts";
import { deleteKeys, deleteSameKeys } from "./delete-keys.ts";
import type { MovePlan, MoveTable } from "./move-plan.ts";
import { rememberOrigins } from "./row-sources.ts";
import { cellBinding, jsonCell } from "../storage/row-codec.ts";
import { quoteName } from "../storage/storage.ts";

/**
 * Stores the rows in place of what was here under their keys.
 *
 * REPLACE, not an update of the row: its key may be written another way (1 and 1.0, or letters
 * whose case does not count).
 *
 * Another row may still hold a unique value that a new one has now. When both are from one source
 * it is out of date, and on its way again in the log: it gives way. Rows of two sources may really
 * be in each other's way: that ends the operation. So may those that a repair brings, when two rows
 * are one here that their source tells apart.
 *
 * Every insert says itself what becomes of a row in its way: a table may have a rule of its own
 * (`UNIQUE ON CONFLICT REPLACE`).
 */
export function upsertRows(incoming: Incoming, rows: IncomingPart, repairs: boolean): void {
  const { sql, plan, source } = incoming;
  const { part, table } = rows;
  const displaces = !repairs && !mayMeetOthers(plan, table);
  try {
    if (repairs) deleteSameKeys(sql, table, part.keys);
    else if (!displaces) deleteKeys(sql, table.store, table.table, part.keys);
    storeRows(incoming, rows, displaces ? "INSERT OR REPLACE" : "INSERT OR ABORT");
  } catch (error) {
    if (!/constraint failed|cannot store/.test(messageOf(error))) throw error;
    if (!messageOf(error).includes("UNIQUE constraint failed"))
      throw new EngineFault(
        "schema",
        `Table '${table.table.name}' refuses a row that ${source} has (${messageOf(error)}). ${NOTHING_CHANGED}: let the table be the same on every shard, then start again`,
      );
    if (repairs)
      throw new EngineFault(
        "duplicateId",
        `Rows of table '${table.table.name}' displace each other, and differ from their source ${source}, which has them all (${messageOf(error)}). ${NOTHING_CHANGED}: let the table be the same on every shard, then start again`,
      );
    throw new EngineFault(
      "duplicateId",
      `Rows of table '${table.table.name}' from ${source} have values that rows of other shards have, and that must be unique in one object (${messageOf(error)}). ${NOTHING_CHANGED}: change the values, then start again`,
    );
  }
}

/**
 * True when rows of several sources meet in one live table with constraints beside its primary key.
 */
function mayMeetOthers({ moving }: MovePlan, { table }: MoveTable): boolean {
  return moving.mode === "swap" && moving.from.members.length > 1 && table.hasConstraints;
}

function storeRows(
  incoming: Incoming,
  rows: IncomingPart,
  insert: "INSERT OR ABORT" | "INSERT OR REPLACE",
): void {
  const { sql, plan, source } = incoming;
  const { part, table } = rows;
  if (part.rowCount > 0) {
    const { columns } = table.table;
    const offset = plan.moving.mode === "shift" ? STAGE_POSITION.length : 0;
    const cells = columns.map((_, index) =>
      jsonCell("j.value", index, offset, columns.length + offset, part.withBlobs),
    );
    const staged =
      plan.moving.mode === "shift"
        ? ["json_extract(j.value, '$[0]')", "json_extract(j.value, '$[1]')", "?2"]
        : [];
    const select = `SELECT ${[...cells, ...staged].join(", ")} FROM json_each(?1) AS j WHERE true`;
    sql.run(
      `${insert} ${into(plan, table)} ${select}`,
      part.rows,
      ...(staged.length > 0 ? [source] : []),
    );
  }
  for (const { position, cells } of part.large) {
    const bound = cells.map((cell) => cellBinding(cell));
    // As JSON up to SQLite, like that of other rows: an integer of 64 bits is no number of
    // JavaScript.
    const at = bound.flatMap((cell) => cell.bindings).length + 1;
    const staged =
      plan.moving.mode === "shift"
        ? {
            sql: [`json_extract(?${at}, '$[0]')`, `json_extract(?${at}, '$[1]')`, "?"],
            bindings: [`[${position}]`, source],
          }
        : { sql: [], bindings: [] };
    const values = [...bound.map((cell) => cell.sql), ...staged.sql].join(", ");
    sql.run(
      `${insert} ${into(plan, table)} VALUES (${values})`,
      ...bound.flatMap((cell) => cell.bindings),
      ...staged.bindings,
    );
  }
  rememberOrigins(incoming, rows);
}

function into({ moving }: MovePlan, { table, store }: MoveTable): string {
  const columns = [...table.columns, ...(moving.mode === "shift" ? STAGE_COLUMNS : [])];
  return `INTO ${quoteName(store)} (${columns.map((column) => quoteName(column)).join(", ")})`;
}

/** The elements of a staged row that stand before its columns. */
const STAGE_POSITION = ["shardctl_class", "shardctl_position"];
const STAGE_COLUMNS = [...STAGE_POSITION, "shardctl_source"];
