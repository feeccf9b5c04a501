import { describe, expect, it } from "vitest";

import { createSettingsReader, type GithubOptions } from "../../src/server/options.ts";
import type { Settings } from "../../src/server/settings.ts";

const GITHUB: GithubOptions = {
  repository: "acme/shop",
  repositoryId: 42,
  ownerId: "7",
  environment: "production",
};

function read(github: GithubOptions | undefined, env: object = {}): Settings {
  const settings = createSettingsReader({ github: () => github })(env);
  if (!settings.ok) throw new Error(settings.failure);
  return settings.value;
}

function refused(github: unknown, env: object = {}): string {
  const settings = createSettingsReader({ github: () => github as GithubOptions })(env);
  if (settings.ok) throw new Error("The options were accepted");
  return settings.failure;
}

describe("the options of a Worker", () => {
  it("without GitHub have none", () => {
    expect(read(undefined, { GITHUB_TOKEN: "t" })).toEqual({
      github: null,
      access: null,
      guards: {},
      alertWebhookUrl: null,
    });
  });

  it("take the owner's guards in the words of a manifest, and only what is named", () => {
    const guards = {
      maxSkew: 2,
      budget: { rows: 5000 },
      windows: [{ start: "0 2 * * *", duration: "1h30m" }],
    };
    const settings = createSettingsReader({ guards })({});
    expect(settings).toMatchObject({ ok: true });
    expect(settings.ok ? settings.value.guards : null).toEqual({
      maxSkew: 2,
      budgetRows: 5000,
      windows: [{ start: "0 2 * * *", durationMs: 5_400_000, timezone: "UTC" }],
    });
  });

  it.each([
    [{ maxSkew: 0.5 }, "guards.maxSkew"],
    [{ budgetRows: 7 }, "guards"],
    [{ windows: [{ start: "0 0 30 2 *", duration: "1h" }] }, "guards.windows.0.start"],
  ])("with the guards %j are refused", (guards, named) => {
    const settings = createSettingsReader({ guards: guards as { maxSkew: number } })({});
    expect(settings).toMatchObject({ ok: false, failure: expect.stringContaining(named) });
  });

  it("have a default for all but the repository, its ids and the environment", () => {
    expect(read(GITHUB).github).toEqual({
      repository: { owner: "acme", name: "shop" },
      repositoryId: "42",
      ownerId: "7",
      environment: "production",
      manifests: "manifests",
      defaultBranch: "main",
      credentials: null,
      webhookSecret: null,
      apiUrl: "https://api.github.com",
      oidc: {
        audience: null,
        issuer: "https://token.actions.githubusercontent.com",
        jwksUrl: "https://token.actions.githubusercontent.com/.well-known/jwks",
        applyRef: "refs/heads/main",
        applyEnvironment: "production",
        applyWorkflow: null,
      },
      showForkCounts: false,
      applies: "workflow",
      posts: false,
    });
  });

  it("take credentials and secrets from the variables of the Worker, an app before a token", () => {
    const token = {
      GITHUB_TOKEN: "t",
      GITHUB_WEBHOOK_SECRET: "0123456789abcdef",
      ALERT_WEBHOOK_URL: "https://hooks.test/1",
    };
    expect(read(GITHUB, token)).toMatchObject({
      github: {
        credentials: { kind: "token", token: "t" },
        webhookSecret: "0123456789abcdef",
        posts: true,
      },
      alertWebhookUrl: "https://hooks.test/1",
    });
    const privateKey = "-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----";
    const app = { ...token, GITHUB_APP_ID: "99", GITHUB_APP_PRIVATE_KEY: privateKey };
    expect(read(GITHUB, app).github?.credentials).toEqual({ kind: "app", appId: "99", privateKey });
    expect(read({ ...GITHUB, post: false }, token).github?.posts).toBe(false);
    expect(read(GITHUB, { GITHUB_TOKEN: " ", GITHUB_WEBHOOK_SECRET: "" }).github).toMatchObject({
      credentials: null,
      webhookSecret: null,
    });
  });

  it.each([
    ["./manifests/", "manifests"],
    ["deploy/sharding", "deploy/sharding"],
    ["", "."],
    [".", "."],
  ])("take %j as the folder %s", (manifests, folder) => {
    expect(read({ ...GITHUB, manifests }).github?.manifests).toBe(folder);
  });

  it.each([
    [
      "a repository without an owner",
      { repository: "shop" },
      "github.repository: must be owner/name",
    ],
    [
      "a name in place of an id",
      { repositoryId: "shop" },
      "github.repositoryId: must be GitHub's numeric id",
    ],
    ["an id of 0", { ownerId: 0 }, "github.ownerId"],
    ["no environment", { environment: "" }, "github.environment"],
    ["a folder outside", { manifests: "../other" }, "github.manifests"],
    ["an absolute folder", { manifests: "/etc" }, "github.manifests"],
    [
      "a short branch as ref",
      { oidc: { applyRef: "main" } },
      "github.oidc.applyRef: must be a full ref",
    ],
    [
      "a workflow with its ref",
      { oidc: { applyWorkflow: ".github/workflows/a.yml@main" } },
      "github.oidc.applyWorkflow",
    ],
    ["a misspelt option", { oidc: { audiance: "x" } }, "audiance"],
    [
      "an API in the clear",
      { apiUrl: "http://api.github.com" },
      "github.apiUrl: must be an https address",
    ],
    ["an issuer that is no address", { oidc: { issuer: "github" } }, "github.oidc.issuer"],
  ])("are refused with %s", (_name, change, message) => {
    expect(refused({ ...GITHUB, ...change })).toContain(message);
  });

  it.each([
    [
      "a PKCS#1 key",
      { GITHUB_APP_ID: "99", GITHUB_APP_PRIVATE_KEY: "-----BEGIN RSA PRIVATE KEY-----hunter2" },
      "openssl pkcs8",
    ],
    ["a short webhook secret", { GITHUB_WEBHOOK_SECRET: "hunter2" }, "github.webhookSecret"],
    [
      "an alert address in the clear",
      { ALERT_WEBHOOK_URL: "http://hooks.test/hunter2" },
      "alerts.webhookUrl",
    ],
  ])("are refused with %s, which is not repeated", (_name, env, message) => {
    expect(refused(GITHUB, env)).toContain(message);
    expect(refused(GITHUB, env)).not.toContain("hunter2");
  });
});
