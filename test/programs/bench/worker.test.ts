import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

import { describe, expect, it } from "vitest";

import { THIS_FOLDER, WORKER_FILE } from "./engine.ts";

/** The files that the package exports to the Workers of its users. */
const PUBLIC = ["src/shards/index.ts", "src/shards/router.ts"];

describe("the benchmark's Worker", () => {
  // `--against` builds it with the src of other commits: what is not exported may be named
  // differently there. Types are gone by then.
  it("takes nothing but types from files of src that the package does not export", () => {
    const folder = join(THIS_FOLDER, "test/programs/bench/worker");
    const files = [
      join(THIS_FOLDER, WORKER_FILE),
      ...readdirSync(folder).map((name) => join(folder, name)),
    ];
    const imports = files.flatMap((file) =>
      [
        ...readFileSync(file, "utf8").matchAll(
          /^(?:import|export) (?<clause>[^;]*?) from "[./]*\/(?<path>src\/[^"]+)"/gms,
        ),
      ].map(({ groups }) => ({
        isType: groups?.["clause"]?.startsWith("type ") === true,
        path: groups?.["path"] ?? "",
      })),
    );
    const values = imports.filter(({ isType }) => !isType).map(({ path }) => path);
    expect([...new Set(values)].toSorted()).toEqual(PUBLIC);
  });
});
