/**
 * The demo's project: a copy of `manifests/cities.yaml` with a config, in `.shardctl/demo`, fresh
 * for each run.
 */
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";

import { readRuntime } from "../../../src/cli/dev/runtime-file.ts";
import { say } from "./say.ts";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url).href);
const MANIFEST = "manifests/cities.yaml";
/** So that writers get through while rows move, though all objects share one thread here. */
const POLICY = "  policy: { rowsPerSecondMax: 20000 }\n";
const CONFIG = "apiVersion: shardctl.dev/v1\nkind: Config\nmanifests: manifests\n";

export interface DemoProject {
  readonly folder: string;
  /** Relative to the working directory, for people. */
  readonly shown: string;
}

export async function makeProject(): Promise<DemoProject> {
  const folder = join(ROOT, ".shardctl", "demo");
  await refuseSecond(folder);
  await rm(folder, { recursive: true, force: true });
  await mkdir(join(folder, "manifests"), { recursive: true });
  const manifest = await readFile(join(ROOT, MANIFEST), "utf8");
  await writeFile(join(folder, MANIFEST), `${manifest.trimEnd()}\n${POLICY}`);
  await writeFile(join(folder, "shardctl.yaml"), CONFIG);
  return { folder, shown: relative(process.cwd(), folder) };
}

/** Another demo works in the same folder: starting afresh would pull it from under it. */
async function refuseSecond(folder: string): Promise<void> {
  const runtime = await readRuntime(folder);
  if (runtime === null) return;
  try {
    process.kill(runtime.pid, 0);
  } catch {
    // It was killed, and its note was left behind.
    return;
  }
  throw new Error(
    `another demo is running: process ${runtime.pid} at ${runtime.endpoint}. Stop it first.`,
  );
}

/**
 * Replaces one line's text in the manifest and removes lines of options that no longer fit; prints
 * the edit as a diff.
 */
export async function editManifest(
  project: DemoProject,
  before: string,
  after: string,
  removed: readonly string[] = [],
): Promise<void> {
  const path = join(project.folder, MANIFEST);
  const lines = (await readFile(path, "utf8")).split("\n");
  let replaced = 0;
  const edited = lines.flatMap((line) => {
    if (line.includes(before)) {
      replaced++;
      const changed = line.replace(before, after);
      say(`- ${line}\n+ ${changed}`);
      return [changed];
    }
    if (!removed.some((option) => line.trim().startsWith(`${option}:`))) return [line];
    say(`- ${line}`);
    return [];
  });
  if (replaced !== 1)
    throw new Error(`${MANIFEST} has '${before}' ${replaced} times, and the demo edits it once`);
  await writeFile(path, edited.join("\n"));
}
