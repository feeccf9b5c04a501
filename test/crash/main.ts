/**
 * `npm run crash -- --kills 50 --seed N --writers 8 --json`: kills the real runtime while rows
 * move. `npm run crash -- --restore`: plays the stories of restored objects. Exits with 0 only if
 * every row is accounted for.
 */
import { describeCrashes } from "./describe-crashes.ts";
import { describeRestores } from "./describe-restores.ts";
import { readCommand } from "./options.ts";
import { RESTORE_STORIES } from "./restore-stories.ts";
import { runCrashes } from "./run-crashes.ts";
import { runRestores } from "./run-restores.ts";

const { json, keep, restore, story, ...options } = readCommand(
  process.argv.slice(2),
  Date.now() % 1_000_000,
);
const interrupt = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => interrupt.abort());

const shared = {
  ...options,
  keepOnFailure: keep,
  signal: interrupt.signal,
  onProgress: (line: string) => void process.stderr.write(`${line}\n`),
};
const { report, text } = restore ? await playRestores() : await playCrashes();
process.stdout.write(json ? `${JSON.stringify(report, null, 2)}\n` : text);
process.exitCode = report.problems.length === 0 ? 0 : 1;
// A wait of an interrupted run must not keep the process alive.
if (interrupt.signal.aborted) process.exit();

async function playCrashes() {
  const crashes = await runCrashes(shared);
  return { report: crashes, text: describeCrashes(crashes) };
}

async function playRestores() {
  const stories = RESTORE_STORIES.filter(({ name }) => name.includes(story));
  if (stories.length === 0) throw new Error(`--story: no story has '${story}' in its name`);
  const restores = await runRestores({ ...shared, stories });
  return { report: restores, text: describeRestores(restores) };
}
