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
  // The lines that begin a test, also below the table of its cases.
  const names = read(path)
    .split("\n")
    .filter((line) => /\b(it|describe)(\.each)?\(|\)\(/.test(line))
    .join("\n");
  expect(names).toContain(words);
});
