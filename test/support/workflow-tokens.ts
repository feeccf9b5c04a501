/**
 * Tokens as GitHub Actions would sign them, and the address where their keys are published, for
 * tests in workerd.
 */
import { exportJWK, generateKeyPair, SignJWT } from "jose";

export const ISSUER = "https://token.actions.githubusercontent.com";
export const AUDIENCE = "https://shardctl.test";

const keys = await generateKeyPair("RS256", { extractable: true });
const strangerKeys = await generateKeyPair("RS256", { extractable: true });
const jwks = {
  keys: [{ ...(await exportJWK(keys.publicKey)), kid: "key-1", alg: "RS256", use: "sig" }],
};

/** How often the keys were fetched, and whether they can be. */
export const issuer = { fetches: 0, isDown: false };

export const fetchKeys: typeof fetch = async () => {
  issuer.fetches++;
  return issuer.isDown ? new Response("down", { status: 503 }) : Response.json(jwks);
};

/** Of a job that may apply. */
export const APPLY_CLAIMS = {
  repository: "acme/shop",
  repository_id: "1001",
  repository_owner: "acme",
  repository_owner_id: "501",
  ref: "refs/heads/main",
  sha: "a".repeat(40),
  workflow_ref: "acme/shop/.github/workflows/apply.yml@refs/heads/main",
  job_workflow_ref: "acme/shop/.github/workflows/apply.yml@refs/heads/main",
  event_name: "push",
  environment: "production",
  actor: "octocat",
  run_id: "77",
  run_attempt: "1",
};

/** Of the plan job of a pull request. */
export function pullClaims(
  pull: number,
): Partial<Record<keyof typeof APPLY_CLAIMS, string | undefined>> {
  return { ref: `refs/pull/${pull}/merge`, event_name: "pull_request", environment: undefined };
}

export interface TokenChanges {
  readonly [claim: string]: unknown;
}

/** A token that is right but for the given claims; `undefined` leaves a claim out. */
export async function workflowToken(
  changes: TokenChanges = {},
  { kid = "key-1", byStranger = false }: { kid?: string; byStranger?: boolean } = {},
): Promise<string> {
  const now = Math.floor(Date.now() / 1000);
  const claims = {
    ...APPLY_CLAIMS,
    iss: ISSUER,
    aud: AUDIENCE,
    iat: now,
    nbf: now - 5,
    exp: now + 300,
    jti: crypto.randomUUID(),
    sub: "repo:somebody@9/else@9:ref:refs/heads/main",
    ...changes,
  };
  return new SignJWT(JSON.parse(JSON.stringify(claims)) as Record<string, unknown>)
    .setProtectedHeader({ alg: "RS256", kid, typ: "JWT" })
    .sign(byStranger ? strangerKeys.privateKey : keys.privateKey);
}

/** The same claims without a signature, as `alg: none` allows. */
export async function unsignedToken(): Promise<string> {
  const [, body] = (await workflowToken()).split(".");
  return `${btoa(JSON.stringify({ alg: "none", typ: "JWT" })).replaceAll("=", "")}.${body}.`;
}
