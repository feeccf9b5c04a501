/**
 * The desired state where no repository is read: what was applied last, by a workflow or by hand.
 * Reconciliation keeps it so.
 */
import type { ManifestSource } from "./ports.ts";
import type { AppliedState } from "../runs/plan-book.ts";

/**
 * @param newest the desired state under the newest run that somebody else started; null when there
 * is none.
 */
export function createAppliedSource(
  newest: (knownFingerprint: string | null) => AppliedState | "unchanged" | null,
): ManifestSource {
  return {
    async read(known) {
      const applied = newest(known);
      if (applied === null || applied === "unchanged") return { kind: "unchanged", requests: 0 };
      const { fingerprint, desired } = applied;
      return {
        kind: "desired",
        commit: desired.commit,
        treeSha: fingerprint,
        desired,
        requests: 0,
      };
    },
  };
}
