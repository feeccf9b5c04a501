/**
 * Keeps two local runtimes from using one state directory: a file names the process id of its
 * owner.
 */
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

const LOCK_NAME = "shardctl-dev.pid";
const ATTEMPTS_MAX = 2;

/**
 * Takes the directory, or gives the id of the process that has it. A lock left by a process that is
 * gone is taken over.
 */
export async function lockState(
  folder: string,
): Promise<{ readonly holder: number } | { readonly release: () => Promise<void> }> {
  await mkdir(folder, { recursive: true });
  const path = join(folder, LOCK_NAME);
  for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
    try {
      await writeFile(path, String(process.pid), { flag: "wx" });
      return { release: () => rm(path, { force: true }) };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
    const holder = Number(await readFile(path, "utf8"));
    if (isAlive(holder)) return { holder };
    await rm(path, { force: true });
  }
  throw new Error(`Cannot lock ${folder}: another process keeps writing ${LOCK_NAME}`);
}

function isAlive(pid: number): boolean {
  if (!Number.isInteger(pid) || pid <= 0 || pid === process.pid) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: it lives and is somebody else's.
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
