/** The metrics of a busy Worker as one golden text, and what counts as what. */
import { expect, it } from "vitest";

import {
  type EnvironmentState,
  newEnvironmentState,
} from "../../src/reconcile/environment-state.ts";
import type { Run, RunAction } from "../../src/model/api.ts";
import type { Step } from "../../src/model/operation.ts";
import { renderMetrics } from "../../src/metrics/metrics-text.ts";
import { afterFailure, decideAlert, newAlertState } from "../../src/alerts/alert-state.ts";
import { collectMetrics, type MetricFacts } from "../../src/metrics/collect.ts";
import { countAlert, countOperation, countRun, countTick } from "../../src/metrics/count.ts";
import { CountersStore, SERIES_MAX } from "../../src/metrics/counters-store.ts";
import { openNodeSql } from "../support/node-sql.ts";
import { drift, ORDERS, PAUSE, shift } from "../support/page-states.ts";
import { COUNTED_AT } from "../support/state.ts";

const MINUTE_MS = 60_000;

function facts(changes: Partial<MetricFacts> = {}): MetricFacts {
  return {
    environments: [],
    activeRuns: [],
    unfollowed: new Map(),
    paused: null,
    alerts: [],
    pullTasks: { count: 0, oldestDueAt: null },
    budget: null,
    fullest: [],
    now: COUNTED_AT,
    ...changes,
  };
}

function ticked(durationMs: number, changes: Partial<EnvironmentState> = {}): EnvironmentState {
  const lastFigures = { requests: 1, calls: 12, looks: 10, audits: 1, runsStarted: 0 };
  const state = newEnvironmentState("production");
  return {
    ...state,
    outcome: "complete",
    durationMs,
    checkedAt: COUNTED_AT - MINUTE_MS,
    lastFigures,
    ...changes,
  };
}

function action(changes: Partial<RunAction>): RunAction {
  return {
    namespace: "orders",
    object: "ORDERS",
    kind: "rebalance",
    state: "running",
    operation: shift(ORDERS),
    error: null,
    ...changes,
  };
}

function run(actions: readonly RunAction[], changes: Partial<Run> = {}): Run {
  return {
    id: "run-1-2",
    environment: "production",
    state: "running",
    finishedAt: null,
    actions,
    ...changes,
  } as Run;
}

/** The samples of one family as text. */
function samplesOf(
  name: string,
  given: MetricFacts,
  counters = new CountersStore(openNodeSql()),
): readonly string[] {
  const families = collectMetrics(given, counters).filter(
    (family) => family.name === `shardctl_${name}`,
  );
  return renderMetrics(families)
    .trimEnd()
    .split("\n")
    .filter((line) => !line.startsWith("#"));
}

it("reads as one text", async () => {
  const counters = new CountersStore(openNodeSql());
  for (const durationMs of [40, 700, 20_000]) countTick(counters, ticked(durationMs));
  countTick(counters, ticked(3_600_000, { outcome: "incomplete" }));
  const ended = shift(ORDERS, {
    state: "completed",
    finishedAt: COUNTED_AT,
    rowsCopied: 4_000,
    writePauseMs: { last: 12, max: 41 },
  });
  const before = run([action({}), action({ state: "pending", operation: null })]);
  const after = run([action({ state: "done", operation: ended }), action({ state: "failed" })], {
    state: "failed",
    finishedAt: COUNTED_AT,
  });
  countRun(counters, after, before);
  countOperation(counters, "production", { ...ended, writePauseMs: { last: 7_000, max: 7_000 } });
  countOperation(
    counters,
    "production",
    shift(ORDERS, { state: "cancelled", finishedAt: COUNTED_AT }),
  );
  countAlert(counters, "production", "issue", "told");
  countAlert(counters, "production", "webhook", "failed");

  const open = drift("skew", "sessions");
  const alert = decideAlert(newAlertState("production"), {
    environment: "production",
    commit: null,
    isComplete: true,
    fingerprint: "f",
    drifts: [open],
  });
  const failed = afterFailure(
    alert,
    "webhook",
    { message: "answered 503", retryAt: null },
    { now: COUNTED_AT, random: 0 },
  );
  const text = renderMetrics(
    collectMetrics(
      facts({
        environments: [
          {
            state: ticked(700),
            drifts: [
              { ...open, pass: 1 },
              { ...drift("spec", "orders", { state: "watching" }), pass: 2 },
            ],
            conditions: { Ready: 7, Reconciling: 1, Stalled: 1 },
            pending: { count: 2, since: COUNTED_AT - 5 * MINUTE_MS },
          },
        ],
        activeRuns: [
          run([
            action({}),
            action({
              operation: shift(ORDERS, {
                step: "copy",
                paused: PAUSE,
                retries: 3,
                writePauseMs: { last: 18, max: 250 },
              }),
            }),
            action({ state: "pending", operation: null }),
          ]),
        ],
        unfollowed: new Map<Step, number>([["copy", 1]]),
        paused: { by: "ci", reason: "upgrade", at: COUNTED_AT },
        alerts: [failed],
        pullTasks: { count: 3, oldestDueAt: COUNTED_AT - 30_000 },
        budget: { limit: 5000, remaining: 4321, resetsAt: COUNTED_AT + MINUTE_MS },
        fullest: [
          {
            name: "orders",
            object: "ORDERS",
            bytes: 8_700_000_000,
            capacity: {
              bytesMax: 10_000_000_000,
              maxFill: 0.7,
              forecast: { kind: "full", fromDays: 19.5, toDays: 24 },
            },
          },
          {
            name: "carts",
            object: "CARTS",
            bytes: 30_000_000,
            capacity: { bytesMax: 50_000_000, maxFill: 0.7, forecast: { kind: "steady" } },
          },
        ],
      }),
      counters,
    ),
  );
  await expect(text).toMatchFileSnapshot("../golden/metrics/busy.txt");
});

it("an operation that its run has let go of counts where it is followed, and once", () => {
  const active = [
    run([action({ state: "failed" }), action({ state: "pending", operation: null })]),
  ];
  const sum = (lines: readonly string[]): number =>
    lines.reduce((total, line) => total + Number(line.split(" ").at(-1)), 0);
  expect(sum(samplesOf("operations", facts({ activeRuns: active })))).toBe(0);
  expect(
    sum(
      samplesOf("operations", facts({ activeRuns: active, unfollowed: new Map([["cutover", 1]]) })),
    ),
  ).toBe(1);
});

it("an operation that never cut over has no write pause", () => {
  const counters = new CountersStore(openNodeSql());
  countOperation(counters, "production", shift(ORDERS, { state: "failed", writePauseMs: null }));
  expect(samplesOf("write_pause_seconds", facts(), counters)).toEqual([]);
  expect(samplesOf("operations_ended_total", facts(), counters)).toHaveLength(1);
});

it("an operation that ended counts once, however often its run is written", () => {
  const counters = new CountersStore(openNodeSql());
  const ended = shift(ORDERS, { state: "completed", finishedAt: COUNTED_AT, rowsCopied: 10 });
  const done = run([action({ state: "done", operation: ended })]);
  countRun(counters, done, run([action({})]));
  countRun(counters, done, done);
  expect(samplesOf("rows_moved_total", facts(), counters)).toEqual([
    'shardctl_rows_moved_total{environment="production"} 10',
  ]);
});

it("above a bound no new series is begun, and those that there are go on", () => {
  const counters = new CountersStore(openNodeSql());
  for (let series = 0; series < SERIES_MAX + 10; series++)
    counters.add("runs_ended", { environment: `e${series}` }, 1);
  counters.add("runs_ended", { environment: "e0" }, 1);
  const listed = counters.list("runs_ended");
  expect(listed).toHaveLength(SERIES_MAX);
  expect(listed.find(({ labels }) => labels["environment"] === "e0")?.value).toBe(2);
});
