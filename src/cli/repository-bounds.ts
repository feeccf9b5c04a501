/**
 * Keeps reading to what the repository has as manifests: a symbolic link in a checked-out tree may
 * point at any file of this machine, such as what git keeps for itself, or at a file of secrets
 * beside it, and an error of its content would quote a line of it.
 */
import { realpath, stat } from "node:fs/promises";
import { dirname, isAbsolute, join, relative, resolve } from "node:path";

const FOLDERS_UP_MAX = 64;
/** Names of manifests, and of the config. */
export const MANIFEST_NAME = /\.ya?ml$/i;

/** The folder of the repository around `folder`; without one, `folder` itself. */
async function findRoot(folder: string): Promise<string> {
  let root = folder;
  for (let up = 0; up < FOLDERS_UP_MAX; up++) {
    if (await isRoot(root)) return root;
    const parent = dirname(root);
    if (parent === root) break;
    root = parent;
  }
  return folder;
}

/** True for the folder of a repository. */
export function isRoot(folder: string): Promise<boolean> {
  return stat(join(folder, ".git")).then(
    () => true,
    () => false,
  );
}

/**
 * True when links lead from the file `path` out of the repository around `folder`, into a hidden
 * folder of it, or to what is no manifest by its name. A path that a person has named elsewhere may
 * lead nowhere else than there. False when nothing is there.
 *
 * @param named the file or folder that was asked for: `path`, or above it.
 */
export async function leadsAstray(folder: string, named: string, path: string): Promise<boolean> {
  const root = await findRoot(folder);
  const base = isBelow(root, resolve(named)) ? root : resolve(named);
  try {
    const [there, target] = await Promise.all([realpath(base), realpath(path)]);
    if (!isBelow(there, target)) return true;
    const isLink = target !== join(there, relative(base, path));
    return isLink && base === root && !isOpen(relative(there, target));
  } catch (error) {
    if (["ENOENT", "ELOOP", "ENOTDIR"].includes((error as NodeJS.ErrnoException).code ?? ""))
      return false;
    throw error;
  }
}

/** True for a manifest that no folder hides. */
function isOpen(way: string): boolean {
  return MANIFEST_NAME.test(way) && !way.split(/[\\/]/u).some((part) => part.startsWith("."));
}

function isBelow(folder: string, path: string): boolean {
  const way = relative(folder, path);
  return way === "" || (way.split(/[\\/]/u)[0] !== ".." && !isAbsolute(way));
}
