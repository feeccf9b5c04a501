/**
 * Describes failures between the CLI and an endpoint: connections, timeouts, and answers that are
 * not the API's. Removes the token from every text.
 */
import { fail } from "./failure.ts";
import type { Attempt, HttpRecipient, HttpRequest } from "./http-request.ts";

const EXCERPT_CHARACTERS_MAX = 120;

/** An answer that is not the API's, with its status and its first characters. */
export function failNonsense(
  target: HttpRecipient,
  request: HttpRequest,
  response: Response,
  text: string,
  reason: string,
): ReturnType<typeof fail> {
  const type = response.headers.get("content-type") ?? "no content type";
  return fail(
    "nonsense",
    `${target.endpoint} answered ${request.method} ${request.path} with status ${response.status} (${type}): ${reason}. ${excerpt(text, target.token)}`,
    "Check that the endpoint is the URL of a shardctl reconciler, and that both are of the same version (shardctl --version).",
  );
}

/** Why there was no answer, and whether asking again may help. */
export function explainFetchError(
  target: HttpRecipient,
  request: HttpRequest,
  error: unknown,
): Attempt<never> {
  if (request.signal?.aborted)
    return { result: fail("interrupted", "Interrupted."), trouble: "lasting" };
  if (error instanceof Error && error.name === "TimeoutError") {
    const message = `${target.endpoint} did not answer ${request.method} ${request.path} within ${request.timeoutMs / 1000} s.`;
    return {
      result: fail("timeout", message, "Try again; if it stays slow, check the Worker's logs."),
      trouble: "transient",
    };
  }
  const cause = error instanceof Error ? error.cause : undefined;
  const code = codeOf(cause) ?? codeOf(error);
  const reason = withoutToken(
    cause instanceof Error ? cause.message || String(code) : String(error),
    target.token,
  );
  const result = fail(
    "unreachable",
    `Cannot reach ${target.endpoint}: ${reason}.`,
    hintFor(target, code),
  );
  if (code === "ECONNREFUSED") return { result, trouble: "unsent" };
  if (code === "ENOTFOUND" || code?.startsWith("ERR_TLS") || code?.includes("CERT"))
    return { result, trouble: "lasting" };
  return { result, trouble: "transient" };
}

function hintFor(target: HttpRecipient, code: string | undefined): string {
  const host = new URL(target.endpoint).hostname;
  if (code === "ENOTFOUND")
    return `No host is named ${host}. Check the endpoint in shardctl.yaml, --endpoint or SHARDCTL_ENDPOINT.`;
  if (host === "127.0.0.1" || host === "localhost" || host === "[::1]")
    return "Is the local runtime running? Start it with: shardctl dev";
  return "Check the endpoint in shardctl.yaml, --endpoint or SHARDCTL_ENDPOINT, and the network.";
}

function codeOf(error: unknown): string | undefined {
  if (typeof error !== "object" || error === null) return undefined;
  if ("code" in error && typeof error.code === "string") return error.code;
  // Happy Eyeballs: one error for each address that was tried.
  if ("errors" in error && Array.isArray(error.errors)) return codeOf(error.errors[0]);
  return undefined;
}

/** The first characters of a body, on one line. */
export function excerpt(text: string, token: string | null): string {
  const line = withoutToken(text, token)
    .replaceAll(/[\s\p{Cc}]+/gu, " ")
    .trim();
  if (line === "") return "The answer is empty.";
  // Cut by code units, then made well-formed: half a character at the end becomes a replacement
  // mark.
  const start = line.slice(0, EXCERPT_CHARACTERS_MAX).toWellFormed();
  return `It starts with: ${start}${line.length > EXCERPT_CHARACTERS_MAX ? "…" : ""}`;
}

function withoutToken(text: string, token: string | null): string {
  return token === null ? text : text.replaceAll(token, "***");
}
