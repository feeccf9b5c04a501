import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { describe, expect, it } from "vitest";

import { runProgram } from "./left-behind.ts";

const MODULE = fileURLToPath(new URL("left-behind.ts", import.meta.url).href);

/** A process that makes a folder, has a program run in it, says so, and goes on as told. */
function startProcess(then: string) {
  const script = `
    import { makeTemporaryFolder, runProgram, undoAll, undoOnSignals } from ${JSON.stringify(MODULE)};
    undoOnSignals();
    const { folder } = await makeTemporaryFolder();
    const sleeping = runProgram(process.execPath, ["--eval", "console.log(process.pid); setTimeout(() => {}, 600_000)"]).catch(() => {});
    console.log(folder);
    ${then}`;
  const child = spawn(
    process.execPath,
    ["--no-warnings", "--input-type=module", "--eval", script],
    {
      stdio: ["ignore", "pipe", "pipe"],
    },
  );
  const folder = new Promise<string>((resolve) => {
    child.stdout.setEncoding("utf8").once("data", (text: string) => resolve(text.trim()));
  });
  const ended = new Promise<number | null>((resolve) => child.once("close", resolve));
  return { child, folder, ended };
}

describe("a benchmark that ends", () => {
  it.each(["SIGINT", "SIGTERM", "SIGHUP"] as const)(
    "by %s leaves no folder and no program behind",
    async (signal) => {
      const { child, folder, ended } = startProcess("await sleeping;");
      const made = await folder;
      expect(existsSync(made)).toBe(true);
      child.kill(signal);
      // Its output is closed only when the program that it started has ended too.
      expect(await ended).toBe(130);
      expect(existsSync(made)).toBe(false);
    },
  );

  it("by itself or by an error leaves nothing behind either, and begins nothing new", async () => {
    const { child, folder, ended } = startProcess(
      `await undoAll(); await makeTemporaryFolder().catch((error) => console.error(error.message)); await sleeping;`,
    );
    let said = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => (said += text));
    expect(await ended).toBe(0);
    expect(existsSync(await folder)).toBe(false);
    expect(said).toContain("The benchmark is ending");
  });
});

describe("a program that fails", () => {
  it("is an error with all that it wrote", async () => {
    const failing = runProgram(process.execPath, [
      "--eval",
      "console.log('out'); console.error('err'); process.exit(3)",
    ]);
    await expect(failing).rejects.toThrow(/ended with 3:\nout\nerr$/);
  });

  it("is an error when it is not there", async () => {
    await expect(runProgram("no-such-program", [])).rejects.toThrow("ENOENT");
  });
});
