/**
 * A short crash run: the real runtime, killed while it shards and rebalances under concurrent
 * writers. The long one is `npm run crash`.
 */
import { expect, it } from "vitest";

import { size } from "../support/sample.ts";
import { runCrashes } from "./run-crashes.ts";

const KILLS = size(5, 3);
const RUN_MS_MAX = 270_000;

it(
  "loses nothing when the runtime is killed in the middle of operations",
  async ({ signal, onTestFinished }) => {
    const run = runCrashes({
      kills: KILLS,
      seed: 3,
      writers: 8,
      signal,
      keepOnFailure: false,
      onProgress: () => undefined,
    });
    // Also after a timeout: the run is aborted then, and what it started must be gone before the
    // test process is.
    onTestFinished(async () => void (await run), RUN_MS_MAX);
    const report = await run;
    expect(report.problems).toEqual([]);
    expect(report.kills).toBe(KILLS);
    expect(report.deploys).toBeGreaterThan(0);
    // A run without writes, or whose kills all missed the operations, would prove nothing.
    expect(report.writes.acknowledged).toBeGreaterThan(50);
    const { fanOuts, alarms } = report;
    for (const count of [
      fanOuts.once.acknowledged,
      fanOuts.retried.acknowledged,
      alarms.counted,
      alarms.marked,
      alarms.orphanRefused,
    ])
      expect(count).toBeGreaterThan(5);
    expect(report.kills - (report.steps["idle"] ?? 0)).toBeGreaterThan(1);
    expect(report.checks).toBeGreaterThan(0);
  },
  RUN_MS_MAX,
);
