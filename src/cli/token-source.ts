/**
 * Provides the token of a request: from the environment variable, or, inside GitHub Actions with
 * `id-token: write`, from GitHub. A workflow requests a new token for each request, for this
 * endpoint only, since the Worker accepts none twice.
 */
import { type CliResult, fail } from "./failure.ts";
import type { Host } from "./host.ts";

export interface TokenSource {
  /** Advice for a refused token: the place to look. */
  readonly advice: string;
  /** The token, or null when there is none to send. */
  take(): Promise<CliResult<string | null>>;
}

const REQUEST_TIMEOUT_MS = 10_000;
const ATTEMPTS_MAX = 3;
const PAUSE_MS = 500;

export function tokenOfVariable(host: Host, variable: string): CliResult<TokenSource> {
  const given = host.env[variable]?.trim() ?? "";
  // Anything else cannot be sent in a header, and the error of the attempt would print it.
  if (given !== "" && !/^[\x21-\x7e]+$/.test(given)) {
    return fail(
      "config",
      `${variable} has characters that a token cannot have, such as spaces or line breaks.`,
      "Copy it again.",
    );
  }
  const advice =
    given === ""
      ? `Set ${variable}${host.env["GITHUB_ACTIONS"] === "true" ? ", or give the job `permissions: id-token: write`" : ""}.`
      : `Check ${variable}: its SHA-256 must be in the Worker's secret SHARDCTL_TOKENS.`;
  return {
    ok: true,
    value: { advice, take: async () => ({ ok: true, value: given === "" ? null : given }) },
  };
}

/**
 * The tokens of a job with `id-token: write`; null outside of one. @param endpoint its origin is
 * the token's audience.
 */
export function tokenOfActions(host: Host, endpoint: string): TokenSource | null {
  const url = host.env["ACTIONS_ID_TOKEN_REQUEST_URL"] ?? "";
  const secret = host.env["ACTIONS_ID_TOKEN_REQUEST_TOKEN"] ?? "";
  if (url === "" || secret === "" || !URL.canParse(url)) return null;
  const request = new URL(url);
  request.searchParams.set("audience", new URL(endpoint).origin);
  return {
    advice:
      "Compare this job's repository, ref and environment with the `github` options of the Worker.",
    take: () => askActions(host, request, secret),
  };
}

async function askActions(host: Host, url: URL, secret: string): Promise<CliResult<string>> {
  for (let attempt = 1; ; attempt++) {
    const answer = await askOnce(host, url, secret);
    if (typeof answer !== "string") return { ok: true, value: answer.token };
    if (attempt === ATTEMPTS_MAX) {
      return fail(
        "unauthenticated",
        `GitHub Actions gave no token: ${answer}.`,
        "Run the job again; if it persists, check GitHub's status.",
      );
    }
    await host.sleep(PAUSE_MS * attempt);
  }
}

/** The token, or why there is none. */
async function askOnce(
  host: Host,
  url: URL,
  secret: string,
): Promise<{ readonly token: string } | string> {
  try {
    const response = await host.fetch(url, {
      headers: { accept: "application/json", authorization: `bearer ${secret}` },
      signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
    });
    if (!response.ok) return `it answered with status ${response.status}`;
    const body = (await response.json()) as { readonly value?: unknown } | null;
    return typeof body?.value === "string" ? { token: body.value } : "its answer holds none";
  } catch (error) {
    return error instanceof Error ? error.message.replaceAll(secret, "***") : "the request failed";
  }
}
