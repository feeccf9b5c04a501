/**
 * Reads the manifests of a commit, as bytes for the parser.
 *
 * Files are addressed by the hash of their content and come from the cache first, so that an
 * unchanged file costs nothing. What is missing is fetched up to a budget: a large set arrives over
 * several calls, each of which gets further. Refuses what the command line would read otherwise
 * than this: links.
 */
import { failure, success } from "../model/result.ts";
import { CONFIG_PATH, isManifestPath } from "./manifest-paths.ts";
import type { CommitRef, GithubReader, GithubResult, TreeFile } from "./port.ts";

/** Keeps contents by their hash, for ever or as long as it likes. */
export interface BlobCache {
  get(blobSha: string): Uint8Array | null | Promise<Uint8Array | null>;
  set(blobSha: string, bytes: Uint8Array): void | Promise<void>;
}

/** As the parser takes it. */
export interface FoundFile {
  readonly path: string;
  readonly text: Uint8Array;
}

export type FoundManifests =
  | {
      readonly kind: "complete";
      /** Sorted by path. */
      readonly files: readonly FoundFile[];
      /** `shardctl.yaml` at the root; null when there is none. */
      readonly config: FoundFile | null;
    }
  /** The budget is used up: what came is in the cache, and the next call goes on. */
  | { readonly kind: "incomplete"; readonly fetched: number; readonly missing: number };

export interface FindOptions {
  /** Files that may be fetched, 0 or more. Default 500. */
  readonly fetchesMax?: number;
}

/** One manifest for each of the 50,000 namespaces that the parser takes. */
export const FILES_MAX = 50_000;
/** Of one file: what the parser takes. */
export const FILE_BYTES_MAX = 1024 * 1024;
/** Of all files: they lie in the memory of a Worker (128 MB) at once, and are decoded there. */
export const SET_BYTES_MAX = 24 * 1024 * 1024;
const FETCHES_MAX = 500;
const FETCHES_AT_ONCE = 8;

export async function findManifests(
  reader: GithubReader,
  commit: CommitRef,
  folder: string,
  cache: BlobCache,
  options: FindOptions = {},
): Promise<GithubResult<FoundManifests>> {
  const listed = await listManifests(reader, commit, folder);
  if (!listed.ok) return listed;
  const found = new Map<string, Uint8Array>();
  const missing: TreeFile[] = [];
  for (const file of listed.value) {
    const bytes =
      file.bytes > FILE_BYTES_MAX
        ? new Uint8Array(FILE_BYTES_MAX + 1)
        : await cache.get(file.blobSha);
    if (bytes === null) missing.push(file);
    else found.set(file.path, bytes);
  }
  const wanted = uniqueBlobs(missing);
  const fetchable = wanted.slice(0, options.fetchesMax ?? FETCHES_MAX);
  for (let start = 0; start < fetchable.length; start += FETCHES_AT_ONCE) {
    const fetched = await fetchBlobs(
      reader,
      fetchable.slice(start, start + FETCHES_AT_ONCE),
      cache,
    );
    if (!fetched.ok) return fetched;
    for (const file of missing) {
      const bytes = fetched.value.get(file.blobSha);
      if (bytes !== undefined) found.set(file.path, bytes);
    }
  }
  const left = wanted.length - fetchable.length;
  if (left > 0) return success({ kind: "incomplete", fetched: fetchable.length, missing: left });
  const files = listed.value.map(({ path }) => ({
    path,
    text: found.get(path) ?? new Uint8Array(),
  }));
  const config = files.find(({ path }) => path === CONFIG_PATH) ?? null;
  return success({
    kind: "complete",
    files: files.filter(({ path }) => path !== CONFIG_PATH),
    config,
  });
}

/** Manifests and config with their hashes, within the limits, sorted by path. */
async function listManifests(
  reader: GithubReader,
  commit: CommitRef,
  folder: string,
): Promise<GithubResult<readonly TreeFile[]>> {
  const below = await reader.files(commit, folder);
  if (!below.ok) return below;
  const config = await reader.file(commit, CONFIG_PATH);
  if (!config.ok) return config;
  const manifests = below.value.filter(
    ({ path }) => path !== CONFIG_PATH && isManifestPath(path, folder),
  );
  const files = config.value === null ? manifests : [...manifests, config.value];
  const link = files.find(({ isLink }) => isLink);
  if (link !== undefined) {
    return refuse(
      `${link.path} is a symbolic link. Put the file itself there, or move the link out of ${folder}.`,
    );
  }
  if (files.length > FILES_MAX) {
    return refuse(
      `There are ${count(files.length)} manifests below ${folder}; at most ${count(FILES_MAX)} are read. Put several documents into one file.`,
    );
  }
  const bytes = files.reduce((sum, file) => sum + Math.min(file.bytes, FILE_BYTES_MAX), 0);
  if (bytes > SET_BYTES_MAX) {
    return refuse(
      `The manifests below ${folder} have ${count(bytes)} bytes; at most ${count(SET_BYTES_MAX)} are read. Split them over several reconcilers.`,
    );
  }
  return success(files.toSorted((left, right) => (left.path < right.path ? -1 : 1)));
}

/** Two files with the same content are one blob. */
function uniqueBlobs(files: readonly TreeFile[]): readonly string[] {
  return [...new Set(files.map(({ blobSha }) => blobSha))];
}

async function fetchBlobs(
  reader: GithubReader,
  blobShas: readonly string[],
  cache: BlobCache,
): Promise<GithubResult<ReadonlyMap<string, Uint8Array>>> {
  const fetched = new Map<string, Uint8Array>();
  const answers = await Promise.all(
    blobShas.map(async (blobSha) => ({ blobSha, blob: await reader.blob(blobSha) })),
  );
  let failed: GithubResult<never> | null = null;
  for (const { blobSha, blob } of answers) {
    if (!blob.ok) {
      failed ??= blob;
      continue;
    }
    await cache.set(blobSha, blob.value);
    fetched.set(blobSha, blob.value);
  }
  return failed ?? success(fetched);
}

function refuse(message: string): GithubResult<never> {
  return failure({ kind: "invalid", message, retryAt: null });
}

function count(value: number): string {
  return value.toLocaleString("en-US");
}
