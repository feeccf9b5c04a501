/** Shows that a name of the source says where it is: no two functions share one, no two files. */
import { readdir, readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";

import { expect, it } from "vitest";

const SRC = fileURLToPath(new URL("../../src/", import.meta.url).href);
const EXPORTED = /^export (?:async )?function\*? (\w+)/gm;

/** The names that more than one place has, each with its places. */
function shared(found: readonly (readonly [name: string, place: string])[]): string[] {
  const places = new Map<string, Set<string>>();
  for (const [name, place] of found) places.set(name, (places.get(name) ?? new Set()).add(place));
  return [...places]
    .filter(([, { size }]) => size > 1)
    .map(([name, files]) => `${name}: ${[...files].toSorted().join(", ")}`);
}

async function sourceFiles(folder: string): Promise<string[]> {
  const names = await readdir(join(SRC, folder), { recursive: true });
  return names.filter((name) => name.endsWith(".ts")).map((name) => join(folder, name));
}

it("gives no two exported functions of src the same name", async () => {
  const found = await Promise.all(
    (await sourceFiles("")).map(async (file) => {
      const source = await readFile(join(SRC, file), "utf8");
      return [...source.matchAll(EXPORTED)].map(([, name = ""]) => [name, file] as const);
    }),
  );
  expect(found.flat().length).toBeGreaterThan(500);
  expect(shared(found.flat())).toEqual([]);
});

it("gives no two files of the library the same name", async () => {
  const files = await sourceFiles("shards");
  expect(shared(files.map((file) => [basename(file), file] as const))).toEqual([]);
});

it("notices a name that two places share, not one that a place has twice", () => {
  const found = [
    ["judge", "a.ts"],
    ["judge", "b.ts"],
    ["move", "a.ts"],
    ["move", "a.ts"],
  ] as const;
  expect(shared(found)).toEqual(["judge: a.ts, b.ts"]);
});
