/**
 * Positions: where a staged row stands in the order by which a shift is cut into waves.
 *
 * A position is a class and a value, compared as an SQL row value: the slot for a hash layout; for
 * a range layout the key itself, whose class keeps SQLite's order NULL < numbers < text < blob
 * although JSON cannot hold a blob (its hex sorts as its bytes do).
 */
import { type Key, type StorageClass } from "../../model/layout/key.ts";
import type { Layout } from "../../model/layout/layout.ts";
import type { MoveRange } from "../../model/layout/move-range.ts";
import { SLOT_COUNT, slotOf } from "../../model/layout/slots.ts";
import { keyFromSql } from "../../model/layout/key.ts";
import type { SqlValue } from "../storage/storage.ts";

const CLASS: Readonly<Record<StorageClass, number>> = {
  null: 0,
  integer: 1,
  real: 1,
  text: 2,
  blob: 3,
};

/** The two leading elements of a staged row's JSON array, without brackets. */
export function positionJson(layout: Layout, key: Key): string {
  if (layout.kind === "hash") return `0,${slotOf(key)}`;
  return `${CLASS[key.type]},${key.type === "null" ? "0" : key.type === "text" || key.type === "blob" ? JSON.stringify(key.text) : numberText(key)}`;
}

/**
 * SQL that is true for staged rows (columns `shardctl_class`, `shardctl_position`) inside the
 * range.
 */
export function withinRange(range: MoveRange): {
  readonly sql: string;
  readonly bindings: readonly SqlValue[];
} {
  if (range.kind === "slots")
    return {
      sql: "shardctl_position >= ? AND shardctl_position < ?",
      bindings: [range.from, range.to],
    };
  const bounds: { sql: string; bindings: readonly SqlValue[] }[] = [];
  if (range.from !== null) bounds.push(compareTo(">=", range.from));
  if (range.to !== null) bounds.push(compareTo("<", range.to));
  if (bounds.length === 0) return { sql: "true", bindings: [] };
  return {
    sql: bounds.map((bound) => bound.sql).join(" AND "),
    bindings: bounds.flatMap((bound) => bound.bindings),
  };
}

/**
 * The range from one staged position up to the next, exclusive; `undefined` is the end of the
 * keyspace on that side.
 */
export function rangeBetween(
  layout: Layout,
  from: StagedPosition | undefined,
  to: StagedPosition | undefined,
): MoveRange {
  if (layout.kind === "hash")
    return { kind: "slots", from: Number(from?.text ?? 0), to: Number(to?.text ?? SLOT_COUNT) };
  return { kind: "keys", from: from ? positionKey(from) : null, to: to ? positionKey(to) : null };
}

/** A staged position as SQL reads it: class, storage class and exact text of the value. */
export interface StagedPosition {
  readonly class: number;
  readonly type: string;
  readonly text: string;
}

function positionKey(position: StagedPosition): Key {
  if (position.class === 0) return { type: "null", text: "" };
  return keyFromSql(position.class === 3 ? "blob" : position.type, position.text);
}

function compareTo(operator: string, key: Key): { sql: string; bindings: readonly SqlValue[] } {
  const value =
    key.type === "integer" || key.type === "real"
      ? numberText(key)
      : key.type === "null"
        ? "0"
        : "?";
  const bindings = value === "?" ? [key.text] : [];
  return {
    sql: `(shardctl_class, shardctl_position) ${operator} (${CLASS[key.type]}, ${value})`,
    bindings,
  };
}

function numberText(key: Key): string {
  if (key.text === "Infinity") return "9e999";
  if (key.text === "-Infinity") return "-9e999";
  return key.text;
}
