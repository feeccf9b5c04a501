/**
 * Shard keys as values that survive every hop exactly.
 *
 * SQLite knows five storage classes and JavaScript three; an int64 above 2^53 or a REAL 1.0 does
 * not survive the trip. A key therefore travels as its storage class and a text, made by SQL for
 * stored rows and by `toKey` for a caller's argument. Both ways give the same key for the same
 * value: that is what makes the caller's router and the engine agree on the owner.
 */
import { bytesToHex } from "../bytes-to-hex.ts";

/** SQLite's storage classes, as `typeof()` names them. */
export type StorageClass = "null" | "integer" | "real" | "text" | "blob";

/**
 * A shard key. `text` is decimal for `integer`, JavaScript's shortest round-trip form for `real`,
 * the text itself for `text`, upper-case hex for `blob`, and empty for `null`. Stored in layouts:
 * the form must never change.
 */
export interface Key {
  readonly type: StorageClass;
  readonly text: string;
}

/** Values that a caller may pass as a key. `undefined` and `null` are the missing key. */
export type KeyInput = null | undefined | boolean | number | bigint | string | Uint8Array;

export const MISSING_KEY: Key = { type: "null", text: "" };

/**
 * The key of a JavaScript value, equal to the key that SQL gives for the same value stored in a
 * row. Integral numbers are integers.
 */
export function toKey(value: KeyInput): Key {
  switch (typeof value) {
    case "undefined":
      return MISSING_KEY;
    case "boolean":
      return { type: "integer", text: value ? "1" : "0" };
    case "bigint":
      return { type: "integer", text: value.toString() };
    case "string":
      // A lone surrogate cannot be stored as UTF-8: SQL would give back U+FFFD.
      return { type: "text", text: value.toWellFormed() };
    case "number":
      return Number.isNaN(value) ? MISSING_KEY : realKey(value);
    default:
      return value === null ? MISSING_KEY : { type: "blob", text: bytesToHex(value).toUpperCase() };
  }
}

/**
 * The key of a stored value, from SQL's `typeof(value)` and its text (`hex(value)` for a blob, 17
 * significant digits for a real).
 */
export function keyFromSql(type: string, text: string | null): Key {
  switch (type) {
    case "integer":
    case "text":
    case "blob":
      return { type, text: text ?? "" };
    case "real":
      return realKey(sqlReal(text ?? ""));
    default:
      return MISSING_KEY;
  }
}

/**
 * The text that is hashed. The missing key and the empty text are the same key here, as are the
 * integer 1, the real 1.0 and the text '1'.
 */
export function keyText(key: Key): string {
  return key.text;
}

const CLASS_ORDER: Readonly<Record<StorageClass, number>> = {
  null: 0,
  integer: 1,
  real: 1,
  text: 2,
  blob: 3,
};

/**
 * SQLite's own order: NULL < numbers < text < blob. Text compares by UTF-8 bytes (BINARY
 * collation), which is the order of code points and differs from JavaScript's UTF-16 order above
 * U+FFFF.
 */
export function compareKeys(left: Key, right: Key): number {
  const byClass = CLASS_ORDER[left.type] - CLASS_ORDER[right.type];
  if (byClass !== 0) return byClass;
  switch (left.type) {
    case "null":
      return 0;
    case "integer":
    case "real":
      return compareNumbers(numberOf(left), numberOf(right));
    case "text":
      return compareCodePoints(left.text, right.text);
    case "blob":
      return left.text < right.text ? -1 : left.text > right.text ? 1 : 0;
  }
}

/** True for the missing key and for empty text: the rows that `policy.onMissingKey` is about. */
export function isMissing(key: Key): boolean {
  return key.type === "null" || (key.type === "text" && key.text === "");
}

/**
 * A key as people write it: numbers bare, text in quotes, blobs as x'…'. For plans and messages
 * about layouts, never for row contents.
 */
export function formatKey(key: Key): string {
  switch (key.type) {
    case "null":
      return "NULL";
    case "integer":
    case "real":
      return key.text;
    case "text":
      return JSON.stringify(key.text);
    case "blob":
      return `x'${key.text}'`;
  }
}

const INT64_LIMIT = 2 ** 63;

function realKey(value: number): Key {
  if (Number.isInteger(value) && value >= -INT64_LIMIT && value < INT64_LIMIT)
    return { type: "integer", text: BigInt(value).toString() };
  return { type: "real", text: String(value) };
}

function sqlReal(text: string): number {
  if (/^[+-]?inf/i.test(text)) return text.startsWith("-") ? -Infinity : Infinity;
  return Number(text);
}

function numberOf(key: Key): bigint | number {
  return key.type === "integer" ? BigInt(key.text) : Number(key.text);
}

function compareNumbers(left: bigint | number, right: bigint | number): number {
  return left < right ? -1 : left > right ? 1 : 0;
}

function compareCodePoints(left: string, right: string): number {
  const length = Math.min(left.length, right.length);
  for (let at = 0; at < length; at++) {
    const a = left.charCodeAt(at);
    const b = right.charCodeAt(at);
    if (a === b) continue;
    // A surrogate stands for a code point above U+FFFF, hence above any other unit.
    const aSurrogate = a >= 0xd800 && a <= 0xdfff;
    const bSurrogate = b >= 0xd800 && b <= 0xdfff;
    return aSurrogate === bSurrogate ? a - b : aSurrogate ? 1 : -1;
  }
  return left.length - right.length;
}
