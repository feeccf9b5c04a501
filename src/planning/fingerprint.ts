/**
 * The fingerprint: what a reviewer agreed to, as 64 hex digits.
 *
 * For each namespace that the plan changes it covers what the manifests want (but for labels,
 * positions and the commit), the live epoch, and the layouts that the change leads from and to. It
 * leaves out counts, times, messages and names of files, which may drift between review and merge
 * without changing what will be done, and the namespaces that stay as they are: two pull requests
 * for different namespaces do not make each other's plans stale.
 */
import { canonicalJson, sha256Hex } from "../model/canonical.ts";
import type { Change } from "../model/plan.ts";
import type { DesiredState } from "../model/spec.ts";

export interface FingerprintInput {
  readonly desired: DesiredState;
  /** Live epochs by namespace. */
  readonly epochs: ReadonlyMap<string, number | null>;
  readonly changes: readonly Pick<Change, "kind" | "namespace" | "object" | "from" | "to">[];
}

/**
 * SHA-256 over the canonical JSON of the decisions, lower-case hex. Independent of the order of
 * namespaces and of fields.
 */
export async function fingerprintPlan({
  desired,
  epochs,
  changes,
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
  return sha256Hex(
    canonicalJson({ environment: desired.environment, namespaces, changes: decided }),
  );
}
