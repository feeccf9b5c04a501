/**
 * `npm run bench`: every figure of docs/benchmarks.md, measured beside its reference, as a table and as JSON.
 *
 *     node test/bench/main.ts [--runs 5] [--rows 100000] [--only moves,pause] [--json bench.json]
 *
 * It judges nothing by its exit code: a machine that is busy with other things misses goals. It ends with 1 when something does not work.
 */
import { execFileSync } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { availableParallelism, cpus, loadavg } from "node:os";

import type { Benchmark } from "./benchmark.ts";
import { readOptions } from "./options.ts";
import { type ReportedFigure, renderTable, reportFigure } from "./report.ts";
import { benchCalls } from "./rows/calls.ts";
import { benchCost } from "./rows/cost.ts";
import { benchLayouts } from "./rows/layouts.ts";
import { benchMemory } from "./rows/memory.ts";
import { benchMoves } from "./rows/moves.ts";
import { benchPause } from "./rows/pause.ts";
import { benchPlanner } from "./rows/planner.ts";
import { stopRuntimes } from "./runtime.ts";

const BENCHMARKS: Readonly<Record<string, Benchmark>> = {
  moves: benchMoves,
  pause: benchPause,
  layouts: benchLayouts,
  calls: benchCalls,
  memory: benchMemory,
  cost: benchCost,
  planner: benchPlanner,
};

const options = readOptions(process.argv.slice(2), Object.keys(BENCHMARKS));
const startedAt = new Date();
const machine = {
  cpu: cpus()[0]?.model ?? "unknown",
  cores: availableParallelism(),
  node: process.version,
  loadBefore: loadavg()[0],
};
const figures: ReportedFigure[] = [];
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => void stopRuntimes().finally(() => process.exit(130)));
}
try {
  for (const [name, benchmark] of Object.entries(BENCHMARKS)) {
    if (options.only && !options.only.includes(name)) continue;
    const found = await benchmark({ ...options, say: (line) => console.error(line) });
    figures.push(...found.map((figure) => reportFigure(figure)));
  }
} finally {
  await stopRuntimes();
}
for (const line of renderTable(figures)) console.log(line);
for (const { name, note } of figures) if (note !== undefined) console.log(`  ${name}: ${note}`);
const { runs, rows } = options;
const document = {
  startedAt: startedAt.toISOString(),
  commit: currentCommit(),
  machine: { ...machine, loadAfter: loadavg()[0] },
  runs,
  rows,
  figures,
};
await writeFile(options.jsonFile, `${JSON.stringify(document, null, 2)}\n`);
console.log(`Written to ${options.jsonFile}`);

function currentCommit(): string | null {
  try {
    return execFileSync("git", ["rev-parse", "HEAD"], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
  } catch {
    return null; // not a clone
  }
}
