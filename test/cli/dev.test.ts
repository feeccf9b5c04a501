/**
 * The parts of `shardctl dev` that need no runtime: the generated Worker, the state lock, ports,
 * the note for other commands.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { describe, expect, it } from "vitest";

import { announcement } from "../../src/cli/commands/dev.ts";
import { findPort } from "../../src/cli/dev/find-port.ts";
import { generateDevWorker } from "../../src/cli/dev/generate-worker.ts";
import { keepTicking } from "../../src/cli/dev/keep-ticking.ts";
import { readRuntime, removeRuntime, writeRuntime } from "../../src/cli/dev/runtime-file.ts";
import { lockState } from "../../src/cli/dev/state-lock.ts";
import { EXIT } from "../../src/cli/exit-codes.ts";
import { type Host, nodeHost } from "../../src/cli/host.ts";
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
    await using project = await temporaryProject({
      "manifests/a.yaml": MANIFEST.replace("count: 2", "count: 0"),
    });
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
  const ready = {
    endpoint: "http://127.0.0.1:1",
    plain: "http://127.0.0.1:1",
    folder: "/project",
    bindings: ["ORDERS"],
    tickS: 10,
  };

  it("says that the generated Worker wants no token", () => {
    expect(announcement({ ...ready, isOwnWorker: false })).toContain("No token is needed.");
  });

  it.each([
    [10, "is checked every 10 s"],
    [0, "Nothing is reconciled automatically"],
  ])("says with --tick %i what comes of it", (tickS, says) => {
    expect(announcement({ ...ready, isOwnWorker: false, tickS })).toContain(says);
  });

  it("promises nothing about the tokens of a Worker of one's own", () => {
    const text = announcement({ ...ready, isOwnWorker: true });
    expect(text).not.toContain("No token");
    expect(text).toContain("SHARDCTL_TOKENS");
  });
});

describe("the tick", () => {
  /**
   * A runtime whose scheduled handler gives these answers, one a tick, and a clock that only
   * counts.
   */
  async function tickThrough(answers: readonly (number | Error)[]) {
    const stop = new AbortController();
    const asked: string[] = [];
    const waits: number[] = [];
    const lines: string[] = [];
    const host: Host = {
      ...nodeHost(),
      fetch: async (input) => {
        asked.push(new Request(input).url);
        const answer = answers[asked.length - 1] ?? 200;
        if (answer instanceof Error) throw answer;
        return new Response("", { status: answer });
      },
      sleep: async (timeMs) => {
        waits.push(timeMs);
        if (asked.length === answers.length) stop.abort();
      },
    };
    await keepTicking(
      host,
      { endpoint: "http://127.0.0.1:1", intervalMs: 10_000, say: (line) => void lines.push(line) },
      stop.signal,
    );
    return { asked, waits, lines };
  }

  it("comes at once, then after each interval, through the scheduled handler, until the runtime is stopped", async () => {
    const { asked, waits, lines } = await tickThrough([200, 200, 200]);
    expect(asked).toEqual(
      Array.from(
        { length: 3 },
        () => "http://127.0.0.1:1/cdn-cgi/handler/scheduled?cron=*+*+*+*+*",
      ),
    );
    expect(waits).toEqual([10_000, 10_000, 10_000]);
    expect(lines).toEqual([]);
  });

  it("that fails is told once, until one has worked, and does not end the ticking", async () => {
    const { asked, lines } = await tickThrough([
      500,
      500,
      new Error("fetch failed"),
      200,
      new Error("fetch failed"),
      500,
    ]);
    expect(asked).toHaveLength(6);
    expect(lines).toEqual([
      "A tick failed: the Worker's scheduled handler answered 500. Nothing is reconciled until one succeeds; the next is in 10 s.",
      "A tick failed: fetch failed. Nothing is reconciled until one succeeds; the next is in 10 s.",
    ]);
  });

  it("that is cut off by the end says nothing", async () => {
    const stop = new AbortController();
    const lines: string[] = [];
    const host: Host = {
      ...nodeHost(),
      fetch: async () => {
        stop.abort();
        throw new DOMException("aborted", "AbortError");
      },
    };
    await keepTicking(
      host,
      { endpoint: "http://127.0.0.1:1", intervalMs: 60_000, say: (line) => void lines.push(line) },
      stop.signal,
    );
    expect(lines).toEqual([]);
  });

  it.each(["-1", "soon", "", "3601"])("is not every %j seconds", async (text) => {
    await using project = await temporaryProject();
    const run = await runInProcess(["dev", "--tick", text], { cwd: project.path });
    expect(run.exitCode).toBe(EXIT.error);
    expect(run.stderr).toContain("seconds from 0 to 3600");
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
      expect((await runInProcess(["plan"], { cwd: project.path })).stderr).toContain(
        "No reconciler is configured",
      );
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
