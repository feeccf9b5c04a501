/**
 * Identifies callers who come through Cloudflare Access. Access puts a signed token on every
 * request that it lets through. The signature counts, never the presence of the header: a caller
 * who reaches the Worker past Access can send any header.
 */
import { createRemoteJWKSet, customFetch, errors, jwtVerify } from "jose";

import { failure, success, type Result } from "../../model/result.ts";

export const ACCESS_HEADER = "cf-access-jwt-assertion";

export interface AccessSettings {
  /** Such as `https://acme.cloudflareaccess.com`: the issuer, and where the keys are. */
  readonly issuer: string;
  /** The application's AUD tag. */
  readonly audience: string;
}

export interface AccessVerifier {
  /**
   * The person's address, or the name of the service token. @param now milliseconds since the Unix
   * epoch.
   */
  verify(token: string, now: number): Promise<Result<string, string>>;
}

const CLOCK_TOLERANCE_S = 30;
const TOKEN_LENGTH_MAX = 16 * 1024;
const KEYS_TIMEOUT_MS = 5_000;
const KEYS_AGE_MAX_MS = 10 * 60_000;

/** Keeps the team's keys for ten minutes. */
export function createAccessVerifier(
  { issuer, audience }: AccessSettings,
  options: { readonly fetch?: typeof fetch } = {},
): AccessVerifier {
  const keys = createRemoteJWKSet(new URL(`${issuer}/cdn-cgi/access/certs`), {
    timeoutDuration: KEYS_TIMEOUT_MS,
    cacheMaxAge: KEYS_AGE_MAX_MS,
    ...(options.fetch === undefined ? {} : { [customFetch]: options.fetch }),
  });
  return {
    async verify(token, now) {
      if (token.length > TOKEN_LENGTH_MAX)
        return failure("The token of Cloudflare Access is too long to be one.");
      try {
        const { payload } = await jwtVerify(token, keys, {
          algorithms: ["RS256"],
          issuer,
          audience,
          currentDate: new Date(now),
          clockTolerance: CLOCK_TOLERANCE_S,
          requiredClaims: ["exp", "iat"],
        });
        const name = payload["email"] ?? payload["common_name"];
        return typeof name === "string" && name !== ""
          ? success(name.slice(0, 200))
          : failure("The token of Cloudflare Access names no user.");
      } catch (error) {
        return failure(explain(error, issuer));
      }
    },
  };
}

/** Names the claim, never the token. */
function explain(error: unknown, issuer: string): string {
  if (error instanceof errors.JWTExpired)
    return "The token of Cloudflare Access has expired: load the page again.";
  if (error instanceof errors.JWTClaimValidationFailed) {
    return `The token of Cloudflare Access is for another team or application (claim ${error.claim}): compare the option access with the application.`;
  }
  if (
    error instanceof errors.JWKSTimeout ||
    !(error instanceof errors.JOSEError) ||
    error.code === "ERR_JOSE_GENERIC"
  ) {
    return `The keys of ${issuer} could not be read, so the token of Cloudflare Access could not be checked. Try again.`;
  }
  return "The token of Cloudflare Access is not signed by the team.";
}
