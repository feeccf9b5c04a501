/**
 * Gathers all that the coordinator's parts remember of one namespace, for `shardctl forget`, and
 * ends it in all of them at once.
 */
import { forgetEvent } from "../../history/make-events.ts";
import type { KnownNamespace } from "../../model/forget.ts";
import type { NamespaceRef } from "../../model/live.ts";
import type { PageFacts } from "../../page/page-facts.ts";
import type { MemoryCalls } from "../../reconcile/forget-namespace.ts";
import type { Reconciliation } from "../../reconcile/reconciliation.ts";
import type { RunBook } from "../../runs/run-book.ts";
import type { Capacities } from "./capacities.ts";
import type { Observation } from "./observation.ts";

export interface MemoryParts {
  readonly storage: DurableObjectStorage;
  readonly reconciliation: Pick<
    Reconciliation,
    "environments" | "knowersOf" | "claimantsOf" | "declared" | "forget" | "registries"
  >;
  readonly page: Pick<PageFacts, "forget">;
  readonly runs: Pick<RunBook, "active">;
  readonly observation: Pick<Observation, "record">;
  readonly capacities: Pick<Capacities, "forget">;
}

export class Memory implements MemoryCalls {
  readonly #parts: MemoryParts;

  constructor(parts: MemoryParts) {
    this.#parts = parts;
  }

  known(ref: NamespaceRef, only: string | null): KnownNamespace | null {
    const { reconciliation, runs } = this.#parts;
    const knowers = reconciliation.knowersOf(ref);
    const environments = knowers.filter((one) => only === null || one === only);
    // Of an environment that was renamed nobody can take a manifest away.
    const followed = reconciliation.environments();
    const registry = reconciliation.registries.read(ref);
    if (environments.length === 0 && (registry === null || only !== null)) return null;
    const run = runs
      .active()
      .find(
        ({ actions, environment }) =>
          (only === null || only === environment) &&
          actions.some(({ namespace, object }) => namespace === ref.name && object === ref.object),
      );
    return {
      environments,
      keptIn: reconciliation.claimantsOf(ref).filter((one) => !environments.includes(one)),
      declaredIn: environments.filter(
        (environment) =>
          followed.includes(environment) &&
          reconciliation.declared(environment, ref.name)?.object === ref.object,
      ),
      epoch: registry?.epoch ?? null,
      members: registry?.members.length ?? 0,
      run: run?.id ?? null,
    };
  }

  forget(ref: NamespaceRef, only: string | null, by: string): boolean {
    const { storage, reconciliation, page, observation, capacities } = this.#parts;
    return storage.transactionSync(() => {
      const known = this.known(ref, only);
      if (known === null || known.declaredIn.length > 0 || known.run !== null) return false;
      // One that only its registry tells of was never an environment's: each may want to know.
      const { environments, epoch } = known;
      const told = environments.length > 0 ? environments : reconciliation.environments();
      for (const environment of environments) reconciliation.forget(environment, ref);
      // Others may still look at its objects.
      if (reconciliation.knowersOf(ref).length === 0) {
        reconciliation.registries.forget(ref);
        page.forget(ref);
        capacities.forget(ref);
      }
      for (const environment of told)
        observation.record(forgetEvent(environment, ref, epoch, by, Date.now()));
      return true;
    });
  }
}
