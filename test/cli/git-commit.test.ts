/** The commit that a plan may claim: only one that has every byte of the manifests. */
import { execFileSync } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { expect, it } from "vitest";

import { findCommit } from "../../src/cli/git-commit.ts";
import { temporaryProject } from "./support/project.ts";
import { temporaryFolder } from "./support/run-cli.ts";

function git(cwd: string, ...argv: string[]): string {
  const identity = [
    "-c",
    "user.name=test",
    "-c",
    "user.email=test@example.com",
    "-c",
    "commit.gpgsign=false",
  ];
  return execFileSync("git", ["-C", cwd, ...identity, ...argv], { encoding: "utf8" }).trim();
}

it("is the head of a clean folder, and none once anything in it differs", async () => {
  await using project = await temporaryProject();
  const manifests = join(project.path, "manifests");
  git(project.path, "init", "--quiet");
  expect(await findCommit(manifests)).toBeNull();
  await writeFile(join(project.path, ".gitignore"), "ignored/\n");
  git(project.path, "add", ".");
  git(project.path, "commit", "--quiet", "--message", "first");
  const head = git(project.path, "rev-parse", "HEAD");
  expect(await findCommit(manifests)).toBe(head);
  await writeFile(join(project.path, "unrelated.txt"), "x");
  expect(await findCommit(manifests)).toBe(head);
  await mkdir(join(project.path, "ignored/manifests"), { recursive: true });
  await writeFile(join(project.path, "ignored/manifests/a.yaml"), "x");
  expect(await findCommit(join(project.path, "ignored/manifests"))).toBeNull();
  await writeFile(join(manifests, "new.yaml"), "x");
  expect(await findCommit(manifests)).toBeNull();
});

it("is none outside of a repository", async () => {
  await using folder = await temporaryFolder();
  expect(await findCommit(folder.path)).toBeNull();
});
