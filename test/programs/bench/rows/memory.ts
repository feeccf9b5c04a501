/**
 * Peak memory of a move: what the process that runs the Worker held at most during a `shard`, above
 * what it held just before, and the same of a plain copy. Each has a runtime of its own, so that
 * none profits from memory that another has already taken.
 */
import { setTimeout as sleep } from "node:timers/promises";

import type { BenchContext } from "../benchmark.ts";
import type { Engine } from "../engine.ts";
import { planMove } from "../plan-move.ts";
import type { Figure } from "../report.ts";
import { type BenchRuntime, startRuntime } from "../runtime.ts";
import { medianOf } from "../statistics.ts";

const SIZES = [0.1, 1, 10];
const SHARDS = 8;
const MEGABYTE = 1024 * 1024;
/** The root has just been filled: let it write its pages and give memory back. */
const SETTLE_MS = 1_500;
/** The peak of the largest over the peak of the smallest size. */
const GROWTH_MAX = 1.25;
/** The largest size takes most of a minute, and peaks hardly differ from run to run. */
const RUNS_MAX = 3;

interface Size {
  readonly rows: number;
  readonly growth: number[];
  readonly peak: number[];
  /**
   * Growth during a plain copy, which holds a page at a time and nothing else: the runtime's own
   * share.
   */
  readonly plain: number[];
}

export async function benchMemory({ runs, rows, engine, say }: BenchContext): Promise<Figure[]> {
  const sizes = SIZES.map((factor): Size => ({
    rows: Math.round(rows * factor),
    growth: [],
    peak: [],
    plain: [],
  }));
  const times = Math.min(runs, RUNS_MAX);
  for (let run = 0; run < times; run++) {
    for (const size of sizes) {
      const found = await measureOnce(engine, size.rows, shard);
      size.growth.push(found.growth / MEGABYTE);
      size.peak.push(found.peak / MEGABYTE);
      if (run === 0)
        size.plain.push((await measureOnce(engine, size.rows, copyPlainly)).growth / MEGABYTE);
      say(
        `memory, run ${run + 1} of ${times}, ${shown(size)}: ${Math.round(found.growth / MEGABYTE)} MB above ${Math.round((found.peak - found.growth) / MEGABYTE)} MB`,
      );
    }
  }
  const [smallest] = sizes;
  return [
    ...sizes.map((size): Figure => ({
      name: `peak memory of a shard, ${shown(size)}`,
      unit: "MB",
      values: size.growth,
      reference:
        smallest && size !== smallest
          ? { name: "the smallest size", values: smallest.growth }
          : null,
      goal: smallest && size !== smallest ? { of: "ratio", is: "atMost", limit: GROWTH_MAX } : null,
      note: `process at its peak: ${Math.round(medianOf(size.peak) ?? 0)} MB`,
    })),
    ...sizes.map((size): Figure => ({
      name: `peak memory of a plain copy, ${shown(size)}`,
      unit: "MB",
      values: size.plain,
      reference:
        smallest && size !== smallest
          ? { name: "the smallest size", values: smallest.plain }
          : null,
      goal: null,
    })),
  ];
}

function shown({ rows }: Size): string {
  return `${rows.toLocaleString("en-US")} rows`;
}

type Move = (runtime: BenchRuntime, namespace: string) => Promise<unknown>;

const shard: Move = async (runtime, namespace) =>
  runtime.call(
    "operate",
    await planMove(runtime, { namespace, to: { kind: "shard", count: SHARDS } }),
  );

const copyPlainly: Move = (runtime, namespace) =>
  runtime.call("copyPlainly", {
    namespace,
    targets: Array.from({ length: SHARDS }, (_, index) => `${namespace}-target-${index}`),
  });

async function measureOnce(
  engine: Engine,
  rows: number,
  move: Move,
): Promise<{ readonly growth: number; readonly peak: number }> {
  const runtime = await startRuntime(engine);
  try {
    // The code is loaded and compiled before the baseline is taken.
    await runtime.call("fillRoot", { namespace: "warm", rows: 1000 });
    await move(runtime, "warm");
    await runtime.call("fillRoot", { namespace: "memory", rows });
    await sleep(SETTLE_MS);
    const before = await runtime.resetPeakMemory();
    await move(runtime, "memory");
    const peak = await runtime.peakMemory();
    return { growth: peak - before, peak };
  } finally {
    await runtime.stop();
  }
}
