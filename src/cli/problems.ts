/**
 * Maps problem documents of the API (RFC 9457) to failures that name the next step, in one
 * exhaustive switch.
 */
import { PROBLEM_KINDS, type Problem, type ProblemKind } from "../model/api.ts";
import { assertNever } from "../model/result.ts";
import { fail } from "./failure.ts";
import type { HttpRecipient } from "./http-request.ts";

/** The problem in a body, or null when it is something else. */
export function readProblem(body: unknown): Problem | null {
  if (typeof body !== "object" || body === null) return null;
  const problem = body as Partial<Problem>;
  const known = PROBLEM_KINDS.includes(problem.kind as ProblemKind);
  return known && typeof problem.detail === "string" && typeof problem.status === "number"
    ? (problem as Problem)
    : null;
}

/** @param transient True when the status says that the server comes back. */
export function describeProblem(
  problem: Problem,
  target: HttpRecipient,
  transient: boolean,
): ReturnType<typeof fail> {
  const detail =
    target.token === null ? problem.detail : problem.detail.replaceAll(target.token, "***");
  const details = { problem: { ...problem, detail }, ...(transient ? { transient } : {}) };
  switch (problem.kind) {
    case "invalid":
      return fail("invalid", withErrors(detail, problem), null, details);
    case "unauthenticated":
      return target.token === null
        ? fail(
            "unauthenticated",
            `${target.endpoint} requires a token, and none was given.`,
            target.advice,
            details,
          )
        : fail(
            "unauthenticated",
            `${target.endpoint} does not accept this token: ${detail}`,
            target.advice,
            details,
          );
    case "forbidden":
      return fail(
        "forbidden",
        detail,
        "Use a token with the role that is needed: read, plan or apply.",
        details,
      );
    case "notFound":
    case "methodNotAllowed":
      return fail("notFound", detail, null, details);
    case "unknownPlan":
      return fail("stalePlan", detail, "Make a new one: shardctl plan", details);
    case "stalePlan":
      return fail("stalePlan", detail, "Look at the new plan: shardctl plan", details);
    case "locked":
      return fail("locked", detail, null, details);
    case "notReviewed":
      return fail(
        "stalePlan",
        detail,
        "Post it first: shardctl plan --github in a pull request",
        details,
      );
    case "blocked":
      return fail(
        "blocked",
        detail,
        "Resolve it, or override a guard with: shardctl apply --override <guard>",
        details,
      );
    case "conflict":
      return fail("conflict", detail, null, details);
    case "tooLarge":
      return fail(
        "invalid",
        detail,
        "Split the manifests over several environments or reconcilers.",
        details,
      );
    case "unavailable":
      return fail("server", detail, "Try again in a moment.", details);
    case "internal":
      return fail(
        "server",
        `The server failed: ${detail}`,
        "Check the Worker's logs for the cause.",
        details,
      );
    default:
      return assertNever(problem.kind);
  }
}

function withErrors(detail: string, problem: Problem): string {
  const errors = problem.errors ?? [];
  return [
    detail,
    ...errors.map((error) => `  ${error.path === "" ? "(body)" : error.path}: ${error.message}`),
  ].join("\n");
}
