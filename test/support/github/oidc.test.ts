/** The OIDC issuer, checked by jose against its JWKS as a relying party would. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createRemoteJWKSet, decodeJwt, decodeProtectedHeader, jwtVerify } from "jose";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { startFakeGitHub, type ActionsRun, type FakeGitHub, type Repository } from "./index.ts";

const AUDIENCE = "https://control.example.com";
let github: FakeGitHub;
let repo: Repository;
let run: ActionsRun;
let directory: string;

beforeEach(async () => {
  github = await startFakeGitHub();
  directory = await mkdtemp(join(tmpdir(), "fake-github-oidc-"));
  repo = github.createRepo({
    owner: "acme",
    name: "data",
    id: 4242,
    createdAtMs: Date.UTC(2026, 0, 1),
  });
  run = await github.actionsEnv(
    { kind: "push", repo },
    { directory, workflow: "apply.yml", environment: "production", hasIdToken: true },
  );
});

afterEach(async () => {
  await github.stop();
  await rm(directory, { recursive: true });
});

async function verify(token: string) {
  const discovery = await fetch(`${github.oidc.issuer}/.well-known/openid-configuration`);
  const { issuer, jwks_uri: jwksUri } = (await discovery.json()) as {
    issuer: string;
    jwks_uri: string;
  };
  const options = { issuer, audience: AUDIENCE, algorithms: ["RS256"] };
  return jwtVerify(token, createRemoteJWKSet(new URL(jwksUri)), options);
}

async function askRunner(
  env: Readonly<Record<string, string>>,
  bearer = env["ACTIONS_ID_TOKEN_REQUEST_TOKEN"],
): Promise<Response> {
  const url = `${env["ACTIONS_ID_TOKEN_REQUEST_URL"]}&audience=${encodeURIComponent(AUDIENCE)}`;
  return fetch(url, { headers: { authorization: `Bearer ${bearer}`, "user-agent": "test" } });
}

describe("a job's token", () => {
  it("is signed by a key of the JWKS and carries the claims of the job", async () => {
    const { value } = (await (await askRunner(run.env)).json()) as { value: string };
    const { payload } = await verify(value);
    expect(payload).toMatchObject({
      iss: github.oidc.issuer,
      aud: AUDIENCE,
      sub: "repo:acme/data:environment:production",
      repository: "acme/data",
      repository_id: "4242",
      repository_owner: "acme",
      repository_owner_id: String(repo.owner.id),
      ref: "refs/heads/main",
      ref_type: "branch",
      sha: repo.refs.get("refs/heads/main"),
      event_name: "push",
      workflow_ref: "acme/data/.github/workflows/apply.yml@refs/heads/main",
      job_workflow_ref: "acme/data/.github/workflows/apply.yml@refs/heads/main",
      environment: "production",
      actor: "acme",
      run_id: String(run.runId),
      run_attempt: "1",
      runner_environment: "github-hosted",
    });
    expect((payload.exp ?? 0) - (payload.iat ?? 0)).toBe(300);
    const again = (await (await askRunner(run.env)).json()) as { value: string };
    expect(decodeJwt(again.value).jti).not.toBe(payload.jti);
  });

  it("is not for everybody", async () => {
    expect((await askRunner(run.env, "guessed")).status).toBe(401);
  });

  it("of a repository made after 2026-07-15 has ids in its subject", async () => {
    const young = github.createRepo({
      owner: "acme",
      name: "young",
      createdAtMs: Date.UTC(2026, 6, 16),
    });
    const job = { ...run.oidcJob, repo: young, environment: null };
    const { sub } = decodeJwt(await github.oidc.mintOidcToken(job));
    expect(sub).toBe(`repo:acme@${young.owner.id}/young@${young.id}:ref:refs/heads/main`);
  });
});

describe("a bad token", () => {
  const mint = (options: Parameters<typeof github.oidc.mintOidcToken>[1]) =>
    github.oidc.mintOidcToken(run.oidcJob, { audience: AUDIENCE, ...options });

  it.each([
    {
      name: "for another audience",
      options: { audience: "https://elsewhere.example.com" },
      code: "ERR_JWT_CLAIM_VALIDATION_FAILED",
    },
    { name: "that has expired", options: { claims: { exp: 1_000_000 } }, code: "ERR_JWT_EXPIRED" },
    {
      name: "that is not valid yet",
      options: { claims: { nbf: 9_999_999_999 } },
      code: "ERR_JWT_CLAIM_VALIDATION_FAILED",
    },
    {
      name: "of another issuer",
      options: { claims: { iss: "https://elsewhere.example.com" } },
      code: "ERR_JWT_CLAIM_VALIDATION_FAILED",
    },
    { name: "without a signature", options: { alg: "none" }, code: "ERR_JOSE_ALG_NOT_ALLOWED" },
    {
      name: "of an unknown key",
      options: { key: "unknown" },
      code: "ERR_JWS_SIGNATURE_VERIFICATION_FAILED",
    },
  ] as const)("$name is refused", async ({ options, code }) => {
    await expect(verify(await mint(options))).rejects.toMatchObject({ code });
    expect((await verify(await mint({}))).payload.repository_id).toBe("4242");
  });

  it("without a signature says alg none", async () => {
    expect(decodeProtectedHeader(await mint({ alg: "none" })).alg).toBe("none");
  });

  it("may lack a claim", async () => {
    expect(decodeJwt(await mint({ claims: { jti: undefined } }))).not.toHaveProperty("jti");
  });
});

describe("rotation", () => {
  it("keeps the old key for a while, or takes it away at once", async () => {
    const old = await github.oidc.mintOidcToken(run.oidcJob, { audience: AUDIENCE });
    await github.oidc.rotateKeys();
    const young = await github.oidc.mintOidcToken(run.oidcJob, { audience: AUDIENCE });
    expect(decodeProtectedHeader(young).kid).not.toBe(decodeProtectedHeader(old).kid);
    expect((await verify(old)).payload.sub).toBe((await verify(young)).payload.sub);
    await github.oidc.rotateKeys({ keepOld: false });
    await expect(verify(young)).rejects.toMatchObject({ code: "ERR_JWKS_NO_MATCHING_KEY" });
    const retired = await github.oidc.mintOidcToken(run.oidcJob, {
      audience: AUDIENCE,
      key: "retired",
    });
    await expect(verify(retired)).rejects.toMatchObject({ code: "ERR_JWKS_NO_MATCHING_KEY" });
  });
});
