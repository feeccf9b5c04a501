/**
 * Shows on small trees that a circle of types and an upward import are refused, and that a clean
 * tree passes.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { text as readText } from "node:stream/consumers";
import { fileURLToPath } from "node:url";

import { describe, expect, it } from "vitest";

import { temporaryFolder } from "../cli/support/run-cli.ts";
import { describeProblem, findUpwardImports, type FloorProblem } from "./find-upward-imports.ts";
import { SHARDS_FLOORS, SRC_FLOORS, type Floors } from "./floors.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url).href);
const FLOORS: Floors = { folder: "src/house", rooms: ["cellar", "hall", "attic", "roof.ts"] };
const CLEAN: Readonly<Record<string, string>> = {
  "src/house/cellar/wine.ts": `import { cork } from "./cork.ts";\nexport const wine = [cork];\n`,
  "src/house/cellar/cork.ts": `import type { Tree } from "../../garden/tree.ts";\nexport const cork: Tree = 1;\n`,
  "src/house/hall/door.ts": `export const door = "roof.ts";\n`,
  "src/house/attic/box.ts": `import {\n  door,\n} from "../hall/door.ts";\nexport type { Wine } from "../cellar/wine.ts";\nexport const box = door;\n`,
  "src/house/roof.ts": `export * from "./attic/box.ts";\n`,
  "src/garden/tree.ts": `import type { Roof } from "../house/roof.ts";\nexport type Tree = 1 | Roof;\n`,
};

function find(
  changes: Readonly<Record<string, string>>,
  floors: Partial<Floors> = {},
): FloorProblem[] {
  return findUpwardImports(
    { ...FLOORS, ...floors },
    new Map(Object.entries({ ...CLEAN, ...changes })),
  );
}

describe("floors", () => {
  it("let a tree pass in which rooms import themselves, those below, and what is outside", () => {
    expect(find({})).toEqual([]);
  });

  it.each([
    ["a value", `import { box } from "../attic/box.ts";\nexport const door = box;\n`],
    ["a type", `import type { Box } from "../attic/box.ts";\nexport type Door = Box;\n`],
    [
      "a type among values",
      `import { type Box, box } from "../attic/box.ts";\nexport const door: Box = box;\n`,
    ],
    [
      "several lines",
      `import {\n  box,\n  type Box,\n} from "../attic/box.ts";\nexport const door: Box = box;\n`,
    ],
    ["an effect", `import "../attic/box.ts";\n`],
    ["a namespace", `import * as box from "../attic/box.ts";\nexport const door = box;\n`],
    ["what is passed on", `export { box } from "../attic/box.ts";\n`],
    ["all types that are passed on", `export type * from "../attic/box.ts";\n`],
    ["a call", `export const open = async () => import("../attic/box.ts");\n`],
    [
      "an import after others",
      `import { z } from "zod";\n\nimport { box } from "../attic/box.ts";\nexport const door = [z, box];\n`,
    ],
  ])("refuse an upward import of %s", (_, text) => {
    expect(find({ "src/house/hall/door.ts": text })).toEqual([
      { kind: "upward", from: "src/house/hall/door.ts", to: "src/house/attic/box.ts" },
    ]);
  });

  it("count a file that lies in no folder as a room", () => {
    expect(
      find({
        "src/house/attic/box.ts": `import { roof } from "../roof.ts";\nexport const box = roof;\n`,
      }),
    ).toEqual([{ kind: "upward", from: "src/house/attic/box.ts", to: "src/house/roof.ts" }]);
  });

  it("do not take an example in a comment for an import", () => {
    expect(
      find({
        "src/house/hall/door.ts": `/**\n * import { box } from "../attic/box.ts";\n */\nexport const door = 1;\n`,
      }),
    ).toEqual([]);
  });

  it("refuse a room that is on no floor, and a floor that is no room", () => {
    const problems = find(
      { "src/house/shed/rake.ts": "export const rake = 1;\n" },
      { rooms: [...FLOORS.rooms, "tower"] },
    );
    expect(problems).toEqual([
      { kind: "unknownRoom", room: "shed" },
      { kind: "noSuchRoom", room: "tower" },
    ]);
  });

  it("name both files, and the order of the rooms", () => {
    expect(
      describeProblem(SHARDS_FLOORS, {
        kind: "upward",
        from: "src/shards/storage/a.ts",
        to: "src/shards/host/b.ts",
      }),
    ).toContain(
      "src/shards/storage/a.ts imports src/shards/host/b.ts, a floor above it. From the ground up: storage, protocol, ",
    );
  });
});

describe("a table of imports", () => {
  const imports = { cellar: [], hall: ["cellar"], attic: ["cellar", "hall"], "roof.ts": ["attic"] };
  const door = `import { wine } from "../cellar/wine.ts";\nexport const door = wine;\n`;

  it("lets a tree pass that makes just those", () => {
    expect(find({ "src/house/hall/door.ts": door }, { imports })).toEqual([]);
  });

  it("refuses one that it does not allow, of a type too", () => {
    expect(
      find(
        {
          "src/house/hall/door.ts": door,
          "src/house/roof.ts": `export type { Wine } from "./cellar/wine.ts";\nexport * from "./attic/box.ts";\n`,
        },
        { imports },
      ),
    ).toEqual([{ kind: "notAllowed", from: "src/house/roof.ts", to: "src/house/cellar/wine.ts" }]);
  });

  it("refuses an upward import even where it names the room", () => {
    const up = { ...imports, cellar: ["hall"], hall: [] };
    expect(
      find(
        { "src/house/cellar/cork.ts": `export { door } from "../hall/door.ts";\n` },
        { imports: up },
      ),
    ).toEqual([{ kind: "upward", from: "src/house/cellar/cork.ts", to: "src/house/hall/door.ts" }]);
  });

  it("has nothing that no file makes", () => {
    expect(find({}, { imports })).toEqual([{ kind: "unused", room: "hall", imported: "cellar" }]);
  });

  it("says what to do, in one line each", () => {
    const said = (problem: FloorProblem): string => describeProblem(SRC_FLOORS, problem);
    expect(said({ kind: "notAllowed", from: "src/cli/a.ts", to: "src/live/b.ts" })).toBe(
      "src/cli/a.ts imports src/live/b.ts, which cli is not allowed in test/architecture/floors.ts.",
    );
    expect(said({ kind: "unused", room: "cli", imported: "live" })).toBe(
      "No file of src/cli imports live: take it out of its row in test/architecture/floors.ts.",
    );
  });
});

describe("the lists of rooms in CONTRIBUTING.md", () => {
  it("say of each room of src what it may import, from the top", async () => {
    const page = await readFile(`${ROOT}CONTRIBUTING.md`, "utf8");
    const rows = page.slice(page.indexOf("| folder ")).split("\n\n")[0] ?? "";
    const listed = [...rows.matchAll(/^\| `src\/([^`]+)` .*\| ([^|]+)\|$/gm)].map(
      ([, room, allowed = ""]) => [room, allowed.trim()],
    );
    const { rooms, imports } = SRC_FLOORS;
    expect(listed).toEqual(
      rooms
        .toReversed()
        .map((room) => [room, imports?.[room]?.toReversed().join(", ") || "nothing"]),
    );
  });

  it("are those of the floors of src/shards, from the top", async () => {
    const page = await readFile(`${ROOT}CONTRIBUTING.md`, "utf8");
    const rows = page.slice(page.indexOf("| room ")).split("\n\n")[0] ?? "";
    const listed = [...rows.matchAll(/^\| `([^`]+)`/gm)].map(([, room]) => room);
    expect(listed).toEqual(SHARDS_FLOORS.rooms.filter((room) => room !== "index.ts").toReversed());
  });
});

interface LintRules {
  readonly rules: Readonly<Record<string, unknown>>;
  readonly overrides: readonly {
    readonly files: readonly string[];
    readonly rules: Readonly<Record<string, unknown>>;
  }[];
}

/**
 * The linter's exit code and report on a tree, under the project's own setting of the rule on
 * circles.
 */
async function lintCircles(
  files: Readonly<Record<string, string>>,
): Promise<{ readonly code: number; readonly report: string }> {
  await using folder = await temporaryFolder();
  const { rules } = await readLintRules();
  const config = {
    plugins: ["import"],
    categories: { correctness: "off" },
    rules: { "import/no-cycle": rules["import/no-cycle"] },
  };
  const all = Object.entries({ ...files, ".oxlintrc.json": JSON.stringify(config) });
  for (const [path, text] of all) {
    await mkdir(join(folder.path, dirname(path)), { recursive: true });
    await writeFile(join(folder.path, path), text);
  }
  const lint = spawn(process.execPath, [`${ROOT}node_modules/oxlint/bin/oxlint`, "src"], {
    cwd: folder.path,
  });
  const [report, code] = await Promise.all([
    readText(lint.stdout),
    once(lint, "close").then(([status]) => Number(status)),
  ]);
  return { code, report };
}

async function readLintRules(): Promise<LintRules> {
  return JSON.parse(await readFile(`${ROOT}.oxlintrc.json`, "utf8")) as LintRules;
}

describe("the linter's rule on circles", () => {
  it("refuses a circle of three files in which every import is of types, and names the files", async () => {
    const { code, report } = await lintCircles({
      "src/egg.ts": `import type { Hen } from "./farm/hen.ts";\nexport type Egg = Hen | 1;\n`,
      "src/farm/hen.ts": `export type { Chick } from "../chick.ts";\nexport type Hen = 1;\n`,
      "src/chick.ts": `import { type Egg } from "./egg.ts";\nexport type Chick = Egg[];\n`,
    });
    expect({ code, report }).toMatchObject({
      code: 1,
      report: expect.stringContaining("no-cycle"),
    });
    for (const file of ["src/egg.ts", "src/farm/hen.ts", "src/chick.ts"])
      expect(report).toContain(file);
  });

  it("lets a tree pass in which two files share a third", async () => {
    const { code, report } = await lintCircles({
      "src/egg.ts": `import type { Bird } from "./bird.ts";\nexport type Egg = Bird[];\n`,
      "src/hen.ts": `import type { Bird } from "./bird.ts";\nimport type { Egg } from "./egg.ts";\nexport type Hen = Bird | Egg;\n`,
      "src/bird.ts": `export type Bird = 1;\n`,
    });
    expect({ code, report }).toMatchObject({
      code: 0,
      report: expect.stringContaining("on 3 files"),
    });
  });

  it("is not loosened for anything in src", async () => {
    const { overrides } = await readLintRules();
    const loosened = overrides
      .filter(({ rules }) => "import/no-cycle" in rules)
      .flatMap(({ files }) => files);
    expect(loosened.filter((pattern) => !pattern.startsWith("test/"))).toEqual([]);
  });
});
