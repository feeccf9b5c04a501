/**
 * Tells what a token with a scope is compared with: which environments know a namespace, which
 * namespaces their merged manifests give a label, and which namespaces a plan is about. Labels of a
 * request count for nothing: whoever plans could claim them.
 */
import type { NamespaceRef } from "../../model/live.ts";
import type { Plan } from "../../model/plan.ts";
import type { DesiredState } from "../../model/spec.ts";
import type { DeclaredRef } from "../../model/token-scope.ts";

/** The namespaces of a stored plan. */
export interface PlanScope {
  readonly environment: string;
  /** Namespaces that it changes, or that a guard of it is about. */
  readonly changes: readonly NamespaceRef[];
  /** All that it shows, or was made from. */
  readonly refs: readonly NamespaceRef[];
}

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
  /** Namespaces of all environments whose manifest has all of the labels. */
  labelled(labels: Readonly<Record<string, string>>): DeclaredRef[];
  /** In the order of the fingerprints; null for a plan that is not stored. */
  plans(fingerprints: readonly string[]): (PlanScope | null)[];
}

/** Stored plans. */
export interface ScopeSources {
  read(fingerprint: string): Plan | null;
  readDesired(fingerprint: string): DesiredState | null;
}

type Row = Record<"environment" | "name" | "object", string> & { readonly labels: string | null };
type KnownRow = Row & { readonly isClaimed: number };

export class ScopeFacts implements ScopeCalls {
  readonly #sql: SqlStorage;
  readonly #sources: ScopeSources;

  /** @param sql where the tables of reconciliation and of plans are. */
  constructor(sql: SqlStorage, sources: ScopeSources) {
    this.#sql = sql;
    this.#sources = sources;
  }

  known(refs: readonly NamespaceRef[]): KnownRef[] {
    const wanted = JSON.stringify(refs.map(({ name, object }) => ({ name, object })));
    return this.#sql
      .exec<KnownRow>(
        `WITH wanted AS (SELECT json_extract(value, '$.name') AS name, json_extract(value, '$.object') AS object FROM json_each(?1)),
           seen AS (SELECT environment, name, object FROM namespaces UNION SELECT environment, name, object FROM reconciledNames
             UNION SELECT environment, name, object FROM claims)
         SELECT seen.environment, seen.name, seen.object, json_extract(state.body, '$.spec.labels') AS labels,
             state.specDigest IS NOT NULL OR claims.name IS NOT NULL AS isClaimed
           FROM wanted JOIN seen ON seen.name = wanted.name AND seen.object = wanted.object
           LEFT JOIN reconciledNames AS state ON state.environment = seen.environment AND state.name = seen.name AND state.object = seen.object
           LEFT JOIN claims ON claims.environment = seen.environment AND claims.name = seen.name AND claims.object = seen.object
           ORDER BY seen.environment, seen.name, seen.object`,
        wanted,
      )
      .toArray()
      .map(({ labels, isClaimed, ...ref }) => ({
        ...ref,
        isClaimed: isClaimed === 1,
        labels: labels === null ? null : (JSON.parse(labels) as Record<string, string>),
      }));
  }

  labelled(labels: Readonly<Record<string, string>>): DeclaredRef[] {
    return this.#sql
      .exec<Row>(
        `SELECT environment, name, object, json_extract(body, '$.spec.labels') AS labels FROM reconciledNames
           WHERE specDigest IS NOT NULL ORDER BY environment, name, object`,
      )
      .toArray()
      .flatMap(({ labels: text, ...ref }) =>
        hasLabels(JSON.parse(text ?? "{}") as Record<string, string>, labels) ? [ref] : [],
      );
  }

  plans(fingerprints: readonly string[]): (PlanScope | null)[] {
    return fingerprints.map((fingerprint) => {
      const plan = this.#sources.read(fingerprint);
      if (plan === null) return null;
      return scopeOf(plan, this.#sources.readDesired(fingerprint));
    });
  }
}

/** Blocks and notices get the binding that the plan knows; none where it knows none. */
function scopeOf({ environment, changes, inSync, ...plan }: Plan, desired: DesiredState | null) {
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
    changes: changed,
    refs: [...known, ...declared, ...changed, ...named(plan.notices)],
  };
}

export function hasLabels(
  own: Readonly<Record<string, string>> | null,
  wanted: Readonly<Record<string, string>>,
): boolean {
  return own !== null && Object.entries(wanted).every(([name, value]) => own[name] === value);
}
