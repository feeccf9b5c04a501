/** Tokens: what each may do, what a refusal says, and how an app gets one. */
import { createAppAuth } from "@octokit/auth-app";
import { Octokit } from "@octokit/rest";
import { SignJWT, importPKCS8 } from "jose";
import { beforeEach, describe, expect, it } from "vitest";

import {
  startFakeGitHub,
  type App,
  type FakeGitHub,
  type Permissions,
  type Pull,
  type Repository,
} from "./index.ts";
import { octokitFor, refusalOf } from "./octokit.ts";

const AT = { owner: "acme", repo: "data" };
let github: FakeGitHub;
let repo: Repository;
let pull: Pull;
let nowMs = 0;

beforeEach(async () => {
  nowMs = Date.now();
  github = await startFakeGitHub({ now: () => nowMs });
  repo = github.createRepo({ owner: "acme", name: "data", private: true });
  pull = github.openPull(repo, { head: "change", title: "Change" });
  return () => github.stop();
});

type Client = ReturnType<typeof octokitFor>;

const CALLS: readonly {
  readonly name: string;
  readonly needs: Permissions;
  readonly accepted: string;
  readonly call: (client: Client) => Promise<{ status: number }>;
}[] = [
  {
    name: "read contents",
    needs: { contents: "read" },
    accepted: "contents=read",
    call: (client) => client.repos.getContent({ ...AT, path: "README.md" }),
  },
  {
    name: "read a tree",
    needs: { contents: "read" },
    accepted: "contents=read",
    call: (client) => client.git.getTree({ ...AT, tree_sha: "main" }),
  },
  {
    name: "read pull requests",
    needs: { pull_requests: "read" },
    accepted: "pull_requests=read",
    call: (client) => client.pulls.list(AT),
  },
  {
    name: "comment on a pull request",
    needs: { pull_requests: "write" },
    accepted: "issues=write; pull_requests=write",
    call: (client) => client.issues.createComment({ ...AT, issue_number: 1, body: "hello" }),
  },
  {
    name: "comment on a pull request with the other permission",
    needs: { issues: "write" },
    accepted: "issues=write; pull_requests=write",
    call: (client) => client.issues.createComment({ ...AT, issue_number: 1, body: "hello" }),
  },
  {
    name: "open an issue",
    needs: { issues: "write" },
    accepted: "issues=write",
    call: (client) => client.issues.create({ ...AT, title: "Drift" }),
  },
  {
    name: "create a check run",
    needs: { checks: "write" },
    accepted: "checks=write",
    call: (client) => client.checks.create({ ...AT, name: "plan", head_sha: pull.head.sha }),
  },
  {
    name: "list check runs",
    needs: { checks: "read" },
    accepted: "checks=read",
    call: (client) => client.checks.listForRef({ ...AT, ref: pull.head.sha }),
  },
  {
    name: "make a branch",
    needs: { contents: "write" },
    accepted: "contents=write",
    call: (client) => client.git.createRef({ ...AT, ref: "refs/heads/new", sha: pull.head.sha }),
  },
];

describe("a token", () => {
  it.each(CALLS)("may $name with the permission only", async ({ needs, accepted, call }) => {
    const without = await refusalOf(call(octokitFor(github, github.createActionsToken(repo, {}))));
    expect(without).toMatchObject({
      status: 403,
      message: expect.stringContaining("Resource not accessible by integration") as string,
    });
    expect(without.headers["x-accepted-github-permissions"]).toBe(accepted);
    expect(
      (await call(octokitFor(github, github.createActionsToken(repo, needs)))).status,
    ).toBeLessThan(300);
  });

  it.each(CALLS.filter(({ needs }) => Object.values(needs).includes("write")))(
    "of a fork's run may not $name",
    async ({ needs, call }) => {
      expect(
        await refusalOf(call(octokitFor(github, github.createActionsToken(repo, needs, true)))),
      ).toMatchObject({
        status: 403,
      });
    },
  );

  it("that is unknown, or has expired, is 401", async () => {
    const unknown = new Octokit({
      auth: "ghp_unknown",
      baseUrl: github.url,
      log: { debug() {}, info() {}, warn() {}, error() {} },
    });
    const refused = { status: 401, message: expect.stringContaining("Bad credentials") as string };
    expect(await refusalOf(unknown.repos.get(AT))).toMatchObject(refused);
    const app = await github.createApp({ slug: "shardctl", permissions: { contents: "read" } });
    const token = github.createInstallationToken(github.installApp(app, "acme"));
    expect((await octokitFor(github, token).repos.get(AT)).status).toBe(200);
    nowMs += 3_600_000;
    expect(await refusalOf(octokitFor(github, token).repos.get(AT))).toMatchObject(refused);
  });

  it("does not show a private repository that it does not reach", async () => {
    const other = github.createRepo({ owner: "acme", name: "other", private: true });
    const client = octokitFor(github, github.createActionsToken(other, { contents: "write" }));
    expect(await refusalOf(client.repos.get(AT))).toMatchObject({ status: 404 });
    expect(await refusalOf(octokitFor(github, null).repos.get(AT))).toMatchObject({ status: 404 });
    expect(
      await refusalOf(octokitFor(github, github.createUserToken("stranger")).repos.get(AT)),
    ).toMatchObject({ status: 404 });
  });

  it("reads what is public without a permission, and writes nothing there", async () => {
    const open = github.createRepo({ owner: "acme", name: "open" });
    const client = octokitFor(github, github.createActionsToken(open, {}));
    expect(
      (await client.repos.getContent({ owner: "acme", repo: "open", path: "README.md" })).status,
    ).toBe(200);
    expect(
      await refusalOf(client.issues.create({ owner: "acme", repo: "open", title: "x" })),
    ).toMatchObject({ status: 403 });
    expect(
      await refusalOf(
        octokitFor(github, null).issues.create({ owner: "acme", repo: "open", title: "x" }),
      ),
    ).toMatchObject({
      status: 401,
    });
  });

  it("has a user behind it only when a person made it", async () => {
    const person = octokitFor(github, github.createUserToken("octocat"));
    expect((await person.users.getAuthenticated()).data.login).toBe("octocat");
    const actions = octokitFor(github, github.createActionsToken(repo, {}));
    expect(await refusalOf(actions.users.getAuthenticated())).toMatchObject({ status: 403 });
    expect(await actions.graphql("{ viewer { login } }")).toEqual({
      viewer: { login: "github-actions[bot]" },
    });
    expect(github.journal.writes).toEqual([]);
  });

  it("of a person may be fine-grained", async () => {
    const client = octokitFor(
      github,
      github.createUserToken("octocat", {
        permissions: { contents: "read" },
        repositories: [repo],
      }),
    );
    expect((await client.repos.getContent({ ...AT, path: "README.md" })).status).toBe(200);
    expect(await refusalOf(client.issues.create({ ...AT, title: "x" }))).toMatchObject({
      status: 403,
      message: expect.stringContaining(
        "Resource not accessible by personal access token",
      ) as string,
    });
  });
});

describe("the permission of a person", () => {
  it.each([
    ["acme", "admin", "admin"],
    ["writer", "write", "write"],
    ["maintainer", "write", "maintain"],
    ["reader", "read", "read"],
    ["stranger", "none", "none"],
  ])("%s has %s", async (login, permission, role) => {
    github.addCollaborator(repo, "writer", "write");
    github.addCollaborator(repo, "maintainer", "maintain");
    github.addCollaborator(repo, "reader", "read");
    github.createUser("stranger");
    const client = octokitFor(github, github.createActionsToken(repo, {}));
    const { data } = await client.repos.getCollaboratorPermissionLevel({ ...AT, username: login });
    expect([data.permission, data.role_name]).toEqual([permission, role]);
  });

  it("is 404 for nobody, and everybody may read what is public", async () => {
    const client = octokitFor(github, github.createActionsToken(repo, {}));
    expect(
      await refusalOf(client.repos.getCollaboratorPermissionLevel({ ...AT, username: "nobody" })),
    ).toMatchObject({
      status: 404,
    });
    const open = github.createRepo({ owner: "acme", name: "open" });
    github.createUser("stranger");
    const reader = octokitFor(github, github.createActionsToken(open, {}));
    const { data } = await reader.repos.getCollaboratorPermissionLevel({
      owner: "acme",
      repo: "open",
      username: "stranger",
    });
    expect(data.permission).toBe("read");
  });
});

describe("an app", () => {
  let app: App;
  beforeEach(async () => {
    app = await github.createApp({
      slug: "shardctl",
      permissions: { contents: "read", issues: "write" },
    });
  });

  async function jwt(claims: Record<string, unknown> = {}): Promise<string> {
    const now = Math.floor(nowMs / 1000);
    const key = await importPKCS8(app.keys?.pkcs8 ?? "", "RS256");
    return new SignJWT({ iat: now - 30, exp: now + 500, iss: String(app.id), ...claims })
      .setProtectedHeader({ alg: "RS256" })
      .sign(key);
  }

  it("gets an installation's token with either form of its key, and acts as its bot", async () => {
    const installation = github.installApp(app, "acme");
    for (const privateKey of [app.keys?.pkcs1, app.keys?.pkcs8]) {
      const client = new Octokit({
        authStrategy: createAppAuth,
        auth: { appId: app.id, privateKey, installationId: installation.id },
        baseUrl: github.url,
      });
      const { data } = await client.issues.create({ ...AT, title: "Drift" });
      expect(data.user?.login).toBe("shardctl[bot]");
      expect(data.performed_via_github_app).toMatchObject({ slug: "shardctl", id: app.id });
      expect((await client.apps.getRepoInstallation(AT)).data.id).toBe(installation.id);
      expect((await client.apps.getAuthenticated()).data?.slug).toBe("shardctl");
    }
  });

  it("gets a token for fewer repositories and permissions, and none for more", async () => {
    const other = github.createRepo({ owner: "acme", name: "other", private: true });
    const installation = github.installApp(app, "acme");
    const client = new Octokit({
      auth: await jwt(),
      baseUrl: github.url,
      log: { debug() {}, info() {}, warn() {}, error() {} },
    });
    const at = { installation_id: installation.id };
    const { data } = await client.apps.createInstallationAccessToken({
      ...at,
      repository_ids: [repo.id],
      permissions: { contents: "read" },
    });
    const token = github.state.tokens.get(data.token);
    expect(token).toMatchObject({ permissions: { contents: "read" }, repositories: [repo] });
    expect(
      await refusalOf(
        octokitFor(github, token ?? null).repos.get({ owner: "acme", repo: other.name }),
      ),
    ).toMatchObject({
      status: 404,
    });
    const more = client.apps.createInstallationAccessToken({
      ...at,
      permissions: { checks: "write" },
    });
    expect(await refusalOf(more)).toMatchObject({ status: 422 });
  });

  it.each([
    { name: "is no JWT", token: () => Promise.resolve("a.b.c"), says: "could not be decoded" },
    {
      name: "is signed by another key",
      token: async () => `${(await jwt()).slice(0, -8)}AAAAAAAA`,
      says: "could not be decoded",
    },
    {
      name: "lives for more than ten minutes",
      token: () => jwt({ exp: Math.floor(nowMs / 1000) + 700 }),
      says: "too far in the future",
    },
    { name: "has expired", token: () => jwt({ exp: Math.floor(nowMs / 1000) - 5 }), says: "exp" },
    {
      name: "was issued in the future",
      token: () => jwt({ iat: Math.floor(nowMs / 1000) + 60 }),
      says: "iat",
    },
  ])("is refused when its JWT $name", async ({ token, says }) => {
    const response = await fetch(`${github.url}/app`, {
      headers: { authorization: `Bearer ${await token()}`, "user-agent": "test" },
    });
    expect(response.status).toBe(401);
    expect(await response.text()).toContain(says);
  });
});

describe("a request", () => {
  it("without a User-Agent is refused", async () => {
    const response = await fetch(`${github.url}/repos/acme/data`, {
      headers: { "user-agent": "" },
    });
    expect([response.status, await response.text()]).toEqual([
      403,
      expect.stringContaining("User-Agent") as string,
    ]);
  });

  it("with broken JSON is 400", async () => {
    const token = github.createActionsToken(repo, { issues: "write" }).value;
    const headers = { authorization: `Bearer ${token}`, "user-agent": "test" };
    const response = await fetch(`${github.url}/repos/acme/data/issues`, {
      method: "POST",
      headers,
      body: "{",
    });
    expect(response.status).toBe(400);
  });

  it("to an unknown path is 404, and in the journal", async () => {
    const client = octokitFor(github, null);
    expect(
      await refusalOf(client.request("GET /repos/acme/data/secret-scanning/alerts")),
    ).toMatchObject({ status: 404 });
    expect(github.journal.unknown.map((one) => `${one.method} ${one.path}`)).toEqual([
      "GET /repos/acme/data/secret-scanning/alerts",
    ]);
  });

  it("leaves its caller, body and status in the journal; credentials are no writes", async () => {
    const app = await github.createApp({ slug: "shardctl", permissions: { issues: "write" } });
    const installation = github.installApp(app, "acme");
    const auth = { appId: app.id, privateKey: app.keys?.pkcs8, installationId: installation.id };
    const client = new Octokit({ authStrategy: createAppAuth, auth, baseUrl: github.url });
    await client.repos.get(AT);
    expect(github.journal.writes).toEqual([]);
    await client.issues.create({ ...AT, title: "Drift" });
    expect(github.journal.writes).toMatchObject([
      {
        method: "POST",
        path: "/repos/acme/data/issues",
        caller: "installation:shardctl[bot]",
        status: 201,
      },
    ]);
    expect(github.journal.writes[0]?.body).toBe('{"title":"Drift"}');
  });
});
