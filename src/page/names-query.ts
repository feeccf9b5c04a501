/**
 * Reads the namespaces of an environment a page at a time, those that need attention first.
 * Reconciliation stores a large row for each; triggers copy the fields that a list is sorted and
 * counted by into a small table, so that showing fifty of 10,000 namespaces does not read 10,000
 * large rows.
 */
import type { NamespaceState } from "../reconcile/namespace-state.ts";
import type { NamespaceRef } from "../model/live.ts";
import { jsonPages } from "../model/json-pages.ts";
import type { VisibleThere } from "../model/token-scope.ts";
import type { StateFilter } from "./page-data.ts";

/** Rank in the list: what needs a person comes first. */
const RANKS: Readonly<Record<Exclude<StateFilter, "Unknown">, number>> = {
  Stalled: 0,
  Reconciling: 1,
  Ready: 2,
};

const FIELDS = ["listRank", "drifts"] as const;
const VALUES: Readonly<Record<(typeof FIELDS)[number], (row: string) => string>> = {
  listRank: (row) =>
    `CASE json_extract(${row}body, '$.condition.type') WHEN 'Stalled' THEN 0 WHEN 'Reconciling' THEN 1 ELSE 2 END`,
  drifts: (row) =>
    `json_array_length(${row}body, '$.faults') + json_array_length(${row}body, '$.differences')`,
};
const valuesOf = (row: string): string => FIELDS.map((field) => VALUES[field](row)).join(", ");

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS listedNames (environment TEXT, name TEXT, object TEXT, listRank INTEGER NOT NULL, drifts INTEGER NOT NULL,
    PRIMARY KEY (environment, name, object)) WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS listedByRank ON listedNames (environment, listRank, name, object);
  CREATE INDEX IF NOT EXISTS listedDrifting ON listedNames (environment, name, object) WHERE drifts > 0;
  CREATE TRIGGER IF NOT EXISTS listNew AFTER INSERT ON reconciledNames BEGIN
    INSERT INTO listedNames VALUES (new.environment, new.name, new.object, ${valuesOf("new.")});
  END;
  CREATE TRIGGER IF NOT EXISTS listChanged AFTER UPDATE OF body ON reconciledNames
    WHEN ${FIELDS.map((field) => `${VALUES[field]("new.")} <> ${VALUES[field]("old.")}`).join(" OR ")} BEGIN
    UPDATE listedNames SET ${FIELDS.map((field) => `${field} = ${VALUES[field]("new.")}`).join(", ")}
      WHERE environment = new.environment AND name = new.name AND object = new.object;
  END;
  CREATE TRIGGER IF NOT EXISTS listGone AFTER DELETE ON reconciledNames BEGIN
    DELETE FROM listedNames WHERE environment = old.environment AND name = old.name AND object = old.object;
  END;
  INSERT INTO listedNames SELECT environment, name, object, ${valuesOf("")} FROM reconciledNames
    WHERE NOT EXISTS (SELECT 1 FROM listedNames);
`;

/** SQL, and the values of its last parameters. */
interface Condition {
  readonly sql: string;
  readonly values: readonly string[];
}

/**
 * Limits a list to what may be shown. Names are bound in parts: a value is at most 2 MB.
 *
 * @param first the number of the first parameter that it may use.
 */
function shown(names: VisibleThere | null, first: number, row = ""): Condition {
  if (names === null) return { sql: "TRUE", values: [] };
  const refs = names.refs.map(({ name, object }) => [name, object]);
  const values = jsonPages([...names.names, ...refs]);
  const parts = values.map((_, index) => {
    const items = `json_each(?${first + index})`;
    return `${row}name IN (SELECT value FROM ${items} WHERE type = 'text')
      OR (${row}name, ${row}object) IN (SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM ${items} WHERE type = 'array')`;
  });
  return { sql: parts.length === 0 ? "FALSE" : `(${parts.join(" OR ")})`, values };
}

/** Seen by a plan, and not by reconciliation. */
const fromUnseen = (
  isShown: string,
): string => `FROM namespaces AS seen WHERE seen.environment = ?1 AND (?2 = '' OR instr(lower(seen.name), lower(?2)) > 0)
  AND ${isShown}
  AND NOT EXISTS (SELECT 1 FROM listedNames AS known
    WHERE known.environment = ?1 AND known.name = seen.name AND known.object = seen.object)`;
const fromSeen = (
  isShown: string,
): string => `FROM listedNames INDEXED BY listedByRank WHERE environment = ?1 AND (?2 = '' OR instr(lower(name), lower(?2)) > 0)
  AND (?3 IS NULL OR listRank = ?3) AND ${isShown}`;

export interface NamesFilter {
  readonly environment: string;
  /** Part of a name; empty for all. */
  readonly search: string;
  readonly state: StateFilter | null;
  /** Namespaces that may be shown; null for all. */
  readonly names: VisibleThere | null;
}

export type NamedState = NamespaceRef & { readonly state: NamespaceState | null };

type RefRow = Record<"name" | "object", string>;

export class NamesQuery {
  readonly #sql: SqlStorage;

  /** @param sql where the tables of reconciliation and of plans are. */
  constructor(sql: SqlStorage) {
    this.#sql = sql;
    sql.exec(SCHEMA);
  }

  /** Environments in which anything was planned or reconciled, sorted. */
  environments(): string[] {
    return this.#sql
      .exec<{ environment: string }>(
        "SELECT environment FROM namespaces UNION SELECT environment FROM listedNames ORDER BY environment",
      )
      .toArray()
      .map(({ environment }) => environment);
  }

  /** @param names those that may be shown; null for all. */
  counts(environment: string, names: VisibleThere | null = null): Record<StateFilter, number> {
    const { sql, values } = shown(names, 2);
    const ranked = this.#sql
      .exec<Record<"listRank" | "count", number>>(
        `SELECT listRank, count(*) AS count FROM listedNames INDEXED BY listedByRank WHERE environment = ?1 AND ${sql} GROUP BY listRank`,
        environment,
        ...values,
      )
      .toArray();
    const countOf = (rank: number): number =>
      ranked.find(({ listRank }) => listRank === rank)?.count ?? 0;
    return {
      Stalled: countOf(RANKS.Stalled),
      Reconciling: countOf(RANKS.Reconciling),
      Ready: countOf(RANKS.Ready),
      Unknown: this.#countUnseen({ environment, search: "", state: null, names }),
    };
  }

  count(filter: NamesFilter): number {
    return this.#countSeen(filter) + this.#countUnseen(filter);
  }

  /** Stalled, reconciling, ready, then those that were not looked at; each by name. */
  list(filter: NamesFilter, offset: number, limit: number): NamedState[] {
    const seen = this.#listSeen(filter, offset, limit);
    const left = limit - seen.length;
    if (left === 0) return seen;
    return [
      ...seen,
      ...this.#listUnseen(filter, Math.max(0, offset - this.#countSeen(filter)), left),
    ];
  }

  find(environment: string, { object, name }: NamespaceRef): NamespaceState | null {
    const query =
      "SELECT body FROM reconciledNames WHERE environment = ? AND name = ? AND object = ?";
    const row = this.#sql.exec<{ body: string }>(query, environment, name, object).toArray()[0];
    return row ? (JSON.parse(row.body) as NamespaceState) : null;
  }

  /** True when a plan has seen it, or reconciliation knows it. */
  isKnown(environment: string, ref: NamespaceRef): boolean {
    const query = "SELECT 1 FROM namespaces WHERE environment = ? AND name = ? AND object = ?";
    if (this.#sql.exec(query, environment, ref.name, ref.object).toArray().length > 0) return true;
    return this.find(environment, ref) !== null;
  }

  /** Namespaces with a drift, by name. */
  drifting(
    environment: string,
    limit: number,
    names: VisibleThere | null = null,
  ): NamespaceState[] {
    const { sql, values } = shown(names, 3);
    const query = `SELECT name, object FROM listedNames WHERE environment = ?1 AND drifts > 0 AND ${sql} ORDER BY name, object LIMIT ?2`;
    const refs = this.#sql.exec<RefRow>(query, environment, limit, ...values).toArray();
    return refs.flatMap((ref) => this.find(environment, ref) ?? []);
  }

  countDrifting(environment: string, names: VisibleThere | null = null): number {
    const { sql, values } = shown(names, 2);
    const query = `SELECT count(*) AS count FROM listedNames WHERE environment = ?1 AND drifts > 0 AND ${sql}`;
    return this.#sql.exec<{ count: number }>(query, environment, ...values).one().count;
  }

  #countSeen({ environment, search, state, names }: NamesFilter): number {
    if (state === "Unknown") return 0;
    const { sql, values } = shown(names, 4);
    const query = `SELECT count(*) AS count ${fromSeen(sql)}`;
    return this.#sql
      .exec<{ count: number }>(query, environment, search, rankOf(state), ...values)
      .one().count;
  }

  #countUnseen({ environment, search, state, names }: NamesFilter): number {
    if (state !== null && state !== "Unknown") return 0;
    const { sql, values } = shown(names, 3, "seen.");
    const query = `SELECT count(*) AS count ${fromUnseen(sql)}`;
    return this.#sql.exec<{ count: number }>(query, environment, search, ...values).one().count;
  }

  #listSeen(
    { environment, search, state, names }: NamesFilter,
    offset: number,
    limit: number,
  ): NamedState[] {
    if (state === "Unknown") return [];
    const { sql, values } = shown(names, 6);
    const query = `SELECT name, object ${fromSeen(sql)} ORDER BY listRank, name, object LIMIT ?4 OFFSET ?5`;
    const refs = this.#sql
      .exec<RefRow>(query, environment, search, rankOf(state), limit, offset, ...values)
      .toArray();
    return refs.map(({ name, object }) => ({
      name,
      object,
      state: this.find(environment, { name, object }),
    }));
  }

  #listUnseen(
    { environment, search, state, names }: NamesFilter,
    offset: number,
    limit: number,
  ): NamedState[] {
    if (state !== null && state !== "Unknown") return [];
    const { sql, values } = shown(names, 5, "seen.");
    const query = `SELECT seen.name AS name, seen.object AS object ${fromUnseen(sql)} ORDER BY seen.name, seen.object LIMIT ?3 OFFSET ?4`;
    const refs = this.#sql
      .exec<RefRow>(query, environment, search, limit, offset, ...values)
      .toArray();
    return refs.map(({ name, object }) => ({ name, object, state: null }));
  }
}

function rankOf(state: StateFilter | null): number | null {
  return state === null || state === "Unknown" ? null : RANKS[state];
}
