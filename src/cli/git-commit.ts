/**
 * Finds the commit of the manifests, for plans and history; null when git cannot vouch for every
 * byte of them.
 */
import { execFile } from "node:child_process";

const GIT_TIMEOUT_MS = 10_000;

export async function findCommit(folder: string): Promise<string | null> {
  // Ignored files count as changes: a copy of the manifests in an ignored folder is not what the
  // commit says.
  const status = await runGit(folder, ["status", "--porcelain", "--ignored", "--", "."]);
  if (status === null || status.trim() !== "") return null;
  const tracked = await runGit(folder, ["ls-tree", "--name-only", "HEAD", "--", "."]);
  if (tracked === null || tracked.trim() === "") return null;
  const commit = await runGit(folder, ["rev-parse", "HEAD"]);
  return commit === null ? null : commit.trim();
}

/**
 * Git's output, or null: no git, no repository and no commit yet are all the same answer, "no
 * commit".
 */
export function runGit(folder: string, args: readonly string[]): Promise<string | null> {
  return new Promise((resolve) => {
    execFile("git", ["-C", folder, ...args], { timeout: GIT_TIMEOUT_MS }, (error, stdout) =>
      resolve(error === null ? stdout : null),
    );
  });
}
