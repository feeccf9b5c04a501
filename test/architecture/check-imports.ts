/**
 * Checks that the rooms of `src`, and those of `src/shards`, import downward only and what their
 * table allows: `node test/architecture/check-imports.ts`. It exits with 1 when one does not.
 * Circles of files, within a room too, are the linter's rule `import/no-cycle`.
 */
import { readFileSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { describeProblem, findUpwardImports } from "./find-upward-imports.ts";
import { SHARDS_FLOORS, SRC_FLOORS } from "./floors.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url).href);

for (const floors of [SRC_FLOORS, SHARDS_FLOORS]) {
  const { folder } = floors;
  const paths = readdirSync(`${ROOT}${folder}`, { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".ts"))
    .map((path) => `${folder}/${path.replaceAll("\\", "/")}`);
  const files = new Map(paths.map((path) => [path, readFileSync(`${ROOT}${path}`, "utf8")]));
  const problems = findUpwardImports(floors, files);
  if (problems.length === 0)
    process.stdout.write(`imports: ${files.size} files of ${folder} import downward\n`);
  for (const problem of problems)
    process.stderr.write(`imports: ${describeProblem(floors, problem)}\n`);
  if (problems.length > 0) process.exitCode = 1;
}
