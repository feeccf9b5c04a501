/**
 * Debian's Chromium for the tests of the status page. Installs it where that can be done; a machine
 * without one, where nothing may be installed, skips those tests, and says so where nobody misses
 * it.
 */
import { execFile } from "node:child_process";
import { access, constants } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";

const NAMES = ["chromium", "chromium-browser", "google-chrome-stable", "google-chrome"] as const;
const INSTALL_TIMEOUT_MS = 110_000;
const INSTALL = "apt-get update && apt-get install -y --no-install-recommends chromium";

/** The parts of the machine that the search needs. */
export interface Machine {
  readonly find: () => Promise<string | null>;
  /** Null where nothing may be installed. */
  readonly install: (() => Promise<unknown>) | null;
  readonly warn: (text: string) => void;
}

const THIS_MACHINE: Machine = {
  find: () => findProgram(process.env["PATH"] ?? ""),
  install: process.getuid?.() === 0 ? installChromium : null,
  // Past the reporter, which shows the logs of failed tests only.
  warn: (text) => void process.stderr.write(`${text}\n`),
};

/** Path of a Chromium, installed if need be; null when there is none to be had. */
export async function findChromium({ find, install, warn }: Machine = THIS_MACHINE): Promise<
  string | null
> {
  const found = await find();
  if (found !== null) return found;
  if (install !== null)
    await install().catch((error: unknown) =>
      warn(`chromium could not be installed: ${String(error)}`),
    );
  const installed = await find();
  if (installed === null)
    warn(
      `\n${"!".repeat(80)}\nNO CHROMIUM: the tests of the status page in a browser are SKIPPED.\n${"!".repeat(80)}\n`,
    );
  return installed;
}

/** The first program of that kind in the folders of a search path. */
export async function findProgram(searchPath: string): Promise<string | null> {
  for (const folder of searchPath.split(delimiter)) {
    for (const name of NAMES) {
      const path = join(folder, name);
      const isThere = await access(path, constants.X_OK).then(
        () => true,
        () => false,
      );
      if (isThere) return path;
    }
  }
  return null;
}

function installChromium(): Promise<unknown> {
  return promisify(execFile)("sh", ["-c", INSTALL], {
    timeout: INSTALL_TIMEOUT_MS,
    env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
  });
}
