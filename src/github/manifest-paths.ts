/**
 * Selects the paths of a repository that are manifests: the same ones that the command line finds
 * in a work tree.
 */

/** At the root of the repository. */
export const CONFIG_PATH = "shardctl.yaml";

const MANIFEST_NAME = /\.ya?ml$/i;
const DEPTH_MAX = 32;

/**
 * True for a `*.yaml` or `*.yml` below the folder (`.` is the whole repository), outside hidden
 * folders and `node_modules`.
 */
export function isManifestPath(path: string, folder: string): boolean {
  const root = trimFolder(folder);
  if (root !== "" && !path.startsWith(`${root}/`)) return false;
  const segments = (root === "" ? path : path.slice(root.length + 1)).split("/");
  const folders = segments.slice(0, -1);
  const isHidden = folders.some((name) => name.startsWith(".") || name === "node_modules");
  return !isHidden && folders.length <= DEPTH_MAX && MANIFEST_NAME.test(path);
}

/**
 * True when a change of these paths may change what is declared: manifests, or the config that says
 * where they are.
 */
export function touchesManifests(paths: readonly string[], folder: string): boolean {
  return paths.some((path) => path === CONFIG_PATH || isManifestPath(path, folder));
}

function trimFolder(folder: string): string {
  const segments = folder.split("/").filter((segment) => segment !== "" && segment !== ".");
  return segments.join("/");
}
