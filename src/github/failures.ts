/**
 * Maps a failed request to a `GithubFailure`: what was asked, what GitHub said, what to do.
 *
 * Text from GitHub is cut, put on one line, and stripped of everything that looks like a
 * credential.
 */
import { NoAnswer } from "./bounded-fetch.ts";
import { RateLimitReached } from "./pace.ts";
import type { GithubFailure, GithubFailureKind } from "./port.ts";

export interface FailedRequest {
  /** Such as "create a comment on #7 of acme/shop". */
  readonly what: string;
  /** The permission that GitHub's documentation asks for, used when the answer names none. */
  readonly needs: string;
}

/** A credential that cannot be used at all: nothing was sent. */
export class UnusableCredential extends Error {
  constructor(message: string) {
    super(message);
    this.name = "UnusableCredential";
  }
}

const SAID_LENGTH_MAX = 500;
const CREDENTIAL =
  /\b(?:gh[a-z]_\w+|github_pat_\w+|ey[\w-]+\.[\w-]+\.[\w-]+)|\b(?:token|bearer)\s+\S+/gi;

interface HttpError {
  readonly status: number;
  readonly message: string;
  readonly response?: { readonly headers: Readonly<Record<string, string | undefined>> };
}

/**
 * The failure behind an error of a request; throws what is none, since that is a broken invariant.
 */
export function explainError(error: unknown, request: FailedRequest): GithubFailure {
  const could = `Could not ${request.what}`;
  if (error instanceof RateLimitReached) return explainLimit(error, could);
  if (error instanceof UnusableCredential)
    return fail("unauthenticated", `${could}: ${error.message}`);
  if (error instanceof NoAnswer) {
    return fail(
      "unreachable",
      `${could}: ${error.message}. Try again; if it persists, look at https://www.githubstatus.com.`,
    );
  }
  if (!isHttpError(error)) throw error;
  return error.response === undefined
    ? explainSilence(error, could)
    : explainStatus(error, could, request.needs);
}

/** An answer that is not what GitHub's API answers, such as a proxy's page. */
export function explainNonsense(request: FailedRequest, where: string): GithubFailure {
  return fail(
    "unreachable",
    `Could not ${request.what}: the answer is not what GitHub's API answers (${sanitize(where)}). Check the address of the API.`,
  );
}

function explainLimit(error: RateLimitReached, could: string): GithubFailure {
  const said = isHttpError(error.cause) ? ` (${sanitize(error.cause.message)})` : "";
  const until = new Date(error.retryAt).toISOString();
  return {
    kind: "rateLimited",
    message: `${could}: GitHub accepts no more requests from shardctl until ${until}${said}.`,
    retryAt: error.retryAt,
  };
}

function explainSilence(error: HttpError, could: string): GithubFailure {
  return fail("unreachable", `${could}: GitHub does not answer (${sanitize(error.message)}).`);
}

function explainStatus(error: HttpError, could: string, needs: string): GithubFailure {
  const said = `${could}: GitHub answered ${error.status}, ${sanitize(error.message)}`;
  switch (error.status) {
    case 401:
      return fail(
        "unauthenticated",
        `${said}. The token is unknown, expired or revoked: give a new one.`,
      );
    case 403: {
      const accepted = error.response?.headers["x-accepted-github-permissions"];
      const missing = namePermissions(accepted ?? "") ?? needs;
      const where = "in the workflow's `permissions:`, or in the settings of the App or token";
      return fail("forbidden", `${said}. The credential needs ${missing}: grant it ${where}.`);
    }
    case 404:
    case 410:
      return fail(
        "notFound",
        `${said}. It does not exist, or the credential may not see it (needs ${needs}).`,
      );
    case 409:
      return fail("conflict", `${said}. Somebody else changed it at the same time: try again.`);
    default:
      if (error.status >= 500)
        return fail(
          "unreachable",
          `${said}. Try again; if it persists, look at https://www.githubstatus.com.`,
        );
      return fail("invalid", `${said}.`);
  }
}

/**
 * `contents=read,issues=write; checks=write` → "contents: read and issues: write, or checks:
 * write".
 */
function namePermissions(header: string): string | null {
  const sets = header
    .split(";")
    .map((set) =>
      [...set.matchAll(/(\w+)\s*=\s*(\w+)/g)]
        .map(([, name, access]) => `\`${name}: ${access}\``)
        .join(" and "),
    )
    .filter((set) => set !== "");
  return sets.length === 0 ? null : sets.join(", or ");
}

function sanitize(text: string): string {
  const line = text.replace(/[\p{Cc}\p{Cf}\s]+/gu, " ").trim();
  const safe = line.replace(CREDENTIAL, "[hidden]");
  return safe.length > SAID_LENGTH_MAX ? `${safe.slice(0, SAID_LENGTH_MAX)}…` : safe;
}

function isHttpError(error: unknown): error is HttpError {
  return error instanceof Error && typeof (error as { status?: unknown }).status === "number";
}

function fail(kind: Exclude<GithubFailureKind, "rateLimited">, message: string): GithubFailure {
  return { kind, message, retryAt: null };
}
