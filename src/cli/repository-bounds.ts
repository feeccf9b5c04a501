/**
 * Keeps reading inside the repository: a symbolic link in a checked-out tree may point at any file
 * of this machine, and an error of its content would quote a line of it.
 */
import { realpath, stat } from "node:fs/promises";
import { dirname, isAbsolute, join, relative, resolve } from "node:path";

const FOLDERS_UP_MAX = 64;

/** The folder of the repository around `folder`; without one, `folder` itself. */
async function findRoot(folder: string): Promise<string> {
  let root = folder;
  for (let up = 0; up < FOLDERS_UP_MAX; up++) {
    if (await isThere(join(root, ".git"))) return root;
    const parent = dirname(root);
    if (parent === root) break;
    root = parent;
  }
  return folder;
}

async function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

/**
 * True when links lead from `path` out of the repository around `folder`. A path that a person has
 * named elsewhere may lead nowhere else than there. False when nothing is there.
 *
 * @param named the file or folder that was asked for: `path`, or above it.
 */
export async function leadsOutside(folder: string, named: string, path: string): Promise<boolean> {
  const root = await findRoot(folder);
  const base = isBelow(root, resolve(named)) ? root : resolve(named);
  try {
    return !isBelow(await realpath(base), await realpath(path));
  } catch (error) {
    if (["ENOENT", "ELOOP", "ENOTDIR"].includes((error as NodeJS.ErrnoException).code ?? ""))
      return false;
    throw error;
  }
}

function isBelow(folder: string, path: string): boolean {
  const way = relative(folder, path);
  return way === "" || (way.split(/[\\/]/u)[0] !== ".." && !isAbsolute(way));
}
