/**
 * The commands that read and write files: init, validate, import, and where the config is found.
 */
import { mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { afterEach, describe, expect, it } from "vitest";

import { EXIT } from "../../src/cli/exit-codes.ts";
import { parseManifests } from "../../src/manifest/index.ts";
import { environmentFor, temporaryProject } from "./support/project.ts";
import { runInProcess, temporaryFolder } from "./support/run-cli.ts";
import { type ScriptedServer, startScriptedServer } from "./support/scripted-server.ts";
import { reconciler } from "./support/scripts.ts";
import { MANIFEST } from "./support/states.ts";

let server: ScriptedServer | undefined;
afterEach(async () => {
  await server?.close();
  server = undefined;
});

describe("init", () => {
  it("writes files that validate, and says what comes next", async () => {
    await using folder = await temporaryFolder();
    const run = await runInProcess(["init"], { cwd: folder.path });
    expect(run.exitCode).toBe(EXIT.done);
    await expect(run.stdout).toMatchFileSnapshot("../golden/cli/init.txt");
    const check = await runInProcess(["validate"], { cwd: folder.path });
    expect(check).toMatchObject({
      exitCode: EXIT.done,
      stdout: "1 namespace in 1 file is valid.\n",
    });
  });

  it("overwrites nothing, and writes nothing beside what is there", async () => {
    await using folder = await temporaryFolder();
    await writeFile(join(folder.path, "shardctl.yaml"), "mine");
    const run = await runInProcess(["init"], { cwd: folder.path });
    expect(run.exitCode).toBe(EXIT.error);
    expect(run.stderr).toContain("shardctl.yaml already exists");
    expect(await readFile(join(folder.path, "shardctl.yaml"), "utf8")).toBe("mine");
    await expect(readFile(join(folder.path, "manifests/example.yaml"))).rejects.toThrow("ENOENT");
  });
});

describe("validate", () => {
  const BROKEN = MANIFEST.replace("count: 2", "count: 2000").replace(
    "strategy: hash",
    "stratgy: hash",
  );

  it("prints every error of every file and fails", async () => {
    await using project = await temporaryProject({
      "manifests/a.yaml": BROKEN,
      "manifests/deep/b.yml": "- not a manifest\n",
      "manifests/notes.txt": "{",
    });
    const run = await runInProcess(["validate"], { cwd: project.path });
    expect(run.exitCode).toBe(EXIT.error);
    await expect(run.stdout).toMatchFileSnapshot("../golden/cli/validate-errors.txt");
  });

  it("makes annotations for GitHub", async () => {
    await using project = await temporaryProject({ "manifests/a.yaml": BROKEN });
    const run = await runInProcess(["validate", "--format", "github"], { cwd: project.path });
    expect(run.stdout).toMatch(/^::error file=manifests\/a\.yaml,line=7,col=3/m);
  });

  it("checks the paths it is given, and no others", async () => {
    await using project = await temporaryProject({
      "manifests/a.yaml": BROKEN,
      "other/b.yaml": MANIFEST,
    });
    const run = await runInProcess(["validate", "other"], { cwd: project.path });
    expect(run).toMatchObject({ exitCode: EXIT.done, stdout: "1 namespace in 1 file is valid.\n" });
  });

  it("does not follow links to folders, so loops end", async () => {
    await using project = await temporaryProject();
    await symlink(join(project.path, "manifests"), join(project.path, "manifests/again"));
    const run = await runInProcess(["validate"], { cwd: project.path });
    expect(run.stdout).toBe("1 namespace in 1 file is valid.\n");
  });

  it.each([
    ["a folder that is not there", ["validate", "nowhere"], "no such file or folder"],
    ["an empty folder", ["validate", "empty"], "There are no manifests"],
  ])("fails on %s", async (_, argv, says) => {
    await using project = await temporaryProject();
    await mkdir(join(project.path, "empty"));
    const run = await runInProcess(argv, { cwd: project.path });
    expect(run.exitCode).toBe(EXIT.error);
    expect(run.stderr).toContain(says);
  });

  it.each([
    ["a file over 1 MiB", `#${"x".repeat(1024 * 1024)}\n${MANIFEST}`],
    ["a binary file", "\u0000\u0001\u0002"],
  ])("refuses %s in one line", async (_, text) => {
    await using project = await temporaryProject({ "manifests/a.yaml": text });
    const run = await runInProcess(["validate"], { cwd: project.path });
    expect(run.exitCode).toBe(EXIT.error);
    expect(run.stdout.match(/^manifests\/a\.yaml:/gm)).toHaveLength(1);
  });
});

describe("a config", () => {
  const CONFIG = `apiVersion: shardctl.dev/v1
kind: Config
environments: { far: { endpoint: https://far.example } }
`;

  it("is found in a folder above, and not beyond the repository", async () => {
    await using folder = await temporaryProject({
      "shardctl.yaml": CONFIG,
      "repository/.git/HEAD": "ref: refs/heads/main",
      "repository/deep/manifests/orders.yaml": MANIFEST,
      "plain/deep/manifests/orders.yaml": MANIFEST,
    });
    const environmentIn = async (place: string) => {
      const cwd = join(folder.path, place);
      const run = await runInProcess(["drift", "--json"], { cwd, env: {} });
      return run.stdout + run.stderr;
    };
    expect(await environmentIn("plain/deep")).toContain("https://far.example");
    expect(await environmentIn("repository/deep")).toContain("environment 'default'");
    await writeFile(join(folder.path, "repository/shardctl.yaml"), CONFIG);
    expect(await environmentIn("repository/deep")).toContain("https://far.example");
  });

  it("that is larger than a config may be is not read to its end", async () => {
    await using folder = await temporaryProject({
      "shardctl.yaml": `#${"x".repeat(8 * 1024 * 1024)}\n${CONFIG}`,
      "manifests/orders.yaml": MANIFEST,
    });
    const run = await runInProcess(["validate"], { cwd: folder.path, env: {} });
    expect(run.exitCode).toBe(EXIT.error);
    expect(run.stderr).toContain("The file is 1,048,577 bytes long; at most 1 MiB");
  });
});

describe("import", () => {
  it("writes manifests that parse, and overwrites none without --force", async () => {
    server = await startScriptedServer(reconciler());
    await using folder = await temporaryFolder();
    const options = { cwd: folder.path, env: environmentFor(server.endpoint) };
    const first = await runInProcess(["import"], options);
    expect(first.exitCode).toBe(EXIT.done);
    const text = await readFile(join(folder.path, "manifests/orders.yaml"), "utf8");
    const { desired } = parseManifests([{ path: "orders.yaml", text }], { environment: null });
    expect(desired?.namespaces).toMatchObject([
      {
        name: "orders",
        object: "ORDERS",
        strategy: "hash",
        shardKey: "data.customer.id",
        count: 2,
      },
    ]);
    const second = await runInProcess(["import"], options);
    expect(second.exitCode).toBe(EXIT.error);
    expect(second.stderr).toContain("manifests/orders.yaml already exists");
    expect((await runInProcess(["import", "--force"], options)).exitCode).toBe(EXIT.done);
  });

  it("asks for one that the reconciler has never seen", async () => {
    server = await startScriptedServer(reconciler());
    await using folder = await temporaryFolder();
    await runInProcess(["import", "--namespace", "orders", "--object", "ORDERS"], {
      cwd: folder.path,
      env: environmentFor(server.endpoint),
    });
    expect(server.requests[0]?.path).toBe("/v1/namespaces/orders?object=ORDERS");
  });

  it("writes nothing when a namespace cannot be read", async () => {
    const failed = {
      kind: "failed",
      name: "carts",
      object: "CARTS",
      failure: { kind: "unbound", message: "no binding CARTS" },
    };
    server = await startScriptedServer(() => ({ status: 200, json: { namespaces: [failed] } }));
    await using folder = await temporaryFolder();
    const run = await runInProcess(["import"], {
      cwd: folder.path,
      env: environmentFor(server.endpoint),
    });
    expect(run.exitCode).toBe(EXIT.error);
    expect(run.stderr).toContain("carts (CARTS): no binding CARTS");
  });
});

describe("the config", () => {
  const config = (endpoint: string): string => `apiVersion: shardctl.dev/v1
kind: Config
manifests: declared
environments:
  staging: { endpoint: "${endpoint}", tokenVariable: SHARDCTL_STAGING_TOKEN }
  production: { endpoint: "https://shardctl.invalid" }
defaultEnvironment: staging
`;

  it("is found from a folder below, with its manifests, endpoint and token", async () => {
    server = await startScriptedServer(reconciler());
    await using project = await temporaryProject({
      "shardctl.yaml": config(server.endpoint),
      "declared/orders.yaml": MANIFEST,
      "deep/down/x": "",
    });
    const run = await runInProcess(["plan"], {
      cwd: join(project.path, "deep/down"),
      env: { SHARDCTL_STAGING_TOKEN: "s", SHARDCTL_TOKEN: "other" },
    });
    expect(run.exitCode).toBe(EXIT.done);
    expect(server.requests[0]).toMatchObject({
      authorization: "Bearer s",
      body: { desired: { environment: "staging", namespaces: [{ name: "orders" }] } },
    });
  });

  it("gives its token to its own endpoint only", async () => {
    server = await startScriptedServer(reconciler());
    await using project = await temporaryProject({
      "shardctl.yaml": config("https://shardctl.invalid"),
      "declared/orders.yaml": MANIFEST,
    });
    await runInProcess(["plan", "--endpoint", server.endpoint], {
      cwd: project.path,
      env: { SHARDCTL_STAGING_TOKEN: "s" },
    });
    expect(server.requests[0]?.authorization).toBeUndefined();
  });

  const MISTAKES = [
    {
      name: "an environment it does not have",
      argv: ["plan", "-e", "prod"],
      says: "It has: production, staging.",
    },
    {
      name: "a file that is not there",
      argv: ["plan", "--config", "other.yaml"],
      says: "There is no config at other.yaml",
    },
  ];
  it.each(MISTAKES)("says no to $name", async ({ argv, says }) => {
    await using project = await temporaryProject({
      "shardctl.yaml": config("http://127.0.0.1:1"),
      "declared/orders.yaml": MANIFEST,
    });
    const run = await runInProcess(argv, { cwd: project.path });
    expect(run.exitCode).toBe(EXIT.error);
    expect(run.stderr).toContain(says);
  });

  it("with errors is refused with their places", async () => {
    await using project = await temporaryProject({
      "shardctl.yaml": "apiVersion: shardctl.dev/v1\nkind: Config\nmanifest: x\n",
    });
    const run = await runInProcess(["plan"], { cwd: project.path });
    expect(run.exitCode).toBe(EXIT.error);
    expect(run.stderr).toContain("shardctl.yaml:3:1:");
  });
});
