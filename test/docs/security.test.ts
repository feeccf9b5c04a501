/** Every threat of docs/security.md names a test; the test must be there. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { expect, it } from "vitest";

const DOCS = fileURLToPath(new URL("../../docs/", import.meta.url).href);
const HEAD = ["threat", "defence", "test"];

function read(path: string): string {
  return readFileSync(join(DOCS, path), "utf8");
}

/** The rows of every table with this head, whatever is in them. */
function rowsUnder(head: readonly string[], text: string): string[][] {
  const rows: string[][] = [];
  let isInside = false;
  for (const line of text.split("\n")) {
    const cells = line.startsWith("|") ? line.split("|").slice(1, -1) : null;
    if (cells === null) {
      isInside = false;
      continue;
    }
    const trimmed = cells.map((cell) => cell.trim());
    if (JSON.stringify(trimmed) === JSON.stringify(head)) isInside = true;
    else if (isInside && !/^-+$/.test(trimmed[0] ?? "")) rows.push(trimmed);
  }
  return rows;
}

const text = read("security.md");
const rows = rowsUnder(HEAD, text).map(([threat = "", defence = "", ...test]) => ({
  threat,
  defence,
  test: test.join("|"),
}));

it("names threats, each once, in tables that this test reads", () => {
  expect(rows.length).toBeGreaterThan(150);
  const threats = rows.map(({ threat }) => threat).filter((one) => !one.startsWith("the same"));
  expect(threats.filter((one, at) => threats.indexOf(one) !== at)).toEqual([]);
  const linked = text
    .split("\n")
    .filter((line) => line.startsWith("|") && line.includes("test.ts)"));
  expect(linked).toHaveLength(rows.length);
});

it.each(rows)("$threat: $test", ({ defence, test }) => {
  expect(defence).not.toBe("");
  const [, words = "", path = ""] = /^"([^"]+)" \(\[[^\]]+\]\(([^)]+)\)\)$/.exec(test) ?? [];
  expect(words).not.toBe("");
  expect(existsSync(join(DOCS, path))).toBe(true);
  // The text behind what begins a test, also below the table of its cases and on a line of its own.
  const names = [...read(path).matchAll(/(?:\b(?:it|describe)(?:\.\w+)?|\))\(\s*["`](.*)/g)];
  expect(names.map(([, name]) => name).join("\n")).toContain(words);
});
