/** Finds the pull request that a commit on a branch came from. */
import { success } from "../model/result.ts";
import type { GithubReader, GithubResult, Pull } from "./port.ts";

/**
 * The pull request that was merged into a branch as exactly this commit; null for a commit that was
 * pushed directly, or lies inside of one.
 *
 * Merging, squashing, rebasing and the merge queue all leave the last commit as the pull request's
 * merge commit. GitHub lists other pull requests as well, such as one that was stacked on it, so
 * the list alone proves nothing.
 */
export async function findPullOfMerge(
  reader: GithubReader,
  sha: string,
  baseRef: string,
): Promise<GithubResult<Pull | null>> {
  const pulls = await reader.pullsOfCommit(sha);
  if (!pulls.ok) return pulls;
  const found = pulls.value.find(
    (pull) => pull.state === "merged" && pull.mergeCommitSha === sha && pull.baseRef === baseRef,
  );
  return success(found ?? null);
}
