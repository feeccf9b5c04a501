/**
 * The glossary: each word stands in it once, and no folder of the sources goes by a word that it
 * lacks.
 */
import { globSync, readFileSync } from "node:fs";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";

import { expect, it } from "vitest";

const ROOT = fileURLToPath(new URL("../../", import.meta.url).href);
const GLOSSARY = readFileSync(`${ROOT}docs/glossary.md`, "utf8");
const WORDS = [...GLOSSARY.matchAll(/^\| \*\*(.+?)\*\* +\|/gm)].flatMap(([, words = ""]) =>
  words.split(", "),
);
/** Words that any reader of programs knows, and products. */
const PLAIN: ReadonlySet<string> = new Set([
  "access",
  "cli",
  "commands",
  "dev",
  "github",
  "html",
  "init",
  "manifest",
  "metrics",
  "model",
  "page",
  "planning",
  "render",
  "routes",
  "server",
  "storage",
  "things",
]);
/** Folders whose word stands in the glossary in another form. */
const SAME: Readonly<Record<string, string>> = {
  alerts: "alert",
  history: "event",
  live: "desired",
  pauses: "pause",
  pulls: "review",
  reconcile: "verdict",
  reviews: "review",
  runs: "run",
  strategies: "strategy",
  wire: "protocol",
  shards: "shard",
};

it("has each word once", () => {
  expect(WORDS.length).toBeGreaterThan(50);
  expect(WORDS.filter((word, index) => WORDS.indexOf(word) !== index)).toEqual([]);
});

it("has the word of every folder of src", () => {
  const folders = globSync("src/**/", { cwd: ROOT }).map((folder) => basename(folder));
  const unknown = [...new Set(folders)].filter((folder) => {
    if (folder === "src" || PLAIN.has(folder)) return false;
    return !WORDS.includes(SAME[folder] ?? folder);
  });
  expect(unknown).toEqual([]);
});
