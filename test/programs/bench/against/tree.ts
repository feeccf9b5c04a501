/** A tree and the commit it is compared with, as git knows them. */
import { runProgram } from "../left-behind.ts";

/** Paths of a tree that decide what its engine does. */
const ENGINE_PATHS = ["src", "package-lock.json"];
const FILES_SHOWN_MAX = 5;

export interface CommitFound {
  /** 40 hexadecimal digits. */
  readonly id: string;
  readonly subject: string;
}

/**
 * The commit of a name such as `HEAD~5`, `main` or a part of an id. @throws Error when there is
 * none, or more than one.
 */
export async function findCommit(folder: string, name: string): Promise<CommitFound> {
  try {
    // One commit, where `git log` would take a range; and what begins with a dash would be an
    // option of git.
    const found = await git(
      folder,
      "rev-parse",
      "--verify",
      "--end-of-options",
      `${name}^{commit}`,
    );
    const { stdout } = await git(folder, "log", "-1", "--format=%s", found.stdout.trim());
    return { id: found.stdout.trim(), subject: stdout.trim() };
  } catch (error) {
    throw new Error(`--against knows no commit '${name}' in ${folder}`, { cause: error });
  }
}

/**
 * The engine's files of a tree that differ from its commit. What is measured is the files as they
 * are.
 */
export async function changedFiles(folder: string): Promise<string[]> {
  const { stdout } = await git(
    folder,
    "status",
    "--porcelain",
    "--untracked-files=all",
    "--",
    ...ENGINE_PATHS,
  );
  return stdout
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => line.slice(3));
}

/** A tree by its commit and by what was changed since. */
export function describeTree(commit: CommitFound, changed: readonly string[]): string {
  const shown = `${commit.id.slice(0, 7)} ${commit.subject}`;
  if (changed.length === 0) return shown;
  const files = changed.slice(0, FILES_SHOWN_MAX).join(", ");
  const more =
    changed.length > FILES_SHOWN_MAX ? ` and ${changed.length - FILES_SHOWN_MAX} more` : "";
  return `${shown}, with uncommitted changes in ${files}${more}`;
}

/** Writes all files of a commit to a tar archive. */
export async function archiveCommit(folder: string, id: string, file: string): Promise<void> {
  await git(folder, "archive", "--format=tar", `--output=${file}`, id);
}

function git(folder: string, ...args: readonly string[]): Promise<{ readonly stdout: string }> {
  return runProgram("git", args, { cwd: folder });
}
