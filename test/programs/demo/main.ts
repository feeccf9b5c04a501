/**
 * `npm run demo`: the main job on the real runtime, as a user would do it. Loads 171,075 cities,
 * then shards, rebalances, rekeys, levels and unshards them with the CLI, and proves at the end
 * that every city is there, byte for byte, once. Exits with 0 only then.
 */
import { EXIT } from "../../../src/cli/exit-codes.ts";
import { readCities } from "./cities.ts";
import { type DemoRuntime, startRuntime } from "./runtime.ts";
import { loadCities, verifyCities } from "./things.ts";
import { editManifest, makeProject } from "./project.ts";
import { runShardctl } from "./shardctl.ts";
import { heading, say } from "./say.ts";

const keep = process.argv.includes("--keep");

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
  const cities = readCities();
  heading("Start the local runtime and load the cities");
  const runtime = await startRuntime(project.folder);
  runtimes.push(runtime);
  await loadCities(runtime.endpoint, cities);
  const shardctl = (argv: readonly string[], expected: readonly number[] = [EXIT.done]) =>
    runShardctl(project.folder, argv, expected);

  heading("Shard: hash by id, 8 shards");
  await shardctl(["validate"]);
  await shardctl(["plan"]);
  await shardctl(["apply", "--auto-approve"]);
  await shardctl(["status", "cities"]);

  heading("Rebalance: 12 shards");
  await editManifest(project, "count: 8", "count: 12");
  await shardctl(["plan", "--out", "plan.json"]);
  await shardctl(["apply", "--plan", "plan.json", "--auto-approve"]);

  heading("Rekey: by data.country, which is skewed");
  await editManifest(project, "shardKey: id", "shardKey: data.country");
  await shardctl(["plan"]);
  await shardctl(["apply", "--auto-approve"], [EXIT.blocked]);
  say("\nThe guard says no. This demo wants to see it all the same:");
  await shardctl(["apply", "--auto-approve", "--override", "skew"]);
  await shardctl(["status", "cities"]);

  heading("Rebalance for skew: nobody edits anything, the plan proposes it by itself");
  await shardctl(["plan", "--exit-code"], [EXIT.changesPending]);
  await shardctl(["apply", "--auto-approve"]);
  await shardctl(["status", "cities"]);

  heading("Unshard");
  await editManifest(project, "strategy: hash", "strategy: none", ["shardKey", "count"]);
  await shardctl(["plan"]);
  await shardctl(["apply", "--auto-approve"]);
  await shardctl(["plan", "--exit-code"]);
  await shardctl(["history", "cities"]);

  heading("Proof");
  await verifyCities(runtime.endpoint, cities);
  isProved = true;
  say(
    `\nThe whole demo took ${Math.round((Date.now() - startedAt) / 1000)} s. Its project is in ${project.shown}.`,
  );
  if (keep) await stayUp(runtime, project.shown);
}

async function stayUp(up: DemoRuntime, folder: string): Promise<void> {
  say(`\nThe runtime stays up at ${up.endpoint}. Look around in a second terminal:`);
  say(`  cd ${folder}`);
  say("  npx shardctl status");
  say(`  curl '${up.endpoint}/data/CITIES/cities/things?limit=3'`);
  say("Ctrl-C stops it.");
  await up.ended;
}
