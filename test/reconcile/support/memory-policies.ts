/** The applied policies in maps: as `PolicyStore` in the Worker. */
import {
  type AppliedPolicies,
  appliedPolicy,
  type PolicyChange,
  type PolicyFloors,
  samePolicy,
} from "../../../src/model/policy.ts";
import { DEFAULT_POLICY, type Policy } from "../../../src/model/spec.ts";
import type { PolicyPort } from "../../../src/reconcile/ports.ts";

export class MemoryPolicies implements PolicyPort {
  floors: PolicyFloors = {};
  isSource = false;
  readonly #applied = new Map<string, Policy | null>();
  readonly #changed = new Set<string>();

  get applied(): AppliedPolicies {
    return this.#applied;
  }

  read(namespace: string): Policy | null {
    return appliedPolicy(this.#applied, namespace);
  }

  noteDefault(namespace: string): void {
    if (!this.#applied.has(namespace)) this.#applied.set(namespace, null);
  }

  /** As if it had been reviewed and applied long ago. */
  set(namespace: string, policy: Policy): void {
    this.#applied.set(namespace, policy);
    this.#changed.add(namespace);
  }

  apply(changes: readonly PolicyChange[]): readonly PolicyChange[] {
    const applied = changes.filter(({ namespace, from }) =>
      samePolicy(this.read(namespace) ?? DEFAULT_POLICY, from ?? DEFAULT_POLICY),
    );
    for (const { namespace, to } of applied) this.set(namespace, to);
    return applied;
  }

  changed(): readonly string[] {
    return [...this.#changed].toSorted();
  }

  takeChanged(namespaces: readonly string[]): void {
    for (const name of namespaces) this.#changed.delete(name);
  }
}
