import { existsSync, mkdirSync, statfsSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";

import { cloudflareTest } from "@cloudflare/vitest-plugin";
import { defineConfig } from "vitest/config";

import { LongestFirst } from "./test/support/longest-first.ts";
import { hideRuntimeTraces } from "./test/support/quiet-runtime.ts";
import { RunSummary } from "./test/support/run-summary.ts";

const WORKERS_MIN = 4;

keepTemporaryFilesInMemory();
keepCompiledCode();
hideRuntimeTraces();

// `npm run test:long` is the mode `long`: see `test/support/sample.ts`.
// `unit`: pure code, in Node. `shards` and `control`: the two halves on the real runtime, in
// workerd. `e2e`: the CLI against whole runtimes, in Node. The files of the first three share
// processes and runtimes: starting one for each would cost a third of the time.
export default defineConfig(({ mode }) => ({
  test: {
    // Logs of the Worker under test are of interest when its test fails.
    silent: "passed-only",
    // Vitest would run one file at a time on two cores; the longest files wait most of their time.
    maxWorkers: Math.max(availableParallelism(), WORKERS_MIN),
    sequence: { sequencer: LongestFirst },
    // A file that was killing runtimes takes a while to go on a busy machine.
    teardownTimeout: 60_000,
    reporters: ["default", ...(mode === "long" ? [] : [new RunSummary()])],
    projects: [
      {
        test: {
          name: "unit",
          isolate: false,
          provide: { isLong: mode === "long" },
          include: ["test/**/*.test.ts"],
          exclude: [
            "test/**/*.workers.test.ts",
            "test/e2e/**",
            "test/crash/{crash,object-files,restore-stories}.test.ts",
          ],
          testTimeout: 60_000,
        },
      },
      {
        plugins: [
          cloudflareTest({ wrangler: { configPath: "./test/support/wrangler.shards.json" } }),
        ],
        test: {
          name: "shards",
          isolate: false,
          provide: { isLong: mode === "long" },
          setupFiles: ["test/support/fresh-shards.ts"],
          include: ["test/shards/**/*.workers.test.ts"],
          testTimeout: 120_000,
          hookTimeout: 60_000,
        },
      },
      {
        plugins: [
          cloudflareTest({ wrangler: { configPath: "./test/support/wrangler.control.json" } }),
        ],
        test: {
          name: "control",
          isolate: false,
          provide: { isLong: mode === "long" },
          setupFiles: ["test/support/fresh-control.ts"],
          include: ["test/**/*.workers.test.ts"],
          exclude: ["test/shards/**"],
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      {
        test: {
          name: "e2e",
          provide: { isLong: mode === "long" },
          include: [
            "test/e2e/**/*.test.ts",
            "test/crash/{crash,object-files,restore-stories}.test.ts",
          ],
          testTimeout: 300_000,
          hookTimeout: 120_000,
        },
      },
    ],
  },
}));

/**
 * The local runtime waits for the disk at every commit of every object, half of the time of a test
 * with hundreds of them. No test cuts the power, so nothing is lost in memory: a killed process
 * finds its files there too. Only where there is plenty of room.
 */
function keepTemporaryFilesInMemory(): void {
  const folder = "/dev/shm";
  if (process.env["TMPDIR"] !== undefined || !existsSync(folder)) return;
  const { bavail, bsize } = statfsSync(folder);
  if (bavail * bsize < 4 * 1024 ** 3) return;
  process.env["TMPDIR"] = `${folder}/shardctl-test`;
  mkdirSync(process.env["TMPDIR"], { recursive: true });
}

/**
 * Tests start the CLI, wrangler and the simulator hundreds of times: half of a start is reading the
 * same sources, and taking the types out of them.
 */
function keepCompiledCode(): void {
  process.env["NODE_COMPILE_CACHE"] ??= join(import.meta.dirname, "node_modules/.cache/node");
}
