/**
 * Writes the note that a running `shardctl dev` leaves in `.shardctl/dev`, so that other commands
 * in the same project find its endpoint. It holds no secret: the local runtime needs no token.
 */
import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { isLoopbackUrl } from "../loopback.ts";

export interface DevRuntime {
  readonly endpoint: string;
  readonly pid: number;
}

/** Folder of everything that `shardctl dev` writes, below the project's folder. */
export const DEV_FOLDER = join(".shardctl", "dev");

function runtimePath(projectFolder: string): string {
  return join(projectFolder, DEV_FOLDER, "runtime.json");
}

export async function writeRuntime(projectFolder: string, runtime: DevRuntime): Promise<void> {
  await writeFile(runtimePath(projectFolder), `${JSON.stringify(runtime)}\n`);
}

/**
 * Removes the note of this process; another runtime of the same project may have written its own
 * since.
 */
export async function removeRuntime(projectFolder: string, pid: number): Promise<void> {
  const note = await readRuntime(projectFolder);
  if (note?.pid !== pid) return;
  await rm(runtimePath(projectFolder), { force: true });
}

/**
 * The note, or null when there is none. `shardctl dev` listens on this machine only: a note of
 * another address is not its own, but came with the repository, and is not followed.
 */
export async function readRuntime(projectFolder: string): Promise<DevRuntime | null> {
  try {
    const note = JSON.parse(
      await readFile(runtimePath(projectFolder), "utf8"),
    ) as Partial<DevRuntime>;
    const { endpoint, pid } = note;
    if (typeof endpoint !== "string" || typeof pid !== "number") return null;
    return isLoopbackUrl(endpoint) ? { endpoint, pid } : null;
  } catch (error) {
    // No note, or one that was half written when its process was killed: nothing is known to run.
    if ((error as NodeJS.ErrnoException).code === "ENOENT" || error instanceof SyntaxError)
      return null;
    throw error;
  }
}
