import { execFileSync } from "node:child_process";
import { mkdir, readFile, readlink, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { makeTemporaryFolder } from "../left-behind.ts";
import { extractEngine } from "./extract.ts";
import { changedFiles, describeTree, findCommit } from "./tree.ts";

let folder = "";
let remove = async (): Promise<void> => {};
const first = { id: "", subject: "" };

beforeAll(async () => {
  ({ folder, remove } = await makeTemporaryFolder());
  git("init", "--quiet");
  await mkdir(join(folder, "src"));
  await mkdir(join(folder, "test/programs/bench/worker"), { recursive: true });
  await writeFile(join(folder, "package-lock.json"), "{}");
  await writeFile(join(folder, "src/engine.ts"), "first");
  await writeFile(
    join(folder, "test/programs/bench/worker/old.ts"),
    "of that commit's own benchmark",
  );
  commit("The first");
  await writeFile(join(folder, "src/engine.ts"), "second");
  commit("The second");
  Object.assign(first, await findCommit(folder, "HEAD~1"));
});

afterAll(() => remove());

function git(...args: readonly string[]): void {
  execFileSync("git", ["-c", "user.name=bench", "-c", "user.email=bench@example.com", ...args], {
    cwd: folder,
    stdio: "ignore",
  });
}

function commit(subject: string): void {
  git("add", "--all");
  git("commit", "--quiet", "--no-gpg-sign", "--message", subject);
}

describe("a commit to compare with", () => {
  it("is found by any name that git knows", async () => {
    expect(first).toEqual({ id: expect.stringMatching(/^[0-9a-f]{40}$/), subject: "The first" });
    expect(await findCommit(folder, first.id.slice(0, 8))).toEqual(first);
  });

  it.each(["nosuch", "HEAD~99", "", "--all", "--output=stolen", "HEAD:src", "HEAD..HEAD~1", "src"])(
    "is refused by the name '%s'",
    async (name) => {
      await expect(findCommit(folder, name)).rejects.toThrow(`--against knows no commit '${name}'`);
      expect(await readdir(folder)).not.toContain("stolen");
    },
  );
});

describe("a tree with changes", () => {
  it("names the files of the engine that differ, new ones too, and no others", async () => {
    expect(await changedFiles(folder)).toEqual([]);
    await writeFile(join(folder, "src/engine.ts"), "third");
    await writeFile(join(folder, "src/new.ts"), "new");
    await writeFile(join(folder, "notes.md"), "no part of the engine");
    const changed = await changedFiles(folder);
    expect(changed).toEqual(["src/engine.ts", "src/new.ts"]);
    const shown = `${first.id.slice(0, 7)} The first`;
    expect(describeTree(first, changed)).toBe(
      `${shown}, with uncommitted changes in src/engine.ts, src/new.ts`,
    );
    expect(describeTree(first, [])).toBe(shown);
  });
});

describe("the engine of another commit", () => {
  it("is its own src under this benchmark's Worker, with this tree's packages where the lock files are equal", async () => {
    const engine = await extractEngine(folder, first.id, () => {});
    expect(engine.name).toBe(first.id.slice(0, 7));
    expect(await readFile(join(engine.folder, "src/engine.ts"), "utf8")).toBe("first");
    const worker = await readdir(join(engine.folder, "test/programs/bench/worker"));
    expect(worker).toContain("things.ts");
    expect(worker).not.toContain("old.ts");
    expect(await readlink(join(engine.folder, "node_modules"))).toBe(join(folder, "node_modules"));
  });
});
