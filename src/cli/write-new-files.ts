/** Writes files that must not exist yet: all of them, or none and a list of those that exist. */
import { mkdir, stat, writeFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";

import { type CliResult, fail } from "./failure.ts";
import { reasonOf } from "./manifest-files.ts";

export interface NewFile {
  /** Relative to the working directory. */
  readonly path: string;
  readonly text: string;
}

/** @param overwrite True replaces what is there. */
export async function writeNewFiles(
  cwd: string,
  files: readonly NewFile[],
  overwrite: boolean,
  hint: string,
): Promise<CliResult<null>> {
  if (!overwrite) {
    const present: string[] = [];
    for (const file of files) if (await exists(resolve(cwd, file.path))) present.push(file.path);
    if (present.length > 0)
      return fail(
        "file",
        `Nothing was written: ${present.join(", ")} already ${present.length === 1 ? "exists" : "exist"}.`,
        hint,
      );
  }
  for (const file of files) {
    const path = resolve(cwd, file.path);
    try {
      await mkdir(dirname(path), { recursive: true });
      // `wx`: what appeared since the check is not overwritten either.
      await writeFile(path, file.text, { flag: overwrite ? "w" : "wx" });
    } catch (error) {
      return fail("file", `Cannot write ${file.path}: ${reasonOf(error)}.`);
    }
  }
  return { ok: true, value: null };
}

/** True when there is a file or folder. */
export async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
    throw error;
  }
}
