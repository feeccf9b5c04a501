/**
 * `npm run demo`: the main job on the real runtime, as a user would do it. Loads a fifth of
 * 171,075 cities (`--all`: all of them), then shards, rebalances, rekeys, levels and unshards them
 * with the CLI, while eight writers write and the runtime is killed in a copy and in a cutover.
 * Proves at the end that every city and every acknowledged write is there, byte for byte, once.
 * Exits with 0 only then.
 */
import { fileURLToPath } from "node:url";

import { EXIT } from "../../../src/cli/exit-codes.ts";
import { readCities } from "./cities.ts";
import { CUTOVER, killIn } from "./kill.ts";
import { type DemoRuntime, startRuntime } from "./runtime.ts";
import { loadCities, verifyCities } from "./things.ts";
import { editManifest, makeProject } from "./project.ts";
import { runShardctl } from "./shardctl.ts";
import { heading, printedLines, say } from "./say.ts";
import { startWriters, type Written } from "./writers.ts";

const keep = process.argv.includes("--keep");
/** Of the cities, each so manyth is loaded. */
const EVERY = 5;
const CLI = fileURLToPath(new URL("../../../src/cli/main.ts", import.meta.url).href);

const runtimes: DemoRuntime[] = [];
let isProved = false;
const interrupted = new Promise<never>((_, reject) => {
  for (const signal of ["SIGINT", "SIGTERM"] as const)
    process.once(signal, () => reject(new Error(`Stopped by ${signal}.`)));
});

try {
  await Promise.race([demonstrate(), interrupted]);
} catch (error) {
  // With --keep, Ctrl-C after the proof is how it ends.
  if (!isProved) {
    process.stderr.write(
      `\nThe demo failed: ${error instanceof Error ? error.message : String(error)}\n`,
    );
    process.exitCode = 1;
  }
} finally {
  for (const runtime of runtimes) await runtime.stop();
}
// A child or a timer of an interrupted step must not keep the demo alive.
process.exit();

async function demonstrate(): Promise<void> {
  const startedAt = Date.now();
  const project = await makeProject();
  const cities = readCities(process.argv.includes("--all") ? 1 : EVERY);
  heading("Start the local runtime, load cities, and write all the time");
  const runtime = await startRuntime(project.folder);
  runtimes.push(runtime);
  await loadCities(runtime.endpoint, cities);
  const writers = startWriters(runtime);
  say("Eight writers put cities of their own through the router from here to the end.");
  const apply = (options: readonly string[] = [], expected: readonly number[] = [EXIT.done]) =>
    runShardctl(project.folder, ["apply", "--auto-approve", ...options], expected);

  heading("Shard: hash by id, 8 shards, and a crash in the middle of the copy");
  const kills = [await killIn(runtime, ["copy"], apply())];
  heading("Rebalance: 12 shards, and a crash in the middle of its cutover");
  await editManifest(project, "count: 8", "count: 12");
  kills.push(await killIn(runtime, CUTOVER, apply()));

  heading("Rekey: by data.country, which is skewed: a guard says no, and is overridden");
  await editManifest(project, "shardKey: id", "shardKey: data.country");
  await apply([], [EXIT.blocked]);
  await apply(["--override", "skew"]);

  heading("Rebalance for skew: nobody edits anything, the plan proposes it by itself");
  await apply();

  heading("Unshard");
  await editManifest(project, "strategy: hash", "strategy: none", ["shardKey", "count"]);
  await apply();

  heading("Proof");
  const written = await writers.stop();
  await verifyCities(runtime.endpoint, [...cities, ...written.cities]);
  isProved = true;
  for (const line of proofLines(cities.length, written, kills)) say(line);
  say(
    `Took ${Math.round((Date.now() - startedAt) / 1000)} s and ${printedLines() + 1} lines. The project is in ${project.shown}.`,
  );
  if (keep) await stayUp(runtime, project.shown);
}

function proofLines(loaded: number, written: Written, kills: readonly (string | null)[]): string[] {
  const count = (value: number): string => value.toLocaleString("en-US");
  const rows: [string, string][] = [
    ["Cities", `${count(loaded)} loaded, each there once, byte for byte`],
    ["Acknowledged writes", `${count(written.cities.length)}, lost 0, doubled 0`],
    ["Longest write", `${count(written.longestMs)} ms`],
    ["across a crash", `${count(written.longestKilledMs)} ms, the restart of the runtime included`],
    ["Killed in step", kills.map((kill) => kill ?? "none: it went by too quickly").join(", ")],
  ];
  return rows.map(([name, value]) => `  ${name.padEnd(22)}${value}`);
}

async function stayUp(up: DemoRuntime, folder: string): Promise<void> {
  say(`\nThe runtime stays up at ${up.endpoint}. Look around in a second terminal:`);
  say(`  (cd ${folder} && node ${CLI} status)`);
  say(`  curl '${up.endpoint}/data/CITIES/cities/things?limit=3'`);
  say("Ctrl-C stops it.");
  await up.ended;
}
