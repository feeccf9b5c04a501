/**
 * Writes the JSON Schemas of this folder from the zod schemas: `node schemas/generate.ts`.
 * With `--check` it writes nothing, and exits with 1 when a file is stale.
 */
import { readFileSync, writeFileSync } from "node:fs";

import { jsonSchemas } from "../src/manifest/json-schemas.ts";
import { stateJsonSchema } from "../src/server/state-schema.ts";

const isCheck = process.argv.includes("--check");
const stale: string[] = [];

for (const { name, text } of [...jsonSchemas(), stateJsonSchema()]) {
  const path = `${import.meta.dirname}/${name}`;
  if (readIfPresent(path) === text) continue;
  stale.push(`schemas/${name}`);
  if (!isCheck) writeFileSync(path, text);
}

if (stale.length === 0) process.stdout.write("schemas: up to date\n");
else if (isCheck) {
  process.stderr.write(`schemas: stale: ${stale.join(", ")}. Write them anew with: npm run schemas\n`);
  process.exitCode = 1;
} else process.stdout.write(`schemas: wrote ${stale.join(", ")}\n`);

function readIfPresent(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
}
