/**
 * Keeps docs/guarantees.md honest: each of the twelve things that production does has its row,
 * which names a test that exists or says `open:` and what is not kept yet. Every path that the page
 * names exists.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { describe, expect, it } from "vitest";

const ROOT = fileURLToPath(new URL("../../", import.meta.url).href);
const PAGE = readFileSync(join(ROOT, "docs/guarantees.md"), "utf8");
const NUMBERS = Array.from({ length: 12 }, (_, index) => `P${index + 1}`);

const section = PAGE.split(/^## /mu).find((text) => text.startsWith("In production\n")) ?? "";
const rows = [...section.matchAll(/^\| (P\d+)\b(.*)\|$/gmu)].map(([, number = "", rest = ""]) => {
  const [, situation = "", holds = "", today = ""] = rest.split("|").map((cell) => cell.trim());
  return { number, situation, holds, today };
});

describe("in production", () => {
  it("every rule has one row, in order", () => {
    expect(rows.map(({ number }) => number)).toEqual(NUMBERS);
  });

  it.each(rows)("$number says what happens, and what must hold", ({ situation, holds }) => {
    expect(situation).toMatch(/^\*\*[^*]+\.\*\* .{20,}|^\*\*[^*]+\.\*\*$/u);
    expect(holds.length).toBeGreaterThan(40);
  });

  it.each(rows)("$number names a test, or says what is open", ({ today }) => {
    const tests = [...today.matchAll(/\]\(([^)]+)\)/gu)].map((match) => match[1] ?? "");
    expect(
      tests.filter(
        (path) =>
          !/^\.\.\/test\/.*\.test\.ts$/u.test(path) || !existsSync(join(ROOT, "docs", path)),
      ),
    ).toEqual([]);
    const [, open] = /\bopen: (.*)$/u.exec(today) ?? [];
    // An open promise is stated in words.
    const isSaid = open === undefined ? tests.length > 0 : open.length > 20;
    expect(isSaid, "names neither a test nor what is open").toBe(true);
  });
});

it("every path that it names exists", () => {
  const paths = [...PAGE.matchAll(/`((?:src|test)\/[^`\s]+)`/gu)].map((match) => match[1] ?? "");
  expect(paths.length).toBeGreaterThan(10);
  const exists = (path: string): boolean =>
    ["", ".test.ts", ".workers.test.ts"].some((ending) =>
      existsSync(join(ROOT, `${path}${ending}`)),
    );
  expect(paths.filter((path) => !exists(path))).toEqual([]);
});
