/**
 * Manifests of a commit: the same files that the command line finds, each fetched once, within
 * limits.
 */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { readManifestFiles } from "../../src/cli/manifest-files.ts";
import {
  FILE_BYTES_MAX,
  type BlobCache,
  findManifests,
  SET_BYTES_MAX,
} from "../../src/github/find-manifests.ts";
import { findPullOfMerge } from "../../src/github/find-pull.ts";
import { isManifestPath, touchesManifests } from "../../src/github/manifest-paths.ts";
import type { GithubReader, TreeFile } from "../../src/github/port.ts";
import { FILE_BYTES_MAX as PARSER_BYTES_MAX, parseManifests } from "../../src/manifest/index.ts";
import { success } from "../../src/model/result.ts";
import { closePlace, failureOf, openPlace, type Place, valueOf } from "./support.ts";

const FILES = {
  "README.md": "# data",
  "manifests/a.yaml": "a",
  "manifests/B.YML": "b",
  "manifests/deep/er/c.yaml": "c",
  "manifests/same.yaml": "a",
  "manifests/.hidden/d.yaml": "d",
  "manifests/node_modules/x/e.yaml": "e",
  "manifests/.dot.yaml": "f",
  "manifests/notes.txt": "n",
  "other/g.yaml": "g",
  "shardctl.yaml": "config",
};

let place: Place;

beforeEach(async () => {
  place = await openPlace(FILES);
});

afterEach(() => closePlace(place));

function createCache(): BlobCache & { readonly blobs: Map<string, Uint8Array> } {
  const blobs = new Map<string, Uint8Array>();
  return {
    blobs,
    get: (sha) => blobs.get(sha) ?? null,
    set: (sha, bytes) => void blobs.set(sha, bytes),
  };
}

const blobReads = () => place.github.journal.find("GET", "/git/blobs/").length;

async function find(folder: string, cache: BlobCache, fetchesMax?: number) {
  const head = valueOf(await place.client.branchHead("main"));
  return findManifests(
    place.client,
    head,
    folder,
    cache,
    fetchesMax === undefined ? {} : { fetchesMax },
  );
}

describe("manifests", () => {
  it("are the files that the command line finds, and the config beside them", async () => {
    const found = valueOf(await find("manifests", createCache()));
    if (found.kind !== "complete") throw new Error("incomplete");
    const folder = await mkdtemp(join(tmpdir(), "shardctl-find-"));
    try {
      for (const [path, text] of Object.entries(FILES)) {
        await mkdir(dirname(join(folder, path)), { recursive: true });
        await writeFile(join(folder, path), text);
      }
      const local = await readManifestFiles(folder, ["manifests"]);
      if (!local.ok) throw new Error("The command line found nothing");
      const text = (files: readonly { readonly path: string; readonly text: Uint8Array }[]) =>
        files
          .map(({ path, text: bytes }) => `${path}: ${new TextDecoder().decode(bytes)}`)
          .toSorted();
      expect(text(found.files)).toEqual(text(local.value));
    } finally {
      await rm(folder, { recursive: true });
    }
    expect(new TextDecoder().decode(found.config?.text)).toBe("config");
    expect(found.files.map(({ path }) => path)).toEqual(
      found.files.map(({ path }) => path).toSorted(),
    );
  });

  it("of the whole repository do not count the config among them", async () => {
    const found = valueOf(await find(".", createCache()));
    expect(found.kind === "complete" && found.files.map(({ path }) => path)).toContain(
      "other/g.yaml",
    );
    expect(found.kind === "complete" && found.files.map(({ path }) => path)).not.toContain(
      "shardctl.yaml",
    );
  });

  it("that have not changed are not fetched again, nor two that are the same", async () => {
    const cache = createCache();
    valueOf(await find("manifests", cache));
    expect(blobReads()).toBe(5);
    valueOf(await find("manifests", cache));
    expect(blobReads()).toBe(5);
    place.github.commit(place.repo, { files: { "manifests/a.yaml": "changed" } });
    const found = valueOf(await find("manifests", cache));
    expect(blobReads()).toBe(6);
    expect(
      found.kind === "complete" &&
        new TextDecoder().decode(found.files.find(({ path }) => path.endsWith("/a.yaml"))?.text),
    ).toBe("changed");
  });

  it("that are many arrive over several calls", async () => {
    const cache = createCache();
    expect(valueOf(await find("manifests", cache, 2))).toEqual({
      kind: "incomplete",
      fetched: 2,
      missing: 3,
    });
    expect(valueOf(await find("manifests", cache, 2))).toEqual({
      kind: "incomplete",
      fetched: 2,
      missing: 1,
    });
    expect(valueOf(await find("manifests", cache, 2)).kind).toBe("complete");
    expect(blobReads()).toBe(5);
  });

  it("that came before a failure are kept", async () => {
    const cache = createCache();
    place.github.faults.failNext({ path: "/git/blobs/", status: 404 });
    expect((await find("manifests", cache)).ok).toBe(false);
    valueOf(await find("manifests", cache));
    expect(blobReads()).toBe(6);
  });

  it("are none in a folder that is not there", async () => {
    const found = valueOf(await find("nowhere", createCache()));
    expect(found).toMatchObject({ kind: "complete", files: [] });
  });
});

describe("limits", () => {
  const commit = { sha: "1".repeat(40), treeSha: "2".repeat(40) };

  function readerOf(files: readonly Partial<TreeFile>[]): GithubReader {
    const listed = files.map((file, index) => ({
      path: `manifests/${index}.yaml`,
      blobSha: String(index).padStart(40, "0"),
      bytes: 1,
      isLink: false,
      ...file,
    }));
    return {
      files: async () => success(listed),
      file: async () => success(null),
      blob: async () => success(new Uint8Array(1)),
    } as unknown as GithubReader;
  }

  it("a file too large for the parser is not fetched, and refused by the parser with its own message", async () => {
    expect(FILE_BYTES_MAX).toBe(PARSER_BYTES_MAX);
    place.github.commit(place.repo, { files: { "large/x.yaml": "x".repeat(FILE_BYTES_MAX + 1) } });
    const found = valueOf(await find("large", createCache()));
    if (found.kind !== "complete") throw new Error("incomplete");
    expect(blobReads()).toBe(1);
    expect(parseManifests(found.files, { environment: null }).errors).toMatchObject([
      { file: "large/x.yaml", kind: "limit" },
    ]);
  });

  it.each([
    [
      "a symbolic link",
      [{ isLink: true, path: "manifests/link.yaml" }],
      /manifests\/link\.yaml is a symbolic link/,
    ],
    [
      "too many files",
      Array.from({ length: 50_001 }, () => ({})),
      /There are 50,001 manifests below manifests; at most 50,000 are read/,
    ],
    [
      "too many bytes",
      Array.from({ length: 25 }, () => ({ bytes: FILE_BYTES_MAX })),
      new RegExp(`at most ${SET_BYTES_MAX.toLocaleString("en-US")} are read`),
    ],
  ])("%s is refused with the way out", async (_, files, message) => {
    expect(
      failureOf(await findManifests(readerOf(files), commit, "manifests", createCache())),
    ).toMatchObject({
      kind: "invalid",
      message: expect.stringMatching(message) as string,
    });
  });
});

describe("paths", () => {
  it.each([
    ["manifests/a.yaml", "manifests", true],
    ["manifests/a.yaml", "./manifests/", true],
    ["manifests/x/a.YML", "manifests", true],
    ["manifests2/a.yaml", "manifests", false],
    ["a.yaml", "manifests", false],
    ["a.yaml", ".", true],
    ["x/y/a.yml", "x/y", true],
    ["manifests/a.yaml.txt", "manifests", false],
    ["manifests/.git/a.yaml", "manifests", false],
    [".github/a.yaml", ".", false],
  ])("%s below %s: %s", (path, folder, expected) => {
    expect(isManifestPath(path, folder)).toBe(expected);
  });

  it("a pull request touches manifests by a manifest or the config", () => {
    expect(touchesManifests(["README.md", "src/a.ts"], "manifests")).toBe(false);
    expect(touchesManifests(["README.md", "manifests/old.yaml"], "manifests")).toBe(true);
    expect(touchesManifests(["shardctl.yaml"], "manifests")).toBe(true);
    expect(touchesManifests(["deep/shardctl.yaml"], "manifests")).toBe(false);
    expect(touchesManifests([], ".")).toBe(false);
  });
});

describe("the pull request of a merge", () => {
  it.each(["merge", "squash", "rebase"] as const)("is found after a %s", async (method) => {
    const pull = place.github.openPull(place.repo, {
      head: "more",
      title: "More",
      files: { "manifests/a.yaml": "more" },
    });
    const sha = place.github.mergePull(pull, { method });
    expect(valueOf(await findPullOfMerge(place.client, sha, "main"))).toMatchObject({
      number: pull.number,
      state: "merged",
    });
    expect(valueOf(await findPullOfMerge(place.client, sha, "release"))).toBeNull();
  });

  it("is found after the merge queue", async () => {
    const pull = place.github.openPull(place.repo, {
      head: "more",
      title: "More",
      files: { "manifests/a.yaml": "more" },
    });
    place.github.enqueue(pull);
    const sha = place.github.landQueue(pull);
    expect(valueOf(await findPullOfMerge(place.client, sha, "main"))).toMatchObject({
      number: pull.number,
    });
  });

  it("is the one that was merged as this commit, not one stacked on it", async () => {
    const first = place.github.openPull(place.repo, {
      head: "first",
      title: "First",
      files: { "manifests/a.yaml": "1" },
    });
    const second = place.github.openPull(place.repo, {
      head: "second",
      title: "Second",
      files: { "manifests/z.yaml": "2" },
    });
    const firstSha = place.github.mergePull(first, { method: "merge" });
    const secondSha = place.github.mergePull(second, { method: "merge" });
    expect(valueOf(await findPullOfMerge(place.client, firstSha, "main"))?.number).toBe(
      first.number,
    );
    expect(valueOf(await findPullOfMerge(place.client, secondSha, "main"))?.number).toBe(
      second.number,
    );
  });

  it("is none for a direct push, and for a commit inside of one", async () => {
    const pushed = place.github.commit(place.repo, { files: { "manifests/a.yaml": "direct" } });
    expect(valueOf(await findPullOfMerge(place.client, pushed, "main"))).toBeNull();
    const pull = place.github.openPull(place.repo, {
      head: "more",
      title: "More",
      files: { "manifests/a.yaml": "more" },
    });
    const inside = pull.head.sha;
    place.github.mergePull(pull, { method: "merge" });
    expect(valueOf(await findPullOfMerge(place.client, inside, "main"))).toBeNull();
  });
});
