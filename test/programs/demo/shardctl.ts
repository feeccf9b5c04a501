/**
 * Runs the CLI as a user would: prints the command and what it writes, without its empty lines, and
 * checks its exit code.
 */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

import pc from "picocolors";

import { say } from "./say.ts";

const MAIN = fileURLToPath(new URL("../../../src/cli/main.ts", import.meta.url).href);

export async function runShardctl(
  cwd: string,
  argv: readonly string[],
  expected: readonly number[],
): Promise<number> {
  say(pc.bold(`$ shardctl ${argv.join(" ")}`));
  const child = spawn(process.execPath, [MAIN, ...argv], {
    cwd,
    env: { ...cliEnvironment(), ...(process.stdout.isTTY && { FORCE_COLOR: "1" }) },
    stdio: ["ignore", "pipe", "pipe"],
  });
  for (const input of [child.stdout, child.stderr])
    createInterface({ input }).on("line", (line) => {
      if (line.trim() !== "") say(line);
    });
  const exitCode = await new Promise<number>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) =>
      code === null ? reject(new Error(`shardctl was ended by ${signal}`)) : resolve(code),
    );
  });
  if (!expected.includes(exitCode)) {
    throw new Error(
      `shardctl ${argv.join(" ")} exited with ${exitCode}; expected was ${expected.join(" or ")}`,
    );
  }
  if (exitCode !== 0) say(pc.dim(`(exit code ${exitCode})`));
  return exitCode;
}

/** The developer's own endpoint and token must not leak into the demo. */
export function cliEnvironment(): NodeJS.ProcessEnv {
  return { ...process.env, SHARDCTL_ENDPOINT: "", SHARDCTL_TOKEN: "" };
}
