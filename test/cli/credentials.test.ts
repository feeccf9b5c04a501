/**
 * A token goes where the machine's user wants it, whatever a checked-out repository says, and no
 * file of the machine is read for a link in one.
 */
import { mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { afterEach, describe, expect, it } from "vitest";

import { EXIT } from "../../src/cli/exit-codes.ts";
import { temporaryProject } from "./support/project.ts";
import { type CliRun, runInProcess, temporaryFolder } from "./support/run-cli.ts";
import { type ScriptedServer, startScriptedServer } from "./support/scripted-server.ts";
import { reconciler } from "./support/scripts.ts";
import { MANIFEST } from "./support/states.ts";

const ENDPOINT = "https://shardctl.example.test";

let server: ScriptedServer | null = null;
afterEach(async () => {
  await server?.close();
  server = null;
});

interface Sent {
  readonly url: string;
  readonly authorization: string | null;
}

/** `shardctl plan` in a repository with this config; every request answers 403. */
async function planWith(
  config: string,
  env: Readonly<Record<string, string>>,
  options: { readonly argv?: readonly string[]; readonly typed?: string } = {},
): Promise<{ readonly run: CliRun; readonly sent: readonly Sent[] }> {
  return planIn({ "shardctl.yaml": config }, env, options);
}

async function planIn(
  files: Readonly<Record<string, string>>,
  env: Readonly<Record<string, string>>,
  { argv = [], typed }: { readonly argv?: readonly string[]; readonly typed?: string } = {},
): Promise<{ readonly run: CliRun; readonly sent: readonly Sent[] }> {
  await using project = await temporaryProject({
    "manifests/orders.yaml": MANIFEST,
    ...files,
  });
  const sent: Sent[] = [];
  const run = await runInProcess(["plan", ...argv], {
    cwd: project.path,
    env,
    ...(typed === undefined ? {} : { typed }),
    host: {
      fetch: async (input, init) => {
        const request = new Request(input, init);
        sent.push({ url: request.url, authorization: request.headers.get("authorization") });
        return new Response("", { status: 403 });
      },
    },
  });
  return { run, sent };
}

const configOf = (endpoint: string, tokenVariable = "SHARDCTL_TOKEN"): string =>
  `apiVersion: shardctl.dev/v1\nkind: Config\nenvironments:\n  production: { endpoint: "${endpoint}", tokenVariable: ${tokenVariable} }\n`;

const tokensOf = (sent: readonly Sent[]): (string | null)[] => [
  ...new Set(sent.map(({ authorization }) => authorization)),
];

/** The outcomes of the commands that read manifests, which must all refuse a link. */
async function readManifests(cwd: string): Promise<{ exits: number[]; texts: string[] }> {
  const exits: number[] = [];
  const texts: string[] = [];
  for (const argv of [["validate"], ["validate", "manifests"], ["plan"]]) {
    const env = { SHARDCTL_ENDPOINT: "http://127.0.0.1:1" };
    const run = await runInProcess(argv, { cwd, env });
    expect(run.stderr, argv.join(" ")).toContain("symbolic link");
    exits.push(run.exitCode);
    texts.push(run.stdout + run.stderr);
  }
  return { exits, texts };
}

describe("a config of a repository", () => {
  it.each([
    "AWS_SECRET_ACCESS_KEY",
    "PATH",
    "GITHUB_TOKEN",
    "SHARDCTL",
    "SHARDCTL_",
    "MY_SHARDCTL_TOKEN",
  ])("names no variable of others to be sent: %s", async (variable) => {
    const { run, sent } = await planWith(configOf(ENDPOINT, variable), { [variable]: "secret" });
    expect(run.exitCode).toBe(EXIT.error);
    expect(run.stderr).toContain("begins with SHARDCTL_");
    expect(run.stdout + run.stderr).not.toContain("secret");
    expect(sent).toEqual([]);
  });

  it("does not decide where a token goes", async () => {
    const { run, sent } = await planWith(configOf(ENDPOINT), { SHARDCTL_TOKEN: "secret" });
    expect(run.exitCode).toBe(EXIT.error);
    expect(run.stderr).toContain(`this repository names ${ENDPOINT}, which has not been confirmed`);
    expect(sent).toEqual([]);
  });

  it("is obeyed after the machine's user has confirmed its endpoint once", async () => {
    await using home = await temporaryFolder();
    const env = { SHARDCTL_TOKEN: "secret", HOME: home.path };
    const refused = await planWith(configOf(ENDPOINT), env, { typed: "y\n" });
    expect(refused.sent).toEqual([]);
    const asked = await planWith(configOf(ENDPOINT), env, { typed: "yes\n" });
    expect(tokensOf(asked.sent)).toEqual(["Bearer secret"]);
    const later = await planWith(configOf(ENDPOINT), env);
    expect(tokensOf(later.sent)).toEqual(["Bearer secret"]);
    const other = await planWith(configOf(`${ENDPOINT}.evil.test`), env);
    expect(other.sent).toEqual([]);
    const file = join(home.path, ".config", "shardctl", "endpoints.json");
    expect(JSON.parse(await readFile(file, "utf8"))).toEqual([
      { endpoint: ENDPOINT, variable: "SHARDCTL_TOKEN" },
    ]);
    await writeFile(file, "{ broken");
    expect((await planWith(configOf(ENDPOINT), env)).sent).toEqual([]);
  });

  it("gets the confirmed token and no other, whatever a later change of it names", async () => {
    await using home = await temporaryFolder();
    const env = {
      SHARDCTL_TOKEN: "default",
      SHARDCTL_TOKEN_STAGING: "staging",
      SHARDCTL_TOKEN_PROD: "prod",
      HOME: home.path,
    };
    const staging = configOf(ENDPOINT, "SHARDCTL_TOKEN_STAGING");
    await planWith(staging, env, { typed: "yes\n" });
    for (const other of ["SHARDCTL_TOKEN_PROD", "SHARDCTL_TOKEN"]) {
      const { run, sent } = await planWith(configOf(ENDPOINT, other), env);
      expect(run.stderr).toContain(`not been confirmed yet as a place for ${other}`);
      expect(sent).toEqual([]);
    }
    await planWith(configOf(ENDPOINT, "SHARDCTL_TOKEN_PROD"), env, { typed: "yes\n" });
    expect(tokensOf((await planWith(staging, env)).sent)).toEqual(["Bearer staging"]);
  });

  it("gets no token for a list that does not say which", async () => {
    await using home = await temporaryFolder();
    await mkdir(join(home.path, ".config", "shardctl"), { recursive: true });
    const file = join(home.path, ".config", "shardctl", "endpoints.json");
    await writeFile(file, JSON.stringify([ENDPOINT, null, { endpoint: ENDPOINT }]));
    const env = { SHARDCTL_TOKEN: "secret", HOME: home.path };
    expect((await planWith(configOf(ENDPOINT), env)).sent).toEqual([]);
  });

  it("gets the default token alone for a variable of the machine", async () => {
    const env = { SHARDCTL_TOKEN_PROD: "prod", SHARDCTL_TRUSTED_ENDPOINTS: ENDPOINT };
    const { run, sent } = await planWith(configOf(ENDPOINT, "SHARDCTL_TOKEN_PROD"), env);
    expect(run.stderr).toContain("set SHARDCTL_TOKEN and name the endpoint");
    expect(sent).toEqual([]);
  });

  it.each([
    ["a variable of the machine", { SHARDCTL_TRUSTED_ENDPOINTS: `https://x.test ${ENDPOINT}` }, []],
    ["SHARDCTL_ENDPOINT", { SHARDCTL_ENDPOINT: ENDPOINT }, []],
    ["--endpoint", {}, ["--endpoint", ENDPOINT]],
  ])("is obeyed, or not needed, with %s", async (_name, more, argv) => {
    const env = { SHARDCTL_TOKEN: "secret", ...more };
    const { sent } = await planWith(configOf(ENDPOINT), env, { argv });
    expect(tokensOf(sent)).toEqual(["Bearer secret"]);
  });

  it("needs no confirmation where there is no token to send", async () => {
    const { sent } = await planWith(configOf(ENDPOINT), {});
    expect(tokensOf(sent)).toEqual([null]);
  });
});

describe("a note of `shardctl dev` that is committed", () => {
  const noteOf = (endpoint: string) => ({
    ".shardctl/dev/runtime.json": JSON.stringify({ endpoint, pid: 1 }),
  });
  const withConfig = { "shardctl.yaml": "apiVersion: shardctl.dev/v1\nkind: Config\n" };
  const env = { SHARDCTL_TOKEN: "secret" };

  it.each([
    ["without a config", {}, ENDPOINT],
    ["with a config", withConfig, ENDPOINT],
    ["a name that begins like this machine's", {}, "https://localhost.example.test"],
    ["a user name like this machine's", {}, "https://127.0.0.1@example.test"],
    ["no URL", {}, "example.test"],
  ])("leads nowhere but to this machine: %s", async (_name, config, endpoint) => {
    const { run, sent } = await planIn({ ...config, ...noteOf(endpoint) }, env);
    expect(run.exitCode).toBe(EXIT.error);
    expect(run.stderr).toContain("No reconciler is configured");
    expect(sent).toEqual([]);
  });

  it.each(["http://127.0.0.1:8787", "http://localhost:8787", "http://[::1]:8787"])(
    "leads to this machine: %s",
    async (endpoint) => {
      const { sent } = await planIn(noteOf(endpoint), env);
      expect(sent[0]?.url).toContain(endpoint);
    },
  );
});

describe("an endpoint with a user in it", () => {
  it.each(["https://127.0.0.1@evil.example", "https://a:b@shardctl.example.test"])(
    "gets nothing: %s",
    async (endpoint) => {
      const env = { SHARDCTL_TOKEN: "secret" };
      const argv = ["--endpoint", endpoint];
      const { run, sent } = await planWith(configOf(ENDPOINT), env, { argv });
      expect(run.exitCode).toBe(EXIT.error);
      expect(run.stderr).toContain("user name or a password");
      expect(run.stderr).not.toContain("a:b");
      expect(sent).toEqual([]);
    },
  );
});

describe("an endpoint by http", () => {
  it.each([
    "http://shardctl.example.test",
    "http://127.0.0.1.example.test",
    "http://10.0.0.1:8787",
    "http://localhost.evil.example",
    "http://localhost.:8787",
    "http://0.0.0.0:8787",
    "http://[::]:8787",
    "http://[::ffff:127.0.0.1]:8787",
    "http://127.0.0.1.nip.example",
    "HTTP://EVIL.example\\@127.0.0.1",
    "http://evil.example#@127.0.0.1",
    "http://evil.example?@localhost",
  ])("elsewhere than on this machine gets no token: %s", async (endpoint) => {
    const env = { SHARDCTL_TOKEN: "secret" };
    const { run, sent } = await planWith(configOf(ENDPOINT), env, {
      argv: ["--endpoint", endpoint],
    });
    expect(run.exitCode).toBe(EXIT.error);
    expect(run.stderr).toContain("in the clear");
    expect(sent).toEqual([]);
  });

  it("on this machine gets it", async () => {
    const env = { SHARDCTL_TOKEN: "secret" };
    const { sent } = await planWith(configOf("http://127.0.0.1:8787"), env);
    expect(tokensOf(sent)).toEqual(["Bearer secret"]);
  });
});

describe("a symbolic link in a repository", () => {
  const SECRET = "aws_secret_access_key: canary-value";

  it.each([
    ["a manifest", "manifests/orders.yaml", "secret.yaml"],
    ["the folder of the manifests", "manifests", "."],
    ["a manifest, over another link", "manifests/orders.yaml", "chain.yaml"],
    ["the config", "shardctl.yaml", "secret.yaml"],
  ])("that leads out of it is not read: %s", async (_name, link, target) => {
    await using elsewhere = await temporaryFolder();
    await writeFile(join(elsewhere.path, "secret.yaml"), SECRET);
    await symlink(join(elsewhere.path, "secret.yaml"), join(elsewhere.path, "chain.yaml"));
    await using project = await temporaryFolder();
    await mkdir(join(project.path, ".git"));
    if (link !== "manifests") await mkdir(join(project.path, "manifests"));
    await symlink(join(elsewhere.path, target), join(project.path, link));
    const { exits, texts } = await readManifests(project.path);
    expect(exits).toEqual([EXIT.error, EXIT.error, EXIT.error]);
    expect(texts.join()).not.toMatch(/canary|aws_secret/);
  });

  it.each([
    ["what git keeps for itself", ".git/config", "manifests/orders.yaml"],
    ["a file of secrets", ".dev.vars", "manifests/orders.yaml"],
    ["a hidden folder", ".secrets/prod.yaml", "manifests/orders.yaml"],
    ["what is no manifest", "notes.txt", "manifests/orders.yaml"],
    ["the folder of git", ".git", "manifests"],
    ["a file of secrets, as the config", ".env", "shardctl.yaml"],
  ])("that stays in it, and leads to %s, is not read", async (_name, target, link) => {
    await using project = await temporaryProject({
      ".git/config": SECRET,
      ".git/refs/x.yaml": SECRET,
      ".dev.vars": SECRET,
      ".env": SECRET,
      ".secrets/prod.yaml": SECRET,
      "notes.txt": SECRET,
    });
    if (link !== "manifests") await mkdir(join(project.path, "manifests"));
    await symlink(join(project.path, target), join(project.path, link));
    const { exits, texts } = await readManifests(project.path);
    expect(exits).toEqual([EXIT.error, EXIT.error, EXIT.error]);
    expect(texts.join()).not.toMatch(/canary|aws_secret/);
  });

  it("that stays in it is followed", async () => {
    await using project = await temporaryProject({ "shared/orders.yaml": MANIFEST });
    await mkdir(join(project.path, ".git"));
    await mkdir(join(project.path, "manifests"), { recursive: true });
    await symlink(join(project.path, "shared/orders.yaml"), join(project.path, "manifests/o.yaml"));
    const run = await runInProcess(["validate", "manifests/o.yaml"], {
      cwd: project.path,
      env: {},
    });
    expect(run.exitCode).toBe(EXIT.done);
  });

  it("does not matter for a file elsewhere that a person names", async () => {
    await using elsewhere = await temporaryFolder();
    await writeFile(join(elsewhere.path, "orders.yaml"), MANIFEST);
    await using project = await temporaryProject({});
    const run = await runInProcess(["validate", join(elsewhere.path, "orders.yaml")], {
      cwd: project.path,
      env: {},
    });
    expect(run.exitCode).toBe(EXIT.done);
  });
});

it("a token for this machine is still sent to a running reconciler", async () => {
  server = await startScriptedServer(reconciler());
  await using project = await temporaryProject({ "manifests/orders.yaml": MANIFEST });
  const run = await runInProcess(["plan"], {
    cwd: project.path,
    env: { SHARDCTL_ENDPOINT: server.endpoint, SHARDCTL_TOKEN: "mine" },
  });
  expect(run.exitCode).toBe(EXIT.done);
  expect(server.requests[0]?.authorization).toBe("Bearer mine");
});
