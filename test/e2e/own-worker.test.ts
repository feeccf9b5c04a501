/**
 * `shardctl dev --config wrangler.json`: the user's own Worker, its state over restarts, a crash of
 * workerd, and a Worker that does not build.
 */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { expect, it } from "vitest";

import { EXIT } from "../../src/cli/exit-codes.ts";
import { spawnCli, temporaryFolder } from "../cli/support/run-cli.ts";
import { startDevRuntime } from "../support/server.ts";

const WORKER = `import { DurableObject } from "cloudflare:workers";
export class Counter extends DurableObject {
  async next() {
    const count = (await this.ctx.storage.get("count") ?? 0) + 1;
    await this.ctx.storage.put("count", count);
    return count;
  }
}
export default { async fetch(request, env) { return new Response(String(await env.COUNTER.getByName("one").next())); } };
`;
/** Counts its ticks, and says of its health what a Worker says that was not ticked for long. */
const TICKED = WORKER.replace(
  /export default [^]*$/,
  `export default {
  async fetch(request, env) {
    const headers = { "content-type": "application/problem+json" };
    if (new URL(request.url).pathname === "/healthz") return new Response("{}", { status: 503, headers });
    return new Response(String(await env.COUNTER.getByName("one").count()));
  },
  async scheduled(controller, env) { if (controller.cron === "* * * * *") await env.COUNTER.getByName("one").next(); },
};
`,
).replace(
  "async next()",
  'async count() { return (await this.ctx.storage.get("count")) ?? 0; }\n  async next()',
);
const CONFIG = {
  name: "own",
  main: "worker.js",
  compatibility_date: "2026-08-01",
  durable_objects: { bindings: [{ name: "COUNTER", class_name: "Counter" }] },
  migrations: [{ tag: "v1", new_sqlite_classes: ["Counter"] }],
};
const ARGV = ["--config", "wrangler.json"];

async function ownProject(worker: string) {
  const folder = await temporaryFolder();
  await writeFile(join(folder.path, "worker.js"), worker);
  await writeFile(join(folder.path, "wrangler.json"), JSON.stringify(CONFIG));
  return folder;
}

async function next(endpoint: string): Promise<number> {
  const response = await fetch(`${endpoint}/next`, { method: "POST" });
  return Number(await response.text());
}

it("keeps its state when workerd is killed and when the runtime is stopped", async () => {
  await using project = await ownProject(WORKER);
  const first = await startDevRuntime(project.path, ARGV);
  let last: number;
  try {
    const before = await next(first.endpoint);
    await first.killWorkerd();
    await expect
      .poll(() => next(first.endpoint).catch(() => 0), { timeout: 20_000 })
      .toBeGreaterThan(before);
    last = await next(first.endpoint);
  } finally {
    await first.stop();
  }
  await expect(fetch(first.endpoint)).rejects.toThrow("fetch failed");
  const second = await startDevRuntime(project.path, ARGV);
  try {
    // The readiness probe of the start counted too.
    expect(await next(second.endpoint)).toBeGreaterThan(last);
  } finally {
    await second.stop();
  }
});

it("is called every so often when that is asked for, and need not be well to be up", async () => {
  await using project = await ownProject(TICKED);
  const runtime = await startDevRuntime(project.path, [...ARGV, "--tick", "0.2"]);
  try {
    await expect.poll(() => next(runtime.endpoint), { timeout: 20_000 }).toBeGreaterThan(2);
  } finally {
    await runtime.stop();
  }
});

it("refuses a second runtime on the same state", async () => {
  await using project = await ownProject(WORKER);
  const first = await startDevRuntime(project.path, ARGV);
  try {
    const run = await spawnCli(["dev", "--port", "0", ...ARGV], { cwd: project.path }).ended;
    expect(run.exitCode).toBe(EXIT.error);
    expect(run.stderr).toContain("is in use by process");
  } finally {
    await first.stop();
  }
});

it("says why a Worker does not build, and leaves nothing behind", async () => {
  await using project = await ownProject("export default {");
  const run = await spawnCli(["dev", "--port", "0", ...ARGV], { cwd: project.path }).ended;
  expect(run.exitCode).toBe(EXIT.error);
  expect(run.stderr).toContain("worker.js:1:16");
  await expect(readFile(join(project.path, ".shardctl/state/shardctl-dev.pid"))).rejects.toThrow(
    "ENOENT",
  );
});
