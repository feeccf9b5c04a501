/**
 * Declares the coordinator as the rest of the Worker calls it: parts by name, each with the calls
 * that it declares beside itself.
 */
import type { Remote } from "../../model/calls.ts";
import type { PageCalls } from "../../page/page-facts.ts";
import type { MergeCalls } from "../../pulls/merged-pulls.ts";
import type { PullCalls } from "../../pulls/pull-work.ts";
import type { PauseCalls } from "../../pauses/pauses.ts";
import type { MemoryCalls } from "../../reconcile/forget-namespace.ts";
import type { ReconcileCalls } from "../../reconcile/reconciliation.ts";
import type { RegistryCalls } from "../../repair/registries-store.ts";
import type { ReviewCalls } from "../../reviews/pull-reviews.ts";
import type { ReviewStoreCalls } from "../../reviews/reviews-store.ts";
import type { PlanCalls } from "../../runs/plan-book.ts";
import type { RunCalls } from "../../runs/run-book.ts";
import type { StartCalls } from "../../runs/start-runs.ts";
import type { AlarmCalls } from "./alarm-clock.ts";
import type { CapacityCalls } from "./capacities.ts";
import type { ObservationCalls } from "./observation.ts";
import type { OnceCalls } from "./once-store.ts";
import type { StateCalls } from "./state/state-book.ts";
import type { ScopeCalls } from "./scope-facts.ts";

/** The name of the coordinator's object. Stored state lives under it: never change. */
export const COORDINATOR_NAME = "coordinator";

/** Every call may be repeated: one that hit a restart is sent once more. */
export interface CoordinatorApi {
  readonly alarm: AlarmCalls;
  readonly capacities: CapacityCalls;
  readonly memory: MemoryCalls;
  readonly mergedPulls: MergeCalls;
  readonly observation: ObservationCalls;
  readonly once: OnceCalls;
  readonly page: PageCalls;
  readonly pauses: PauseCalls;
  readonly plans: PlanCalls;
  readonly pullWork: PullCalls;
  readonly reconciliation: ReconcileCalls;
  readonly registries: RegistryCalls;
  readonly reviews: ReviewCalls;
  readonly reviewsStore: ReviewStoreCalls;
  readonly runs: RunCalls;
  readonly scopes: ScopeCalls;
  readonly starts: StartCalls;
  readonly state: StateCalls;
}

/** The same from outside of the object. */
export type RemoteCoordinator = {
  readonly [Part in keyof CoordinatorApi]: Remote<CoordinatorApi[Part]>;
};
