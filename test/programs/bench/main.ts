/**
 * `npm run bench`: every figure of docs/benchmarks.md, measured beside its reference, as a table
 * and as JSON.
 *
 *     node test/programs/bench/main.ts [--runs 5] [--rows 100000] [--only moves,pause] [--pause-shards 2,16,64]
 *                             [--json bench.json] [--markdown docs/benchmarks.md | --against COMMIT]
 *
 * It judges nothing by its exit code: a machine that is busy with other things misses goals. It
 * ends with 1 when something does not work.
 */
import { execFileSync } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { availableParallelism, cpus, loadavg } from "node:os";

import { benchAgainst } from "./against/main.ts";
import type { Benchmark } from "./benchmark.ts";

import { type Engine, THIS_FOLDER } from "./engine.ts";
import { hasBegunToEnd, undoAll, undoOnSignals } from "./left-behind.ts";
import { type BenchOptions, readOptions } from "./options.ts";
import { type Section, type Taken, writeMarkdown } from "./markdown.ts";
import { renderTable, reportFigure } from "./report.ts";
import { benchCalls } from "./rows/calls.ts";
import { benchCost } from "./rows/cost.ts";
import { benchLayouts } from "./rows/layouts.ts";
import { benchLooks } from "./rows/looks.ts";
import { benchMemory } from "./rows/memory.ts";
import { benchMoves } from "./rows/moves.ts";
import { benchNested } from "./rows/nested.ts";
import { benchPause } from "./rows/pause.ts";
import { benchPlanner } from "./rows/planner.ts";

interface Titled {
  readonly title: string;
  readonly run: Benchmark;
}

const BENCHMARKS: Readonly<Record<string, Titled>> = {
  moves: { title: "Moves", run: benchMoves },
  pause: { title: "Write pause", run: benchPause },
  nested: { title: "Nested and long calls", run: benchNested },
  looks: { title: "Looks at a large object", run: benchLooks },
  layouts: { title: "Rows that a resize moves", run: benchLayouts },
  calls: { title: "Calls and queries", run: benchCalls },
  memory: { title: "Memory of a move", run: benchMemory },
  cost: { title: "Rows billed", run: benchCost },
  planner: { title: "Plan", run: benchPlanner },
};

const startedAt = new Date();
const loadBefore = loadavg()[0] ?? 0;
undoOnSignals();
try {
  const options = readOptions(process.argv.slice(2), Object.keys(BENCHMARKS));
  const chosen = Object.entries(BENCHMARKS).filter(
    ([name]) => options.only?.includes(name) ?? true,
  );
  if (options.against === null) await benchAlone(options, chosen);
  else {
    const benchmarks = Object.fromEntries(chosen.map(([name, { run }]) => [name, run]));
    await benchAgainst(options.against, options, benchmarks, describeMachine);
  }
} catch (error) {
  // An interrupted run fails because its runtimes are being ended: the signal's handler has the
  // last word.
  if (!hasBegunToEnd()) console.error(error instanceof Error ? explain(error) : error);
  process.exitCode = 1;
} finally {
  await undoAll();
}

async function benchAlone(
  options: BenchOptions,
  chosen: readonly (readonly [string, Titled])[],
): Promise<void> {
  const engine: Engine = { name: "This tree", folder: THIS_FOLDER };
  const sections: Section[] = [];
  for (const [name, { title, run }] of chosen) {
    const begunAt = performance.now();
    const found = await run({ ...options, engine, say: (line) => console.error(line) });
    sections.push({ title, figures: found.map((figure) => reportFigure(figure)) });
    console.error(`${name} took ${Math.round((performance.now() - begunAt) / 1000)} s`);
  }
  const figures = sections.flatMap((section) => section.figures);
  for (const line of renderTable(figures)) console.log(line);
  for (const { name, note } of figures) if (note !== undefined) console.log(`  ${name}: ${note}`);
  const { runs, rows } = options;
  const taken = {
    startedAt: startedAt.toISOString(),
    durationMs: Date.now() - startedAt.getTime(),
    commit: currentCommit(),
    machine: describeMachine(),
  };
  await writeFile(
    options.jsonFile,
    `${JSON.stringify({ ...taken, runs, rows, figures }, null, 2)}\n`,
  );
  console.log(`Written to ${options.jsonFile}, after ${Math.round(taken.durationMs / 1000)} s`);
  if (options.markdownFile !== null) {
    const titles = Object.values(BENCHMARKS).map(({ title }) => title);
    await writeMarkdown(options.markdownFile, taken, sections, titles);
    console.log(`The figures of ${options.markdownFile} are those of this run`);
  }
}

function describeMachine(): Taken["machine"] {
  return {
    cpu: cpus()[0]?.model ?? "unknown",
    cores: availableParallelism(),
    node: process.version,
    loadBefore,
    loadAfter: loadavg()[0] ?? 0,
  };
}

/**
 * A message with what is behind it: a benchmark's errors are about its Worker, and our own stack
 * says nothing of that.
 */
function explain(error: Error): string {
  const { cause } = error;
  return cause instanceof Error && !error.message.includes(cause.message)
    ? `${error.message}\n${explain(cause)}`
    : error.message;
}

function currentCommit(): string | null {
  try {
    return execFileSync("git", ["rev-parse", "HEAD"], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    }).trim();
  } catch {
    return null; // not a clone
  }
}
