import { stripTypeScriptTypes } from "node:module";

import { describe, expect, it } from "vitest";

import { editSource, readSource, SCALED } from "./edit-sources.ts";
import { FORMER_BUGS } from "./former-bugs.ts";
import { HAZARD_MUTANTS } from "./hazard-mutants.ts";
import { MUTANTS } from "./mutants.ts";

describe("the edits of the simulator", () => {
  const named = [...MUTANTS, ...HAZARD_MUTANTS, ...FORMER_BUGS, { name: "scaled", edits: SCALED }];

  it.each(named.map(({ name, edits }) => [name, edits] as const))(
    "%s: each fits once, and leaves code",
    (_, edits) => {
      const sources = new Map<string, string>();
      for (const edit of edits)
        sources.set(edit.file, editSource(sources.get(edit.file) ?? readSource(edit.file), edit));
      expect(sources.size).toBeGreaterThan(0);
      for (const source of sources.values())
        expect(() => stripTypeScriptTypes(source)).not.toThrow();
    },
  );
});
