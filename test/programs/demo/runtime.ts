/**
 * The demo's local runtime: `shardctl dev` as a child, on a free port, stopped by its process id.
 */
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

import pc from "picocolors";

import { say } from "./say.ts";
import { cliEnvironment } from "./shardctl.ts";

const MAIN = fileURLToPath(new URL("../../../src/cli/main.ts", import.meta.url).href);

export interface DemoRuntime {
  readonly endpoint: string;
  readonly ended: Promise<void>;
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
  const { endpoint } = JSON.parse(line) as { readonly endpoint: string };
  say(`The local runtime is ready at ${endpoint}\n`);
  return {
    endpoint,
    ended,
    stop: async () => {
      child.kill("SIGTERM");
      await ended;
    },
  };
}
