/**
 * Keeps the namespaces of each stored plan and run beside it, so that lists are limited to what a
 * token holds for without a plan or a run being read. Written with the plan or the run; of one that
 * an earlier version has stored, or an import, when it is first asked for.
 */
import type { Run } from "../../model/api.ts";
import type { NamespaceRef } from "../../model/live.ts";
import type { Plan } from "../../model/plan.ts";
import type { DesiredState } from "../../model/spec.ts";
import type { RunFilter, RunRow } from "../../runs/store.ts";

/** The namespaces of a stored plan. */
export interface PlanScope {
  readonly environment: string;
  /** Namespaces that it changes, or that a guard of it is about. */
  readonly changes: readonly NamespaceRef[];
  /** All that it shows, or was made from. */
  readonly refs: readonly NamespaceRef[];
}

/** The namespaces of a run. */
export interface RunScope {
  readonly id: string;
  readonly environment: string;
  readonly refs: readonly NamespaceRef[];
}

/** Stored plans and runs. */
export interface NameSources {
  readonly readPlan: (fingerprint: string) => Plan | null;
  readonly readDesired: (fingerprint: string) => DesiredState | null;
  readonly findRun: (id: string) => Run | null;
  readonly listRuns: (filter: RunFilter) => readonly RunRow[];
}

/** Names go with what they are of. */
const SCHEMA = `
  CREATE TABLE IF NOT EXISTS scopeNames (kind TEXT, id TEXT, body TEXT NOT NULL, PRIMARY KEY (kind, id)) WITHOUT ROWID;
  CREATE TRIGGER IF NOT EXISTS planGone AFTER DELETE ON plans BEGIN DELETE FROM scopeNames WHERE kind = 'plan' AND id = old.fingerprint; END;
  CREATE TRIGGER IF NOT EXISTS runGone AFTER DELETE ON runs BEGIN DELETE FROM scopeNames WHERE kind = 'run' AND id = old.id; END;
`;

type Kind = "plan" | "run";

export class ScopeNames {
  readonly #sql: SqlStorage;
  readonly #sources: NameSources;

  /** @param sql where the tables of plans and runs are. */
  constructor(sql: SqlStorage, sources: NameSources) {
    this.#sql = sql;
    this.#sources = sources;
    sql.exec(SCHEMA);
  }

  /** A plan was stored, in the place of none or of another one. */
  notePlan(plan: Plan, desired: DesiredState | null): PlanScope {
    const scope = scopeOfPlan(plan, desired);
    this.#put("plan", plan.fingerprint, scope);
    return scope;
  }

  /** A run was stored first: what it is about never changes. */
  noteRun(run: Run): RunScope {
    const { id, environment, actions } = run;
    const refs = distinct(actions.map(({ namespace: name, object }) => ({ name, object })));
    const scope = { id, environment, refs };
    this.#put("run", id, scope);
    return scope;
  }

  /** In the order of the fingerprints; null for a plan that is not stored. */
  plans(fingerprints: readonly string[]): (PlanScope | null)[] {
    const known = this.#read<PlanScope>("plan", fingerprints);
    return fingerprints.map((fingerprint) => known.get(fingerprint) ?? this.#readPlan(fingerprint));
  }

  /** Newest first, `count` of them after the first `skip`. */
  runs(filter: RunFilter, skip: number, count: number): RunScope[] {
    const ids = this.#sources
      .listRuns(filter)
      .slice(skip, skip + count)
      .map(({ id }) => id);
    const known = this.#read<RunScope>("run", ids);
    return ids.flatMap((id) => known.get(id) ?? this.#readRun(id) ?? []);
  }

  #readPlan(fingerprint: string): PlanScope | null {
    const plan = this.#sources.readPlan(fingerprint);
    return plan && this.notePlan(plan, this.#sources.readDesired(fingerprint));
  }

  #readRun(id: string): RunScope | null {
    const run = this.#sources.findRun(id);
    return run && this.noteRun(run);
  }

  #read<Scope>(kind: Kind, ids: readonly string[]): ReadonlyMap<string, Scope> {
    const rows = this.#sql.exec<{ id: string; body: string }>(
      "SELECT id, body FROM scopeNames WHERE kind = ? AND id IN (SELECT value FROM json_each(?))",
      kind,
      JSON.stringify(ids),
    );
    return new Map(rows.toArray().map(({ id, body }) => [id, JSON.parse(body) as Scope]));
  }

  #put(kind: Kind, id: string, scope: PlanScope | RunScope): void {
    this.#sql.exec(
      "INSERT OR REPLACE INTO scopeNames VALUES (?, ?, ?)",
      kind,
      id,
      JSON.stringify(scope),
    );
  }
}

/** Blocks and notices get the binding that the plan knows; none where it knows none. */
function scopeOfPlan(
  { environment, changes, inSync, ...plan }: Plan,
  desired: DesiredState | null,
): PlanScope {
  const known = [...changes, ...inSync].map(({ namespace: name, object }) => ({ name, object }));
  const declared = (desired?.namespaces ?? []).map(({ name, object }) => ({ name, object }));
  const objects = new Map([...declared, ...known].map(({ name, object }) => [name, object]));
  const named = (of: readonly { readonly namespace: string | null }[]): NamespaceRef[] =>
    of.flatMap(({ namespace: name }) =>
      name === null ? [] : [{ name, object: objects.get(name) ?? "" }],
    );
  const changed = [...named(changes), ...named(plan.policies ?? []), ...named(plan.blocks)];
  return {
    environment,
    changes: distinct(changed),
    refs: distinct([...known, ...declared, ...changed, ...named(plan.notices)]),
  };
}

function distinct(refs: readonly NamespaceRef[]): NamespaceRef[] {
  return [...new Map(refs.map((ref) => [JSON.stringify([ref.name, ref.object]), ref])).values()];
}
