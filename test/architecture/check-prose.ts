/** Reports what `findProseFaults` finds in the project's sources; ends with 1 when there is any. */
import { globSync, readFileSync } from "node:fs";

import { findProseFaults } from "./find-prose-faults.ts";

/** Written by other programs. */
const FOREIGN = ["test/fixtures/old-library.js", "test/fixtures/old-library.d.ts"];

const files = globSync("{src,test,schemas}/**/*.ts", { exclude: FOREIGN }).toSorted();
const lines = files.flatMap((file) =>
  findProseFaults(readFileSync(file, "utf8")).map(
    ({ line, reason }) => `${file}:${line} ${reason}`,
  ),
);
for (const line of lines) process.stdout.write(`${line}\n`);
if (lines.length > 0) process.exitCode = 1;
