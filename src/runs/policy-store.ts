/**
 * The policies that were applied last, in the coordinator's SQLite: by environment and namespace.
 * A row without a policy is a manifest that was followed with the default one.
 *
 * A policy that a Worker followed before these rows existed counts as applied. All methods are
 * synchronous: the caller decides what is one transaction.
 */
import {
  type AppliedPolicies,
  type AppliedPolicy,
  policyAfter,
  samePolicy,
  type PolicyChange,
} from "../model/policy.ts";
import { DEFAULT_POLICY, type Policy } from "../model/spec.ts";

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS appliedPolicies (environment TEXT, name TEXT, policy TEXT, revision INTEGER NOT NULL,
    PRIMARY KEY (environment, name)) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS changedPolicies (environment TEXT, name TEXT, PRIMARY KEY (environment, name)) WITHOUT ROWID;
`;
const FOLLOWED = `INSERT OR IGNORE INTO appliedPolicies
  SELECT environment, name, json_extract(body, '$.spec.policy'), 0 FROM reconciledNames WHERE specDigest IS NOT NULL`;

/** Name, policy and revision; null is the default policy. */
export type AppliedRow = readonly [name: string, policy: Policy | null, revision: number];

/** The rows as the planner takes them. */
export function appliedPolicies(rows: readonly AppliedRow[]): AppliedPolicies {
  return new Map(
    rows.map(([name, policy, revision]) => [name, { policy: policy ?? DEFAULT_POLICY, revision }]),
  );
}

export class PolicyStore {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    const isNew = !this.#hasTable("appliedPolicies");
    sql.exec(SCHEMA);
    if (isNew && this.#hasTable("reconciledNames")) sql.exec(FOLLOWED);
  }

  /** Name, policy and revision, sorted; null is the default policy, which most namespaces have. */
  list(environment: string): AppliedRow[] {
    return this.#sql
      .exec<PolicyRow>(
        "SELECT name, policy, revision FROM appliedPolicies WHERE environment = ? ORDER BY name",
        environment,
      )
      .toArray()
      .map(({ name, policy, revision }) => [
        name,
        policy === null ? null : (JSON.parse(policy) as Policy),
        revision,
      ]);
  }

  /** Null for a namespace that never had one. */
  read(environment: string, name: string): AppliedPolicy | null {
    const row = this.#sql
      .exec<PolicyRow>(
        "SELECT name, policy, revision FROM appliedPolicies WHERE environment = ? AND name = ?",
        environment,
        name,
      )
      .toArray()[0];
    if (row === undefined) return null;
    const policy = row.policy === null ? DEFAULT_POLICY : (JSON.parse(row.policy) as Policy);
    return { policy, revision: row.revision };
  }

  /** Finds the changes in whose place another policy was applied meanwhile. */
  findStale(environment: string, changes: readonly PolicyChange[]): PolicyChange[] {
    return changes.filter(
      ({ namespace, revision }) => (this.read(environment, namespace)?.revision ?? 0) !== revision,
    );
  }

  /** Applies the changes that are not stale, and returns them. */
  apply(environment: string, changes: readonly PolicyChange[]): PolicyChange[] {
    const stale = new Set(this.findStale(environment, changes));
    const applied = changes.filter((change) => !stale.has(change));
    for (const change of applied) {
      const { namespace, revision } = change;
      const before = this.read(environment, namespace)?.policy ?? DEFAULT_POLICY;
      const policy = policyAfter(change, before);
      this.#sql.exec(
        "INSERT OR REPLACE INTO appliedPolicies VALUES (?, ?, ?, ?)",
        environment,
        namespace,
        samePolicy(policy, DEFAULT_POLICY) ? null : JSON.stringify(policy),
        revision + 1,
      );
      this.#sql.exec("INSERT OR IGNORE INTO changedPolicies VALUES (?, ?)", environment, namespace);
    }
    return applied;
  }

  /** Manifests that are followed with the default policy need no apply of it. */
  noteDefault(environment: string, name: string): void {
    this.#sql.exec(
      "INSERT OR IGNORE INTO appliedPolicies VALUES (?, ?, NULL, 0)",
      environment,
      name,
    );
  }

  /**
   * Forgets a namespace: declared again, it begins with the default policy. The revision of an
   * applied one stays and grows, so that no old review of its policy counts any more.
   */
  forget(environment: string, name: string): void {
    this.#sql.exec(
      "DELETE FROM appliedPolicies WHERE environment = ? AND name = ? AND policy IS NULL AND revision = 0",
      environment,
      name,
    );
    this.#sql.exec(
      "UPDATE appliedPolicies SET policy = NULL, revision = revision + 1 WHERE environment = ? AND name = ? AND policy IS NOT NULL",
      environment,
      name,
    );
  }

  /** Makes the changes stale for good, and leaves the policies as they are. Idempotent. */
  passOver(environment: string, changes: readonly PolicyChange[]): void {
    for (const { namespace, revision } of changes)
      this.#sql.exec(
        `INSERT INTO appliedPolicies VALUES (?, ?, NULL, ?)
         ON CONFLICT (environment, name) DO UPDATE SET revision = max(revision, excluded.revision)`,
        environment,
        namespace,
        revision + 1,
      );
  }

  /** Has every followed policy compared with the applied ones, as after an import of states. */
  recheck(): void {
    this.#sql.exec(
      "INSERT OR IGNORE INTO changedPolicies SELECT environment, name FROM reconciledNames WHERE specDigest IS NOT NULL",
    );
  }

  /** Namespaces whose policy was applied since they were taken from here; sorted. */
  changed(environment: string): string[] {
    return this.#sql
      .exec<{ name: string }>(
        "SELECT name FROM changedPolicies WHERE environment = ? ORDER BY name",
        environment,
      )
      .toArray()
      .map(({ name }) => name);
  }

  /** The reconciler follows them. */
  takeChanged(environment: string, names: readonly string[]): void {
    for (const name of names)
      this.#sql.exec(
        "DELETE FROM changedPolicies WHERE environment = ? AND name = ?",
        environment,
        name,
      );
  }

  #hasTable(name: string): boolean {
    return (
      this.#sql
        .exec("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", name)
        .toArray().length > 0
    );
  }
}

interface PolicyRow extends Record<string, SqlStorageValue> {
  readonly name: string;
  readonly policy: string | null;
  readonly revision: number;
}
