/**
 * Git objects in memory with their real SHA-1s: blobs, trees and commits, what two trees differ in,
 * and a merge of two commits.
 *
 * One store is shared by a repository and its forks, as on GitHub. It knows no branches and no pull
 * requests. Merges are by whole files: a file that both sides changed in different ways is a
 * conflict.
 */
import { createHash } from "node:crypto";

export interface TreeEntry {
  readonly mode: Leaf["mode"] | "040000";
  readonly type: "blob" | "tree" | "commit";
  readonly name: string;
  readonly sha: string;
}

export interface Person {
  readonly name: string;
  readonly email: string;
  /** ISO 8601, whole seconds, UTC. */
  readonly date: string;
}

export interface Commit {
  readonly sha: string;
  readonly tree: string;
  readonly parents: readonly string[];
  readonly author: Person;
  readonly committer: Person;
  readonly message: string;
}

/**
 * An entry that is no folder: a file, a link (its blob holds the target) or a submodule (a commit
 * of another repository).
 */
export interface Leaf {
  readonly mode: "100644" | "100755" | "120000" | "160000";
  readonly sha: string;
}

/** Content of a file, a symbolic link, the commit of a submodule, or `null` to remove the path. */
export type FileContent =
  | string
  | Uint8Array
  | { readonly linkTo: string }
  | { readonly submodule: string }
  | null;

export type Files = Readonly<Record<string, FileContent>>;

export interface FileChange {
  readonly path: string;
  readonly status: "added" | "removed" | "modified" | "renamed";
  readonly previousPath: string | null;
  readonly before: string | null;
  readonly after: string | null;
}

const MERGE_BASE_COMMITS_MAX = 100_000;
const RENAME_SIMILARITY = 0.5;
/** Above it only equal content counts as a rename, as with git's limit of 1,000 files. */
const RENAME_PAIRS_MAX = 1_000_000;

export class GitObjects {
  readonly #blobs = new Map<string, Uint8Array>();
  readonly #trees = new Map<string, readonly TreeEntry[]>();
  readonly #commits = new Map<string, Commit>();

  writeBlob(content: string | Uint8Array): string {
    const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
    const sha = hashObject("blob", bytes);
    this.#blobs.set(sha, bytes);
    return sha;
  }

  /** Git's order: by bytes of the name, directories as if their name ended with a slash. */
  writeTree(entries: readonly TreeEntry[]): string {
    const sorted = entries.toSorted((a, b) =>
      Buffer.compare(Buffer.from(sortName(a)), Buffer.from(sortName(b))),
    );
    const parts = sorted.flatMap((entry) => [
      Buffer.from(`${entry.mode.replace(/^0/, "")} ${entry.name}\0`),
      Buffer.from(entry.sha, "hex"),
    ]);
    const sha = hashObject("tree", Buffer.concat(parts));
    this.#trees.set(sha, sorted);
    return sha;
  }

  writeCommit(commit: Omit<Commit, "sha">): Commit {
    const lines = [
      `tree ${commit.tree}`,
      ...commit.parents.map((parent) => `parent ${parent}`),
      `author ${signLine(commit.author)}`,
      `committer ${signLine(commit.committer)}`,
      "",
      commit.message,
    ];
    const written = {
      ...commit,
      sha: hashObject("commit", new TextEncoder().encode(lines.join("\n"))),
    };
    this.#commits.set(written.sha, written);
    return written;
  }

  readBlob(sha: string): Uint8Array | null {
    return this.#blobs.get(sha) ?? null;
  }

  readTree(sha: string): readonly TreeEntry[] | null {
    return this.#trees.get(sha) ?? null;
  }

  readCommit(sha: string): Commit | null {
    return this.#commits.get(sha) ?? null;
  }

  /**
   * @throws Error for a SHA that is not a commit: callers that take one from a request look it up
   * with `readCommit`.
   */
  commit(sha: string): Commit {
    const found = this.#commits.get(sha);
    if (!found) throw new Error(`No commit ${sha}`);
    return found;
  }

  /** The commit whose SHA starts with the text, when there is one only. */
  findCommit(prefix: string): Commit | null {
    const exact = this.#commits.get(prefix);
    if (exact || prefix.length < 7) return exact ?? null;
    const found = [...this.#commits.values()].filter((commit) => commit.sha.startsWith(prefix));
    return found.length === 1 ? (found[0] ?? null) : null;
  }

  /** Path to SHA, of everything that is no folder. */
  flatten(tree: string): Map<string, string> {
    return new Map([...this.leaves(tree)].map(([path, leaf]) => [path, leaf.sha]));
  }

  leaves(tree: string, prefix = ""): Map<string, Leaf> {
    const leaves = new Map<string, Leaf>();
    for (const { mode, name, sha } of this.#trees.get(tree) ?? []) {
      if (mode !== "040000") leaves.set(prefix + name, { mode, sha });
      else for (const [path, leaf] of this.leaves(sha, `${prefix}${name}/`)) leaves.set(path, leaf);
    }
    return leaves;
  }

  /** Writes the trees of everything that is no folder; gives the SHA of the root tree. */
  writeLeaves(leaves: ReadonlyMap<string, Leaf>): string {
    const entries: TreeEntry[] = [];
    const folders = new Map<string, Map<string, Leaf>>();
    for (const [path, leaf] of leaves) {
      const slash = path.indexOf("/");
      if (slash < 0)
        entries.push({ ...leaf, type: leaf.mode === "160000" ? "commit" : "blob", name: path });
      else {
        const folder = path.slice(0, slash);
        const inside = folders.get(folder) ?? new Map<string, Leaf>();
        folders.set(folder, inside.set(path.slice(slash + 1), leaf));
      }
    }
    for (const [name, inside] of folders)
      entries.push({ mode: "040000", type: "tree", name, sha: this.writeLeaves(inside) });
    return this.writeTree(entries);
  }

  /** The tree with the files put in and taken out. */
  changeTree(tree: string | null, files: Files): string {
    const leaves = tree === null ? new Map<string, Leaf>() : this.leaves(tree);
    for (const [path, content] of Object.entries(files)) {
      if (content === null) leaves.delete(path);
      else leaves.set(path, this.#writeLeaf(content));
    }
    return this.writeLeaves(leaves);
  }

  #writeLeaf(content: NonNullable<FileContent>): Leaf {
    if (typeof content === "string" || content instanceof Uint8Array)
      return { mode: "100644", sha: this.writeBlob(content) };
    if ("linkTo" in content) return { mode: "120000", sha: this.writeBlob(content.linkTo) };
    return { mode: "160000", sha: content.submodule };
  }

  /** The commit and everything before it. */
  ancestors(sha: string): Set<string> {
    const seen = new Set<string>();
    const queue = [sha];
    for (let at = 0; at < queue.length && at < MERGE_BASE_COMMITS_MAX; at++) {
      const one = queue[at];
      if (one === undefined || seen.has(one)) continue;
      seen.add(one);
      queue.push(...(this.#commits.get(one)?.parents ?? []));
    }
    return seen;
  }

  /** The nearest commit that both have among their ancestors; `null` for unrelated histories. */
  mergeBase(a: string, b: string): string | null {
    const known = this.ancestors(a);
    for (const sha of this.ancestors(b)) if (known.has(sha)) return sha;
    return null;
  }

  /** Commits of `head` that `base` has not, oldest first. */
  commitsBetween(base: string, head: string): Commit[] {
    const known = this.ancestors(base);
    return [...this.ancestors(head)]
      .filter((sha) => !known.has(sha))
      .map((sha) => this.commit(sha))
      .toReversed();
  }

  /**
   * Returns the changes that a pull request shows: from the merge base to the head, sorted by path.
   * Renames are found by equal content, or half of the lines.
   */
  diffSinceMergeBase(base: string, head: string): FileChange[] {
    const from = this.mergeBase(base, head);
    return this.diffTrees(from === null ? null : this.commit(from).tree, this.commit(head).tree);
  }

  diffTrees(beforeTree: string | null, afterTree: string): FileChange[] {
    const before = beforeTree === null ? new Map<string, Leaf>() : this.leaves(beforeTree);
    const after = this.leaves(afterTree);
    const gone = [...before].filter(([path]) => !after.has(path));
    const removed = new Map(gone.map(([path, leaf]) => [path, leaf.sha]));
    const added = [...after]
      .filter(([path]) => !before.has(path))
      .map(([path, leaf]) => [path, leaf.sha] as const);
    const changes: FileChange[] = [];
    for (const [path, leaf] of after) {
      const old = before.get(path);
      if (old === undefined || isSame(old, leaf)) continue;
      changes.push({
        path,
        status: "modified",
        previousPath: null,
        before: old.sha,
        after: leaf.sha,
      });
    }
    // Equal content is looked for everywhere before similar content, as git does.
    const origins = this.#pairOrigins(removed, added);
    for (const [path, sha] of added) {
      const origin = origins.get(path);
      if (origin === undefined)
        changes.push({ path, status: "added", previousPath: null, before: null, after: sha });
      else
        changes.push({
          path,
          status: "renamed",
          previousPath: origin.path,
          before: origin.sha,
          after: sha,
        });
    }
    for (const [path, sha] of removed)
      changes.push({ path, status: "removed", previousPath: null, before: sha, after: null });
    return changes.toSorted((a, b) => (a.path < b.path ? -1 : 1));
  }

  /**
   * The tree of `base` with what `head` changed since their merge base; `null` when both changed a
   * file in different ways.
   */
  mergeTrees(base: string, head: string): string | null {
    const from = this.mergeBase(base, head);
    const origin = from === null ? new Map<string, Leaf>() : this.leaves(this.commit(from).tree);
    const ours = this.leaves(this.commit(base).tree);
    const theirs = this.leaves(this.commit(head).tree);
    for (const path of new Set([...origin.keys(), ...theirs.keys()])) {
      const [was, mine, yours] = [origin.get(path), ours.get(path), theirs.get(path)];
      if (isSame(was, yours) || isSame(mine, yours)) continue;
      if (!isSame(mine, was)) return null;
      if (yours === undefined) ours.delete(path);
      else ours.set(path, yours);
    }
    return this.writeLeaves(ours);
  }

  /** Takes out of `removed` what an added file came from; gives it by the new path. */
  #pairOrigins(removed: Map<string, string>, added: readonly (readonly [string, string])[]) {
    const origins = new Map<string, { readonly path: string; readonly sha: string }>();
    const isSimilar = (old: string, sha: string) =>
      similarity(this.#lines(old), this.#lines(sha)) >= RENAME_SIMILARITY;
    const isEqual = (old: string, sha: string) => old === sha;
    const tests = removed.size * added.length > RENAME_PAIRS_MAX ? [isEqual] : [isEqual, isSimilar];
    for (const isOrigin of tests) {
      for (const [path, sha] of added) {
        if (origins.has(path)) continue;
        const origin = [...removed].find(([, old]) => isOrigin(old, sha));
        if (!origin) continue;
        origins.set(path, { path: origin[0], sha: origin[1] });
        removed.delete(origin[0]);
      }
    }
    return origins;
  }

  #lines(sha: string): string[] {
    return new TextDecoder().decode(this.#blobs.get(sha)).split("\n");
  }
}

function isSame(a: Leaf | undefined, b: Leaf | undefined): boolean {
  return a?.sha === b?.sha && a?.mode === b?.mode;
}

/** Bytes of the lines that both have, against the longer text. */
function similarity(a: readonly string[], b: readonly string[]): number {
  const counts = new Map<string, number>();
  for (const line of a) counts.set(line, (counts.get(line) ?? 0) + 1);
  let same = 0;
  for (const line of b) {
    const left = counts.get(line) ?? 0;
    if (left > 0) same += line.length;
    counts.set(line, left - 1);
  }
  const size = (lines: readonly string[]) => lines.reduce((sum, line) => sum + line.length, 0);
  return same / Math.max(1, size(a), size(b));
}

function hashObject(type: string, content: Uint8Array): string {
  return createHash("sha1").update(`${type} ${content.length}\0`).update(content).digest("hex");
}

function sortName(entry: TreeEntry): string {
  return entry.type === "tree" ? `${entry.name}/` : entry.name;
}

function signLine(person: Person): string {
  return `${person.name} <${person.email}> ${Date.parse(person.date) / 1000} +0000`;
}
