/**
 * The unique constraints under which two rows count as the same row: the primary key and the unique
 * indexes, each with its collations, as texts that can be compared.
 *
 * A row of a move replaces what is in its way on the target. That is safe as long as the source
 * could never have held both. Where the target has a rule that a source does not have, one row
 * could displace another that was compared already, and nobody would notice. Such a move is refused
 * while it is prepared. The definitions cannot change afterwards: see `schemaText`.
 */
import { NOTHING_CHANGED } from "../../model/operation.ts";
import { EngineFault } from "../storage/faults.ts";
import type { PrepareReply, UniqueRule } from "../protocol/replies.ts";
import { type Sql, quoteName } from "../storage/storage.ts";
import { type Table, primaryKeyDefinition } from "../storage/tables.ts";

/**
 * The rules of the tables. What SQLite does not tell in parts is compared by the whole text of its
 * definition.
 */
export function uniqueRules(sql: Sql, tables: readonly Table[]): UniqueRule[] {
  return tables.flatMap((table) => {
    const primaryKey = {
      table: table.name,
      index: null,
      rule: `PRIMARY KEY (${primaryKeyDefinition(sql, table)})`,
    };
    const indexes = sql
      .rows<IndexInfo>(`PRAGMA index_list(${quoteName(table.name)})`)
      .filter(({ unique, origin }) => unique === 1 && origin !== "pk")
      .map((info) => ({ table: table.name, index: info.name, rule: indexRule(sql, table, info) }));
    return [primaryKey, ...indexes.toSorted((left, right) => (left.rule < right.rule ? -1 : 1))];
  });
}

/**
 * Refuses a move when a target has a rule that a source has not.
 * @throws EngineFault that names the table, the rule, and what to do.
 */
export function refuseOtherRules(
  sources: readonly RulesOfMember[],
  targets: readonly RulesOfMember[],
): void {
  const distinctSources = distinct(sources);
  for (const target of distinct(targets)) {
    for (const source of distinctSources) {
      const known = new Set(source.uniqueRules.map((rule) => textOfRule(rule)));
      const other = target.uniqueRules.find((rule) => !known.has(textOfRule(rule)));
      if (other) throw new EngineFault("schema", describe(other, target.member, source.member));
    }
  }
}

export type RulesOfMember = Pick<PrepareReply, "uniqueRules"> & { readonly member: string };

interface IndexInfo extends Record<string, string | number> {
  name: string;
  unique: number;
  origin: string;
  partial: number;
}

function indexRule(sql: Sql, table: Table, { name, partial }: IndexInfo): string {
  const columns = sql
    .rows<{ name: string | null; coll: string | null; key: number }>(
      `PRAGMA index_xinfo(${quoteName(name)})`,
    )
    .filter(({ key }) => key === 1);
  const rule = `UNIQUE (${columns.map((column) => `${quoteName(column.name ?? "?")} COLLATE ${quoteName(column.coll ?? "BINARY")}`).join(", ")})`;
  // A condition, an expression, or a generated column: only the definition says what it is.
  const isPlain =
    partial === 0 &&
    columns.every((column) => column.name !== null && table.columns.includes(column.name));
  if (isPlain) return rule;
  const isGenerated = columns.some(
    (column) => column.name !== null && !table.columns.includes(column.name),
  );
  const definitions = sql
    .rows<{ sql: string | null }>(
      "SELECT sql FROM sqlite_master WHERE (type = 'index' AND name = ?1) OR (?2 AND type = 'table' AND name = ?3) ORDER BY type",
      name,
      isGenerated ? 1 : 0,
      table.name,
    )
    .map((found) => (found.sql ?? "").replaceAll(/\s+/g, " "));
  return `${rule} of ${definitions.join("; ")}`;
}

/** One member of each kind: a thousand shards of one class have one set of rules. */
function distinct(members: readonly RulesOfMember[]): RulesOfMember[] {
  const byRules = new Map(
    members.map((member) => [
      member.uniqueRules.map((rule) => textOfRule(rule)).join("\n"),
      member,
    ]),
  );
  return [...byRules.values()];
}

function textOfRule({ table, rule }: UniqueRule): string {
  return `${table}: ${rule}`;
}

function describe({ table, index, rule }: UniqueRule, target: string, source: string): string {
  const where = index === null ? rule : `index ${index}, ${rule}`;
  const advice =
    index === null
      ? "let the table be the same on every shard"
      : rule.includes("CREATE TABLE")
        ? `the index is on a generated column, so that the whole definition of the table counts: create the table in the same words on ${source} and ${target}, or drop the index on ${target}`
        : `create the index on ${source} as well, or drop it on ${target} (a table must be the same on every shard)`;
  return `Table '${table}' counts rows as the same row on ${target} by its ${where}, as it does not on ${source}: a row could take another's place there. ${NOTHING_CHANGED}: ${advice}, then start again`;
}
