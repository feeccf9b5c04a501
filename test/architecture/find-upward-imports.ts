/**
 * Finds imports that go up from one floor to a higher one, and those that a table does not allow.
 *
 * Reads import statements as the formatter leaves them: in double quotes, each at the start of a
 * line. A type import counts like any other, and so do `export … from` and `import("…")`. What is
 * behind a path is the compiler's to judge.
 */
import { posix } from "node:path";

import { assertNever } from "../../src/model/result.ts";
import type { Floors } from "./floors.ts";

export type FloorProblem =
  | { readonly kind: "upward"; readonly from: string; readonly to: string }
  /** Of a room below, but not of one that the table allows. */
  | { readonly kind: "notAllowed"; readonly from: string; readonly to: string }
  /** Allowed by the table, and made by no file. */
  | { readonly kind: "unused"; readonly room: string; readonly imported: string }
  /** A room that no floor is named for. */
  | { readonly kind: "unknownRoom"; readonly room: string }
  /** A floor that is no room of the folder. */
  | { readonly kind: "noSuchRoom"; readonly room: string };

/**
 * @param files text of each file by its path from the root of the repository; those outside of the
 * folder are skipped.
 * @returns in the order of paths, then of the table; empty when every import goes down or stays in
 * its room.
 */
export function findUpwardImports(
  floors: Floors,
  files: ReadonlyMap<string, string>,
): FloorProblem[] {
  const { rooms, imports } = floors;
  const wrong: FloorProblem[] = [];
  const found = new Set<string>();
  const used = new Set<string>();
  for (const [from, text] of [...files].toSorted(([left], [right]) => (left < right ? -1 : 1))) {
    const own = roomOf(floors, from);
    if (own === null) continue;
    found.add(own);
    for (const to of readImports(from, text)) {
      const other = roomOf(floors, to);
      if (other === null || other === own) continue;
      used.add(`${own} ${other}`);
      if (rooms.indexOf(other) > rooms.indexOf(own)) wrong.push({ kind: "upward", from, to });
      else if (imports !== undefined && !imports[own]?.includes(other))
        wrong.push({ kind: "notAllowed", from, to });
    }
  }
  return [
    ...wrong,
    ...Object.entries(imports ?? {}).flatMap(([room, allowed]) =>
      allowed
        .filter((other) => !used.has(`${room} ${other}`))
        .map((other) => ({ kind: "unused", room, imported: other }) as const),
    ),
    ...[...found]
      .filter((room) => !rooms.includes(room))
      .map((room) => ({ kind: "unknownRoom", room }) as const),
    ...rooms
      .filter((room) => !found.has(room))
      .map((room) => ({ kind: "noSuchRoom", room }) as const),
  ];
}

/** Says what is wrong and what to do, in one line. */
export function describeProblem(floors: Floors, problem: FloorProblem): string {
  const { folder, rooms } = floors;
  switch (problem.kind) {
    case "upward":
      return `${problem.from} imports ${problem.to}, a floor above it. From the ground up: ${rooms.join(", ")}.`;
    case "notAllowed":
      return `${problem.from} imports ${problem.to}, which ${roomOf(floors, problem.from)} is not allowed in test/architecture/floors.ts.`;
    case "unused":
      return `No file of ${folder}/${problem.room} imports ${problem.imported}: take it out of its row in test/architecture/floors.ts.`;
    case "unknownRoom":
      return `${folder}/${problem.room} is on no floor: put it into test/architecture/floors.ts.`;
    case "noSuchRoom":
      return `${folder}/${problem.room} is not there: take it out of test/architecture/floors.ts.`;
    default:
      return assertNever(problem);
  }
}

/**
 * Statements of any number of lines; a quote or a semicolon ends the search for the `from` of one.
 */
const STATEMENT = /^(?:import|export)\s(?:[^;"]*?\sfrom\s)?\s*"([^"]+)"/gm;
const CALL = /\bimport\(\s*"([^"]+)"\s*\)/g;

/** The files that a file imports, by their paths from the root; packages are left out. */
function readImports(path: string, text: string): string[] {
  return [...text.matchAll(STATEMENT), ...text.matchAll(CALL)]
    .map(([, specifier = ""]) => specifier)
    .filter((specifier) => specifier.startsWith("."))
    .map((specifier) => posix.join(posix.dirname(path), specifier));
}

/** The name of the room that a file lies in, or null outside of the folder. */
function roomOf({ folder }: Floors, path: string): string | null {
  if (!path.startsWith(`${folder}/`)) return null;
  return path.slice(folder.length + 1).split("/")[0] ?? null;
}
