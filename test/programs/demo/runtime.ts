/**
 * The demo's local runtime: `shardctl dev` as a child, on a free port, stopped by its process id.
 */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import pc from "picocolors";

import { findWorkerd } from "../../support/server.ts";
import { say } from "./say.ts";
import { cliEnvironment } from "./shardctl.ts";

const MAIN = fileURLToPath(new URL("../../../src/cli/main.ts", import.meta.url).href);

export interface DemoRuntime {
  readonly endpoint: string;
  readonly ended: Promise<void>;
  /** The folder of the SQLite files of its objects. */
  readonly objects: string;
  /** When its workerd was killed, in milliseconds since the Unix epoch. */
  readonly killedAt: readonly number[];
  /** SIGKILLs the workerd that runs the Worker; wrangler starts another by itself. */
  killWorkerd(this: void): Promise<void>;
  stop(this: void): Promise<void>;
}

export async function startRuntime(cwd: string): Promise<DemoRuntime> {
  say(pc.bold("$ shardctl dev --port 0 &"));
  const child = spawn(process.execPath, [MAIN, "dev", "--json", "--port", "0"], {
    cwd,
    env: cliEnvironment(),
    // A group of its own: Ctrl-C reaches the demo, and the demo stops the runtime when the others
    // have ended.
    detached: true,
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  const line = await new Promise<string>((resolve, reject) => {
    let text = "";
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      text += chunk;
      if (text.includes("\n")) resolve(text);
    });
    child.once("error", reject);
    void ended.then(() => reject(new Error("The local runtime did not start.")));
  });
  const { endpoint, wranglerPid } = JSON.parse(line) as {
    readonly endpoint: string;
    readonly wranglerPid: number;
  };
  const killedAt: number[] = [];
  say(`The local runtime is ready at ${endpoint}`);
  return {
    endpoint,
    ended,
    killedAt,
    objects: join(cwd, ".shardctl/state/v3/do/shardctl-dev-Object_CITIES"),
    killWorkerd: async () => {
      const pid = await findWorkerd(wranglerPid, new URL(endpoint).port);
      killedAt.push(Date.now());
      process.kill(pid, "SIGKILL");
    },
    stop: async () => {
      child.kill("SIGTERM");
      await ended;
    },
  };
}
