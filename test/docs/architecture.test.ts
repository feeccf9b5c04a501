/**
 * Keeps docs/architecture.md true: its map and its list have every room of `src`, and each file
 * that it names exists and has the name that stands beside it.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { describe, expect, it } from "vitest";

import { SRC_FLOORS } from "../architecture/floors.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url).href);
const PAGE = readFileSync(join(ROOT, "docs/architecture.md"), "utf8");

const WAYS = [
  "Manifest to comment",
  "Call to method",
  "Row to row",
  "Webhook to comment",
  "Tick to history",
];

/** The text below a heading, up to the next one. */
function partOf(heading: string): string {
  return PAGE.split(/^## /mu).find((text) => text.startsWith(`${heading}\n`)) ?? "";
}

interface Place {
  readonly file: string;
  readonly name: string;
}

/** The rows of a part's table that name a file and something in it. */
function placesOf(heading: string): Place[] {
  return [...partOf(heading).matchAll(/`(src\/[^`]+\.ts)` +\| `(\w+)` +\|/gu)].map(
    ([, file = "", name = ""]) => ({
      file,
      name,
    }),
  );
}

function rowCount(heading: string): number {
  return [...partOf(heading).matchAll(/^\|/gmu)].length - 2;
}

it("every path that it names exists", () => {
  const paths = [...PAGE.matchAll(/`(src\/[^`\s]+)`/gu)].map((match) => match[1] ?? "");
  expect(paths.length).toBeGreaterThan(80);
  expect(paths.filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
});

describe("the map", () => {
  it("draws every room", () => {
    const drawn = /^```text\n(.*?)^```/msu.exec(partOf("The map"))?.[1] ?? "";
    const folders = SRC_FLOORS.rooms.filter((room) => !room.endsWith(".ts"));
    expect(folders.filter((room) => !new RegExp(`[│─] ${room} `, "u").test(drawn))).toEqual([]);
  });

  it("lists every room from the top, with a file of its own to open first", () => {
    const rows = [...partOf("The map").matchAll(/^\| `([\w.]+)` +\| `src\/([^/`]+)[^`]*` +\|/gmu)];
    expect(rows.map(([, room]) => room)).toEqual(SRC_FLOORS.rooms.toReversed());
    expect(rows.filter(([, room, folder]) => room !== folder)).toEqual([]);
  });
});

describe.each(["Where is …", ...WAYS])("%s", (heading) => {
  it("names a file, and something in it, in every row", () => {
    expect(placesOf(heading).length).toBe(rowCount(heading));
    expect(placesOf(heading).length).toBeGreaterThan(7);
  });

  it.each(placesOf(heading))("$name is in $file", ({ file, name }) => {
    const text = readFileSync(join(ROOT, file), "utf8");
    expect(text).toMatch(
      new RegExp(`\\b(?:function|class|type|interface|const|async) ${name}\\b`, "u"),
    );
  });
});

it("CONTRIBUTING names only files and folders that exist", () => {
  const page = readFileSync(join(ROOT, "CONTRIBUTING.md"), "utf8");
  const named = [...page.matchAll(/`((?:src|test|docs|schemas)\/[\w./-]*)`/gu)].map(
    ([, path = ""]) => path,
  );
  expect(named.length).toBeGreaterThan(30);
  expect(named.filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
});
