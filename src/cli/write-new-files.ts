/** Writes files that must not exist yet: all of them, or none and a list of those that exist. */
import { randomUUID } from "node:crypto";
import { mkdir, rename, rm, stat, writeFile } from "node:fs/promises";
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
  const written: string[] = [];
  const mark = `.${randomUUID()}.new`;
  for (const file of files) {
    const path = resolve(cwd, file.path);
    // A file that is replaced stays until all are written. `wx`: what appeared since the check is
    // not overwritten either.
    const place = overwrite ? `${path}${mark}` : path;
    try {
      await mkdir(dirname(path), { recursive: true });
      if (overwrite && (await isFolder(path))) throw new Error("it is a folder");
      await writeFile(place, file.text, { flag: "wx" });
      written.push(place);
    } catch (error) {
      for (const left of written) await rm(left, { force: true });
      return fail("file", `Nothing was written: cannot write ${file.path}: ${reasonOf(error)}.`);
    }
  }
  if (overwrite) for (const place of written) await rename(place, place.slice(0, -mark.length));
  return { ok: true, value: null };
}

async function isFolder(path: string): Promise<boolean> {
  return (await exists(path)) && (await stat(path)).isDirectory();
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
