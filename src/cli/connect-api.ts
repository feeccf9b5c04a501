/**
 * Creates the client of a project's reconciler, or says what is missing to reach one. Checks
 * endpoint and token before anything is sent.
 */
import { type ApiClient, createApiClient } from "./api-client.ts";
import { awaitingCounts } from "./await-counts.ts";
import { type CliResult, fail } from "./failure.ts";
import { isLoopbackUrl } from "./loopback.ts";
import { CONFIG_NAME, type Project } from "./project.ts";
import type { Session } from "./session.ts";
import { requireTrust } from "./trusted-endpoints.ts";
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
  const tokens = chooseTokens(session, project, url.value);
  if (!tokens.ok) return tokens;
  const api = createApiClient(session.host, { endpoint: url.value, tokens: tokens.value });
  return { ok: true, value: awaitingCounts(session, api) };
}

/**
 * A token that somebody has set comes first. GitHub's own is never sent in the clear, since a
 * workflow has no one to ask. Nobody's is: a token travels by https, or stays on this machine. A
 * config, which a pull request may change, cannot alone decide where it goes.
 */
function chooseTokens(
  session: Session,
  { tokenVariable, isEndpointOfRepository }: Project,
  endpoint: string,
): CliResult<TokenSource> {
  const { host } = session;
  const isHere = isLoopbackUrl(endpoint);
  const isSafe = endpoint.startsWith("https:") || isHere;
  const isSet = (host.env[tokenVariable] ?? "").trim() !== "";
  const ofActions = isSafe && !isSet ? tokenOfActions(host, endpoint) : null;
  if (ofActions !== null) return { ok: true, value: ofActions };
  const token = tokenOfVariable(host, tokenVariable);
  if (!token.ok || !isSet) return token;
  if (!isSafe)
    return fail(
      "config",
      `Nothing was sent: ${tokenVariable} would travel in the clear to ${endpoint}.`,
      "Use https. http is for this machine only.",
    );
  if (isHere || !isEndpointOfRepository) return token;
  return {
    ok: true,
    value: {
      advice: token.value.advice,
      async take() {
        const trusted = await requireTrust(session, endpoint, tokenVariable);
        return trusted.ok ? token.value.take() : trusted;
      },
    },
  };
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
