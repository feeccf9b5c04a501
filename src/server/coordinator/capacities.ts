/**
 * Tells how much the members of a namespace may store, by the policy that is followed, and when the
 * fullest will be full, by its sizes over time.
 */
import type { SizesStore } from "../../history/sizes-store.ts";
import type { Capacity } from "../../model/api.ts";
import type { LiveNamespace, NamespaceRef } from "../../model/live.ts";
import { fillOf, fullestMembers, LEFT_BELOW } from "../../model/capacity.ts";
import type { Filling } from "../../metrics/collect.ts";
import { STORAGE_BYTES_MAX } from "../../model/member-states.ts";
import type { SizeHistory } from "../../model/size-history.ts";
import { DEFAULT_MAX_FILL } from "../../model/spec.ts";
import type { Reconciliation } from "../../reconcile/reconciliation.ts";

/** Calls of the rest of the Worker. */
export interface CapacityCalls {
  /** One for each namespace, in their order. */
  capacities(refs: readonly NamespaceRef[]): readonly Capacity[];
  history(ref: NamespaceRef): SizeHistory;
}

export class Capacities implements CapacityCalls {
  readonly #sizes: SizesStore;
  readonly #reconciliation: Pick<Reconciliation, "environments" | "declared">;

  constructor(
    sizes: SizesStore,
    reconciliation: Pick<Reconciliation, "environments" | "declared">,
  ) {
    this.#sizes = sizes;
    this.#reconciliation = reconciliation;
  }

  capacities(refs: readonly NamespaceRef[]): readonly Capacity[] {
    return refs.map((ref) => {
      const limits = this.#limitsOf(ref);
      return { ...limits, forecast: this.#sizes.forecast(ref, limits.bytesMax) };
    });
  }

  /** The namespaces with the fullest members, as last seen. */
  fullest(count: number): readonly Filling[] {
    return this.#sizes.fullest(count).flatMap((fullness) => {
      const [capacity] = this.capacities([fullness]);
      return capacity ? [{ ...fullness, capacity }] : [];
    });
  }

  history(ref: NamespaceRef): SizeHistory {
    return this.#sizes.history(ref);
  }

  forget(ref: NamespaceRef): void {
    this.#sizes.forget(ref);
  }

  /** Keeps the sizes of a look, and adds to a namespace that fills up when it will be full. */
  note(live: LiveNamespace): LiveNamespace {
    this.#sizes.note(live);
    const { bytesMax, maxFill } = this.#limitsOf(live);
    const [fullest] = fullestMembers(live.members);
    return fullest && fillOf(fullest, bytesMax) >= maxFill - LEFT_BELOW
      ? { ...live, forecast: this.#sizes.forecast(live, bytesMax) }
      : live;
  }

  /** The strictest of the environments that declare it. */
  #limitsOf({ name, object }: NamespaceRef): Omit<Capacity, "forecast"> {
    const policies = this.#reconciliation.environments().flatMap((environment) => {
      const spec = this.#reconciliation.declared(environment, name);
      return spec?.object === object ? [spec.policy] : [];
    });
    const least = (values: readonly (number | undefined)[], fallback: number): number =>
      Math.min(
        ...values.map((value) => value ?? fallback),
        policies.length === 0 ? fallback : Infinity,
      );
    return {
      bytesMax: least(
        policies.map(({ storageBytesMax }) => storageBytesMax),
        STORAGE_BYTES_MAX,
      ),
      maxFill: least(
        policies.map(({ maxFill }) => maxFill),
        DEFAULT_MAX_FILL,
      ),
    };
  }
}
