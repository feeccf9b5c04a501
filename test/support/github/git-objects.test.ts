/** The objects against git itself, and what two trees differ in. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";

import { GitObjects, type FileChange, type Files } from "./git-objects.ts";
import { diffLines } from "./line-diff.ts";

const PERSON = { name: "Octo Cat", email: "octo@example.com", date: "2026-01-05T09:00:00Z" };
const folder = mkdtempSync(join(tmpdir(), "fake-github-git-"));
afterAll(() => rmSync(folder, { recursive: true }));

function git(argv: readonly string[], input = ""): string {
  const date = `${Date.parse(PERSON.date) / 1000} +0000`;
  const env = {
    ...process.env,
    GIT_DIR: join(folder, ".git"),
    GIT_AUTHOR_NAME: PERSON.name,
    GIT_AUTHOR_EMAIL: PERSON.email,
    GIT_AUTHOR_DATE: date,
    GIT_COMMITTER_NAME: PERSON.name,
    GIT_COMMITTER_EMAIL: PERSON.email,
    GIT_COMMITTER_DATE: date,
  };
  return execFileSync("git", argv, { cwd: folder, env, input, encoding: "utf8" }).trim();
}

describe("SHA-1s", () => {
  it("are git's own, for blobs, trees in git's order, and commits", () => {
    git(["init", "--quiet"]);
    const objects = new GitObjects();
    const files: Record<string, string> = {
      "a.txt": "one\n",
      "a/b.txt": "zwei — ü\n",
      a0: "",
      "manifests/x/y.yaml": "n: 1\n",
    };
    const tree = objects.changeTree(null, files);
    for (const [path, content] of Object.entries(files)) {
      const sha = git(["hash-object", "-w", "--stdin"], content);
      expect(objects.flatten(tree).get(path)).toBe(sha);
      git(["update-index", "--add", "--cacheinfo", `100644,${sha},${path}`]);
    }
    expect(tree).toBe(git(["write-tree"]));
    const link = git(["hash-object", "-w", "--stdin"], "../a.txt");
    git(["update-index", "--add", "--cacheinfo", `120000,${link},a/link`]);
    git(["update-index", "--add", "--cacheinfo", `160000,${"1".repeat(40)},vendor`]);
    const odd = objects.changeTree(tree, {
      "a/link": { linkTo: "../a.txt" },
      vendor: { submodule: "1".repeat(40) },
    });
    expect(odd).toBe(git(["write-tree"]));
    const first = objects.writeCommit({
      tree,
      parents: [],
      author: PERSON,
      committer: PERSON,
      message: "First\n",
    });
    expect(first.sha).toBe(git(["commit-tree", tree, "-m", "First"]));
    const second = objects.writeCommit({
      tree,
      parents: [first.sha],
      author: PERSON,
      committer: PERSON,
      message: "Second\n",
    });
    expect(second.sha).toBe(git(["commit-tree", tree, "-p", first.sha, "-m", "Second"]));
  });
});

const BEFORE: Files = {
  "keep.yaml": "a\n",
  "edit.yaml": "1\n2\n3\n",
  "gone.yaml": "unlike anything\n",
  "old/name.yaml": "long line\nb\nc\n",
};

const DIFFS: readonly {
  readonly name: string;
  readonly files: Files;
  readonly expected: readonly Partial<FileChange>[];
}[] = [
  { name: "nothing", files: {}, expected: [] },
  {
    name: "an added, an edited and a removed file, sorted by path",
    files: { "new.yaml": "x\n", "edit.yaml": "1\n2\n4\n", "gone.yaml": null },
    expected: [
      { path: "edit.yaml", status: "modified", previousPath: null },
      { path: "gone.yaml", status: "removed", previousPath: null },
      { path: "new.yaml", status: "added", previousPath: null },
    ],
  },
  {
    name: "a file that became a link",
    files: { "edit.yaml": { linkTo: "/etc/passwd" } },
    expected: [{ path: "edit.yaml", status: "modified", previousPath: null }],
  },
  {
    name: "a renamed file",
    files: { "old/name.yaml": null, "new/name.yaml": "long line\nb\nc\n" },
    expected: [{ path: "new/name.yaml", status: "renamed", previousPath: "old/name.yaml" }],
  },
  {
    name: "a renamed and edited file",
    files: { "old/name.yaml": null, "new/name.yaml": "long line\nb\nd\n" },
    expected: [{ path: "new/name.yaml", status: "renamed", previousPath: "old/name.yaml" }],
  },
  {
    name: "a file that took the path of one with other content",
    files: { "old/name.yaml": null, "new/name.yaml": "nothing in common\n" },
    expected: [
      { path: "new/name.yaml", status: "added", previousPath: null },
      { path: "old/name.yaml", status: "removed", previousPath: null },
    ],
  },
];

describe("diffTrees", () => {
  it.each(DIFFS)("$name", ({ files, expected }) => {
    const objects = new GitObjects();
    const before = objects.changeTree(null, BEFORE);
    const changes = objects.diffTrees(before, objects.changeTree(before, files));
    expect(
      changes.map(({ path, status, previousPath }) => ({ path, status, previousPath })),
    ).toEqual(expected);
  });
});

describe("mergeTrees", () => {
  const objects = new GitObjects();
  const commit = (parents: readonly string[], tree: string) =>
    objects.writeCommit({
      tree,
      parents,
      author: PERSON,
      committer: PERSON,
      message: `${parents.length} ${tree}`,
    }).sha;
  const origin = objects.changeTree(null, BEFORE);
  const root = commit([], origin);
  const on = (files: Files) => commit([root], objects.changeTree(origin, files));

  it("takes what each side changed", () => {
    const merged = objects.mergeTrees(
      on({ "edit.yaml": "base\n" }),
      on({ "gone.yaml": null, "new.yaml": "x\n" }),
    );
    expect(merged).toBe(
      objects.changeTree(origin, { "edit.yaml": "base\n", "gone.yaml": null, "new.yaml": "x\n" }),
    );
  });

  it("is no conflict when both did the same", () => {
    const same = on({ "edit.yaml": "same\n" });
    expect(
      objects.mergeTrees(same, on({ "edit.yaml": "same\n", "new.yaml": "x\n" })),
    ).not.toBeNull();
  });

  it("is a conflict when both changed one file", () => {
    expect(
      objects.mergeTrees(on({ "edit.yaml": "ours\n" }), on({ "edit.yaml": "theirs\n" })),
    ).toBeNull();
  });
});

describe("diffLines", () => {
  it("counts lines, and writes hunks that git can apply", () => {
    const before = Array.from({ length: 30 }, (_, line) => `line ${line}`).join("\n");
    const after = before.replace("line 3\n", "").replace("line 20", "line twenty\nand more");
    const diff = diffLines(`${before}\n`, `${after}\n`);
    expect(diff).toMatchObject({ additions: 2, deletions: 2 });
    git(["init", "--quiet"]);
    const patch = `--- a/f\n+++ b/f\n${diff.patch}\n`;
    execFileSync("git", ["hash-object", "--stdin"], { input: before });
    execFileSync("sh", ["-c", "cat > f"], { cwd: folder, input: `${before}\n` });
    execFileSync("git", ["apply", "-"], { cwd: folder, input: patch });
    expect(execFileSync("cat", ["f"], { cwd: folder, encoding: "utf8" })).toBe(`${after}\n`);
  });
});
