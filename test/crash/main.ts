/** `npm run crash -- --kills 50 --seed N --writers 8 --json`: kills the real runtime while rows move, and exits with 0 only if nothing was lost. */
import { parseArgs } from "node:util";

import { type CrashReport, runCrashes } from "./run-crashes.ts";

const { values } = parseArgs({
  options: {
    kills: { type: "string", default: "50" },
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
    writers: { type: "string", default: "8" },
    json: { type: "boolean", default: false },
    keep: { type: "boolean", default: false },
  },
});
const interrupt = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => interrupt.abort());

const report = await runCrashes({
  kills: wholeNumber("kills"),
  seed: wholeNumber("seed"),
  writers: wholeNumber("writers"),
  keepOnFailure: values.keep,
  signal: interrupt.signal,
  onProgress: (line) => process.stderr.write(`${line}\n`),
});
process.stdout.write(values.json ? `${JSON.stringify(report, null, 2)}\n` : describe(report));
process.exitCode = report.problems.length === 0 ? 0 : 1;
// A wait of an interrupted run must not keep the process alive.
if (interrupt.signal.aborted) process.exit();

function wholeNumber(name: "kills" | "seed" | "writers"): number {
  const number = Number(values[name]);
  if (!Number.isSafeInteger(number) || number < 1)
    throw new Error(`--${name} must be a whole number from 1, not '${values[name]}'`);
  return number;
}

function describe({
  seed,
  seconds,
  writes,
  kills,
  treeKills,
  deploys,
  steps,
  operations,
  checks,
  accounts,
  fillers,
  problems,
}: CrashReport): string {
  const lines = [
    `Seed ${seed}, ${seconds} s`,
    `Writes      ${writes.acknowledged} acknowledged, ${writes.unknown} unknown, ${writes.refused} refused, ${writes.unsent} not sent; ${writes.reads} reads; slowest answer ${writes.slowestMs} ms`,
    `Kills       ${kills}, ${treeKills} of them of the whole process tree, ${deploys} with another version of the class after it`,
    `Killed in   ${Object.entries(steps)
      .map(([step, count]) => `${step} ${count}`)
      .join(", ")}`,
    ...Object.entries(operations).map(
      ([name, ends]) =>
        `Operation   ${name}: ${Object.entries(ends)
          .map(([state, count]) => `${count} ${state}`)
          .join(", ")}`,
    ),
    `Checked     ${checks} times: ${accounts} written accounts, ${fillers} others, every object`,
    problems.length === 0
      ? "Nothing lost, nothing doubled, nothing back from deletion, nothing left behind."
      : `WRONG (${problems.length}):\n${problems.map((problem) => `  ${problem}`).join("\n")}`,
  ];
  return `${lines.join("\n")}\n`;
}
