import { cloudflareTest } from "@cloudflare/vitest-plugin";
import { defineConfig } from "vitest/config";

// Three kinds of test. `unit`: pure code, in Node. `workers`: Durable Objects, in workerd. `e2e`: the built CLI and whole runtimes, in
// Node, one file at a time because each starts servers.
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "unit",
          include: ["test/**/*.test.ts"],
          exclude: ["test/**/*.workers.test.ts", "test/e2e/**"],
        },
      },
      {
        plugins: [cloudflareTest({ wrangler: { configPath: "./test/support/wrangler.json" } })],
        test: { name: "workers", include: ["test/**/*.workers.test.ts"] },
      },
      {
        test: {
          name: "e2e",
          include: ["test/e2e/**/*.test.ts"],
          fileParallelism: false,
          testTimeout: 120_000,
          hookTimeout: 120_000,
        },
      },
    ],
  },
});
