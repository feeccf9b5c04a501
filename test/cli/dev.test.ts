/** The parts of `shardctl dev` that need no runtime: the generated Worker, the state lock, ports, the note for other commands. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { describe, expect, it } from "vitest";

import { announcement } from "../../src/cli/commands/dev.ts";
import { findPort } from "../../src/cli/dev/find-port.ts";
import { generateDevWorker } from "../../src/cli/dev/generate-worker.ts";
import { readRuntime, removeRuntime, writeRuntime } from "../../src/cli/dev/runtime-file.ts";
import { lockState } from "../../src/cli/dev/state-lock.ts";
import { EXIT } from "../../src/cli/exit-codes.ts";
import { temporaryProject } from "./support/project.ts";
import { runInProcess, temporaryFolder } from "./support/run-cli.ts";
import { startScriptedServer } from "./support/scripted-server.ts";
import { reconciler } from "./support/scripts.ts";
import { MANIFEST } from "./support/states.ts";

describe("the generated Worker", () => {
  it("has a class of its own for each binding, so that names do not meet", async () => {
    const { entry, config } = generateDevWorker(
      ["CARTS", "ORDERS"],
      { worker: "/app/worker/dev.ts", objects: "/app/shards/index.ts" },
      "worker.ts",
    );
    await expect(entry).toMatchFileSnapshot("../golden/cli/dev-worker.txt");
    await expect(config).toMatchFileSnapshot("../golden/cli/dev-wrangler.json");
  });

  it("is not made from manifests that have errors", async () => {
    await using project = await temporaryProject({ "manifests/a.yaml": MANIFEST.replace("count: 2", "count: 0") });
    const run = await runInProcess(["dev"], { cwd: project.path });
    expect(run.exitCode).toBe(EXIT.error);
    expect(run.stderr).toContain("manifests/a.yaml:9:");
  });

  it("is not made from no manifests", async () => {
    await using project = await temporaryProject({ "manifests/empty.yaml": "" });
    const run = await runInProcess(["dev"], { cwd: project.path });
    expect(run.exitCode).toBe(EXIT.error);
    expect(run.stderr).toContain("shardctl init");
  });
});

describe("the announcement", () => {
  const ready = { endpoint: "http://127.0.0.1:1", plain: "http://127.0.0.1:1", folder: "/project", bindings: ["ORDERS"] };

  it("says that the generated Worker wants no token", () => {
    expect(announcement({ ...ready, isOwnWorker: false })).toContain("No token is needed.");
  });

  it("promises nothing about the tokens of a Worker of one's own", () => {
    const text = announcement({ ...ready, isOwnWorker: true });
    expect(text).not.toContain("No token");
    expect(text).toContain("SHARDCTL_TOKENS");
  });
});

describe("the state lock", () => {
  it("is held by one, and free again when released", async () => {
    await using folder = await temporaryFolder();
    const other = spawn(process.execPath, ["-e", "setTimeout(() => {}, 60000)"]);
    await once(other, "spawn");
    await writeFile(join(folder.path, "shardctl-dev.pid"), String(other.pid));
    expect(await lockState(folder.path)).toEqual({ holder: other.pid });
    other.kill();
    await once(other, "exit");
    const lock = await lockState(folder.path);
    if ("holder" in lock) throw new Error("The lock of a process that is gone was not taken over");
    expect(await readFile(join(folder.path, "shardctl-dev.pid"), "utf8")).toBe(String(process.pid));
    await lock.release();
    await expect(readFile(join(folder.path, "shardctl-dev.pid"))).rejects.toThrow("ENOENT");
  });

  it("that is nonsense is taken over", async () => {
    await using folder = await temporaryFolder();
    await writeFile(join(folder.path, "shardctl-dev.pid"), "not a number");
    expect(await lockState(folder.path)).toHaveProperty("release");
  });
});

it("a port in use is found out, and 0 finds a free one", async () => {
  const server = await startScriptedServer(reconciler());
  try {
    expect(await findPort(server.port)).toBeNull();
    expect(await findPort(0)).toBeGreaterThan(0);
    await using project = await temporaryProject();
    const run = await runInProcess(["dev", "--port", String(server.port)], { cwd: project.path });
    expect(run.exitCode).toBe(EXIT.error);
    expect(run.stderr).toContain(`Port ${server.port} is in use`);
  } finally {
    await server.close();
  }
});

describe("the note of a running runtime", () => {
  it("leads other commands of the project to it", async () => {
    const server = await startScriptedServer(reconciler());
    try {
      await using project = await temporaryProject();
      await mkdir(join(project.path, ".shardctl/dev"), { recursive: true });
      await writeRuntime(project.path, { endpoint: server.endpoint, pid: process.pid });
      expect((await runInProcess(["plan"], { cwd: project.path })).exitCode).toBe(EXIT.done);
      await removeRuntime(project.path, process.pid + 1);
      expect((await runInProcess(["plan"], { cwd: project.path })).exitCode).toBe(EXIT.done);
      await removeRuntime(project.path, process.pid);
      expect((await runInProcess(["plan"], { cwd: project.path })).stderr).toContain("No reconciler is configured");
    } finally {
      await server.close();
    }
  });

  it.each(["", "{", "{}", '{"endpoint":1,"pid":2}'])("that says %j is no note", async (text) => {
    await using folder = await temporaryFolder();
    await mkdir(join(folder.path, ".shardctl/dev"), { recursive: true });
    await writeFile(join(folder.path, ".shardctl/dev/runtime.json"), text);
    expect(await readRuntime(folder.path)).toBeNull();
  });
});
