/**
 * Tells a call whose row was refused for its shard key: the trigger's own words, and the
 * owner of the key, which SQL does not know.
 */
import { type Key, keyFromSql } from "../../model/layout/key.ts";
import { type RefusedError, refused } from "../protocol/refused-error.ts";

/** The beginning of such a refusal. Part of the API: code that is no routed call sees it. */
export const WRONG_KEY = "shardctl: wrong key:";

/** Errors that libraries put around the one of SQLite. */
const CAUSES_MAX = 8;

/**
 * The refusal that an error of the user's code stands for; null for any other error. `ownerOf`
 * gives the member that owns a key by the current layout.
 */
export function explainWrongKey(
  error: unknown,
  ownerOf: (key: Key) => string,
): RefusedError | null {
  let found = error;
  for (let depth = 0; depth < CAUSES_MAX && found instanceof Error; depth++) {
    const at = found.message.indexOf(WRONG_KEY);
    if (at !== -1)
      return refused(
        "wrongKey",
        withOwner(found.message.slice(at).replace(SQLITE_CODE, ""), ownerOf),
      );
    found = found.cause;
  }
  return null;
}

/** The words that the runtime puts behind those of a trigger. */
const SQLITE_CODE = /: SQLITE_CONSTRAINT[\s\S]*$/;
const TOLD =
  /^(.*the shard key of the new row, |.* in place from [\s\S]*? to )('(?:[^']|'')*'|X'[0-9A-F]*'|NULL|-?[\d.]+(?:e[+-]?\d+)?)(: nothing was written[\s\S]*)$/s;

function withOwner(message: string, ownerOf: (key: Key) => string): string {
  const [, before, told, after] = TOLD.exec(message) ?? [];
  if (before === undefined || told === undefined || after === undefined) return message;
  return `${before}${told} (of ${ownerOf(toldKey(told))})${after}`;
}

function toldKey(told: string): Key {
  if (told === "NULL") return keyFromSql("null", null);
  if (told.startsWith("'")) return keyFromSql("text", told.slice(1, -1).replaceAll("''", "'"));
  if (told.startsWith("X")) return keyFromSql("blob", told.slice(2, -1));
  return keyFromSql(/^-?\d+$/.test(told) ? "integer" : "real", told);
}
