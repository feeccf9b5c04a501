/** Converts paths of the working directory into paths of the repository, which GitHub needs. */
import { posix } from "node:path";

import { runGit } from "../git-commit.ts";

/**
 * The working directory's path in its repository, with a slash at its end; empty at the root, and
 * outside of a repository.
 */
export async function findPrefix(cwd: string): Promise<string> {
  return (await runGit(cwd, ["rev-parse", "--show-prefix"]))?.trim() ?? "";
}

export function atRepositoryRoot(prefix: string, path: string): string {
  return posix.normalize(`${prefix}${path.replaceAll("\\", "/")}`);
}
