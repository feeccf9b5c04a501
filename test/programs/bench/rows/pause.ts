/**
 * The write pause of a cutover under a steady load: a rekey, whose every shard is fenced at once,
 * and a rebalance in waves.
 */
import { existsSync } from "node:fs";

import type { BenchContext } from "../benchmark.ts";
import type { Figure } from "../report.ts";
import { type BenchRuntime, startRuntime } from "../runtime.ts";
import { type Series, maxOf, quantileOf, shareOf } from "../statistics.ts";
import { type Target, planMove } from "../plan-move.ts";
import type { Paused } from "../worker/pause.ts";

/**
 * A pause does not depend on the number of rows: with these, most of the time is not spent on
 * copying them.
 */
const ROWS_MAX = 10_000;
/** The count that the goal names. */
const GOAL_COUNT = 16;
const PAUSE_MS_MAX = 100;
const WRITERS = 16;
/**
 * About 50 writes a second in all: every write is a commit, and one thread and one disk do them
 * all, one after the other.
 */
const EVERY_MS = 300;
/** Where files cost no sync: what is left is the engine's own. */
const MEMORY_FOLDER = "/dev/shm";

export async function benchPause({
  runs,
  rows,
  pauseShards,
  engine,
  say,
}: BenchContext): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const { name, count, to, folder } of casesOf(pauseShards)) {
    const runtime = await startRuntime(engine, folder);
    try {
      const found: Paused[] = [];
      for (let run = 0; run < runs; run++) {
        found.push(
          await runOnce(runtime, `pause-${run}`, run, Math.min(rows, ROWS_MAX), count, to),
        );
        const last = found.at(-1);
        if (last) say(`pause, ${name}, run ${run + 1} of ${runs}: ${describeRun(last)}`);
      }
      figures.push(...figuresOf(name, count, found));
    } finally {
      await runtime.stop();
    }
  }
  return figures;
}

interface Case {
  readonly name: string;
  readonly count: number;
  readonly to: Target;
  readonly folder?: string;
}

function casesOf(shardCounts: readonly number[]): Case[] {
  const rekey = (count: number): Case => ({
    name: `rekey of ${count}`,
    count,
    to: { kind: "rekey", count, shardKey: "data.country" },
  });
  const rekeys = shardCounts.map((shards) => rekey(shards));
  if (!shardCounts.includes(GOAL_COUNT)) return rekeys;
  const count = GOAL_COUNT;
  const rebalanced = count * 1.5;
  const inMemory = {
    ...rekey(count),
    name: `rekey of ${count}, files in memory`,
    folder: MEMORY_FOLDER,
  };
  return [
    ...rekeys,
    {
      name: `rebalance ${count} → ${rebalanced}`,
      count,
      to: { kind: "rebalance", count: rebalanced },
    },
    ...(existsSync(MEMORY_FOLDER) ? [inMemory] : []),
  ];
}

async function runOnce(
  runtime: BenchRuntime,
  namespace: string,
  run: number,
  rows: number,
  count: number,
  to: Target,
): Promise<Paused> {
  await runtime.call("fillRoot", { namespace, rows });
  await runtime.call(
    "operate",
    await planMove(runtime, { namespace, to: { kind: "shard", count } }),
  );
  const paused = await runtime.call<Paused>("measurePause", {
    operation: await planMove(runtime, { namespace, to }),
    writers: WRITERS,
    everyMs: EVERY_MS,
    run,
  });
  if (paused.missing !== 0)
    throw new Error(`${paused.missing} acknowledged writes are missing after the move`);
  if (paused.fences.length === 0) {
    throw new Error(
      "The operation ended, and no message raised a fence: worker/marks.ts knows other messages than this engine sends",
    );
  }
  return paused;
}

/**
 * Makes the figures. The waits of each writer at each fence are a series of its own in every run:
 * one may be empty, where writes are faster than fences are long.
 */
export function figuresOf(name: string, count: number, found: readonly Paused[]): Figure[] {
  const per = (work: (one: Paused) => number | null): Series => found.map((one) => work(one));
  const errors = found.reduce((sum, one) => sum + one.errorCount, 0);
  const writes = found.reduce((sum, one) => sum + one.writes, 0);
  const shown = `${writes.toLocaleString("en-US")} writes`;
  const figure = (part: string, values: Series, rest: Partial<Figure> = {}): Figure => ({
    name: `pause, ${name}: ${part}`,
    unit: "ms",
    values,
    none: `none of ${shown} met a pause`,
    reference: null,
    goal: null,
    ...rest,
  });
  return [
    figure(
      "p50",
      per((one) => quantileOf(one.atFences, 0.5)),
      { reference: { name: "at rest", values: per((one) => quantileOf(one.atRest, 0.5)) } },
    ),
    figure(
      "p99",
      per((one) => quantileOf(one.atFences, 0.99)),
      {
        reference: {
          name: "the same writes at rest",
          values: per((one) => quantileOf(one.atRest, 0.99)),
        },
        goal: count === GOAL_COUNT ? { of: "value", is: "atMost", limit: PAUSE_MS_MAX } : null,
      },
    ),
    figure(
      "max",
      per((one) => maxOf(one.atFences)),
    ),
    figure(
      "p99 of writes while copying",
      per((one) => quantileOf(one.meanwhile, 0.99)),
      { none: `none of ${shown} fell into the copy` },
    ),
    figure(
      "writes with an error",
      per((one) => percentOf(one.errorCount, one.writes)),
      {
        unit: "%",
        none: "nothing was written",
        goal: { of: "value", is: "atMost", limit: 0 },
        note: `${errors} of ${writes}${errors === 0 ? "" : `, such as: ${found.flatMap((one) => one.errors)[0] ?? ""}`}`,
      },
    ),
  ];
}

function percentOf(part: number, whole: number): number | null {
  const share = shareOf(part, whole);
  return share === null ? null : share * 100;
}

/** One run in a line. */
export function describeRun({ atFences, atRest, fences, writes, errorCount }: Paused): string {
  const rest = quantileOf(atRest, 0.5);
  const longest = maxOf(atFences);
  return [
    rest === null ? "no write at rest" : `at rest ${rest} ms`,
    `${fences.length} fence(s) of ${fences.map((ms) => `${ms} ms`).join(", ")}`,
    longest === null ? "no write met one" : `longest write ${longest} ms`,
    `${errorCount} errors in ${writes}`,
  ].join("; ");
}
