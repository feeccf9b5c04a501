/** Tokens of GitHub Actions: which are believed, what they may do, and how each lie is refused. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import {
  type ActionsCaller,
  type ActionsVerifierOptions,
  type ApplyPolicy,
  checkApply,
  createActionsVerifier,
} from "../../src/github/actions-verifier.ts";
import {
  type FakeGitHub,
  type MintOptions,
  type OidcJob,
  type Repository,
  startFakeGitHub,
} from "../support/github/index.ts";

const AUDIENCE = "https://shards.example";
let github: FakeGitHub;
let repo: Repository;

beforeAll(async () => {
  github = await startFakeGitHub();
  repo = github.createRepo({ owner: "acme", name: "data", private: true });
});

afterAll(() => github.stop());

function job(fields: Partial<OidcJob> = {}): OidcJob {
  return {
    repo,
    ref: "refs/heads/main",
    sha: repo.refs.get("refs/heads/main") ?? "",
    eventName: "push",
    actor: github.createUser("octocat"),
    workflow: "apply.yml",
    environment: "production",
    runId: 77,
    runAttempt: 1,
    headRef: "",
    baseRef: "",
    ...fields,
  };
}

function verifierWith(options: Partial<ActionsVerifierOptions> = {}) {
  return createActionsVerifier({
    issuer: github.oidc.issuer,
    repositoryId: String(repo.id),
    ownerId: String(repo.owner.id),
    cooldownMs: 0,
    ...options,
  });
}

async function verify(
  mint: MintOptions = {},
  fields: Partial<OidcJob> = {},
  options: Partial<ActionsVerifierOptions> = {},
  now = Date.now(),
) {
  const token = await github.oidc.mintOidcToken(job(fields), { audience: AUDIENCE, ...mint });
  return verifierWith(options).verify(token, AUDIENCE, now);
}

async function refusal(
  mint: MintOptions = {},
  options: Partial<ActionsVerifierOptions> = {},
  now?: number,
) {
  const verified = await verify(mint, {}, options, now);
  if (verified.ok) throw new Error("The token was believed");
  return verified.failure;
}

describe("a token", () => {
  it("tells who is asking", async () => {
    const verified = await verify({ claims: { jti: "once", run_id: "77" } });
    expect(verified).toMatchObject({
      ok: true,
      value: {
        tokenId: "once",
        repository: "acme/data",
        ref: "refs/heads/main",
        workflowRef: "acme/data/.github/workflows/apply.yml@refs/heads/main",
        environment: "production",
        eventName: "push",
        actor: "octocat",
      },
    });
  });

  it("of a job without an environment, on any branch, is believed", async () => {
    expect(
      await verify({}, { environment: null, ref: "refs/pull/1/merge", eventName: "pull_request" }),
    ).toMatchObject({
      ok: true,
      value: { environment: null },
    });
  });

  it("whose subject has any form is believed: it is not read", async () => {
    expect((await verify({ claims: { sub: "repo:mallory/other:ref:refs/heads/main" } })).ok).toBe(
      true,
    );
    expect((await verify({ claims: { sub: undefined } })).ok).toBe(true);
  });

  it("of a renamed repository is believed, of another one under our name is not", async () => {
    expect((await verify({ claims: { repository: "acme/renamed" } })).ok).toBe(true);
    expect((await refusal({ claims: { repository_id: "999" } })).message).toBe(
      `The token is for another repository: repository_id is "999", not "${repo.id}".`,
    );
  });

  it.each<[string, () => Promise<{ readonly kind: string; readonly message: string }>, RegExp]>([
    [
      "for another audience",
      () => refusal({ audience: "https://other.example" }),
      /claim aud is not acceptable\. It must be "https:\/\/shards\.example"/,
    ],
    ["without an audience", () => refusal({ claims: { aud: undefined } }), /claim aud is missing/],
    [
      "of another issuer",
      () => refusal({ claims: { iss: "https://evil.example" } }),
      /claim iss is not acceptable/,
    ],
    [
      "of another owner",
      () => refusal({ claims: { repository_owner_id: "1" } }),
      /repository_owner_id is "1"/,
    ],
    [
      "of another repository and owner",
      () => refusal({ claims: { repository_id: "2", repository_owner_id: "1" } }),
      /repository_id is "2".*repository_owner_id is "1"/,
    ],
    ["that has expired", () => refusal({}, {}, Date.now() + 3_600_000), /expired \(exp\)/],
    [
      "that is not valid yet",
      () => refusal({ claims: { nbf: Math.floor(Date.now() / 1000) + 600 } }),
      /claim nbf is not acceptable/,
    ],
    ["without an end", () => refusal({ claims: { exp: undefined } }), /claim exp is missing/],
    [
      "that lives for days",
      () =>
        refusal({
          claims: {
            iat: Math.floor(Date.now() / 1000) - 86_400,
            exp: Math.floor(Date.now() / 1000) + 86_400,
          },
        }),
      /expired|iat is not acceptable/,
    ],
    ["without a signature", () => refusal({ alg: "none" }), /signed JWT|algorithm/],
    [
      "signed with a key that is not the issuer's",
      () => refusal({ key: "unknown" }),
      /signature is wrong/,
    ],
    ["without an id", () => refusal({ claims: { jti: undefined } }), /lacks claims.*: jti\./],
    [
      "without what it is for",
      () =>
        refusal({ claims: { ref: undefined, event_name: undefined, repository_id: undefined } }),
      /: event_name, ref, repository_id\./,
    ],
    [
      "with ids that are numbers",
      () => refusal({ claims: { repository_id: 5 } }),
      /: repository_id\./,
    ],
  ])("%s is refused, and the claim named", async (_, refuse, message) => {
    const refused = await refuse();
    expect(refused.kind).toBe("refused");
    expect(refused.message).toMatch(message);
  });

  it.each([
    ["empty", ""],
    ["nonsense", "not.a.token"],
    ["huge", "x".repeat(20_000)],
    ["of two parts", "a.b"],
  ])("that is %s is refused without a throw", async (_, token) => {
    const verified = await verifierWith().verify(token, AUDIENCE, Date.now());
    expect(verified).toMatchObject({ ok: false, failure: { kind: "refused" } });
  });

  it("signed with HMAC over the public key is refused", async () => {
    const token = await github.oidc.mintOidcToken(job(), { audience: AUDIENCE });
    const header = btoa(JSON.stringify({ alg: "HS256", typ: "JWT" })).replace(/=+$/, "");
    const forged = [header, ...token.split(".").slice(1)].join(".");
    expect(await verifierWith().verify(forged, AUDIENCE, Date.now())).toMatchObject({
      ok: false,
      failure: { message: expect.stringContaining("algorithm") as string },
    });
  });
});

describe("keys", () => {
  it("are read once for many tokens, and again after a rotation", async () => {
    const verifier = verifierWith();
    const token = async () => github.oidc.mintOidcToken(job(), { audience: AUDIENCE });
    const before = github.oidc.jwksReads;
    for (let index = 0; index < 5; index++)
      expect((await verifier.verify(await token(), AUDIENCE, Date.now())).ok).toBe(true);
    expect(github.oidc.jwksReads - before).toBe(1);
    await github.oidc.rotateKeys();
    expect((await verifier.verify(await token(), AUDIENCE, Date.now())).ok).toBe(true);
    expect(github.oidc.jwksReads - before).toBe(2);
  });

  it("that are retired are not believed any more", async () => {
    await github.oidc.rotateKeys({ keepOld: false });
    expect((await refusal({ key: "retired" })).message).toMatch(
      /key \(kid\) that the issuer does not publish/,
    );
  });

  it("are not read for each of many tokens with unknown keys", async () => {
    await github.oidc.rotateKeys({ keepOld: false });
    const verifier = verifierWith({ cooldownMs: 60_000 });
    const token = await github.oidc.mintOidcToken(job(), { audience: AUDIENCE, key: "retired" });
    const before = github.oidc.jwksReads;
    for (let index = 0; index < 10; index++) await verifier.verify(token, AUDIENCE, Date.now());
    expect(github.oidc.jwksReads - before).toBe(1);
  });

  it.each([
    ["down", () => Promise.reject(new TypeError("connection refused"))],
    ["another server", () => Promise.resolve(new Response("<html>"))],
    ["broken", () => Promise.resolve(new Response("no", { status: 500 }))],
  ])("of an issuer that is %s make no verdict", async (_, send) => {
    expect(await refusal({}, { fetch: send })).toMatchObject({
      kind: "unavailable",
      message: expect.stringContaining("could not be read") as string,
    });
  });
});

describe("applying", () => {
  const policy: ApplyPolicy = {
    ref: "refs/heads/main",
    environment: "production",
    workflow: ".github/workflows/apply.yml",
  };

  async function callerOf(fields: Partial<OidcJob>): Promise<ActionsCaller> {
    const verified = await verify({}, fields);
    if (!verified.ok) throw new Error(verified.failure.message);
    return verified.value;
  }

  it("is allowed to the one job that the policy names", async () => {
    expect(checkApply(await callerOf({}), policy)).toBeNull();
    expect(
      checkApply(await callerOf({ workflow: "other.yml" }), { ...policy, workflow: null }),
    ).toBeNull();
  });

  it.each(["push", "workflow_dispatch", "schedule", "issue_comment"])(
    "is allowed on the event %s",
    async (eventName) => {
      expect(checkApply(await callerOf({ eventName }), policy)).toBeNull();
    },
  );

  it.each([
    "repository_dispatch",
    "merge_group",
    "release",
    "registry_package",
    "create",
    "delete",
    "fork",
    "watch",
    "issues",
    "discussion_comment",
    "pull_request_review",
    "pull_request_review_comment",
    "check_suite",
    "deployment",
    "status",
    "page_build",
    "workflow_call",
    "dynamic",
    "PUSH",
    "push ",
    "constructor",
    "something that GitHub invents",
  ])("is refused on the event %s, though its ref is the default branch", async (eventName) => {
    expect(checkApply(await callerOf({ eventName }), policy)).toMatch(/event_name is/);
  });

  it.each<[string, Partial<OidcJob>, RegExp]>([
    [
      "from another branch",
      { ref: "refs/heads/feature" },
      /ref is "refs\/heads\/feature", and only "refs\/heads\/main" may apply/,
    ],
    [
      "from a pull request",
      { ref: "refs/pull/1/merge", eventName: "pull_request" },
      /ref is "refs\/pull\/1\/merge".*event_name is "pull_request"/,
    ],
    [
      "from pull_request_target, whose ref is the default branch",
      { eventName: "pull_request_target" },
      /event_name is "pull_request_target"/,
    ],
    ["from workflow_run", { eventName: "workflow_run" }, /event_name is "workflow_run"/],
    [
      "without an environment",
      { environment: null },
      /the job names no environment, and only "production" may apply/,
    ],
    ["from another environment", { environment: "staging" }, /environment is "staging"/],
    [
      "from another workflow",
      { workflow: "evil.yml" },
      /workflow_ref is "acme\/data\/\.github\/workflows\/evil\.yml@refs\/heads\/main"/,
    ],
    ["from a workflow whose name begins alike", { workflow: "apply.yml.yml" }, /workflow_ref/],
  ])("is refused %s, and the claim named", async (_, fields, message) => {
    expect(checkApply(await callerOf(fields), policy)).toMatch(message);
  });
});
