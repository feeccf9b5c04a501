/**
 * Creates the client of a project's reconciler, or says what is missing to reach one. Checks
 * endpoint and token before anything is sent.
 */
import { type ApiClient, createApiClient } from "./api-client.ts";
import { type CliResult, fail } from "./failure.ts";
import type { Host } from "./host.ts";
import { CONFIG_NAME, type Project } from "./project.ts";
import type { Session } from "./session.ts";
import { type TokenSource, tokenOfActions, tokenOfVariable } from "./token-source.ts";

export function connectApi(session: Session, project: Project): CliResult<ApiClient> {
  const endpoint = project.endpoint ?? project.runtime?.endpoint ?? null;
  if (endpoint === null) {
    return fail(
      "noEndpoint",
      `No reconciler is configured for the environment '${project.environment}'.`,
      `Start a local one:      shardctl dev\nor name a deployed one: environments.${project.environment}.endpoint in ${CONFIG_NAME}, SHARDCTL_ENDPOINT, or --endpoint`,
    );
  }
  const url = readEndpoint(endpoint);
  if (!url.ok) return url;
  const tokens = chooseTokens(session.host, project, url.value);
  if (!tokens.ok) return tokens;
  const isClear = url.value.startsWith("http:") && !isLoopback(url.value);
  if (isClear && (session.host.env[project.tokenVariable] ?? "") !== "")
    session.warn(`The token travels in the clear to ${url.value}. Use https.`);
  return {
    ok: true,
    value: createApiClient(session.host, { endpoint: url.value, tokens: tokens.value }),
  };
}

/** Credentials that a runner sets for its own use. */
const RUNNER_VARIABLE = /^(?:GITHUB|ACTIONS|RUNNER)_/;

/**
 * A token that somebody has set comes first. GitHub's own is never sent in the clear, since a
 * workflow has no one to ask. A config, which a pull request may change together with the endpoint,
 * must not send away what the runner keeps for itself.
 */
function chooseTokens(host: Host, project: Project, endpoint: string): CliResult<TokenSource> {
  if (RUNNER_VARIABLE.test(project.tokenVariable)) {
    const message = `tokenVariable is ${project.tokenVariable}, a variable that GitHub Actions itself uses: its value is not sent to ${endpoint}.`;
    return fail(
      "config",
      message,
      `Name a variable of your own in ${CONFIG_NAME}, such as SHARDCTL_TOKEN.`,
    );
  }
  const isSafe = endpoint.startsWith("https:") || isLoopback(endpoint);
  const ofActions =
    isSafe && (host.env[project.tokenVariable] ?? "").trim() === ""
      ? tokenOfActions(host, endpoint)
      : null;
  return ofActions === null
    ? tokenOfVariable(host, project.tokenVariable)
    : { ok: true, value: ofActions };
}

function readEndpoint(text: string): CliResult<string> {
  const hint =
    "An endpoint looks like https://shardctl.example.workers.dev or http://127.0.0.1:8787.";
  if (!URL.canParse(text)) return fail("config", `The endpoint '${text}' is not a URL.`, hint);
  const url = new URL(text);
  if (url.protocol !== "https:" && url.protocol !== "http:")
    return fail("config", `The endpoint '${text}' is neither http nor https.`, hint);
  if (url.username !== "" || url.password !== "") {
    return fail(
      "config",
      "The endpoint has a user name or a password in it.",
      "Remove them, and set the token in SHARDCTL_TOKEN.",
    );
  }
  return { ok: true, value: url.origin + url.pathname.replace(/\/+$/, "") };
}

function isLoopback(endpoint: string): boolean {
  const { hostname } = new URL(endpoint);
  return hostname === "127.0.0.1" || hostname === "localhost" || hostname === "[::1]";
}
