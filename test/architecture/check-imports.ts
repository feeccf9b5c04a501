/**
 * Checks that the rooms of `src/shards` import downward only: `node test/architecture/check-imports.ts`.
 * It exits with 1 when an import goes up. Circles of files, within a room too, are the linter's rule `import/no-cycle`.
 */
import { readFileSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { describeProblem, findUpwardImports } from "./find-upward-imports.ts";
import { SHARDS_FLOORS } from "./floors.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url).href);

const { folder } = SHARDS_FLOORS;
const paths = readdirSync(`${ROOT}${folder}`, { recursive: true, encoding: "utf8" })
  .filter((path) => path.endsWith(".ts"))
  .map((path) => `${folder}/${path.replaceAll("\\", "/")}`);
const files = new Map(paths.map((path) => [path, readFileSync(`${ROOT}${path}`, "utf8")]));
const problems = findUpwardImports(SHARDS_FLOORS, files);

if (problems.length === 0) process.stdout.write(`imports: ${files.size} files of ${folder} import downward\n`);
else {
  for (const problem of problems) process.stderr.write(`imports: ${describeProblem(SHARDS_FLOORS, problem)}\n`);
  process.exitCode = 1;
}
