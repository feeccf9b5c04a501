/** Every threat of docs/security.md names a test; the test must be there. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { expect, it } from "vitest";

const DOCS = fileURLToPath(new URL("../../docs/", import.meta.url).href);

function read(path: string): string {
  return readFileSync(join(DOCS, path), "utf8");
}

const rows = read("security.md")
  .split("\n")
  .filter((line) => line.startsWith("| ") && line.includes("test.ts)"))
  .map((line) => line.split("|").map((cell) => cell.trim()))
  .map(([, threat = "", , test = ""]) => ({ threat, test }));

it("names threats", () => {
  expect(rows.length).toBeGreaterThan(40);
});

it.each(rows)("$threat: $test", ({ test }) => {
  const [, words = "", path = ""] = /^"([^"]+)" \(\[[^\]]+\]\(([^)]+)\)\)$/.exec(test) ?? [];
  expect(existsSync(join(DOCS, path))).toBe(true);
  // The text behind what begins a test, also below the table of its cases and on a line of its own.
  const names = [...read(path).matchAll(/(?:\b(?:it|describe)(?:\.\w+)?|\))\(\s*["`](.*)/g)];
  expect(names.map(([, text]) => text).join("\n")).toContain(words);
});
