/**
 * Peak memory of a move: what the process that runs the Worker held at most during a `shard`, above what it held just before. Each
 * size has a runtime of its own, so that no size profits from memory that another has already taken.
 */
import { setTimeout as sleep } from "node:timers/promises";

import type { BenchContext } from "../benchmark.ts";
import type { Figure } from "../report.ts";
import { startRuntime } from "../runtime.ts";
import { medianOf } from "../statistics.ts";

const SIZES = [0.1, 1, 10];
const SHARDS = 8;
const MEGABYTE = 1024 * 1024;
/** The root has just been filled: let it write its pages and give memory back. */
const SETTLE_MS = 1_500;
/** The peak of the largest over the peak of the smallest size. */
const GROWTH_MAX = 1.25;

export async function benchMemory({ runs, rows, say }: BenchContext): Promise<Figure[]> {
  const sizes = SIZES.map((factor) => ({ rows: Math.round(rows * factor), growth: [] as number[], peak: [] as number[] }));
  for (let run = 0; run < runs; run++) {
    for (const size of sizes) {
      const found = await measureOnce(size.rows);
      size.growth.push(found.growth / MEGABYTE);
      size.peak.push(found.peak / MEGABYTE);
      say(
        `memory, run ${run + 1} of ${runs}, ${size.rows.toLocaleString("en-US")} rows: ${Math.round(found.growth / MEGABYTE)} MB above ${Math.round((found.peak - found.growth) / MEGABYTE)} MB`,
      );
    }
  }
  const [smallest] = sizes;
  return sizes.map((size): Figure => ({
    name: `peak memory of a shard, ${size.rows.toLocaleString("en-US")} rows`,
    unit: "MB",
    values: size.growth,
    reference: smallest && size !== smallest ? { name: "the smallest size", values: smallest.growth } : null,
    goal: smallest && size !== smallest ? { of: "ratio", is: "atMost", limit: GROWTH_MAX } : null,
    note: `process at its peak: ${Math.round(medianOf(size.peak))} MB`,
  }));
}

async function measureOnce(rows: number): Promise<{ readonly growth: number; readonly peak: number }> {
  const runtime = await startRuntime();
  try {
    // The code is loaded and compiled before the baseline is taken.
    await runtime.call("fillRoot", { namespace: "warm", rows: 1000 });
    await runtime.call("operate", { namespace: "warm", to: { kind: "shard", count: SHARDS } });
    await runtime.call("fillRoot", { namespace: "memory", rows });
    await sleep(SETTLE_MS);
    const before = await runtime.resetPeakMemory();
    await runtime.call("operate", { namespace: "memory", to: { kind: "shard", count: SHARDS } });
    const peak = await runtime.peakMemory();
    return { growth: peak - before, peak };
  } finally {
    await runtime.stop();
  }
}
