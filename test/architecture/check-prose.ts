/** Reports the prose faults of the project's sources and manuals; ends with 1 when there is any. */
import { globSync, readFileSync } from "node:fs";

import {
  findManualFaults,
  findMessageFaults,
  findProseFaults,
  type ProseFault,
} from "./find-prose-faults.ts";

/** Written by other programs. */
const FOREIGN = ["test/fixtures/old-library.js", "test/fixtures/old-library.d.ts"];
const CHECKS: readonly {
  readonly files: readonly string[];
  readonly find: (text: string) => ProseFault[];
}[] = [
  {
    files: globSync("{{src,test,schemas}/**/*.ts,*.mts}", { exclude: FOREIGN }),
    find: findProseFaults,
  },
  { files: globSync("src/**/*.ts"), find: findMessageFaults },
  // A decision is a record of its day, and no manual.
  { files: globSync("{*.md,docs/*.md}"), find: findManualFaults },
];

const faults = CHECKS.flatMap(({ files, find }) =>
  files
    .toSorted()
    .flatMap((file) =>
      find(readFileSync(file, "utf8")).map(({ line, reason }) => `${file}:${line} ${reason}`),
    ),
);
for (const fault of new Set(faults)) process.stdout.write(`${fault}\n`);
if (faults.length > 0) process.exitCode = 1;
