import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

import { SCALED, type SourceEdit } from "./edit-sources.ts";
import { FORMER_BUGS } from "./former-bugs.ts";
import { HAZARD_MUTANTS } from "./hazard-mutants.ts";
import { MUTANTS } from "./mutants.ts";

const SOURCE_FOLDER = new URL("../../src/", import.meta.url);

/** How often the text of an edit stands in its file. */
function timesFound({ file, find }: SourceEdit): number {
  return readFileSync(fileURLToPath(new URL(file, SOURCE_FOLDER).href), "utf8").split(find).length - 1;
}

describe("the edits of the simulator", () => {
  const named = [...MUTANTS, ...HAZARD_MUTANTS, ...FORMER_BUGS, { name: "scaled", edits: SCALED }];

  it.each(named.map(({ name, edits }) => [name, edits] as const))("%s: each text stands once in its file", (_, edits) => {
    expect(edits.filter((edit) => timesFound(edit) !== 1)).toEqual([]);
  });
});
