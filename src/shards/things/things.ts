/**
 * Things and relationships: their shape, their tables, and the shard key of a thing as a caller
 * sees it.
 */
import type { KeyInput } from "../../model/layout/key.ts";
import { requireKnown } from "../protocol/options.ts";
import { ROW_BYTES_MAX } from "../storage/row-codec.ts";

/**
 * A JSON value. Lists and nested objects are `object`: the runtime's RPC types cannot follow a type
 * that contains itself.
 */
export type Json = string | number | boolean | null | object;
export interface JsonObject {
  readonly [name: string]: Json;
}

export interface Thing {
  readonly id: string;
  readonly type: string;
  readonly name: string | null;
  readonly data: JsonObject;
  readonly visibility: string;
  /** Milliseconds since the Unix epoch. */
  readonly createdAt: number;
  readonly updatedAt: number;
}

export type ThingInput = Pick<Thing, "id"> & Partial<Thing>;

export interface Relationship {
  readonly from: string;
  readonly verb: string;
  readonly to: string;
  readonly data: JsonObject;
  readonly createdAt: number;
}

export type RelationshipInput = Pick<Relationship, "from" | "verb" | "to"> & Partial<Relationship>;

/** One object of the namespace, as the `objects` table of the root lists it. */
export interface ObjectEntry {
  readonly ns: string;
  readonly doId: string;
  readonly shardIndex: number;
}

/** Rows as SQLite gives them: `data` is JSON text. */
export type ThingRow = Omit<{ -readonly [Column in keyof Thing]: Thing[Column] }, "data"> & {
  data: string;
};
export type RelationshipRow = Omit<
  { -readonly [Column in keyof Relationship]: Relationship[Column] },
  "data"
> & { data: string };

/** Columns of `things`: a shard key begins with one of them. */
export const THING_COLUMNS = ["id", "type", "name", "data", "visibility", "createdAt", "updatedAt"];

/** The tables of a `ThingsObject`. */
export const THINGS_TABLES = [
  `CREATE TABLE IF NOT EXISTS things (id TEXT PRIMARY KEY, type TEXT NOT NULL, name TEXT, data TEXT NOT NULL, visibility TEXT NOT NULL, createdAt INTEGER NOT NULL, updatedAt INTEGER NOT NULL) WITHOUT ROWID`,
  `CREATE TABLE IF NOT EXISTS relationships ("from" TEXT NOT NULL, verb TEXT NOT NULL, "to" TEXT NOT NULL, data TEXT NOT NULL, createdAt INTEGER NOT NULL, PRIMARY KEY ("from", verb, "to")) WITHOUT ROWID`,
  `CREATE TABLE IF NOT EXISTS objects (ns TEXT PRIMARY KEY, doId TEXT NOT NULL, shardIndex INTEGER NOT NULL) WITHOUT ROWID`,
];

/**
 * The shard key of a thing as JavaScript sees it, equal to what SQL reads from the stored row. An
 * unsharded namespace has none.
 */
export function keyAt(thing: Thing, path: string | null): KeyInput {
  if (path === null) return null;
  const [column = "", ...below] = path.split(".");
  let value: unknown = thing[column as keyof Thing];
  for (const segment of below) {
    // A path of SQL by names finds nothing in a list.
    const isObject = value !== null && typeof value === "object" && !Array.isArray(value);
    value =
      isObject && Object.hasOwn(value as object, segment)
        ? (value as Record<string, unknown>)[segment]
        : undefined;
  }
  if (value !== null && typeof value === "object") return storedText(value);
  return below.length > 0 && typeof value === "number" ? storedNumber(value) : (value as KeyInput);
}

/**
 * A number in JSON: its text is stored, which above 2^53 is another integer than the number itself.
 * Beyond int64 SQL reads a real.
 */
function storedNumber(value: number): KeyInput {
  if (!Number.isFinite(value)) return null;
  const text = JSON.stringify(value);
  if (!/^-?\d+$/.test(text)) return value;
  const integer = BigInt(text);
  return BigInt.asIntN(64, integer) === integer ? integer : value;
}

/**
 * SQL gives objects and lists as their JSON text. What JSON writes as a text, such as a date, is
 * one.
 */
function storedText(value: object): string {
  const text = JSON.stringify(value);
  return text.startsWith('"') ? (JSON.parse(text) as string) : text;
}

/** @throws Error for a field that is not stored, or not as it is given. */
export function completeThing(input: ThingInput, now: number): Thing {
  requireKnown("put", input, THING_COLUMNS);
  const thing: Thing = {
    type: "",
    name: null,
    data: {},
    visibility: "private",
    createdAt: now,
    updatedAt: now,
    ...given(input),
  };
  if (typeof thing.id !== "string" || thing.id === "") throw new Error("A thing needs an id");
  requireFields(thing);
  // A lone surrogate cannot be stored as UTF-8; JSON.stringify escapes those in `data`.
  for (const text of [thing.id, thing.type, thing.name, thing.visibility]) {
    if (typeof text === "string" && !text.isWellFormed())
      throw new Error(`Thing ${JSON.stringify(thing.id)} has text that is not valid Unicode`);
  }
  const bytes = [
    thing.id,
    thing.type,
    thing.name ?? "",
    thing.visibility,
    JSON.stringify(thing.data),
  ].reduce((total, text) => total + new TextEncoder().encode(text).length, 0);
  if (bytes > ROW_BYTES_MAX)
    throw new Error(
      `Thing ${JSON.stringify(thing.id)} has ${bytes} bytes, the maximum for one row is ${ROW_BYTES_MAX}`,
    );
  return thing;
}

/** The fields that have a value: one that is undefined is left to its default. */
function given<Input extends object>(input: Input): Input {
  return Object.fromEntries(
    Object.entries(input).filter(([, value]) => value !== undefined),
  ) as Input;
}

/** SQLite would store another value, or one that is not found again. */
function requireFields(thing: Thing): void {
  const { id, data } = thing;
  const refuse = (field: string, takes: string, value: unknown): never => {
    const kind = value instanceof Date ? "a Date: pass getTime()" : typeof value;
    throw new Error(`Thing ${JSON.stringify(id)}: ${field} must be ${takes}, not ${kind}`);
  };
  for (const field of ["type", "visibility"] as const)
    if (typeof thing[field] !== "string") refuse(field, "a text", thing[field]);
  if (thing.name !== null && typeof thing.name !== "string")
    refuse("name", "a text or null", thing.name);
  for (const field of ["createdAt", "updatedAt"] as const)
    if (!Number.isSafeInteger(thing[field])) refuse(field, "whole milliseconds", thing[field]);
  const isData = data !== null && typeof data === "object" && !Array.isArray(data);
  if (!isData || data instanceof Date) refuse("data", "an object", data);
}

/** A stored thing. */
export function thingOf({ data, ...row }: ThingRow): Thing {
  return { ...row, data: JSON.parse(data) as JsonObject };
}

export function relationshipOf({ data, ...row }: RelationshipRow): Relationship {
  return { ...row, data: JSON.parse(data) as JsonObject };
}
