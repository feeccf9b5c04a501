/**
 * Checks whether a merged commit is still what its branch declares. A job of an older commit, such
 * as one that is rerun much later, must not bring back what a later merge has reverted. It applies
 * what the branch still declares.
 */
import type { Plan } from "../../model/plan.ts";
import type { CommitRef, GithubReader, GithubResult } from "../../github/port.ts";
import { type CliResult, fail } from "../failure.ts";
import { failGithub } from "./actions.ts";
import { atRepositoryRoot } from "./repository-paths.ts";

export interface MergedCommit {
  readonly sha: string;
  readonly branch: string;
  /** Folders of the manifests, and the working directory in the repository: see `findPrefix`. */
  readonly manifests: readonly string[];
  readonly prefix: string;
}

/**
 * Manifests behind the plan's changes that are others at the head of the branch, or gone; sorted.
 */
export async function findOutdated(
  github: GithubReader,
  { sha, branch, manifests, prefix }: MergedCommit,
  plan: Plan,
): Promise<CliResult<readonly string[]>> {
  const head = await github.branchHead(branch);
  if (!head.ok) return failGithub(head.failure);
  if (head.value.sha === sha) return { ok: true, value: [] };
  const commit = await github.commit(sha);
  if (!commit.ok) return failGithub(commit.failure);
  const folders = manifests.map((folder) => atRepositoryRoot(prefix, folder));
  const [before, now] = [
    await listBlobs(github, commit.value, folders),
    await listBlobs(github, head.value, folders),
  ];
  if (!before.ok) return failGithub(before.failure);
  if (!now.ok) return failGithub(now.failure);
  const paths = [
    ...new Set(
      [...plan.changes, ...(plan.policies ?? [])].map(({ source }) =>
        atRepositoryRoot(prefix, source.file),
      ),
    ),
  ].toSorted();
  const unknown = paths.find((path) => !before.value.has(path));
  if (unknown !== undefined)
    return fail(
      "manifests",
      `${unknown} is not in commit ${sha}, so it cannot be compared with ${branch}.`,
    );
  return {
    ok: true,
    value: paths.filter((path) => now.value.get(path) !== before.value.get(path)),
  };
}

async function listBlobs(
  github: GithubReader,
  commit: CommitRef,
  folders: readonly string[],
): Promise<GithubResult<ReadonlyMap<string, string>>> {
  const blobs = new Map<string, string>();
  for (const folder of folders) {
    const files = await github.files(commit, folder);
    if (!files.ok) return files;
    for (const { path, blobSha } of files.value) blobs.set(path, blobSha);
  }
  return { ok: true, value: blobs };
}
