/**
 * `npm run bench -- --against COMMIT`: the figures of this tree's engine beside those of another
 * commit's, in alternating runs. Both are measured by this tree's benchmark, on this tree's
 * runtime; of the other commit comes `src` alone.
 */
import { writeFile } from "node:fs/promises";

import type { Benchmark } from "../benchmark.ts";
import { type Engine, THIS_FOLDER } from "../engine.ts";
import type { BenchOptions } from "../options.ts";
import { type ReportedFigure, reportFigure } from "../report.ts";
import { type Comparison, type Side, compareFigures, turnsOf } from "./compare.ts";
import { extractEngine } from "./extract.ts";
import { renderComparisons, renderConclusion } from "./table.ts";
import { changedFiles, describeTree, findCommit } from "./tree.ts";
import { tryEngine } from "./try-engine.ts";

/** Takes every benchmark of both engines, and prints and writes what they say. */
export async function benchAgainst(
  against: string,
  options: BenchOptions,
  benchmarks: Readonly<Record<string, Benchmark>>,
  machine: () => object,
): Promise<void> {
  const startedAt = new Date();
  const other = await findCommit(THIS_FOLDER, against);
  const head = await findCommit(THIS_FOLDER, "HEAD");
  const changed = await changedFiles(THIS_FOLDER);
  const say = (line: string): void => console.error(line);
  say(`this:  ${describeTree(head, changed)}`);
  say(`other: ${describeTree(other, [])}`);
  const engines: Record<Side, Engine> = {
    this: { name: "This tree", folder: THIS_FOLDER },
    other: await extractEngine(THIS_FOLDER, other.id, say),
  };
  for (const engine of [engines.other, engines.this]) await tryEngine(engine, benchmarks);
  say("Both engines do what the benchmark asks for; measuring");
  const comparisons: Comparison[] = [];
  for (const [name, run] of Object.entries(benchmarks))
    comparisons.push(...(await compareOne(name, run, engines, options, say)));
  console.log(`this:  ${describeTree(head, changed)}`);
  console.log(`other: ${describeTree(other, [])}`);
  for (const line of renderComparisons(comparisons)) console.log(line);
  for (const line of renderConclusion(comparisons)) console.log(line);
  const taken = {
    startedAt: startedAt.toISOString(),
    durationMs: Date.now() - startedAt.getTime(),
    commit: head.id,
    changed,
    against: other.id,
    machine: machine(),
    runs: options.runs,
    rows: options.rows,
  };
  await writeFile(options.jsonFile, `${JSON.stringify({ ...taken, comparisons }, null, 2)}\n`);
  console.log(`Written to ${options.jsonFile}, after ${Math.round(taken.durationMs / 1000)} s`);
}

/** Each run has a runtime of its own: what a process happens to be like is a part of the noise. */
async function compareOne(
  name: string,
  run: Benchmark,
  engines: Readonly<Record<Side, Engine>>,
  { runs, rows, pauseShards }: BenchOptions,
  say: (line: string) => void,
): Promise<Comparison[]> {
  const found: Record<Side, ReportedFigure[][]> = { this: [], other: [] };
  for (const turn of turnsOf(runs)) {
    const begunAt = performance.now();
    const engine = engines[turn.side];
    const figures = await run({ engine, runs: 1, rows, pauseShards, say: () => {} });
    found[turn.side].push(figures.map((figure) => reportFigure(figure)));
    say(
      `${name}, run ${turn.run + 1} of ${runs}, ${turn.side}: ${Math.round((performance.now() - begunAt) / 1000)} s`,
    );
  }
  return compareFigures(found);
}
