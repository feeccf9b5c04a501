/** `npm run crash -- --kills 50 --seed N --writers 8 --json`: kills the real runtime while rows move, and exits with 0 only if nothing was lost. */
import { describeCrashes } from "./describe-crashes.ts";
import { readCommand } from "./options.ts";
import { runCrashes } from "./run-crashes.ts";

const { json, keep, ...options } = readCommand(process.argv.slice(2), Date.now() % 1_000_000);
const interrupt = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => interrupt.abort());

const report = await runCrashes({
  ...options,
  keepOnFailure: keep,
  signal: interrupt.signal,
  onProgress: (line) => process.stderr.write(`${line}\n`),
});
process.stdout.write(json ? `${JSON.stringify(report, null, 2)}\n` : describeCrashes(report));
process.exitCode = report.problems.length === 0 ? 0 : 1;
// A wait of an interrupted run must not keep the process alive.
if (interrupt.signal.aborted) process.exit();
