/**
 * `npm run bench`: every figure of docs/benchmarks.md, measured beside its reference, as a table and as JSON.
 *
 *     node test/bench/main.ts [--runs 5] [--rows 100000] [--only moves,pause] [--json bench.json] [--markdown docs/benchmarks.md]
 *
 * It judges nothing by its exit code: a machine that is busy with other things misses goals. It ends with 1 when something does not work.
 */
import { execFileSync } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { availableParallelism, cpus, loadavg } from "node:os";

import type { Benchmark } from "./benchmark.ts";
import { readOptions } from "./options.ts";
import { type Section, writeMarkdown } from "./markdown.ts";
import { renderTable, reportFigure } from "./report.ts";
import { benchCalls } from "./rows/calls.ts";
import { benchCost } from "./rows/cost.ts";
import { benchLayouts } from "./rows/layouts.ts";
import { benchMemory } from "./rows/memory.ts";
import { benchMoves } from "./rows/moves.ts";
import { benchPause } from "./rows/pause.ts";
import { benchPlanner } from "./rows/planner.ts";
import { stopRuntimes } from "./runtime.ts";

interface Titled {
  readonly title: string;
  readonly run: Benchmark;
}

const BENCHMARKS: Readonly<Record<string, Titled>> = {
  moves: { title: "Moves", run: benchMoves },
  pause: { title: "Write pause", run: benchPause },
  layouts: { title: "Rows that a resize moves", run: benchLayouts },
  calls: { title: "Calls and queries", run: benchCalls },
  memory: { title: "Memory of a move", run: benchMemory },
  cost: { title: "Rows billed", run: benchCost },
  planner: { title: "Plan", run: benchPlanner },
};

const options = readOptions(process.argv.slice(2), Object.keys(BENCHMARKS));
const startedAt = new Date();
const machine = {
  cpu: cpus()[0]?.model ?? "unknown",
  cores: availableParallelism(),
  node: process.version,
  loadBefore: loadavg()[0] ?? 0,
};
const sections: Section[] = [];
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => void stopRuntimes().finally(() => process.exit(130)));
}
try {
  for (const [name, { title, run }] of Object.entries(BENCHMARKS)) {
    if (options.only && !options.only.includes(name)) continue;
    const begunAt = performance.now();
    const found = await run({ ...options, say: (line) => console.error(line) });
    sections.push({ title, figures: found.map((figure) => reportFigure(figure)) });
    console.error(`${name} took ${Math.round((performance.now() - begunAt) / 1000)} s`);
  }
} finally {
  await stopRuntimes();
}
const figures = sections.flatMap((section) => section.figures);
for (const line of renderTable(figures)) console.log(line);
for (const { name, note } of figures) if (note !== undefined) console.log(`  ${name}: ${note}`);
const { runs, rows } = options;
const taken = {
  startedAt: startedAt.toISOString(),
  durationMs: Date.now() - startedAt.getTime(),
  commit: currentCommit(),
  machine: { ...machine, loadAfter: loadavg()[0] ?? 0 },
};
await writeFile(options.jsonFile, `${JSON.stringify({ ...taken, runs, rows, figures }, null, 2)}\n`);
console.log(`Written to ${options.jsonFile}, after ${Math.round(taken.durationMs / 1000)} s`);
if (options.markdownFile !== null) {
  const titles = Object.values(BENCHMARKS).map(({ title }) => title);
  await writeMarkdown(options.markdownFile, taken, sections, titles);
  console.log(`The figures of ${options.markdownFile} are those of this run`);
}

function currentCommit(): string | null {
  try {
    return execFileSync("git", ["rev-parse", "HEAD"], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
  } catch {
    return null; // not a clone
  }
}
