import { cloudflareTest } from "@cloudflare/vitest-plugin";
import { defineConfig } from "vitest/config";

// `unit`: pure code, in Node. `shards` and `control`: the two halves on the real runtime, in workerd. `e2e`: the CLI against whole
// runtimes, in Node, one file at a time because each starts servers.
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "unit",
          include: ["test/**/*.test.ts"],
          exclude: ["test/**/*.workers.test.ts", "test/e2e/**", "test/crash/crash.test.ts"],
          testTimeout: 60_000,
        },
      },
      {
        plugins: [cloudflareTest({ wrangler: { configPath: "./test/support/wrangler.shards.json" } })],
        test: { name: "shards", include: ["test/shards/**/*.workers.test.ts"], testTimeout: 120_000, hookTimeout: 60_000 },
      },
      {
        plugins: [cloudflareTest({ wrangler: { configPath: "./test/support/wrangler.control.json" } })],
        test: {
          name: "control",
          include: ["test/{worker,apply,live}/**/*.workers.test.ts"],
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      {
        test: {
          name: "e2e",
          include: ["test/e2e/**/*.test.ts", "test/crash/crash.test.ts"],
          fileParallelism: false,
          testTimeout: 300_000,
          hookTimeout: 120_000,
        },
      },
    ],
  },
});
