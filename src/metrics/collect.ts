/**
 * The metrics of `GET /metrics`, from what the coordinator has stored. Asks no namespace: what is
 * counted per namespace is summed up by indexes. Labels are environments, kinds and states, so
 * 10,000 namespaces give as many series as ten; the fullest twenty alone are named.
 */
import { isUnderWay, type EnvironmentState } from "../reconcile/environment-state.ts";
import type { TrackedDrift } from "../reconcile/namespace-state.ts";
import { type ConditionType, DRIFT_KINDS, DRIFT_STATES, type Pause } from "../model/drift.ts";
import type { Capacity, Run } from "../model/api.ts";
import { fillOf } from "../model/capacity.ts";
import type { Fullness } from "../model/size-history.ts";
import { STEPS, type Step } from "../model/operation.ts";
import type { RateBudget } from "../github/port.ts";
import type { MetricFamily, MetricSample } from "./metrics-text.ts";
import { isBehind, type AlertState } from "../alerts/alert-state.ts";
import { PAUSE_BUCKETS_S, TICK_BUCKETS_S } from "./count.ts";
import type { CountersStore } from "./counters-store.ts";

/** Namespaces with a fill of their own: the fullest. */
export const FULLEST_MAX = 20;
/** Environments that get series of their own. */
export const ENVIRONMENTS_MAX = 50;
const DAY_S = 86_400;
const CONDITION_TYPES: readonly ConditionType[] = ["Ready", "Reconciling", "Stalled"];

export interface EnvironmentFacts {
  readonly state: EnvironmentState;
  readonly drifts: readonly TrackedDrift[];
  readonly conditions: Readonly<Record<ConditionType, number>>;
  /** Changes that wait or are refused, and since when the oldest has been in its condition. */
  readonly pending: { readonly count: number; readonly since: number | null };
}

export interface MetricFacts {
  readonly environments: readonly EnvironmentFacts[];
  readonly activeRuns: readonly Run[];
  /** Operations under way that no active run waits for. */
  readonly unfollowed: ReadonlyMap<Step, number>;
  readonly paused: Pause | null;
  readonly alerts: readonly AlertState[];
  readonly pullTasks: { readonly count: number; readonly oldestDueAt: number | null };
  readonly budget: RateBudget | null;
  /** The fullest namespaces, as last seen. */
  readonly fullest: readonly Filling[];
  readonly now: number;
}

/** How full the fullest member of a namespace is, and when it will be full. */
export interface Filling extends Fullness {
  readonly capacity: Capacity;
}

export function collectMetrics(facts: MetricFacts, counters: CountersStore): MetricFamily[] {
  return [
    ...collectTicks(facts, counters),
    ...collectState(facts),
    ...collectCapacity(facts),
    ...collectOperations(facts, counters),
    ...collectAlerts(facts, counters),
    ...collectGithub(facts),
  ];
}

function collectTicks({ environments }: MetricFacts, counters: CountersStore): MetricFamily[] {
  const counted = (name: string) =>
    counters.list(name).map(({ labels, value }): MetricSample => ({ labels, value }));
  const each = (read: (state: EnvironmentState) => number | null): MetricSample[] =>
    environments.flatMap(({ state }) => {
      const value = read(state);
      return value === null ? [] : [{ labels: { environment: state.environment }, value }];
    });
  return [
    counter("reconcile_ticks_total", "Ticks that ended, by outcome.", counted("reconcile_ticks")),
    histogram(
      "reconcile_duration_seconds",
      "How long ticks took.",
      counters,
      "reconcile_seconds",
      TICK_BUCKETS_S,
    ),
    gauge(
      "reconcile_last_end_timestamp_seconds",
      "When the last tick ended.",
      each(({ checkedAt }) => (checkedAt === null ? null : checkedAt / 1000)),
    ),
    gauge(
      "reconcile_last_success_timestamp_seconds",
      "When a tick that could read everything last ended.",
      counted("reconcile_last_success"),
    ),
    gauge(
      "reconcile_in_progress",
      "1 while a tick is running.",
      each((state) => (isUnderWay(state) ? 1 : 0)),
    ),
    counter(
      "reconcile_github_requests_total",
      "Requests to GitHub by ticks.",
      counted("reconcile_github_requests"),
    ),
    counter(
      "reconcile_namespace_calls_total",
      "Calls to live namespaces by ticks.",
      counted("reconcile_namespace_calls"),
    ),
    counter(
      "reconcile_runs_started_total",
      "Runs that ticks have started.",
      counted("reconcile_runs_started"),
    ),
  ];
}

function collectState({ environments, paused, now }: MetricFacts): MetricFamily[] {
  const labelled = (read: (facts: EnvironmentFacts) => readonly MetricSample[]): MetricSample[] =>
    environments.flatMap((facts) =>
      read(facts).map((sample) => ({
        ...sample,
        labels: { environment: facts.state.environment, ...sample.labels },
      })),
    );
  return [
    gauge(
      "drifts",
      "Drifts by kind and state.",
      labelled(({ drifts }) =>
        DRIFT_KINDS.flatMap((kind) =>
          DRIFT_STATES.map((state) => {
            const value = drifts.filter(
              (drift) => drift.kind === kind && drift.state === state,
            ).length;
            return { labels: { kind, state }, value };
          }),
        ),
      ),
    ),
    gauge(
      "conditions",
      "Namespaces by condition.",
      labelled(({ conditions }) =>
        CONDITION_TYPES.map((type) => ({ labels: { type }, value: conditions[type] })),
      ),
    ),
    gauge(
      "pending_changes",
      "Changes that were found and are not applied yet.",
      labelled(({ pending }) => [{ labels: {}, value: pending.count }]),
    ),
    gauge(
      "pending_change_age_seconds",
      "How long the oldest of them has been in its condition; 0 without one.",
      labelled(({ pending }) => [{ labels: {}, value: ageSeconds(pending.since, now) }]),
    ),
    gauge("paused", "1 while nothing is applied anywhere.", [
      { labels: {}, value: paused === null ? 0 : 1 },
    ]),
  ];
}

function collectCapacity({ fullest }: MetricFacts): MetricFamily[] {
  const each = (read: (filling: Filling) => number | null): MetricSample[] =>
    fullest.flatMap((filling) => {
      const value = read(filling);
      const { object, name: namespace } = filling;
      return value === null ? [] : [{ labels: { namespace, object }, value }];
    });
  return [
    gauge(
      "storage_bytes",
      "Bytes that the fullest member of a namespace stores; of the fullest namespaces.",
      each(({ bytes }) => bytes),
    ),
    gauge(
      "storage_fill_ratio",
      "The same as a share of what one object may store.",
      each(({ bytes, capacity }) => fillOf({ storage: bytes }, capacity.bytesMax)),
    ),
    gauge(
      "storage_full_in_seconds",
      "When it will be full at the earliest, in seconds from now; absent when nothing is foreseen.",
      each(({ capacity: { forecast } }) =>
        forecast.kind === "full" ? Math.round(forecast.fromDays * DAY_S) : null,
      ),
    ),
  ];
}

function collectOperations(
  { activeRuns, unfollowed }: MetricFacts,
  counters: CountersStore,
): MetricFamily[] {
  const counted = (name: string) =>
    counters.list(name).map(({ labels, value }): MetricSample => ({ labels, value }));
  const running = activeRuns.flatMap(({ actions }) =>
    actions.flatMap(({ state, operation }) =>
      state === "running" && operation?.state === "running" ? [operation] : [],
    ),
  );
  const states = ["pending", "running"] as const;
  return [
    gauge(
      "operations",
      "Running operations, by step. Writes to rows that move wait in fence, cutover and activate.",
      STEPS.map((step) => {
        const followed = running.filter((operation) => operation.step === step).length;
        return { labels: { step }, value: followed + (unfollowed.get(step) ?? 0) };
      }),
    ),
    gauge("operations_paused", "Paused operations that runs wait for.", [
      { labels: {}, value: running.filter(({ paused }) => paused !== null).length },
    ]),
    gauge(
      "operation_write_pause_seconds",
      "The longest time that writes waited at a cutover of an operation that a run waits for.",
      [
        {
          labels: {},
          value: Math.max(0, ...running.map(({ writePauseMs }) => writePauseMs?.max ?? 0)) / 1000,
        },
      ],
    ),
    histogram(
      "write_pause_seconds",
      "The longest that writes waited at a cutover, of each operation that ended.",
      counters,
      "write_pause",
      PAUSE_BUCKETS_S,
    ),
    gauge("operation_retries", "Retries of the operations that runs wait for, in total.", [
      { labels: {}, value: running.reduce((sum, { retries }) => sum + retries, 0) },
    ]),
    gauge(
      "run_actions",
      "Actions of active runs that have not ended.",
      states.map((state) => ({
        labels: { state },
        value: activeRuns.reduce(
          (sum, { actions }) => sum + actions.filter((action) => action.state === state).length,
          0,
        ),
      })),
    ),
    counter(
      "operations_ended_total",
      "Operations that ended, by kind and state.",
      counted("operations_ended"),
    ),
    counter(
      "operation_duration_seconds_total",
      "How long those took, in total.",
      counted("operation_seconds"),
    ),
    counter(
      "rows_moved_total",
      "Rows that completed operations have moved.",
      counted("rows_moved"),
    ),
    counter("runs_ended_total", "Runs that ended, by state.", counted("runs_ended")),
  ];
}

function collectAlerts({ alerts }: MetricFacts, counters: CountersStore): MetricFamily[] {
  const messages = counters
    .list("alert_messages")
    .map(({ labels, value }): MetricSample => ({ labels, value }));
  const known = alerts.slice(0, ENVIRONMENTS_MAX);
  return [
    gauge(
      "alert_open",
      "1 while an environment has an alert about open drifts.",
      known.map(({ environment, target }) => ({
        labels: { environment },
        value: (target?.fingerprint ?? null) === null ? 0 : 1,
      })),
    ),
    gauge(
      "alert_failures",
      "Consecutive failures to send news to a channel.",
      known.flatMap((state) =>
        (["issue", "webhook"] as const).map((channel) => ({
          labels: { environment: state.environment, channel },
          value: isBehind(state, channel) ? state.channels[channel].failures : 0,
        })),
      ),
    ),
    counter("alert_messages_total", "Messages about alerts, by channel and outcome.", messages),
  ];
}

function collectGithub({ budget, pullTasks, now }: MetricFacts): MetricFamily[] {
  const left = budget === null ? [] : [{ labels: {}, value: budget.remaining }];
  const limit = budget === null ? [] : [{ labels: {}, value: budget.limit }];
  const resets = budget === null ? [] : [{ labels: {}, value: budget.resetsAt / 1000 }];
  return [
    gauge(
      "github_requests_left",
      "Requests that GitHub still accepts before the limit resets; absent before the first answer.",
      left,
    ),
    gauge("github_requests_limit", "GitHub's limit of requests.", limit),
    gauge("github_reset_timestamp_seconds", "When GitHub's limit resets.", resets),
    gauge("pull_tasks", "Pieces of work on pull requests in the queue.", [
      { labels: {}, value: pullTasks.count },
    ]),
    gauge("pull_task_age_seconds", "How long the oldest of them is overdue.", [
      { labels: {}, value: ageSeconds(pullTasks.oldestDueAt, now) },
    ]),
  ];
}

function ageSeconds(since: number | null, now: number): number {
  return since === null ? 0 : Math.max(0, now - since) / 1000;
}

/** The counters under `stored`: for each environment a sum, and a count for each limit. */
function histogram(
  name: string,
  help: string,
  counters: CountersStore,
  stored: string,
  limits: readonly number[],
): MetricFamily {
  const buckets = counters.list(`${stored}_bucket`);
  const samples = counters.list(`${stored}_sum`).flatMap(({ labels, value }): MetricSample[] => {
    const { environment = "" } = labels;
    let count = 0;
    const cumulative = [...limits.map(String), "+Inf"].map((le): MetricSample => {
      count +=
        buckets.find(
          (bucket) => bucket.labels["environment"] === environment && bucket.labels["le"] === le,
        )?.value ?? 0;
      return { suffix: "_bucket", labels: { environment, le }, value: count };
    });
    return [
      ...cumulative,
      { suffix: "_sum", labels: { environment }, value },
      { suffix: "_count", labels: { environment }, value: count },
    ];
  });
  return { name: `shardctl_${name}`, help, type: "histogram", samples };
}

function counter(name: string, help: string, samples: readonly MetricSample[]): MetricFamily {
  return { name: `shardctl_${name}`, help, type: "counter", samples };
}

function gauge(name: string, help: string, samples: readonly MetricSample[]): MetricFamily {
  return { name: `shardctl_${name}`, help, type: "gauge", samples };
}
