/**
 * Wires the parts of the coordinator, and what each may ask of the others. Each part documents what
 * it knows.
 *
 * | part             | owns                                                       |
 * |------------------|------------------------------------------------------------|
 * | `plans`          | stored plans; `policies` those that were applied           |
 * | `reviews`        | what pull requests were shown and released, as it comes;   |
 * |                  | `reviewsStore` as it is stored                             |
 * | `runs`           | runs as written; `starts` begins them, `steps` ends them   |
 * | `pullWork`       | posting in pull requests; `mergedPulls` asks what is merged |
 * | `reconciliation` | the tick; `pauses` and `registries` are parts of it        |
 * | `memory`         | what all of them remember of one namespace, and its end    |
 * | `state`          | all that the others store, as a file                       |
 * | `observation`    | history, alerts, metrics, heartbeat                        |
 * | `capacities`     | how full namespaces were, are and will be                  |
 * | `page`           | what the status page shows                                 |
 * | `scopes`         | what the scopes of tokens are compared with; `names` those |
 * |                  | of plans and runs                                          |
 * | `alarm`          | the one alarm that carries all of it on                    |
 */
import { watchRegistries } from "../../live/watch-registries.ts";
import { success } from "../../model/result.ts";
import { SizesStore } from "../../history/sizes-store.ts";
import type { Run } from "../../model/api.ts";
import type { SetReader } from "../../manifest/read-set.ts";
import type { GithubReader, GithubWriter } from "../../github/port.ts";
import type { LiveAccess } from "../../live/port.ts";
import { Capacities } from "./capacities.ts";
import { AlarmClock } from "./alarm-clock.ts";
import type { CoordinatorApi } from "./coordinator-api.ts";
import { Memory } from "./memory.ts";
import { Observation, type ObservationParts } from "./observation.ts";
import { OnceStore } from "./once-store.ts";
import { ScopeFacts } from "./scope-facts.ts";
import { type NameSources, ScopeNames } from "./scope-names.ts";
import { PageFacts } from "../../page/page-facts.ts";
import type { PolicyFloors } from "../../model/policy.ts";
import { PlanBook } from "../../runs/plan-book.ts";
import { PolicyStore } from "../../runs/policy-store.ts";
import { PullReviews } from "../../reviews/pull-reviews.ts";
import { MergedPulls } from "../../pulls/merged-pulls.ts";
import { PullWork } from "../../pulls/pull-work.ts";
import { Reconciliation } from "../../reconcile/reconciliation.ts";
import { ReviewsStore } from "../../reviews/reviews-store.ts";
import { RunBook } from "../../runs/run-book.ts";
import { wasCancelled } from "../../runs/run-record.ts";
import { RunStarts } from "../../runs/start-runs.ts";
import { RunSteps } from "../../runs/step-runs.ts";
import { StateBook } from "./state/state-book.ts";
import type { Settings } from "../settings.ts";
import type { GithubSettings } from "../../github/settings.ts";
import { CoordinatorStore } from "../../runs/store.ts";

/** The outside world, as the object's parts reach it. */
export interface Outside {
  /** The object's own. */
  readonly id: string;
  readonly storage: DurableObjectStorage;
  /** Null when the Worker is set up wrongly. */
  readonly settings: () => Settings | null;
  /** Null when this Worker does not post. */
  readonly github: () => GithubWriter | null;
  /** Null without a repository, or without credentials for it. */
  readonly githubReader: () => GithubReader | null;
  readonly liveAccess: () => LiveAccess;
  /** Reads manifests outside of this object. */
  readonly readSet: SetReader;
}

/** The parts that can be called, and those that the object's own alarm uses. */
export interface CoordinatorParts {
  readonly api: CoordinatorApi;
  readonly steps: RunSteps;
  readonly pullWork: PullWork;
  readonly reconciliation: Reconciliation;
  readonly observation: Observation;
  readonly alarm: AlarmClock;
}

/** Takes the place of the owner's floors in a Worker that is set up wrongly. */
const NOTHING_STARTS: PolicyFloors = { suspend: true };

/** Creates the tables that are missing, and starts nothing. */
export function assembleCoordinator(outside: Outside): CoordinatorParts {
  const { storage, settings, id: worker } = outside;
  const liveAccess = (): LiveAccess =>
    watchRegistries(outside.liveAccess(), (ref) => reconciliation.registries.read(ref));
  const followed = (): GithubSettings | null => settings()?.github ?? null;
  const arm = (): void => alarm.arm();
  const store = new CoordinatorStore(storage.sql);
  const reviewsStore = new ReviewsStore(storage.sql);

  const policies = new PolicyStore(storage.sql);
  const floors = (): PolicyFloors => settings()?.guards ?? NOTHING_STARTS;
  const plans = new PlanBook({
    storage,
    store,
    policies,
    floors,
    keptPlans: () => reviewsStore.keptPlans(),
    declared: (environment) => reconciliation.declaredRefs(environment),
    followed: (environment, namespace) => reconciliation.followed(environment, namespace),
    followedAt: (environment) => reconciliation.followedAt(environment),
    onPlan: (plan, actor, now) => observation.notePlan(plan, actor, now),
    onStored: (plan, desired) => names.notePlan(plan, desired),
  });
  const reviews = new PullReviews({
    storage,
    store: reviewsStore,
    readPlan: (fingerprint) => plans.read(fingerprint),
    onReview: (review) => observation.noteReview(review),
    onRelease: (review, release) => observation.noteRelease(review, release),
  });
  const runs = new RunBook({
    storage,
    store,
    arm,
    onWrite: (...written) =>
      noteRun({ names, page, observation, reconciliation, pullWork, plans, reviews }, ...written),
  });
  const names = new ScopeNames(storage.sql, nameSources(store, plans, runs));
  const starts = new RunStarts({ store, book: runs, plans, policies, reviews: reviewsStore });
  const steps = new RunSteps({
    store,
    book: runs,
    plans,
    liveAccess,
    pause: () => reconciliation.pause(),
    declared: (environment, namespace) => reconciliation.declared(environment, namespace),
  });
  const once = new OnceStore(storage.sql);
  const pullWork = new PullWork(storage, {
    settings: followed,
    github: outside.github,
    liveAccess,
    readSet: outside.readSet,
    coordinator: { plans, runs, starts, reviews, reviewsStore },
    claimDelivery: (id, now) => once.claimDelivery(id, now),
    arm,
  });
  const reconciliation = new Reconciliation(storage, {
    settings: followed,
    github: outside.githubReader,
    readSet: outside.readSet,
    liveAccess: (environment) =>
      noteSights(liveAccess(), environment, { page, observation, reconciliation, capacities }),
    reviews: reviewsStore,
    plans,
    policies,
    floors,
    runs,
    starts,
    names: store,
    record: (event) => observation.record(event),
    onCron: (cron, now) => observation.noteCron(cron, now),
    onTick: (state) => observation.noteTick(state),
    arm,
  });
  const capacities = new Capacities(new SizesStore(storage.sql), reconciliation);
  const observation = new Observation(storage.sql, {
    ...observed(outside, reconciliation, runs, capacities),
    onChange: arm,
  });
  const page = new PageFacts(storage.sql, {
    store,
    reviews: reviewsStore,
    reconciliation,
    findRun: (id) => runs.findRun(id),
    readPlan: (fingerprint) => plans.read(fingerprint),
    listEvents: (filter) => observation.listEvents(filter),
  });
  const alarm = new AlarmClock(
    storage,
    [runs, pullWork, reconciliation, observation.alerts],
    () => store.listActiveRuns().length > 0,
  );
  return {
    api: {
      alarm,
      capacities,
      memory: new Memory({ storage, reconciliation, page, runs, observation, capacities }),
      mergedPulls: new MergedPulls({ settings: followed, github: outside.githubReader }),
      observation,
      once,
      page,
      pauses: reconciliation.pauses,
      plans,
      pullWork,
      reconciliation,
      registries: reconciliation.registries,
      reviews,
      reviewsStore,
      runs,
      scopes: new ScopeFacts(storage.sql, names),
      starts,
      state: new StateBook({ storage, worker, settings: followed, reconciliation }),
    },
    alarm,
    observation,
    pullWork,
    reconciliation,
    steps,
  };
}

function nameSources(store: CoordinatorStore, plans: PlanBook, runs: RunBook): NameSources {
  return {
    readPlan: (fingerprint) => plans.read(fingerprint),
    readDesired: (fingerprint) => plans.readDesired(fingerprint),
    findRun: (id) => runs.findRun(id),
    listRuns: (filter) => store.listRuns(filter),
  };
}

function observed(
  { settings, github, githubReader }: Outside,
  reconciliation: Reconciliation,
  runs: RunBook,
  capacities: Capacities,
): Omit<ObservationParts, "onChange"> {
  return {
    fullest: (count) => capacities.fullest(count),
    settings,
    github,
    budget: () => githubReader()?.rateBudget() ?? null,
    environments: () => reconciliation.environments(),
    state: (environment) => reconciliation.state(environment),
    pause: () => reconciliation.pause(),
    activeRuns: () => runs.active(),
  };
}

interface RunListeners {
  readonly names: Pick<ScopeNames, "noteRun">;
  readonly page: Pick<PageFacts, "noteRun">;
  readonly observation: Pick<Observation, "noteRun" | "notePolicies">;
  readonly reconciliation: Pick<Reconciliation, "noteRun">;
  readonly pullWork: Pick<PullWork, "tellRun">;
  readonly plans: Pick<PlanBook, "applyPolicies">;
  readonly reviews: Pick<PullReviews, "takeBackAfter">;
}

/** Tells everybody who follows runs what was written of one. */
function noteRun(
  { names, page, observation, reconciliation, pullWork, plans, reviews }: RunListeners,
  run: Run,
  before: Run | null,
  now: number,
): void {
  if (before === null) names.noteRun(run);
  page.noteRun(run, before);
  observation.noteRun(run, before, now);
  reconciliation.noteRun(run, before);
  if (run.state === before?.state) return;
  pullWork.tellRun(run, now);
  if (run.state === "succeeded") observation.notePolicies(plans.applyPolicies(run), run, now);
  if (run.state !== "running" && wasCancelled(run)) reviews.takeBackAfter(run);
}

interface SightListeners {
  readonly page: Pick<PageFacts, "noteLive">;
  readonly observation: Pick<Observation, "noteLive">;
  readonly reconciliation: Pick<Reconciliation, "isFollowed">;
  readonly capacities: Pick<Capacities, "note">;
}

/** Shows the page and the history what reconciliation reads anyway, which saves their own calls. */
function noteSights(
  liveAccess: LiveAccess,
  environment: string,
  { page, observation, reconciliation, capacities }: SightListeners,
): LiveAccess {
  return {
    ...liveAccess,
    async describe(ref, countsMaxAgeMs) {
      const described = await liveAccess.describe(ref, countsMaxAgeMs);
      // One that was forgotten while it was asked leaves nothing behind.
      if (!described.ok || !reconciliation.isFollowed(environment, ref)) return described;
      const now = Date.now();
      page.noteLive(described.value, now);
      await observation.noteLive(
        environment,
        described.value,
        (limit) => liveAccess.history(ref, limit),
        now,
      );
      return success(capacities.note(described.value));
    },
  };
}
