/**
 * The tests of the status page in a browser on a machine without one: installed where that can be,
 * else skipped, and nobody misses it.
 */
import { execFile } from "node:child_process";
import { chmod, mkdir, writeFile } from "node:fs/promises";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { describe, expect, it } from "vitest";

import { temporaryFolder } from "../cli/support/run-cli.ts";
import { findChromium, findProgram, type Machine } from "./find-chromium.ts";

const LOUD = "NO CHROMIUM: the tests of the status page in a browser are SKIPPED.";

/** A machine on which the search finds these, one after the other. */
function machine(found: readonly (string | null)[], install: Machine["install"]) {
  const warnings: string[] = [];
  const left = [...found];
  return {
    warnings,
    machine: {
      find: async () => left.shift() ?? null,
      install,
      warn: (text: string) => void warnings.push(text),
    } satisfies Machine,
  };
}

describe("a search for Chromium", () => {
  it("takes the one that is there, and installs nothing", async () => {
    const { machine: given, warnings } = machine(["/usr/bin/chromium"], () =>
      Promise.reject(new Error("not wanted")),
    );
    expect(await findChromium(given)).toBe("/usr/bin/chromium");
    expect(warnings).toEqual([]);
  });

  it("installs one where that can be done", async () => {
    let installs = 0;
    const { machine: given, warnings } = machine(
      [null, "/usr/bin/chromium"],
      async () => void installs++,
    );
    expect(await findChromium(given)).toBe("/usr/bin/chromium");
    expect([installs, warnings]).toEqual([1, []]);
  });

  it("says loudly that the tests are skipped where nothing may be installed", async () => {
    const { machine: given, warnings } = machine([null, null], null);
    expect(await findChromium(given)).toBeNull();
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toContain(`\n${"!".repeat(80)}\n${LOUD}`);
  });

  it("says why it could not be installed, and that the tests are skipped", async () => {
    const { machine: given, warnings } = machine([null, null], () =>
      Promise.reject(new Error("no network")),
    );
    expect(await findChromium(given)).toBeNull();
    expect(warnings[0]).toBe("chromium could not be installed: Error: no network");
    expect(warnings[1]).toContain(LOUD);
  });
});

it("finds a program that can be run, in the order of the search path", async () => {
  await using folder = await temporaryFolder();
  const [first, second] = [join(folder.path, "first"), join(folder.path, "second")];
  for (const one of [first, second]) await mkdir(one);
  await writeFile(join(first, "chromium"), "");
  const program = join(second, "google-chrome");
  await writeFile(program, "");
  expect(await findProgram([first, second].join(delimiter))).toBeNull();
  await chmod(program, 0o755);
  expect(await findProgram([first, second].join(delimiter))).toBe(program);
  expect(await findProgram("")).toBeNull();
});

it("the tests themselves are skipped without one, and the run succeeds and says so", async () => {
  await using folder = await temporaryFolder();
  const vitest = join(
    dirname(fileURLToPath(import.meta.resolve("vitest/package.json"))),
    "vitest.mjs",
  );
  // A search path without programs: nothing is found, and there is nothing to install it with.
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith("VITEST"));
  const { stdout, stderr } = await promisify(execFile)(
    process.execPath,
    [vitest, "run", "--project", "e2e", "test/e2e/page.test.ts"],
    { env: { ...Object.fromEntries(inherited), PATH: folder.path, NO_COLOR: "1" } },
  );
  expect(stdout + stderr).toContain(LOUD);
  expect(stdout).toMatch(/Tests +\d+ skipped \(\d+\)/);
  expect(stdout).not.toContain("passed");
});
