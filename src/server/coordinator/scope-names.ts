/**
 * Keeps the namespaces of each stored plan and run beside it, so that lists are limited to what a
 * token holds for without a plan or a run being read. Written with the plan or the run; of one that
 * an earlier version has stored, or an import, when it is first asked for.
 */
import type { Run } from "../../model/api.ts";
import type { NamespaceRef } from "../../model/live.ts";
import type { Plan } from "../../model/plan.ts";
import type { DesiredState } from "../../model/spec.ts";
import { Documents } from "../../runs/documents.ts";
import { type Sized, takePage } from "../../runs/take-page.ts";
import { decodeJson, encodeJson, type RunFilter, type RunRow } from "../../runs/store.ts";

/** The namespaces of a stored plan. */
export interface PlanScope {
  readonly environment: string;
  /** All that it shows, or was made from. */
  readonly refs: readonly NamespaceRef[];
  /** Places in `refs`, from 0, of those that it changes, or that a guard of it is about. */
  readonly changes: readonly number[];
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

/**
 * Names go with what they are of. An earlier version has kept them in one row each, which was too
 * small for plans of many namespaces.
 */
const SCHEMA = `
  CREATE TRIGGER IF NOT EXISTS planNamesGone AFTER DELETE ON plans BEGIN DELETE FROM documents WHERE kind = 'planNames' AND id = old.fingerprint; END;
  CREATE TRIGGER IF NOT EXISTS runNamesGone AFTER DELETE ON runs BEGIN DELETE FROM documents WHERE kind = 'runNames' AND id = old.id; END;
  DROP TRIGGER IF EXISTS planGone;
  DROP TRIGGER IF EXISTS runGone;
  DROP TABLE IF EXISTS scopeNames;
`;

type Kind = "planNames" | "runNames";

/** As it is stored: a plan's, or a run's. */
interface StoredNames {
  readonly environment: string;
  /** Name and binding. */
  readonly refs: readonly (readonly [string, string])[];
  readonly changes?: readonly number[];
}

export class ScopeNames {
  readonly #documents: Documents;
  readonly #sources: NameSources;

  /** @param sql where the tables of plans and runs are. */
  constructor(sql: SqlStorage, sources: NameSources) {
    this.#documents = new Documents(sql);
    this.#sources = sources;
    sql.exec(SCHEMA);
  }

  /** A plan was stored, in the place of none or of another one. */
  notePlan(plan: Plan, desired: DesiredState | null): void {
    this.#writePlan(plan, desired);
  }

  /** A run was stored first: what it is about never changes. */
  noteRun(run: Run): void {
    this.#writeRun(run);
  }

  /**
   * In the order of the fingerprints; null for a plan that is not stored. Of the first of them
   * only, one at least, where all are too much for one answer.
   */
  plans(fingerprints: readonly string[]): (PlanScope | null)[] {
    return takePage(fingerprints, (fingerprint) => this.#readPlan(fingerprint));
  }

  /**
   * Newest first, `count` of them after the first `skip`; fewer, one at least, where they are too
   * much for one answer.
   */
  runs(filter: RunFilter, skip: number, count: number): RunScope[] {
    const ids = this.#sources
      .listRuns(filter)
      .slice(skip, skip + count)
      .map(({ id }) => id);
    return takePage(ids, (id) => this.#readRun(id)).flatMap((scope) => scope ?? []);
  }

  #readPlan(fingerprint: string): Sized<PlanScope> | null {
    const body = this.#documents.get("planNames", fingerprint);
    if (body !== null) {
      const { environment, refs, changes = [] } = decodeJson(body) as StoredNames;
      return { value: { environment, refs: refs.map(toRef), changes }, bytes: body.length };
    }
    const plan = this.#sources.readPlan(fingerprint);
    return plan && this.#writePlan(plan, this.#sources.readDesired(fingerprint));
  }

  #readRun(id: string): Sized<RunScope> | null {
    const body = this.#documents.get("runNames", id);
    if (body !== null) {
      const { environment, refs } = decodeJson(body) as StoredNames;
      return { value: { id, environment, refs: refs.map(toRef) }, bytes: body.length };
    }
    const run = this.#sources.findRun(id);
    return run && this.#writeRun(run);
  }

  #writePlan(plan: Plan, desired: DesiredState | null): Sized<PlanScope> {
    const scope = scopeOfPlan(plan, desired);
    return { value: scope, bytes: this.#write("planNames", plan.fingerprint, scope) };
  }

  #writeRun({ id, environment, actions }: Run): Sized<RunScope> {
    const refs = distinct(actions.map(({ namespace: name, object }) => ({ name, object })));
    const scope = { id, environment, refs };
    return { value: scope, bytes: this.#write("runNames", id, scope) };
  }

  /** Returns its bytes. */
  #write(kind: Kind, id: string, { refs, ...scope }: PlanScope | RunScope): number {
    const pairs = refs.map(({ name, object }) => [name, object]);
    const body = encodeJson({ ...scope, refs: pairs });
    this.#documents.put(kind, id, body);
    return body.length;
  }
}

function toRef([name, object]: StoredNames["refs"][number]): NamespaceRef {
  return { name, object };
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
  const refs = distinct([...known, ...declared, ...changed, ...named(plan.notices)]);
  const places = new Map(refs.map((ref, place) => [keyOf(ref), place]));
  return {
    environment,
    refs,
    changes: distinct(changed).flatMap((ref) => places.get(keyOf(ref)) ?? []),
  };
}

function distinct(refs: readonly NamespaceRef[]): NamespaceRef[] {
  return [...new Map(refs.map((ref) => [keyOf(ref), ref])).values()];
}

function keyOf({ name, object }: NamespaceRef): string {
  return JSON.stringify([name, object]);
}
