/**
 * Remembers at a target which life of each source has sent its newest page. A source counts a page
 * before it sends it, so that no two of its lives send one of the same number, unless it was
 * restored to before that page: then it may have other rows. Rule "one-history".
 */
import { dropMeta, readMeta, writeMeta } from "../storage/schema.ts";
import type { Sql } from "../storage/storage.ts";
import type { Incoming } from "./incoming.ts";

const KEY = "lives";

interface Lives {
  readonly operation: number;
  readonly of: Readonly<Record<string, number>>;
}

/** True when another life of the source has sent the newest page that is here. */
export function isOfOtherLife(incoming: Incoming, life: number | undefined): boolean {
  const known = read(incoming)[incoming.source];
  return life !== undefined && known !== undefined && known !== life;
}

/** Undefined for a source whose library does not tell: nothing is known of its newest page. */
export function noteLife(incoming: Incoming, life: number | undefined): void {
  const { sql, plan, source } = incoming;
  const { [source]: known, ...others } = read(incoming);
  if (known === life) return;
  const of = life === undefined ? others : { ...others, [source]: life };
  writeMeta(sql, KEY, { operation: plan.moving.operation, of } satisfies Lives);
}

export function forgetLives(sql: Sql): void {
  dropMeta(sql, KEY);
}

function read({ sql, plan }: Incoming): Lives["of"] {
  const lives = readMeta<Lives>(sql, KEY);
  // A library that does not know of it has left it behind.
  return lives?.operation === plan.moving.operation ? lives.of : {};
}
