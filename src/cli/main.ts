#!/usr/bin/env node
/**
 * The entry of the `shardctl` bin: wires the real process to `runCli`, and survives readers that go
 * away.
 */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { EXIT } from "./exit-codes.ts";
import { nodeHost } from "./host.ts";
import { runCli } from "./program.ts";

// `shardctl … | head`: the reader has seen enough. Nothing is wrong, and nobody is left to tell.
for (const stream of [process.stdout, process.stderr]) {
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") process.exit(process.exitCode ?? EXIT.done);
    throw error;
  });
}

// Two folders up from both src/cli and dist/cli.
const manifest = JSON.parse(
  readFileSync(fileURLToPath(new URL("../../package.json", import.meta.url).href), "utf8"),
) as {
  readonly version: string;
};

// No process.exit here: it would cut off output that a pipe has not taken yet.
process.exitCode = await runCli(nodeHost(), manifest.version, process.argv.slice(2));
