/**
 * `shardctl init --worker`: what it writes in an empty folder and for another Worker, and what it
 * says to a wrangler config that is there.
 */
import { mkdir, readFile, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { describe, expect, it } from "vitest";

import { EXIT } from "../../src/cli/exit-codes.ts";
import { readConfig } from "../../src/cli/init/wrangler-config.ts";
import { temporaryProject } from "./support/project.ts";
import { runInProcess, temporaryFolder } from "./support/run-cli.ts";

/** A folder of this name in a throwaway folder: the Worker is called after it. */
async function shopFolder(files: Readonly<Record<string, string>> = {}) {
  const folder = await temporaryFolder();
  const path = join(folder.path, "Shop");
  await mkdir(path);
  for (const [name, text] of Object.entries(files)) await writeFile(join(path, name), text);
  return { path, [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose]() };
}

async function filesIn(folder: string): Promise<Record<string, string>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const paths = entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
  const texts = await Promise.all(
    paths.map(
      async (path) => [path.slice(folder.length + 1), await readFile(path, "utf8")] as const,
    ),
  );
  return Object.fromEntries(texts.toSorted(([left], [right]) => (left < right ? -1 : 1)));
}

/** Every file under a line with its path, as one text. */
async function bundle(folder: string): Promise<string> {
  return Object.entries(await filesIn(folder))
    .map(([path, text]) => `==> ${path} <==\n${text}`)
    .join("\n");
}

const REPOSITORY = [
  "--repository",
  "acme/shop",
  "--repository-id",
  "1296269",
  "--owner-id",
  "583231",
];

describe("in an empty folder", () => {
  const CASES = [
    { name: "same", argv: ["--binding", "ORDERS", "CARTS", "--class", "Orders", "ShoppingCarts"] },
    {
      name: "other",
      argv: ["--binding", "ORDER_LINES", "--script", "shop", ...REPOSITORY],
    },
  ];

  it.each(CASES)("writes a whole project, which validates: $name", async ({ name, argv }) => {
    await using folder = await shopFolder();
    const run = await runInProcess(["init", "--worker", ...argv], { cwd: folder.path });
    expect(run).toMatchObject({ exitCode: EXIT.done, stderr: "" });
    await expect(run.stdout).toMatchFileSnapshot(`../golden/cli/init-worker-${name}.txt`);
    await expect(await bundle(folder.path)).toMatchFileSnapshot(
      `../golden/cli/init-worker-${name}-files.txt`,
    );
    const check = await runInProcess(["validate"], { cwd: folder.path });
    expect(check.exitCode).toBe(EXIT.done);
  });

  it("changes nothing the second time", async () => {
    await using folder = await shopFolder();
    const argv = ["init", "--worker", "--binding", "ORDERS"];
    await runInProcess(argv, { cwd: folder.path });
    const before = await filesIn(folder.path);
    const run = await runInProcess(argv, { cwd: folder.path });
    expect(run.stdout).toContain("wrangler.jsonc has all that shardctl needs.");
    expect(await filesIn(folder.path)).toEqual(before);
  });

  it("gives programs what it did", async () => {
    await using folder = await shopFolder();
    const run = await runInProcess(["init", "--worker", "--json"], { cwd: folder.path });
    expect(JSON.parse(run.stdout)).toMatchObject({
      name: "shop",
      written: expect.arrayContaining([
        "shardctl.yaml",
        "manifests/example.yaml",
        "wrangler.jsonc",
        "src/index.ts",
      ]) as unknown,
      kept: [],
      ignored: expect.arrayContaining([".shardctl/", ".dev.vars"]) as unknown,
      add: null,
      secrets: expect.arrayContaining([
        expect.objectContaining({ name: "SHARDCTL_TOKENS", required: true }),
      ]) as unknown,
    });
  });

  it("keeps an entry file and a class that are there, and says what the entry lacks", async () => {
    await using project = await temporaryProject({
      "src/index.ts": "// mine",
      "src/orders.ts": "// mine too",
    });
    const run = await runInProcess(["init", "--worker", "--binding", "ORDERS"], {
      cwd: project.path,
    });
    expect(run.stdout).toContain("Kept src/index.ts, which already exists");
    expect(run.stdout).toContain("Add to src/index.ts, the entry file, unless it has it already:");
    expect(await readFile(join(project.path, "src/index.ts"), "utf8")).toBe("// mine");
    expect(await readFile(join(project.path, "src/orders.ts"), "utf8")).toBe("// mine too");
  });
});

const CONFIG = `{
  // mine
  "name": "shop",
  "main": "app/worker.ts", /* "durable_objects": 1 */
  "vars": { "URL": "https://a//b", "TRICK": ",}" },
  "durable_objects": { "bindings": [{ "name": "SALES", "class_name": "SalesObject" },] },
  "migrations": [{ "tag": "v1", "new_sqlite_classes": ["SalesObject"] }, { "tag": "shardctl-1", "new_classes": ["Old"] }], // two
  "triggers": { "crons": ["0 3 * * *"] },
}
`;
const TOML = `name = "shop"
main = "src/index.js"
`;

describe("beside a wrangler config", () => {
  const CASES = [
    { name: "jsonc", file: "wrangler.jsonc", text: CONFIG, argv: [] },
    { name: "toml", file: "wrangler.toml", text: TOML, argv: ["--binding", "ORDERS"] },
  ];
  it.each(CASES)(
    "says what to add, and leaves it alone: $name",
    async ({ name, file, text, argv }) => {
      await using folder = await shopFolder({ [file]: text });
      const run = await runInProcess(["init", "--worker", ...argv], { cwd: folder.path });
      expect(run).toMatchObject({ exitCode: EXIT.done, stderr: "" });
      await expect(run.stdout).toMatchFileSnapshot(`../golden/cli/init-worker-${name}.txt`);
      const files = await filesIn(folder.path);
      expect(files[file]).toBe(text);
      expect(Object.keys(files).filter((path) => path.endsWith(".ts"))).toEqual([]);
    },
  );

  it("takes bindings from the manifests first, and their classes from the config", async () => {
    await using folder = await shopFolder({ "wrangler.jsonc": CONFIG });
    await runInProcess(["init", "--worker", "--binding", "SALES", "ORDERS"], { cwd: folder.path });
    const run = await runInProcess(["init", "--worker", "--json"], { cwd: folder.path });
    expect(JSON.parse(run.stdout)).toMatchObject({
      add: {
        bindings: [
          { name: "ORDERS", class_name: "Orders" },
          { name: "SHARDCTL", class_name: "Reconciler" },
        ],
        migration: { tag: "shardctl-2", new_sqlite_classes: ["Orders", "Reconciler"] },
        crons: ["* * * * *"],
      },
    });
  });

  it("warns of a class without SQLite", async () => {
    await using folder = await shopFolder({ "wrangler.jsonc": CONFIG });
    const run = await runInProcess(["init", "--worker", "--binding", "SALES", "OLD"], {
      cwd: folder.path,
    });
    expect(run.stdout).toContain(
      "Warning: Old was created by new_classes, so it has no SQLite: its rows cannot be sharded.",
    );
  });

  it("puts a Worker of its own beside it", async () => {
    await using folder = await shopFolder({ "wrangler.jsonc": CONFIG });
    const run = await runInProcess(
      ["init", "--worker", "--script", "shop", "--binding", "SALES", "--class", "SalesObject"],
      {
        cwd: folder.path,
      },
    );
    expect(run.stdout).toContain("Wrote control/wrangler.jsonc");
    const config = readConfig(await readFile(join(folder.path, "control/wrangler.jsonc"), "utf8"));
    expect(config?.durable_objects.bindings[0]).toEqual({
      name: "SALES",
      class_name: "SalesObject",
      script_name: "shop",
    });
  });

  it.each([
    { name: "broken JSON", text: "{" },
    { name: "no object", text: "[]" },
    { name: "bindings of another form", text: `{ "durable_objects": { "bindings": ["SALES"] } }` },
  ])("reads nothing from $name", ({ text }) => {
    expect(readConfig(text)).toBeNull();
  });
});

describe("refuses", () => {
  it.each([
    {
      argv: ["--binding", "ORDERS", "--class", "A", "B"],
      says: "There are 1 bindings (ORDERS) and 2 classes (A, B).",
    },
    {
      argv: ["--binding", "or-ders"],
      says: "'or-ders' is not a valid name of a binding or a class",
    },
    { argv: ["--binding", "A", "A"], says: "'A' is given twice" },
    { argv: ["--binding", "A", "B", "--class", "C", "C"], says: "'C' is given twice" },
    { argv: ["--binding", "SHARDCTL"], says: "are shardctl's own" },
    { argv: ["--script", "My Shop"], says: "'My Shop' is not a valid Worker name" },
    { argv: ["--script", "shop", "--name", "shop"], says: "--name and --script are both 'shop'" },
    { argv: ["--repository", "acme"], says: "--repository is owner/name" },
    {
      argv: ["--repository", "acme/shop", "--repository-id", "7"],
      says: "gh api repos/acme/shop --jq",
    },
  ])("$argv", async ({ argv, says }) => {
    await using folder = await shopFolder();
    const run = await runInProcess(["init", "--worker", ...argv], { cwd: folder.path });
    expect(run.exitCode).toBe(EXIT.error);
    expect(run.stderr).toContain(says);
    expect(await filesIn(folder.path)).toEqual({});
  });

  it("options of a Worker without --worker", async () => {
    await using folder = await shopFolder();
    const run = await runInProcess(["init", "--binding", "ORDERS"], { cwd: folder.path });
    expect(run.exitCode).toBe(EXIT.error);
    expect(run.stderr).toContain("Add --worker.");
  });

  it("to guess bindings from manifests with errors", async () => {
    await using project = await temporaryProject({
      "shardctl.yaml": "apiVersion: shardctl.dev/v1\nkind: Config\n",
      "manifests/a.yaml": "x",
    });
    const run = await runInProcess(["init", "--worker"], { cwd: project.path });
    expect(run.exitCode).toBe(EXIT.error);
    expect(run.stderr).toContain("--binding ORDERS");
  });
});

describe(".gitignore", () => {
  it.each([
    { name: "none", before: null, after: ".shardctl/\n" },
    { name: "without a line break at its end", before: "dist", after: "dist\n.shardctl/\n" },
    { name: "that has it in another form", before: "/.shardctl\r\n", after: "/.shardctl\r\n" },
  ])("$name", async ({ before, after }) => {
    await using folder = await shopFolder(before === null ? {} : { ".gitignore": before });
    const run = await runInProcess(["init"], { cwd: folder.path });
    expect(run.exitCode).toBe(EXIT.done);
    expect(await readFile(join(folder.path, ".gitignore"), "utf8")).toBe(after);
    expect(run.stdout.includes("to .gitignore")).toBe(before !== after);
  });
});
