/**
 * Problem documents (RFC 9457): every refusal of the HTTP API is made here, so that a kind has one
 * status and one title.
 */
import type { Problem, ProblemKind } from "../model/api.ts";
import type { ProblemErrors } from "../model/refused-request.ts";

const KINDS: Readonly<Record<ProblemKind, { readonly status: number; readonly title: string }>> = {
  invalid: { status: 400, title: "The request is not valid" },
  unauthenticated: { status: 401, title: "No valid token" },
  forbidden: { status: 403, title: "Not allowed" },
  notFound: { status: 404, title: "Not found" },
  methodNotAllowed: { status: 405, title: "Method not allowed" },
  unknownPlan: { status: 404, title: "Unknown plan" },
  stalePlan: { status: 409, title: "The plan is stale" },
  locked: { status: 409, title: "Another run is active" },
  blocked: { status: 409, title: "The plan is blocked" },
  notReviewed: { status: 409, title: "The plan was not reviewed" },
  conflict: { status: 409, title: "Conflict" },
  tooLarge: { status: 413, title: "Too large" },
  unavailable: { status: 503, title: "Not available now" },
  internal: { status: 500, title: "Internal error" },
};

const CHALLENGE = { "www-authenticate": 'Bearer realm="shardctl"' };

/** The response for a refusal: `application/problem+json`, never cached. */
export function problemResponse(
  kind: ProblemKind,
  detail: string,
  errors?: ProblemErrors,
  headers: Record<string, string> = {},
): Response {
  const { status, title } = KINDS[kind];
  const problem: Problem = {
    type: `https://shardctl.dev/problems/${kind}`,
    title,
    status,
    detail,
    kind,
    ...(errors === undefined ? {} : { errors }),
  };
  return new Response(JSON.stringify(problem), {
    status,
    headers: {
      "content-type": "application/problem+json",
      "cache-control": "no-store",
      ...(kind === "unauthenticated" ? CHALLENGE : {}),
      ...headers,
    },
  });
}
