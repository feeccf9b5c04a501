/**
 * One request to the API: timeout, repetition with backoff, redirects, and the reading of what came
 * back. Whatever comes back, the answer is a value or a failure that names the endpoint and the
 * status. The token goes to the endpoint's own origin only and is cut out of every text.
 */
import { EXPIRES_HEADER } from "../model/api.ts";
import { formatQuantity } from "../model/figures.ts";
import { type CliFailure, type CliResult, fail } from "./failure.ts";
import type { Host } from "./host.ts";
import { excerpt, explainFetchError, failNonsense } from "./http-failures.ts";
import type {
  Attempt,
  HttpRecipient,
  HttpRequest,
  HttpTarget,
  ReadAnswer,
} from "./http-request.ts";
import { describeProblem, readProblem } from "./problems.ts";

/**
 * 0.2 + 0.4 + 0.8 + 1.6 seconds of waiting: longer than a local runtime or an isolate needs to come
 * back.
 */
const ATTEMPTS_MAX = 5;
const BACKOFF_FIRST_MS = 200;
const REDIRECTS_MAX = 3;
const BODY_BYTES_MAX = 256 * 1024 * 1024;

/** Sends a request until it is answered or the attempts are used up. */
export async function sendRequest<Value>(
  host: Host,
  target: HttpTarget,
  request: HttpRequest,
  read: ReadAnswer<Value>,
): Promise<CliResult<Value>> {
  for (let attempt = 1; ; attempt++) {
    const { result, trouble } = await sendOnce(host, target, request, read);
    const repeat =
      trouble === "unsent"
        ? request.repeat !== "never"
        : trouble === "transient" && request.repeat === "whenTransient";
    if (!repeat || attempt === ATTEMPTS_MAX || request.signal?.aborted) return result;
    await host.sleep(requestRetryMs(attempt, host.random), request.signal);
  }
}

/** True when the same question may be answered a moment later. */
export function isTransient(failure: CliFailure): boolean {
  return (
    failure.kind === "unreachable" ||
    failure.kind === "timeout" ||
    failure.details?.["transient"] === true
  );
}

/** Doubling, with up to half as much again at random so that clients do not come back in step. */
export function requestRetryMs(attempt: number, random: () => number): number {
  const base = BACKOFF_FIRST_MS * 2 ** (attempt - 1);
  return Math.round(base * (1 + random() / 2));
}

async function sendOnce<Value>(
  host: Host,
  target: HttpTarget,
  request: HttpRequest,
  read: ReadAnswer<Value>,
): Promise<Attempt<Value>> {
  const token = await target.tokens.take();
  if (!token.ok) return { result: token, trouble: "lasting" };
  const recipient: HttpRecipient = {
    endpoint: target.endpoint,
    token: token.value,
    advice: target.tokens.advice,
  };
  const signals = [
    AbortSignal.timeout(request.timeoutMs),
    ...(request.signal === undefined ? [] : [request.signal]),
  ];
  const signal = AbortSignal.any(signals);
  try {
    const response = await fetchFollowing(host, recipient, request, signal);
    if (!(response instanceof Response)) return { result: response, trouble: "lasting" };
    tellExpiry(host, target, response);
    const text = await readBody(response);
    return readAnswer(recipient, request, response, text, read);
  } catch (error) {
    return explainFetchError(recipient, request, error);
  }
}

/** Targets whose token was said to expire soon: once is enough. */
const told = new WeakSet<HttpTarget["tokens"]>();

function tellExpiry(host: Host, { tokens }: HttpTarget, { headers }: Response): void {
  const at = Date.parse(headers.get(EXPIRES_HEADER) ?? "");
  if (Number.isNaN(at) || told.has(tokens)) return;
  told.add(tokens);
  const days = Math.max(0, Math.floor((at - host.now()) / (24 * 3_600_000)));
  const left = days === 0 ? "in less than a day" : `in ${formatQuantity(days, "day")}`;
  host.stderr.write(
    `Your token expires ${left}, at ${new Date(at).toISOString()}. \`shardctl token\` makes another.\n`,
  );
}

async function fetchFollowing(
  host: Host,
  target: HttpRecipient,
  request: HttpRequest,
  signal: AbortSignal,
): Promise<Response | ReturnType<typeof fail>> {
  let url = new URL(target.endpoint + request.path);
  const origin = url.origin;
  for (let redirects = 0; redirects <= REDIRECTS_MAX; redirects++) {
    const response = await host.fetch(url, {
      method: request.method,
      redirect: "manual",
      signal,
      headers: {
        accept: "application/json",
        ...(target.token === null ? {} : { authorization: `Bearer ${target.token}` }),
        ...(request.body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(request.body === undefined ? {} : { body: JSON.stringify(request.body) }),
    });
    const location = response.headers.get("location");
    if (response.status < 300 || response.status > 399 || location === null) return response;
    await response.body?.cancel();
    url = new URL(location, url);
    if (url.origin !== origin) {
      return fail(
        "redirected",
        `${target.endpoint} sends requests on to ${url.origin} (status ${response.status}). They were not followed: the token is for ${origin} only.`,
        `If ${url.origin} is the reconciler, use it as the endpoint. If it is a login page, the endpoint must let requests with the token through.`,
      );
    }
  }
  return fail(
    "redirected",
    `${target.endpoint} redirects in circles: ${REDIRECTS_MAX} redirects were followed.`,
    "Check the endpoint.",
  );
}

async function readBody(response: Response): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  let bytes = 0;
  if (response.body === null) return text;
  for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
    bytes += chunk.byteLength;
    if (bytes > BODY_BYTES_MAX)
      throw new Error(`the answer is over ${BODY_BYTES_MAX / 1024 / 1024} MiB`);
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}

function readAnswer<Value>(
  target: HttpRecipient,
  request: HttpRequest,
  response: Response,
  text: string,
  read: ReadAnswer<Value>,
): Attempt<Value> {
  // An answer without content is one, too.
  const body = response.status === 204 ? null : parseJson(text);
  if (response.ok && body !== undefined) {
    const value = read(body, response.status);
    if (typeof value !== "string") return { result: { ok: true, value }, trouble: "none" };
    return { result: failNonsense(target, request, response, text, value), trouble: "lasting" };
  }
  const problem = response.ok ? null : readProblem(body);
  // The API itself explains its errors. A server error that does not is a proxy's or the runtime's:
  // it was restarting or crashed.
  const transient = problem === null ? response.status >= 500 : problem.kind === "unavailable";
  const trouble = transient ? "transient" : "lasting";
  if (problem !== null) return { result: describeProblem(problem, target, transient), trouble };
  if (transient) {
    const message = `${target.endpoint} is not available: it answered ${request.method} ${request.path} with status ${response.status}. ${excerpt(text, target.token)}`;
    return { result: fail("server", message, "Try again in a moment.", { transient }), trouble };
  }
  return {
    result: failNonsense(
      target,
      request,
      response,
      text,
      "this is not an answer of shardctl's API",
    ),
    trouble,
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    // Not JSON is an expected answer: the caller says so with an excerpt.
    return undefined;
  }
}
