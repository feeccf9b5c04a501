/** Adds the missing lines to `.gitignore`, so that local state and secrets stay out of Git. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { type CliResult, fail } from "../failure.ts";
import { reasonOf } from "../manifest-files.ts";

const GITIGNORE = ".gitignore";

/**
 * Adds the lines that are missing, and gives them. A line with another slash at its ends is the
 * same one.
 */
export async function addToGitignore(
  cwd: string,
  lines: readonly string[],
): Promise<CliResult<readonly string[]>> {
  const path = join(cwd, GITIGNORE);
  try {
    const before = await readText(path);
    const present = new Set(before.split(/\r?\n/).map(bare));
    const missing = lines.filter((line) => !present.has(bare(line)));
    if (missing.length === 0) return { ok: true, value: [] };
    const gap = before === "" || before.endsWith("\n") ? "" : "\n";
    await writeFile(path, `${before}${gap}${missing.join("\n")}\n`);
    return { ok: true, value: missing };
  } catch (error) {
    return fail("file", `Cannot write ${GITIGNORE}: ${reasonOf(error)}.`);
  }
}

function bare(line: string): string {
  return line.trim().replaceAll(/^\/|\/$/g, "");
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return "";
    throw error;
  }
}
