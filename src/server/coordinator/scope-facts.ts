/**
 * Tells what a token with a scope is compared with: which environments know a namespace, which
 * namespaces their merged manifests give a label, and which namespaces a plan is about. Labels of a
 * request count for nothing: whoever plans could claim them.
 */
import type { NamespaceRef } from "../../model/live.ts";
import type { DeclaredRef, VisibleRef } from "../../model/token-scope.ts";
import type { RunFilter } from "../../runs/store.ts";
import { jsonPages } from "../../model/json-pages.ts";
import type { PlanScope, RunScope, ScopeNames } from "./scope-names.ts";

/** A namespace in an environment, with the labels of its manifest; null when none declares it. */
export interface KnownRef extends DeclaredRef {
  readonly labels: Readonly<Record<string, string>> | null;
  /**
   * True where a merged manifest declares or has declared it, or a run has changed it; false where
   * it was only planned.
   */
  readonly isClaimed: boolean;
}

/** The calls about what tokens hold for. */
export interface ScopeCalls {
  /** Every environment in which one of these was ever planned or reconciled. */
  known(refs: readonly NamespaceRef[]): KnownRef[];
  /** Namespaces of all environments whose manifests, wherever there are any, have all labels. */
  labelled(labels: Readonly<Record<string, string>>): VisibleRef[];
  /**
   * In the order of the fingerprints; null for a plan that is not stored. Of the first of them
   * only, one at least, where all are too much for one answer.
   */
  plans(fingerprints: readonly string[]): (PlanScope | null)[];
  /**
   * Namespaces of runs, newest first: `count` of them after the first `skip`; fewer, one at least,
   * where they are too much for one answer.
   */
  runs(filter: RunFilter, skip: number, count: number): RunScope[];
}

type Row = Record<"environment" | "name" | "object", string> & { readonly labels: string | null };
type KnownRow = Row & { readonly isClaimed: number };

export class ScopeFacts implements ScopeCalls {
  readonly #sql: SqlStorage;
  readonly #names: ScopeNames;

  /** @param sql where the tables of reconciliation and of plans are. */
  constructor(sql: SqlStorage, names: ScopeNames) {
    this.#sql = sql;
    this.#names = names;
  }

  known(refs: readonly NamespaceRef[]): KnownRef[] {
    const wanted = refs.map(({ name, object }) => ({ name, object }));
    return jsonPages(wanted)
      .flatMap((page) => this.#known(page))
      .map(({ labels, isClaimed, ...ref }) => ({
        ...ref,
        isClaimed: isClaimed === 1,
        labels: labels === null ? null : (JSON.parse(labels) as Record<string, string>),
      }));
  }

  #known(page: string): KnownRow[] {
    return this.#sql
      .exec<KnownRow>(
        `WITH seen AS (SELECT environment, name, object FROM namespaces UNION SELECT environment, name, object FROM reconciledNames
             UNION SELECT environment, name, object FROM claims)
         SELECT seen.environment, seen.name, seen.object, json_extract(state.body, '$.spec.labels') AS labels,
             state.specDigest IS NOT NULL OR claims.name IS NOT NULL AS isClaimed
           FROM seen
           LEFT JOIN reconciledNames AS state ON state.environment = seen.environment AND state.name = seen.name AND state.object = seen.object
           LEFT JOIN claims ON claims.environment = seen.environment AND claims.name = seen.name AND claims.object = seen.object
           WHERE (seen.name, seen.object) IN (SELECT json_extract(value, '$.name'), json_extract(value, '$.object') FROM json_each(?1))
           ORDER BY seen.environment, seen.name, seen.object`,
        page,
      )
      .toArray();
  }

  labelled(labels: Readonly<Record<string, string>>): VisibleRef[] {
    const declared = this.#sql
      .exec<Row>(
        `SELECT environment, name, object, json_extract(body, '$.spec.labels') AS labels FROM reconciledNames
           WHERE specDigest IS NOT NULL ORDER BY environment, name, object`,
      )
      .toArray();
    const others = new Set(
      declared.filter((row) => !isLabelled(row, labels)).map((row) => refKey(row)),
    );
    // One set of objects: where another environment declares it without them, it is not held for.
    const held = declared
      .filter((row) => isLabelled(row, labels) && !others.has(refKey(row)))
      .map(({ labels: _labels, ...ref }) => ref);
    const own = new Set(held.map(keyOf));
    const shared = new Set(
      this.#sameNames(held)
        .filter((ref) => !own.has(keyOf(ref)))
        .map(({ environment, name }) => JSON.stringify([environment, name])),
    );
    return held.map((ref) => ({
      ...ref,
      isShared: shared.has(JSON.stringify([ref.environment, ref.name])),
    }));
  }

  /** All that their environments know of these names. */
  #sameNames(refs: readonly DeclaredRef[]): DeclaredRef[] {
    const wanted = new Map(
      refs.map(({ environment, name }) => [
        JSON.stringify([environment, name]),
        [environment, name],
      ]),
    );
    return jsonPages([...wanted.values()]).flatMap((page) => this.#sameNamesOf(page));
  }

  #sameNamesOf(page: string): DeclaredRef[] {
    return this.#sql
      .exec<Record<"environment" | "name" | "object", string>>(
        `WITH seen AS (SELECT environment, name, object FROM namespaces UNION SELECT environment, name, object FROM reconciledNames
             UNION SELECT environment, name, object FROM claims)
         SELECT environment, name, object FROM seen
           WHERE (environment, name) IN (SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(?1))`,
        page,
      )
      .toArray();
  }

  plans(fingerprints: readonly string[]): (PlanScope | null)[] {
    return this.#names.plans(fingerprints);
  }

  runs(filter: RunFilter, skip: number, count: number): RunScope[] {
    return this.#names.runs(filter, skip, count);
  }
}

function isLabelled({ labels }: Row, wanted: Readonly<Record<string, string>>): boolean {
  return hasLabels(JSON.parse(labels ?? "{}") as Record<string, string>, wanted);
}

function refKey({ name, object }: NamespaceRef): string {
  return JSON.stringify([name, object]);
}

function keyOf({ environment, name, object }: DeclaredRef): string {
  return JSON.stringify([environment, name, object]);
}

export function hasLabels(
  own: Readonly<Record<string, string>> | null,
  wanted: Readonly<Record<string, string>>,
): boolean {
  return own !== null && Object.entries(wanted).every(([name, value]) => own[name] === value);
}
