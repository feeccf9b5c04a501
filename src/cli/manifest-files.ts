/**
 * Finds and reads manifest files. Folders are walked in sorted order; links to folders are not
 * followed, so a walk ends.
 */
import { open, readdir, stat } from "node:fs/promises";
import { join, relative, resolve } from "node:path";

import { type CliResult, fail } from "./failure.ts";
import { leadsAstray, MANIFEST_NAME } from "./repository-bounds.ts";

export interface ManifestFile {
  /** Relative to the working directory, as people would type it. */
  readonly path: string;
  readonly text: Uint8Array;
}

const FILES_MAX = 100_000;
const DEPTH_MAX = 32;
/**
 * One byte more than the parser accepts: it sees that the file is too large without us reading all
 * of it.
 */
const FILE_BYTES_READ_MAX = 1024 * 1024 + 1;
const READS_AT_ONCE = 32;

/** Reads files as given and every `*.yaml` and `*.yml` below folders. */
export async function readManifestFiles(
  cwd: string,
  paths: readonly string[],
): Promise<CliResult<readonly ManifestFile[]>> {
  const found = new Set<string>();
  for (const path of paths) {
    const absolute = resolve(cwd, path);
    const before = new Set(found);
    const kind = await kindOf(absolute);
    if (kind === "other")
      return fail(
        "file",
        `There are no manifests at ${path}: no such file or folder.`,
        "Write a first one with: shardctl init",
      );
    if (kind === "file") found.add(absolute);
    else if (!(await walk(absolute, 0, found))) {
      return fail(
        "file",
        `${path} has more than ${FILES_MAX} manifest files, or folders deeper than ${DEPTH_MAX}.`,
        "Pass the paths of the manifests instead.",
      );
    }
    for (const file of found) {
      if (before.has(file) || !(await leadsAstray(cwd, absolute, file))) continue;
      return fail(
        "file",
        `${relative(cwd, file)} is a symbolic link out of the repository, or to what is no manifest of it; it was not read.`,
        "Put the file itself there.",
      );
    }
  }
  return readAll(cwd, [...found].toSorted());
}

async function walk(folder: string, depth: number, found: Set<string>): Promise<boolean> {
  if (depth > DEPTH_MAX) return false;
  const entries = await readdir(folder, { withFileTypes: true });
  for (const entry of entries.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) {
      if (entry.name.startsWith(".") || entry.name === "node_modules") continue;
      if (!(await walk(path, depth + 1, found))) return false;
    } else if (
      MANIFEST_NAME.test(entry.name) &&
      (entry.isFile() || (await kindOf(path)) === "file")
    ) {
      found.add(path);
      if (found.size > FILES_MAX) return false;
    }
  }
  return true;
}

async function readAll(
  cwd: string,
  paths: readonly string[],
): Promise<CliResult<readonly ManifestFile[]>> {
  const files: ManifestFile[] = [];
  for (let start = 0; start < paths.length; start += READS_AT_ONCE) {
    const batch = paths.slice(start, start + READS_AT_ONCE);
    const read = await Promise.all(batch.map((path) => readStart(path)));
    for (const [index, text] of read.entries()) {
      const path = relative(cwd, batch[index] ?? "");
      if (typeof text === "string") return fail("file", `Cannot read ${path}: ${text}.`);
      files.push({ path, text });
    }
  }
  return { ok: true, value: files };
}

/** The bytes, or why they cannot be read. */
async function readStart(path: string): Promise<Uint8Array | string> {
  try {
    return await readBounded(path);
  } catch (error) {
    return reasonOf(error);
  }
}

/** The bytes, or so many that the parser sees that there are too many. */
export async function readBounded(path: string): Promise<Uint8Array> {
  await using file = await open(path, "r");
  const { size } = await file.stat();
  const buffer = new Uint8Array(Math.min(size, FILE_BYTES_READ_MAX));
  const { bytesRead } = await file.read(buffer, 0, buffer.length, 0);
  return buffer.subarray(0, bytesRead);
}

/** A system error as a few words: "ENOENT: no such file or directory". */
export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message.replace(/, \w+( '.*')?$/, "") : String(error);
}

async function kindOf(path: string): Promise<"file" | "folder" | "other"> {
  try {
    const status = await stat(path);
    return status.isDirectory() ? "folder" : status.isFile() ? "file" : "other";
  } catch (error) {
    if (
      (error as NodeJS.ErrnoException).code === "ENOENT" ||
      (error as NodeJS.ErrnoException).code === "ENOTDIR"
    )
      return "other";
    throw error;
  }
}
