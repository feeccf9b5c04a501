/**
 * The manifests that a merge of a pull request would give: those of the default branch's head, and
 * for the paths that the pull request touches those of its own head. A branch that is behind is
 * planned as it will be merged, not as it was when it was cut.
 *
 * Files are read through the API of the base repository and parsed; nothing of them is executed,
 * whoever wrote them.
 */
import { failure, success } from "../model/result.ts";
import {
  findManifests,
  type BlobCache,
  type FoundFile,
  type FoundManifests,
} from "../github/find-manifests.ts";
import { touchesManifests } from "../github/manifest-paths.ts";
import type { CommitRef, GithubReader, GithubResult, Pull } from "../github/port.ts";
import type { GithubSettings } from "../github/settings.ts";

/** Rounds of fetching for one commit; what they bring stays in the cache for the next try. */
const ROUNDS_MAX = 4;

export interface PullManifests {
  /** False when no manifest is touched; the files are then not read. */
  readonly isTouched: boolean;
  readonly files: readonly FoundFile[];
  readonly config: FoundFile | null;
  /** Paths of the files by somebody who may not write here. */
  readonly strangers: readonly string[];
}

type ReadSettings = Pick<GithubSettings, "manifests" | "defaultBranch">;
type Complete = Extract<FoundManifests, { kind: "complete" }>;

/** @param always reads the files also when none is touched. */
export async function readPullManifests(
  github: GithubReader,
  pull: Pull,
  { manifests, defaultBranch }: ReadSettings,
  blobs: BlobCache,
  always: boolean,
): Promise<GithubResult<PullManifests>> {
  const touched = await github.pullFiles(pull.number);
  if (!touched.ok) return touched;
  const { paths, isComplete } = touched.value;
  const isTouched = !isComplete || touchesManifests(paths, manifests);
  if (!isTouched && !always) return success({ isTouched, files: [], config: null, strangers: [] });
  const head = await readAll(github, await github.commit(pull.headSha), manifests, blobs);
  if (!head.ok) return head;
  const headPaths = head.value.files.map(({ path }) => path);
  if (!isComplete)
    return success({ isTouched, ...head.value, strangers: pull.isFork ? headPaths : [] });
  const base = await readAll(github, await github.branchHead(defaultBranch), manifests, blobs);
  if (!base.ok) return base;
  const own = new Set(paths);
  const files = [
    ...base.value.files.filter(({ path }) => !own.has(path)),
    ...head.value.files.filter(({ path }) => own.has(path)),
  ];
  return success({
    isTouched,
    files: files.toSorted((left, right) => (left.path < right.path ? -1 : 1)),
    config: head.value.config ?? base.value.config,
    strangers: pull.isFork ? headPaths.filter((path) => own.has(path)) : [],
  });
}

/** The manifests at the head of the default branch. */
export async function readBranchManifests(
  github: GithubReader,
  { manifests, defaultBranch }: ReadSettings,
  blobs: BlobCache,
): Promise<GithubResult<{ readonly files: readonly FoundFile[]; readonly commit: string }>> {
  const head = await github.branchHead(defaultBranch);
  if (!head.ok) return head;
  const read = await readAll(github, head, manifests, blobs);
  return read.ok ? success({ files: read.value.files, commit: head.value.sha }) : read;
}

async function readAll(
  github: GithubReader,
  commit: GithubResult<CommitRef>,
  folder: string,
  blobs: BlobCache,
): Promise<GithubResult<Pick<Complete, "files" | "config">>> {
  if (!commit.ok) return commit;
  let missing = 0;
  for (let round = 0; round < ROUNDS_MAX; round++) {
    const found = await findManifests(github, commit.value, folder, blobs);
    if (!found.ok) return found;
    if (found.value.kind === "complete") return success(found.value);
    ({ missing } = found.value);
  }
  return failure({
    kind: "unreachable",
    message: `${missing} manifests are still to be read; the next try continues.`,
    retryAt: null,
  });
}
