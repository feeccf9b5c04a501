/**
 * Triggers that refuse a row whose shard key this member does not own, and a shard key that changes
 * in place, whatever code writes.
 *
 * | layout        | a row that comes                               | a key that changes in place |
 * |---------------|------------------------------------------------|-----------------------------|
 * | none          | is taken                                       | may                         |
 * | hash          | must have a key in a slot of this member       | is refused                  |
 * | range         | must have a key in a range of this member      | is refused                  |
 * | custom        | is taken: SQL cannot ask a partitioner         | is refused                  |
 * | roundRobin    | is taken: the directory knows its owner        | may                         |
 *
 * They read, and write nothing. What is owned stands in `shardctl_owned`, so that a cutover changes
 * rows and no trigger. They hold once the object has started (see `move/write-blocks.ts`) and while
 * what is noted there is of the epoch that the object serves at: a library that does not know the
 * table may have changed that. The engine lifts them with all others while it writes.
 *
 * A row that follows another has no key of its own, and no trigger: one that names another table
 * would keep migrations from renaming that. AFTER, not BEFORE: only then has a row the values that
 * are stored.
 */
import { bytesToHex } from "../../model/bytes-to-hex.ts";
import type { Key } from "../../model/layout/key.ts";
import type { Layout } from "../../model/layout/layout.ts";
import { IS_ARMED, triggersOf } from "../move/write-blocks.ts";
import { isFull } from "../storage/faults.ts";
import { OWNED_PREFIX } from "../storage/private-names.ts";
import { SLOT_UNKNOWN, slotExpression } from "../storage/slot-sql.ts";
import { type Sql, quoteName, quoteText } from "../storage/storage.ts";
import { type Table, type TableSpec, keyExpression } from "../storage/tables.ts";
import { WRONG_KEY } from "./wrong-key.ts";
import { sameKeySql } from "./unique.ts";

/**
 * The rows that are checked: every one that is written (`all`), only that a shard key does not
 * change in place (`changes`), or nothing (`none`).
 */
export type KeyChecks = "all" | "changes" | "none";

type KeyedLayout = Exclude<Layout, { readonly kind: "none" | "roundRobin" }>;

/** True when a member that serves by this layout has keys to check. */
export function hasKeysToCheck(layout: Layout, checks: KeyChecks): layout is KeyedLayout {
  return checks !== "none" && layout.kind !== "none" && layout.kind !== "roundRobin";
}

/**
 * Notes what this member owns. Writes what has changed: a cutover moves a few ranges of many. False
 * when there is no room for it; the notes are then of no use. Call inside a transaction.
 */
export function noteOwned(sql: Sql, self: string, layout: KeyedLayout): boolean {
  const found = sql.rows<{ id: number; text: string }>(
    "SELECT id, quote(low) || ' ' || quote(high) AS text FROM shardctl_owned ORDER BY id",
  );
  const stale = new Map(found.map(({ id, text }) => [text, id]));
  const missing = ownedRows(layout, self).filter(({ low, high }) => {
    // As SQL writes them itself: a key may be too large a number for JavaScript.
    const noted = sql.first<{ text: string }>(
      `SELECT quote(${low}) || ' ' || quote(${high}) AS text`,
    );
    return noted === undefined || !stale.delete(noted.text);
  });
  for (const id of stale.values()) sql.run("DELETE FROM shardctl_owned WHERE id = ?", id);
  let last = found.at(-1)?.id ?? 0;
  try {
    // In statements that are undone alone where they find no room: see `keepReserve`.
    for (const { low, high } of missing)
      sql.run(
        `INSERT OR ABORT INTO shardctl_owned (id, low, high) SELECT value, ${low}, ${high} FROM json_each(?)`,
        `[${++last}]`,
      );
    return true;
  } catch (error) {
    if (!isFull(error)) throw error;
    return false;
  }
}

/** Takes away every trigger that checks keys. Call inside a transaction. */
export function liftKeyTriggers(sql: Sql): void {
  for (const { name } of keyTriggersOf(sql)) sql.run(`DROP TRIGGER ${quoteName(name)}`);
}

/**
 * True when a trigger stands that names another column than these specs do, as it does in the first
 * life after a deploy that has changed them. It would keep the constructor from dropping the
 * column.
 */
export function nameOtherColumns(
  sql: Sql,
  specs: readonly TableSpec[],
  layout: Layout,
  checks: KeyChecks,
): boolean {
  const keys = new Map<string, string>();
  if (hasKeysToCheck(layout, checks))
    for (const spec of specs)
      if (!("follows" in spec))
        keys.set(spec.name, spec.shardKeys?.[layout.shardKey] ?? layout.shardKey);
  return keyTriggersOf(sql).some(({ tbl_name: table, sql: text }) => {
    const column = keys.get(table)?.split(".")[0];
    return column === undefined || !text.includes(`NEW.${quoteName(column)}`);
  });
}

/** The triggers that lack, as statements, and the names of those that must go. */
export function compareKeyTriggers(
  sql: Sql,
  tables: readonly Table[],
  layout: Layout | null,
  checks: KeyChecks,
): { readonly missing: readonly string[]; readonly wrong: readonly string[] } {
  const triggers =
    layout !== null && hasKeysToCheck(layout, checks)
      ? tables
          .filter((table) => hasKeyColumn(table, layout.shardKey))
          .flatMap((table) => keyTriggers(table, layout, checks))
      : [];
  const wanted = new Map(triggers.map((trigger) => [trigger.name, trigger.sql]));
  const wrong: string[] = [];
  for (const { name, sql: found } of keyTriggersOf(sql)) {
    if (wanted.get(name) === found) wanted.delete(name);
    else wrong.push(name);
  }
  return { missing: [...wanted.values()], wrong };
}

/**
 * False for a table that follows another, and where a deploy has taken the column of the key away.
 */
function hasKeyColumn({ followed, shardKeys, columns }: Table, shardKey: string): boolean {
  return (
    followed === null && columns.includes((shardKeys[shardKey] ?? shardKey).split(".")[0] ?? "")
  );
}

function keyTriggersOf(sql: Sql): ReturnType<typeof triggersOf> {
  return triggersOf(sql).filter(({ name }) => name.startsWith(OWNED_PREFIX));
}

interface OwnedRow {
  /** SQL literals. */
  readonly low: string;
  readonly high: string;
}

/**
 * From `low` up to, not including, `high`; NULL for no bound. Slots under hash, keys under range.
 */
function ownedRows(layout: KeyedLayout, self: string): OwnedRow[] {
  if (layout.kind === "custom") return [];
  const ends = layout.ranges.map(({ end }) =>
    typeof end === "number" ? String(end) : end === null ? "NULL" : literalOf(end),
  );
  return layout.ranges.flatMap(({ member }, index) => {
    if (member !== self) return [];
    return [
      {
        low: ends[index - 1] ?? (layout.kind === "hash" ? "0" : "NULL"),
        high: ends[index] ?? "NULL",
      },
    ];
  });
}

function literalOf({ type, text }: Key): string {
  const bytes = (): string => bytesToHex(new TextEncoder().encode(text));
  switch (type) {
    case "null":
      return "NULL";
    case "integer":
      return text;
    case "real":
      return /^-?Infinity$/.test(text)
        ? text.replace("Infinity", "9e999")
        : /[.e]/.test(text)
          ? text
          : `${text}.0`;
    case "text":
      return `CAST(x'${bytes()}' AS TEXT)`;
    case "blob":
      return `x'${text}'`;
  }
}

interface KeyTrigger {
  readonly name: string;
  readonly sql: string;
}

/**
 * True while the object has started and what is noted is of now. Comes last: it is only looked at
 * for a row that is about to be refused.
 */
const IS_OF_NOW = `EXISTS (SELECT 1 FROM shardctl_meta AS m WHERE m.key = 'membership' AND m.value ->> '$.ownedEpoch' = m.value ->> '$.epoch' AND m.value ->> '$.serving') AND ${IS_ARMED}`;

function keyTriggers(table: Table, layout: KeyedLayout, checks: KeyChecks): KeyTrigger[] {
  const [oldKey, newKey] = ["OLD", "NEW"].map((alias) =>
    keyExpression(table, layout.shardKey, alias),
  ) as [string, string];
  const changed = `${differs(oldKey, newKey)} AND NOT ${sameKeySql(layout, oldKey, newKey)}`;
  const [oldTold, newTold] = [toldKey(oldKey), toldKey(newKey)];
  const name = quoteText(`${WRONG_KEY} table ${table.name}: `);
  const becomes = `${name} || 'the shard key of a row would change in place from ' || ${oldTold} || ' to ' || ${newTold} || ': nothing was written. Delete the row under its old key, then store it under the new one'`;
  const strays = `${name} || 'this member does not own the shard key of the new row, ' || ${newTold} || ': nothing was written. Route the call by that key'`;
  const isOwned = ownedCondition(layout, newKey);
  return [
    keyTrigger(table, "change", "AFTER UPDATE", changed, becomes),
    ...(checks === "all" && isOwned !== null
      ? [keyTrigger(table, "insert", "AFTER INSERT", `NOT ${isOwned}`, strays)]
      : []),
  ];
}

/** A cheap look first: most updates leave the key alone. */
function differs(oldKey: string, newKey: string): string {
  return `(${oldKey}) COLLATE BINARY IS NOT (${newKey})`;
}

/** SQL that is true for a key of this member; null when SQL cannot tell. */
function ownedCondition(layout: KeyedLayout, key: string): string | null {
  switch (layout.kind) {
    case "hash":
      // In the FROM of its own, the slot is made once, whatever the number of ranges.
      return `EXISTS (SELECT 1 FROM (SELECT ${slotExpression(key)} AS slot LIMIT 1) AS k CROSS JOIN shardctl_owned AS o WHERE k.slot = ${SLOT_UNKNOWN} OR (k.slot >= o.low AND k.slot < o.high))`;
    case "range": {
      // The plus signs take away the affinity of the column: keys compare by their storage class.
      const k = "(+k.value) COLLATE BINARY";
      return `EXISTS (SELECT 1 FROM (SELECT ${key} AS value LIMIT 1) AS k CROSS JOIN shardctl_owned AS o WHERE (o.low IS NULL OR ${k} >= +o.low) AND (o.high IS NULL OR k.value IS NULL OR ${k} < +o.high))`;
    }
    case "custom":
      return null;
  }
}

const TOLD_BYTES_MAX = 200;

function toldKey(key: string): string {
  return `(SELECT CASE WHEN octet_length(k) > ${TOLD_BYTES_MAX} THEN 'a key of ' || octet_length(k) || ' bytes' ELSE quote(k) END FROM (SELECT ${key} AS k LIMIT 1))`;
}

function keyTrigger(
  table: Table,
  label: string,
  event: string,
  when: string,
  message: string,
): KeyTrigger {
  const name = `${OWNED_PREFIX}${label}_${table.name}`;
  const sql = `CREATE TRIGGER ${quoteName(name)} ${event} ON ${quoteName(table.name)} WHEN ${when} AND ${IS_OF_NOW} BEGIN SELECT RAISE(ABORT, ${message}); END`;
  return { name, sql };
}
