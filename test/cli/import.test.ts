/** Import writes into its own folder, what every system can check out, and all of it or nothing. */
import { mkdir, readFile, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { afterEach, describe, expect, it } from "vitest";

import { EXIT } from "../../src/cli/exit-codes.ts";
import { importFileNames } from "../../src/cli/import-names.ts";
import { parseManifests } from "../../src/manifest/index.ts";
import { environmentFor } from "./support/project.ts";
import { type CliRun, runInProcess, temporaryFolder } from "./support/run-cli.ts";
import { type ScriptedServer, startScriptedServer } from "./support/scripted-server.ts";
import { liveReport } from "./support/states.ts";

let server: ScriptedServer | null = null;
afterEach(async () => {
  await server?.close();
  server = null;
});

/** `shardctl import` in this folder, of live namespaces with these names and bindings. */
async function importInto(
  folder: string,
  live: readonly (readonly [name: string, object: string])[],
  argv: readonly string[] = [],
): Promise<CliRun> {
  const report = liveReport();
  const described = report.kind === "live" ? report.namespace : null;
  const namespaces = live.map(([name, object]) => ({
    kind: "live",
    namespace: { ...described, name, object },
  }));
  await server?.close();
  server = await startScriptedServer(() => ({ status: 200, json: { namespaces } }));
  return runInProcess(["import", ...argv], { cwd: folder, env: environmentFor(server.endpoint) });
}

const NAMES = [
  "../evil",
  "..",
  "/etc/cron.d/x",
  "a/b",
  String.raw`a\b`,
  "C:x",
  "CON",
  "nul.txt",
  "lpt1",
  ".hidden",
  "trailing.",
  'q?"*<>|',
  "ünïcode 🎉",
  "-rf",
  "x".repeat(300),
];

describe("the names of imported files", () => {
  it.each(NAMES)("can be checked out everywhere, and stay in the folder: %s", (name) => {
    const [file = ""] = importFileNames([name]);
    expect(file).toMatch(/^[A-Za-z0-9_][A-Za-z0-9_-]*\.yaml$/);
    expect(file).not.toMatch(/^(?:con|prn|aux|nul|com\d|lpt\d)\./i);
    expect(file.length).toBeLessThan(100);
  });

  it("are those of the namespaces, where these are plain", () => {
    expect(importFileNames(["orders", "eu.orders-2", "A_b"])).toEqual([
      "orders.yaml",
      "eu.orders-2.yaml",
      "A_b.yaml",
    ]);
  });

  it("differ also without case, and for names that look alike in letters", () => {
    const files = importFileNames([...NAMES, "orders", "Orders", "ORDERS", "a b", "a  b", "a-b"]);
    expect(new Set(files.map((file) => file.toLowerCase())).size).toBe(files.length);
  });
});

describe("an import", () => {
  it("of hostile names writes below its folder only, and is read back", async () => {
    await using folder = await temporaryFolder();
    const cwd = join(folder.path, "project");
    await mkdir(cwd);
    const run = await importInto(cwd, [
      ["../evil", "ORDERS"],
      ["a/b", "ORDERS"],
    ]);
    expect(run.exitCode).toBe(EXIT.done);
    expect(await readdir(folder.path)).toEqual(["project"]);
    expect(await readdir(cwd)).toEqual(["manifests"]);
    const names = await readdir(join(cwd, "manifests"));
    const files = await Promise.all(
      names.map(async (path) => ({ path, text: await readFile(join(cwd, "manifests", path)) })),
    );
    const { desired } = parseManifests(files, { environment: null });
    expect(desired?.namespaces.map(({ name }) => name)).toEqual(["../evil", "a/b"]);
  });

  it("of two namespaces that share a name writes nothing, and says where they are", async () => {
    await using folder = await temporaryFolder();
    const run = await importInto(folder.path, [
      ["carts", "CARTS"],
      ["orders", "ORDERS"],
      ["orders", "CARTS"],
    ]);
    expect(run.exitCode).toBe(EXIT.error);
    expect(run.stderr).toContain('"orders" is live in ORDERS and in CARTS');
    expect(await readdir(folder.path)).toEqual([]);
  });

  it("that cannot write one file leaves none, and what was there as it was", async () => {
    await using folder = await temporaryFolder();
    await mkdir(join(folder.path, "out/zebras.yaml"), { recursive: true });
    await writeFile(join(folder.path, "out/orders.yaml"), "before");
    const run = await importInto(
      folder.path,
      [
        ["orders", "ORDERS"],
        ["zebras", "ORDERS"],
      ],
      ["--out", "out", "--force"],
    );
    expect(run.exitCode).toBe(EXIT.error);
    expect(run.stderr).toContain("Nothing was written");
    expect(await readdir(join(folder.path, "out"))).toEqual(["orders.yaml", "zebras.yaml"]);
    expect(await readFile(join(folder.path, "out/orders.yaml"), "utf8")).toBe("before");
  });
});
