/** The write pause of a cutover under a steady load: a rekey, whose every shard is fenced at once, and a rebalance in waves. */
import { existsSync } from "node:fs";

import type { BenchContext } from "../benchmark.ts";
import type { Figure } from "../report.ts";
import { type BenchRuntime, startRuntime } from "../runtime.ts";
import { quantileOf } from "../statistics.ts";
import type { OperateArgs } from "../worker/operate.ts";
import type { Paused } from "../worker/pause.ts";

const SHARD_COUNTS = [2, 16, 64];
/** A pause does not depend on the number of rows: with these, most of the time is not spent on copying them. */
const ROWS_MAX = 10_000;
/** The count that the goal names. */
const GOAL_COUNT = 16;
const PAUSE_MS_MAX = 100;
const WRITERS = 16;
/** About 50 writes a second in all: every write is a commit, and one thread and one disk do them all, one after the other. */
const EVERY_MS = 300;
/** Where files cost no sync: what is left is the engine's own. */
const MEMORY_FOLDER = "/dev/shm";

export async function benchPause({ runs, rows, say }: BenchContext): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const { name, count, to, folder } of casesOf()) {
    const runtime = await startRuntime(folder);
    try {
      const found: Paused[] = [];
      for (let run = 0; run < runs; run++) {
        found.push(await runOnce(runtime, `pause-${run}`, run, Math.min(rows, ROWS_MAX), count, to));
        const last = found.at(-1);
        if (last) say(`pause, ${name}, run ${run + 1} of ${runs}: ${describe(last)}`);
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
  readonly to: OperateArgs["to"];
  readonly folder?: string;
}

function casesOf(): Case[] {
  const rekey = (count: number): Case => ({
    name: `rekey of ${count}`,
    count,
    to: { kind: "rekey", count, shardKey: "data.country" },
  });
  const count = GOAL_COUNT;
  const rebalanced = count * 1.5;
  const inMemory = { ...rekey(count), name: `rekey of ${count}, files in memory`, folder: MEMORY_FOLDER };
  return [
    ...SHARD_COUNTS.map((shards) => rekey(shards)),
    { name: `rebalance ${count} → ${rebalanced}`, count, to: { kind: "rebalance", count: rebalanced } },
    ...(existsSync(MEMORY_FOLDER) ? [inMemory] : []),
  ];
}

async function runOnce(
  runtime: BenchRuntime,
  namespace: string,
  run: number,
  rows: number,
  count: number,
  to: OperateArgs["to"],
): Promise<Paused> {
  await runtime.call("fillRoot", { namespace, rows });
  await runtime.call("operate", { namespace, to: { kind: "shard", count } });
  const paused = await runtime.call<Paused>("measurePause", {
    operation: { namespace, to },
    writers: WRITERS,
    everyMs: EVERY_MS,
    run,
  });
  if (paused.missing !== 0) throw new Error(`${paused.missing} acknowledged writes are missing after the move`);
  return paused;
}

function figuresOf(name: string, count: number, found: readonly Paused[]): Figure[] {
  const per = (work: (one: Paused) => number): number[] => found.map((one) => work(one));
  const reference = { name: "the same writes at rest", values: per((one) => quantileOf(one.atRest, 0.99)) };
  const errors = found.reduce((sum, one) => sum + one.errorCount, 0);
  const writes = found.reduce((sum, one) => sum + one.writes, 0);
  return [
    {
      name: `pause, ${name}: p50`,
      unit: "ms",
      values: per((one) => quantileOf(one.atFences, 0.5)),
      reference: { name: "at rest", values: per((one) => quantileOf(one.atRest, 0.5)) },
      goal: null,
    },
    {
      name: `pause, ${name}: p99`,
      unit: "ms",
      values: per((one) => quantileOf(one.atFences, 0.99)),
      reference,
      goal: count === GOAL_COUNT ? { of: "value", is: "atMost", limit: PAUSE_MS_MAX } : null,
    },
    { name: `pause, ${name}: max`, unit: "ms", values: per((one) => Math.max(...one.atFences)), reference: null, goal: null },
    {
      name: `pause, ${name}: p99 of writes while copying`,
      unit: "ms",
      values: per((one) => (one.meanwhile.length === 0 ? 0 : quantileOf(one.meanwhile, 0.99))),
      reference: null,
      goal: null,
    },
    {
      name: `pause, ${name}: writes with an error`,
      unit: "%",
      values: per((one) => (one.errorCount / one.writes) * 100),
      reference: null,
      goal: { of: "value", is: "atMost", limit: 0 },
      note: `${errors} of ${writes}${errors === 0 ? "" : `, such as: ${found.flatMap((one) => one.errors)[0] ?? ""}`}`,
    },
  ];
}

function describe({ atFences, atRest, fences, writes, errorCount }: Paused): string {
  return `at rest ${quantileOf(atRest, 0.5)} ms; ${fences.length} fence(s) of ${fences.map((ms) => `${ms} ms`).join(", ")}; longest write ${Math.max(...atFences)} ms; ${errorCount} errors in ${writes}`;
}
