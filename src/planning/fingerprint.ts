/**
 * The fingerprint: what a reviewer agreed to, as 64 hex digits.
 *
 * For each namespace that the plan changes it covers what the manifests want (but for labels,
 * positions and the commit), the live epoch, the layouts that the change leads from and to, and
 * which guards say that it should not be made so. It covers each policy that changes, old and new,
 * though that moves no row. It leaves out counts, times, messages, names of files, and guards that
 * only say "not now": they may drift between review and merge without changing what will be done.
 * It leaves out the namespaces that stay as they are: two pull requests for different namespaces do
 * not make each other's plans stale.
 */
import { canonicalJson, sha256Hex } from "../model/canonical.ts";
import { compareText } from "../model/compare-text.ts";
import type { Block, Change } from "../model/plan.ts";
import type { PolicyChange } from "../model/policy.ts";
import type { DesiredState } from "../model/spec.ts";
import { isNotSo } from "./check-safety.ts";

export interface FingerprintInput {
  readonly desired: DesiredState;
  /** Live epochs by namespace. */
  readonly epochs: ReadonlyMap<string, number | null>;
  readonly changes: readonly Pick<Change, "kind" | "namespace" | "object" | "from" | "to">[];
  readonly policies?: readonly Pick<PolicyChange, "namespace" | "revision" | "fields">[];
  readonly blocks: readonly Pick<Block, "guard" | "namespace">[];
}

/**
 * SHA-256 over the canonical JSON of the decisions, lower-case hex. Independent of the order of
 * namespaces and of fields.
 */
export async function fingerprintPlan({
  desired,
  epochs,
  changes,
  policies = [],
  blocks,
}: FingerprintInput): Promise<string> {
  const changed = new Set(changes.map(({ namespace }) => namespace));
  const namespaces = desired.namespaces
    .filter(({ name }) => changed.has(name))
    .toSorted((left, right) => (left.name < right.name ? -1 : 1))
    .map(({ source: _source, labels: _labels, ...spec }) => ({
      spec,
      epoch: epochs.get(spec.name) ?? null,
    }));
  const decided = changes
    .map(({ kind, namespace, object, from, to }) => ({ kind, namespace, object, from, to }))
    .toSorted((left, right) => (left.namespace < right.namespace ? -1 : 1));
  const governed = policies
    .map(({ namespace, revision, fields }) => ({
      namespace,
      revision,
      fields: fields.map(({ field, from, to }) => ({ field, from, to })),
    }))
    .toSorted((left, right) => compareText(left.namespace, right.namespace));
  const refused = blocks
    .filter(
      ({ guard, namespace }) => isNotSo(guard) && (namespace === null || changed.has(namespace)),
    )
    .map(({ guard, namespace }) => ({ guard, namespace }))
    .toSorted(
      (left, right) =>
        compareText(left.guard, right.guard) ||
        compareText(left.namespace ?? "", right.namespace ?? ""),
    );
  return sha256Hex(
    canonicalJson({
      environment: desired.environment,
      namespaces,
      changes: decided,
      // Plans that nothing blocks, or without policies, keep the fingerprints of before.
      policies: governed.length === 0 ? undefined : governed,
      blocks: refused.length === 0 ? undefined : refused,
    }),
  );
}
