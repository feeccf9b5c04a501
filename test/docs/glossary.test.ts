/**
 * The glossary: each word stands in it once, and neither a folder of the sources nor a name that
 * the package exports uses a word that it lacks.
 */
import { globSync, readFileSync } from "node:fs";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";

import { describe, expect, it } from "vitest";

const ROOT = fileURLToPath(new URL("../../", import.meta.url).href);
const GLOSSARY = readFileSync(`${ROOT}docs/glossary.md`, "utf8");
const TERMS = [...GLOSSARY.matchAll(/^\| \*\*(.+?)\*\* +\|/gm)].flatMap(([, terms = ""]) =>
  terms.split(", "),
);
/** Each word of a term: `shard key` defines the key too. */
const WORDS: ReadonlySet<string> = new Set(TERMS.flatMap((term) => term.split(" ")));
/** The files behind `exports` of package.json. */
const ENTRIES = [
  "src/shards/index.ts",
  "src/shards/router.ts",
  "src/server/index.ts",
  "src/manifest/index.ts",
];

/** Words that need no definition here, by reason. */
const EXCUSED = {
  folders: {
    "any reader of programs knows it": "commands init metrics model page planning server storage",
    "a standard or a product": "cli dev github html",
    "a verb, or what it makes": "access render routes",
  },
  exports: {
    "any reader of programs knows it":
      "bytes credentials error failure file format input kind max object options query result " +
      "stats table version",
    "a standard or a product": "access api cloudflare github json oidc schema worker",
    "plain English":
      "default entry health initial nesting outcome parts place position reply report",
    "a verb, or what it made": "connect create parse parsed refused render state stored",
  },
} as const;

/** Words that the glossary has in another form. */
const FORMS: Readonly<Record<string, string>> = {
  alerts: "alert",
  pauses: "pause",
  pulls: "pull",
  reviews: "review",
  routed: "router",
  runs: "run",
  sharded: "shard",
  shards: "shard",
  strategies: "strategy",
  things: "thing",
};

function excusedOf(reasons: Readonly<Record<string, string>>): string[] {
  return Object.values(reasons).flatMap((words) => words.split(" "));
}

/** Words of names that neither the glossary has nor anybody excuses. */
function unknownOf(words: Iterable<string>, excused: readonly string[]): string[] {
  return [...new Set(words)].filter(
    (word) =>
      !excused.includes(word) &&
      ![word, FORMS[word] ?? word, word.replace(/s$/, "")].some(
        (form) => WORDS.has(form) || excused.includes(form),
      ),
  );
}

function foldersOf(): string[] {
  return globSync("src/**/", { cwd: ROOT })
    .map((folder) => basename(folder))
    .filter((folder) => folder !== "src");
}

/** The names that an entry file lists or declares as exported. */
function exportsOf(file: string): string[] {
  const code = readFileSync(`${ROOT}${file}`, "utf8").replace(/\/\*.*?\*\//gs, "");
  const listed = [...code.matchAll(/^export (?:type )?\{([^}]*)\}/gm)].flatMap(([, names = ""]) =>
    [...names.matchAll(/(\w+)\s*(?:,|$)/g)].map(([, name = ""]) => name),
  );
  const declared = code.matchAll(/^export (?:interface|type|class|function|const) (\w+)/gm);
  return [...listed, ...[...declared].map(([, name = ""]) => name)];
}

/** `ShardHostOptions` is shard, host, options; `FILE_BYTES_MAX` is file, bytes, max. */
function wordsOf(name: string): string[] {
  return name.split(/_|(?<=[a-z])(?=[A-Z])/).map((word) => word.toLowerCase());
}

it("has each term once", () => {
  expect(TERMS.length).toBeGreaterThan(50);
  expect(TERMS.filter((term, index) => TERMS.indexOf(term) !== index)).toEqual([]);
});

it("has the word of every folder of src", () => {
  expect(unknownOf(foldersOf(), excusedOf(EXCUSED.folders))).toEqual([]);
});

describe("the exported names", () => {
  it.each(ENTRIES)("of %s are found", (file) => {
    expect(exportsOf(file).length).toBeGreaterThan(3);
  });

  it("use the words of the glossary", () => {
    const words = ENTRIES.flatMap(exportsOf).flatMap(wordsOf);
    expect(unknownOf(words, excusedOf(EXCUSED.exports))).toEqual([]);
  });
});

it("excuses no word that nothing uses", () => {
  const words = new Set(ENTRIES.flatMap(exportsOf).flatMap(wordsOf));
  const isUsed = (word: string) => words.has(word) || words.has(`${word}s`);
  expect(excusedOf(EXCUSED.exports).filter((word) => !isUsed(word))).toEqual([]);
  const folders = foldersOf();
  expect(excusedOf(EXCUSED.folders).filter((word) => !folders.includes(word))).toEqual([]);
});
