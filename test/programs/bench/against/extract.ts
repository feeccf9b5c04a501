/**
 * Extracts the engine of another commit into a temporary folder: its `src` and the packages it
 * imports, with the Worker of this tree's benchmark laid over its own, so that both commits are
 * measured by the same code. Leaves nothing in the repository.
 */
import { cp, mkdir, readFile, rm, symlink } from "node:fs/promises";
import { dirname, join } from "node:path";

import { type Engine, THIS_FOLDER, WORKER_FILE } from "../engine.ts";
import { makeTemporaryFolder, runProgram } from "../left-behind.ts";
import { archiveCommit } from "./tree.ts";

const WORKER_FOLDER = WORKER_FILE.replace(/\.ts$/, "");

/**
 * The engine of a commit of the repository in `folder`. @throws Error when the packages of that
 * commit cannot be installed.
 */
export async function extractEngine(
  folder: string,
  commit: string,
  say: (line: string) => void,
): Promise<Engine> {
  const { folder: temporary } = await makeTemporaryFolder();
  const archive = join(temporary, "commit.tar");
  const tree = join(temporary, "tree");
  await mkdir(tree);
  await archiveCommit(folder, commit, archive);
  await runProgram("tar", ["-xf", archive, "-C", tree]);
  await rm(archive);
  await layWorkerOver(tree);
  await givePackages(folder, tree, say);
  return { name: commit.slice(0, 7), folder: tree };
}

async function layWorkerOver(tree: string): Promise<void> {
  await rm(join(tree, "test"), { recursive: true, force: true });
  await mkdir(dirname(join(tree, WORKER_FILE)), { recursive: true });
  for (const path of [WORKER_FILE, WORKER_FOLDER])
    await cp(join(THIS_FOLDER, path), join(tree, path), { recursive: true });
}

/**
 * The packages of this tree where both have one lock file, else those that the commit's own names.
 * The runtime is this tree's either way.
 */
async function givePackages(
  folder: string,
  tree: string,
  say: (line: string) => void,
): Promise<void> {
  const [ours, theirs] = await Promise.all([folder, tree].map((one) => readLockFile(one)));
  if (ours !== null && ours === theirs) {
    await symlink(join(folder, "node_modules"), join(tree, "node_modules"));
    return;
  }
  say("The other commit has another package-lock.json: its packages are installed");
  await runProgram("npm", ["ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund"], {
    cwd: tree,
  });
}

async function readLockFile(folder: string): Promise<string | null> {
  try {
    return await readFile(join(folder, "package-lock.json"), "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    return null;
  }
}
