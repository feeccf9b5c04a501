/**
 * Reads the namespaces of an environment a page at a time, those that need somebody first, from the rows that reconciliation keeps. An
 * index answers how many are in which state and which have drifted, so that 10,000 namespaces are never read to show fifty. Reads only.
 */
import type { NamespaceState } from "../../apply/reconcile/namespace-state.ts";
import type { NamespaceRef } from "../../core/live.ts";
import type { StateFilter } from "../../render/page/page-data.ts";

/** Rank in the list: what needs a person comes first. */
const RANK = "CASE json_extract(body, '$.condition.type') WHEN 'Stalled' THEN 0 WHEN 'Reconciling' THEN 1 ELSE 2 END";
const RANKS: Readonly<Record<Exclude<StateFilter, "Unknown">, number>> = { Stalled: 0, Reconciling: 1, Ready: 2 };
const HAS_DRIFT = "json_array_length(body, '$.faults') + json_array_length(body, '$.differences') > 0";

const SCHEMA = `
  CREATE INDEX IF NOT EXISTS reconciledByRank ON reconciledNames (environment, ${RANK}, name, object);
  CREATE INDEX IF NOT EXISTS reconciledDrifting ON reconciledNames (environment, name) WHERE ${HAS_DRIFT};
`;

/** Seen by a plan, and not by reconciliation. */
const UNSEEN = `FROM namespaces AS seen WHERE seen.environment = ?1 AND (?2 = '' OR instr(lower(seen.name), lower(?2)) > 0)
  AND NOT EXISTS (SELECT 1 FROM reconciledNames AS known
    WHERE known.environment = ?1 AND known.name = seen.name AND known.object = seen.object)`;
const SEEN = `FROM reconciledNames WHERE environment = ?1 AND (?2 = '' OR instr(lower(name), lower(?2)) > 0)
  AND (?3 IS NULL OR ${RANK} = ?3)`;

export interface NamesFilter {
  readonly environment: string;
  /** Part of a name; empty for all. */
  readonly search: string;
  readonly state: StateFilter | null;
}

export type NamedState = NamespaceRef & { readonly state: NamespaceState | null };

export class NamesQuery {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    sql.exec(SCHEMA);
  }

  /** Environments in which anything was planned or reconciled, sorted. */
  environments(): string[] {
    return this.#sql
      .exec<{ environment: string }>(
        "SELECT environment FROM namespaces UNION SELECT environment FROM reconciledNames ORDER BY environment",
      )
      .toArray()
      .map(({ environment }) => environment);
  }

  counts(environment: string): Record<StateFilter, number> {
    const counts: Record<StateFilter, number> = { Stalled: 0, Reconciling: 0, Ready: 0, Unknown: 0 };
    const ranked = this.#sql
      .exec<Record<"rank" | "count", number>>(
        `SELECT ${RANK} AS rank, count(*) AS count FROM reconciledNames WHERE environment = ? GROUP BY 1`,
        environment,
      )
      .toArray();
    for (const state of ["Stalled", "Reconciling", "Ready"] as const) {
      counts[state] = ranked.find(({ rank }) => rank === RANKS[state])?.count ?? 0;
    }
    counts.Unknown = this.#countUnseen({ environment, search: "", state: null });
    return counts;
  }

  count(filter: NamesFilter): number {
    return this.#countSeen(filter) + this.#countUnseen(filter);
  }

  /** Stalled, reconciling, ready, then those that were not looked at; each by name. */
  list(filter: NamesFilter, offset: number, limit: number): NamedState[] {
    const seen = this.#listSeen(filter, offset, limit);
    const left = limit - seen.length;
    if (left === 0) return seen;
    return [...seen, ...this.#listUnseen(filter, Math.max(0, offset - this.#countSeen(filter)), left)];
  }

  find(environment: string, { object, name }: NamespaceRef): NamespaceState | null {
    const row = this.#sql
      .exec<{ body: string }>(
        "SELECT body FROM reconciledNames WHERE environment = ? AND name = ? AND object = ?",
        environment,
        name,
        object,
      )
      .toArray()[0];
    return row ? (JSON.parse(row.body) as NamespaceState) : null;
  }

  /** True when a plan has seen it, or reconciliation knows it. */
  isKnown(environment: string, { object, name }: NamespaceRef): boolean {
    const query = "SELECT 1 FROM namespaces WHERE environment = ? AND name = ? AND object = ?";
    return (
      this.find(environment, { object, name }) !== null || this.#sql.exec(query, environment, name, object).toArray().length > 0
    );
  }

  /** Namespaces with a drift, by name. */
  drifting(environment: string, limit: number): NamespaceState[] {
    return this.#sql
      .exec<{ body: string }>(
        `SELECT body FROM reconciledNames WHERE environment = ? AND ${HAS_DRIFT} ORDER BY name LIMIT ?`,
        environment,
        limit,
      )
      .toArray()
      .map(({ body }) => JSON.parse(body) as NamespaceState);
  }

  countDrifting(environment: string): number {
    const query = `SELECT count(*) AS count FROM reconciledNames WHERE environment = ? AND ${HAS_DRIFT}`;
    return this.#sql.exec<{ count: number }>(query, environment).one().count;
  }

  #countSeen({ environment, search, state }: NamesFilter): number {
    if (state === "Unknown") return 0;
    const query = `SELECT count(*) AS count ${SEEN}`;
    return this.#sql.exec<{ count: number }>(query, environment, search, rankOf(state)).one().count;
  }

  #countUnseen({ environment, search, state }: NamesFilter): number {
    if (state !== null && state !== "Unknown") return 0;
    return this.#sql.exec<{ count: number }>(`SELECT count(*) AS count ${UNSEEN}`, environment, search).one().count;
  }

  #listSeen({ environment, search, state }: NamesFilter, offset: number, limit: number): NamedState[] {
    if (state === "Unknown") return [];
    return this.#sql
      .exec<{ body: string }>(
        `SELECT body ${SEEN} ORDER BY ${RANK}, name, object LIMIT ?4 OFFSET ?5`,
        environment,
        search,
        rankOf(state),
        limit,
        offset,
      )
      .toArray()
      .map(({ body }) => {
        const read = JSON.parse(body) as NamespaceState;
        return { name: read.name, object: read.object, state: read };
      });
  }

  #listUnseen({ environment, search, state }: NamesFilter, offset: number, limit: number): NamedState[] {
    if (state !== null && state !== "Unknown") return [];
    return this.#sql
      .exec<Record<"name" | "object", string>>(
        `SELECT seen.name AS name, seen.object AS object ${UNSEEN} ORDER BY seen.name, seen.object LIMIT ?3 OFFSET ?4`,
        environment,
        search,
        limit,
        offset,
      )
      .toArray()
      .map(({ name, object }) => ({ name, object, state: null }));
  }
}

function rankOf(state: StateFilter | null): number | null {
  return state === null || state === "Unknown" ? null : RANKS[state];
}
