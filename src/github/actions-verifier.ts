/**
 * Verifies a token of GitHub Actions: whom it identifies, and whether that job may apply.
 *
 * The token is an OIDC token of GitHub's issuer, so no secret is stored anywhere. Repository and
 * owner are compared by their ids: names can be taken over, and the form of `sub` depends on the
 * age of the repository, so `sub` is not read at all. Only RS256 is accepted. The caller detects a
 * repeated token, by `tokenId`.
 */
import { createRemoteJWKSet, customFetch, errors, type JWTPayload, jwtVerify } from "jose";
import * as z from "zod";

import { failure, type Result, success } from "../model/result.ts";

export interface ActionsVerifierOptions {
  /** Default `https://token.actions.githubusercontent.com`. */
  readonly issuer?: string;
  /** Default `<issuer>/.well-known/jwks`. */
  readonly jwksUrl?: string;
  /** Decimal digits. */
  readonly repositoryId: string;
  readonly ownerId: string;
  readonly fetch?: typeof fetch;
  /**
   * After the keys were read they are not read again for an unknown key id for this long. Default
   * 30,000.
   */
  readonly cooldownMs?: number;
}

export interface ActionsVerifier {
  /**
   * @param audience what the job had to ask its token for.
   * @param now milliseconds since the Unix epoch.
   */
  verify(
    token: string,
    audience: string,
    now: number,
  ): Promise<Result<ActionsCaller, TokenRefusal>>;
}

export interface TokenRefusal {
  /** `unavailable`: the issuer's keys could not be read, which says nothing about the token. */
  readonly kind: "refused" | "unavailable";
  /** Names the claim. Never holds the token. */
  readonly message: string;
}

/** A job of the repository. It may plan; what more it may do, `checkApply` says. */
export interface ActionsCaller {
  /** `jti`: seen once only, until `expiresAt`. */
  readonly tokenId: string;
  readonly expiresAt: number;
  readonly repository: string;
  readonly ref: string;
  /** Such as `acme/data/.github/workflows/apply.yml@refs/heads/main`. */
  readonly workflowRef: string;
  /** The file whose steps the job runs: of a called workflow another one; null for none. */
  readonly jobWorkflowRef: string | null;
  /** The GitHub environment of the job; null for none. */
  readonly environment: string | null;
  readonly eventName: string;
  readonly actor: string;
  readonly sha: string;
}

export interface ApplyPolicy {
  /** Such as `refs/heads/main`. */
  readonly ref: string;
  /** The GitHub environment, with its protection rules. */
  readonly environment: string;
  /** The workflow file, such as `.github/workflows/apply.yml`; null for any on that ref. */
  readonly workflow: string | null;
}

export const ACTIONS_ISSUER = "https://token.actions.githubusercontent.com";

const CLOCK_TOLERANCE_SECONDS = 30;
/** GitHub's live for minutes. */
const TOKEN_AGE_MAX_SECONDS = 3600;
const TOKEN_LENGTH_MAX = 16 * 1024;
const KEYS_TIMEOUT_MS = 5000;
const KEYS_COOLDOWN_MS = 30_000;
const KEYS_AGE_MAX_MS = 10 * 60 * 1000;
/**
 * Events whose jobs may apply: each is an act on the default branch, or by a person who is asked
 * for their right to it. Any other event may be begun by somebody outside, though its ref is the
 * default branch; one that GitHub adds is not allowed until it is listed here.
 */
const EVENTS_WITH_APPLY: ReadonlySet<string> = new Set([
  "push",
  "workflow_dispatch",
  "schedule",
  "issue_comment",
]);

const text = z.string().min(1).max(1024);
const claimsSchema = z.object({
  jti: text,
  exp: z.int(),
  repository: text,
  repository_id: text,
  repository_owner_id: text,
  ref: text,
  workflow_ref: text,
  job_workflow_ref: text.optional(),
  event_name: text,
  actor: text,
  sha: text,
  run_id: text,
  environment: text.optional(),
});
type Claims = z.output<typeof claimsSchema>;

/**
 * A verifier for one repository. Keeps the issuer's keys for ten minutes, and reads them again for
 * a key id that it does not know.
 */
export function createActionsVerifier(options: ActionsVerifierOptions): ActionsVerifier {
  const issuer = options.issuer ?? ACTIONS_ISSUER;
  const keys = createRemoteJWKSet(new URL(options.jwksUrl ?? `${issuer}/.well-known/jwks`), {
    timeoutDuration: KEYS_TIMEOUT_MS,
    cooldownDuration: options.cooldownMs ?? KEYS_COOLDOWN_MS,
    cacheMaxAge: KEYS_AGE_MAX_MS,
    ...(options.fetch === undefined ? {} : { [customFetch]: options.fetch }),
  });
  return {
    async verify(token, audience, now) {
      if (token.length > TOKEN_LENGTH_MAX)
        return refuse(
          `The token has ${token.length} characters; tokens of GitHub Actions are shorter.`,
        );
      try {
        const { payload } = await jwtVerify(token, keys, {
          algorithms: ["RS256"],
          issuer,
          audience,
          currentDate: new Date(now),
          clockTolerance: CLOCK_TOLERANCE_SECONDS,
          maxTokenAge: TOKEN_AGE_MAX_SECONDS,
          requiredClaims: ["exp", "iat", "nbf"],
        });
        return readClaims(payload, options);
      } catch (error) {
        return explainRefusal(error, issuer, audience);
      }
    },
  };
}

/** Why this job may not apply, naming every claim that is in the way; null when it may. */
export function checkApply(caller: ActionsCaller, policy: ApplyPolicy): string | null {
  const wrong: string[] = [];
  if (caller.ref !== policy.ref)
    wrong.push(`ref is ${quote(caller.ref)}, and only ${quote(policy.ref)} may apply`);
  if (caller.environment !== policy.environment) {
    const is =
      caller.environment === null
        ? "the job names no environment"
        : `environment is ${quote(caller.environment)}`;
    wrong.push(
      `${is}, and only ${quote(policy.environment)} may apply (\`environment:\` of the job)`,
    );
  }
  if (
    policy.workflow !== null &&
    caller.workflowRef !== `${caller.repository}/${policy.workflow}@${policy.ref}`
  ) {
    wrong.push(
      `workflow_ref is ${quote(caller.workflowRef)}, and only ${quote(policy.workflow)} at ${quote(policy.ref)} may apply`,
    );
  }
  const jobRef = caller.jobWorkflowRef;
  if (!isOwnFile(jobRef, caller.repository, policy.ref)) {
    const is =
      jobRef === null
        ? "the token has no job_workflow_ref"
        : `job_workflow_ref is ${quote(jobRef)}`;
    wrong.push(`${is}, and only a file of this repository at ${quote(policy.ref)} may apply`);
  }
  if (!EVENTS_WITH_APPLY.has(caller.eventName)) {
    wrong.push(
      `event_name is ${quote(caller.eventName)}, and only jobs of ${[...EVENTS_WITH_APPLY].join(", ")} may apply`,
    );
  }
  return wrong.length === 0 ? null : `This job may plan but not apply: ${wrong.join("; ")}.`;
}

/** A job of a called workflow runs that file's steps, whichever workflow has called it. */
function isOwnFile(jobRef: string | null, repository: string, ref: string): boolean {
  if (jobRef === null) return false;
  const prefix = `${repository}/.github/workflows/`;
  const suffix = `@${ref}`;
  if (!jobRef.startsWith(prefix) || !jobRef.endsWith(suffix)) return false;
  return /^[^/@]+\.ya?ml$/.test(jobRef.slice(prefix.length, -suffix.length));
}

function readClaims(
  payload: JWTPayload,
  options: ActionsVerifierOptions,
): Result<ActionsCaller, TokenRefusal> {
  const parsed = claimsSchema.safeParse(payload);
  if (!parsed.success) {
    const names = [...new Set(parsed.error.issues.map((issue) => issue.path.join(".")))].toSorted();
    return refuse(
      `The token lacks claims, or they have the wrong form: ${names.join(", ")}. Is it a token of GitHub Actions?`,
    );
  }
  const claims = parsed.data;
  const wrong = [
    compareId("repository_id", claims.repository_id, options.repositoryId),
    compareId("repository_owner_id", claims.repository_owner_id, options.ownerId),
  ].filter((problem) => problem !== null);
  return wrong.length === 0
    ? success(toCaller(claims))
    : refuse(`The token is for another repository: ${wrong.join(", ")}.`);
}

function compareId(claim: string, is: string, expected: string): string | null {
  return is === expected ? null : `${claim} is ${quote(is)}, not ${quote(expected)}`;
}

function toCaller(claims: Claims): ActionsCaller {
  return {
    tokenId: claims.jti,
    expiresAt: (claims.exp + CLOCK_TOLERANCE_SECONDS) * 1000,
    repository: claims.repository,
    ref: claims.ref,
    workflowRef: claims.workflow_ref,
    jobWorkflowRef: claims.job_workflow_ref ?? null,
    environment: claims.environment ?? null,
    eventName: claims.event_name,
    actor: claims.actor,
    sha: claims.sha,
  };
}

/** Failures of the keys' address are ours; everything else is the token's. */
function explainRefusal(
  error: unknown,
  issuer: string,
  audience: string,
): Result<never, TokenRefusal> {
  if (error instanceof errors.JWTExpired)
    return refuse("The token has expired (exp): ask for a new one in the same job.");
  if (error instanceof errors.JWTClaimValidationFailed) {
    const expected = new Map([
      ["iss", ` It must be ${quote(issuer)}.`],
      ["aud", ` It must be ${quote(audience)}: ask for the token with this audience.`],
    ]);
    const how = error.reason === "missing" ? "is missing" : "is not acceptable";
    return refuse(`The claim ${error.claim} ${how}.${expected.get(error.claim) ?? ""}`);
  }
  if (error instanceof errors.JOSEAlgNotAllowed)
    return refuse("The token's algorithm (alg) is not allowed: only RS256 is.");
  if (error instanceof errors.JWKSNoMatchingKey)
    return refuse("The token is signed with a key (kid) that the issuer does not publish.");
  if (error instanceof errors.JWSSignatureVerificationFailed)
    return refuse("The token's signature is wrong.");
  if (
    error instanceof errors.JWTInvalid ||
    error instanceof errors.JWSInvalid ||
    error instanceof errors.JWKSMultipleMatchingKeys
  ) {
    return refuse("The token is not a signed JWT.");
  }
  if (error instanceof errors.JOSENotSupported)
    return refuse("The token has a header (crit or alg) that is not supported.");
  return failure({
    kind: "unavailable",
    message: `The keys of ${issuer} could not be read, so the token could not be checked. Try again.`,
  });
}

function refuse(message: string): Result<never, TokenRefusal> {
  return failure({ kind: "refused", message });
}

/** Claims come from outside; they are shown on one line and not too long. */
function quote(value: string): string {
  const line = JSON.stringify(value);
  return line.length > 202 ? `${line.slice(0, 200)}…"` : line;
}
