/** The applied policies in maps: as `PolicyStore` in the Worker. */
import {
  type AppliedPolicies,
  type AppliedPolicy,
  policyAfter,
  type PolicyChange,
  type PolicyFloors,
} from "../../../src/model/policy.ts";
import { DEFAULT_POLICY, type Policy } from "../../../src/model/spec.ts";
import type { PolicyPort } from "../../../src/reconcile/ports.ts";

export class MemoryPolicies implements PolicyPort {
  floors: PolicyFloors = {};
  isSource = false;
  readonly #applied = new Map<string, AppliedPolicy>();
  readonly #changed = new Set<string>();

  get applied(): AppliedPolicies {
    return this.#applied;
  }

  read(namespace: string): AppliedPolicy | null {
    return this.#applied.get(namespace) ?? null;
  }

  noteDefault(namespace: string): void {
    if (!this.#applied.has(namespace))
      this.#applied.set(namespace, { policy: DEFAULT_POLICY, revision: 0 });
  }

  /** As if it had been reviewed and applied long ago. */
  set(namespace: string, policy: Policy): void {
    const { revision } = this.read(namespace) ?? { revision: 0 };
    this.#applied.set(namespace, { policy, revision: revision + 1 });
    this.#changed.add(namespace);
  }

  apply(changes: readonly PolicyChange[]): readonly PolicyChange[] {
    const applied = changes.filter(
      ({ namespace, revision }) => (this.read(namespace)?.revision ?? 0) === revision,
    );
    for (const change of applied) {
      const before = this.read(change.namespace)?.policy ?? DEFAULT_POLICY;
      this.set(change.namespace, policyAfter(change, before));
    }
    return applied;
  }

  changed(): readonly string[] {
    return [...this.#changed].toSorted();
  }

  takeChanged(namespaces: readonly string[]): void {
    for (const name of namespaces) this.#changed.delete(name);
  }
}
