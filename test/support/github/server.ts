/**
 * The HTTP side: node:http in front, hono for the paths, and between them what GitHub does to every
 * request. In this order: outage and faults, hooks, credentials, limits, the route, ETag, the
 * journal.
 */
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Hono } from "hono";

import { answer, notFound, refuse, type Answer } from "./answers.ts";
import type { FaultKind, Faults } from "./faults.ts";
import type { Journal } from "./journal.ts";
import type { Limits } from "./limits.ts";
import { readToken, type Call, type Route } from "./route.ts";
import type { Token } from "./state.ts";
import type { FakeParts } from "./world.ts";

const BODY_BYTES_MAX = 30_000_000;

export interface ServerParts {
  readonly world: FakeParts;
  readonly faults: Faults;
  readonly limits: Limits;
  readonly journal: Journal;
  readonly routes: readonly Route[];
  /** Paths that are not the REST API, OIDC among them: no tokens, no limits. `null`: not theirs. */
  readonly sidePaths: (request: SideRequest) => Promise<Answer | null>;
}

export interface SideRequest {
  readonly method: string;
  readonly url: URL;
  readonly headers: Headers;
}

interface Received {
  readonly method: string;
  readonly url: URL;
  readonly headers: Headers;
  readonly body: string;
  readonly requestId: string;
}

interface Outcome {
  readonly answer: Answer;
  readonly caller: string;
  readonly isKnownPath: boolean;
}

/** Listens on 127.0.0.1; `port` 0 takes a free one. */
export async function listen(server: Server, port: number): Promise<string> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", resolve);
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

export function buildServer(parts: ServerParts): Server {
  const api = buildApi(parts);
  let requests = 0;
  return createServer((request, response) => {
    requests += 1;
    const requestId = `FAKE:${requests.toString(16).toUpperCase().padStart(6, "0")}`;
    serve(parts, api, requestId, request, response).catch((cause: unknown) => {
      // A fault of the fake, not of the caller: loud on both sides.
      console.error("fake GitHub failed:", cause);
      if (!response.headersSent) response.writeHead(500, { "content-type": "application/json" });
      response.end(JSON.stringify({ message: `fake GitHub failed: ${String(cause)}` }));
    });
  });
}

async function serve(
  parts: ServerParts,
  api: (received: Received) => Promise<Outcome>,
  requestId: string,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const received = await receive(parts.world.api, requestId, request);
  const { method, url } = received;
  const { faults } = parts;
  const path = decodeURIComponent(url.pathname);
  const fault = faults.down === null ? faults.takeFault(method, path) : outage(faults.down);
  if (fault !== null && fault.kind !== "lostAnswer") {
    const caller = describeCaller(parts.world, received);
    const status = fault.kind === "status" ? fault.status : 0;
    record(parts, received, { answer: answer(status, null), caller, isKnownPath: true });
    if (fault.kind === "reset") request.socket.destroy();
    if (fault.kind !== "status") return;
    const body = fault.body ?? { message: "Server Error" };
    send(response, answer(fault.status, body, fault.headers), received.requestId);
    return;
  }
  await faults.runBefore(method, path);
  const outcome = await api(received);
  await faults.runAfter(method, path);
  if (fault?.kind === "lostAnswer") {
    record(parts, received, { ...outcome, answer: answer(0, null) });
    request.socket.destroy();
    return;
  }
  record(parts, received, outcome);
  send(response, outcome.answer, received.requestId);
}

function outage(down: "reset" | 502 | 503): FaultKind {
  return down === "reset"
    ? { kind: "reset" }
    : { kind: "status", status: down, body: { message: "Unicorn!" } };
}

async function receive(
  api: string,
  requestId: string,
  request: IncomingMessage,
): Promise<Received> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > BODY_BYTES_MAX)
      throw new Error(`A request of more than ${BODY_BYTES_MAX} bytes to ${request.url}`);
    chunks.push(chunk);
  }
  const headers = new Headers();
  for (const [name, value] of Object.entries(request.headers))
    if (value !== undefined) headers.set(name, String(value));
  const body = Buffer.concat(chunks).toString("utf8");
  return {
    method: request.method ?? "GET",
    url: new URL(request.url ?? "/", api),
    headers,
    body,
    requestId,
  };
}

function record(parts: ServerParts, received: Received, outcome: Outcome): void {
  parts.journal.add({
    method: received.method,
    path: decodeURIComponent(received.url.pathname),
    query: received.url.search.slice(1),
    caller: outcome.caller,
    headers: Object.fromEntries(received.headers.entries()),
    body: received.body,
    atMs: parts.world.state.now(),
    status: outcome.answer.status,
    isKnownPath: outcome.isKnownPath,
  });
}

function send(response: ServerResponse, sent: Answer, requestId: string): void {
  const isJson =
    sent.body !== null && typeof sent.body === "object" && !(sent.body instanceof Uint8Array);
  const body = isJson ? JSON.stringify(sent.body) : sent.body;
  response.writeHead(sent.status, {
    ...(isJson ? { "content-type": "application/json; charset=utf-8" } : {}),
    "x-github-request-id": requestId,
    "x-github-api-version-selected": "2022-11-28",
    ...sent.headers,
  });
  response.end(body ?? undefined);
}

/** The REST API behind hono: each route with credentials and limits before it and ETag after it. */
function buildApi(parts: ServerParts): (received: Received) => Promise<Outcome> {
  const app = new Hono<{ Bindings: { readonly received: Received; outcome: Outcome | null } }>();
  for (const route of parts.routes) {
    app.on(route.method, route.path, async (context) => {
      const { received } = context.env;
      const handled = await callRoute(parts, route, received, context.req.param());
      context.env.outcome = {
        answer: handled,
        caller: describeCaller(parts.world, received),
        isKnownPath: true,
      };
      return new Response(null);
    });
  }
  return async (received) => {
    const { method, url, headers } = received;
    const side = await parts.sidePaths({ method, url, headers });
    if (side !== null) return { answer: side, caller: "runner", isKnownPath: side.status !== 404 };
    const bindings = { received, outcome: null as Outcome | null };
    await app.fetch(new Request(url, { method }), bindings);
    return (
      bindings.outcome ?? {
        answer: notFound(),
        caller: describeCaller(parts.world, received),
        isKnownPath: false,
      }
    );
  };
}

async function callRoute(
  parts: ServerParts,
  route: Route,
  received: Received,
  params: Record<string, string>,
): Promise<Answer> {
  const { world, limits } = parts;
  if (!received.headers.get("user-agent")) {
    return answer(
      403,
      "Request forbidden by administrative rules. Please make sure your request has a User-Agent header.\n",
    );
  }
  // An app proves itself with a JWT, which those routes check by themselves.
  const isAppRoute =
    route.path.startsWith("/app") || route.path === "/repos/:owner/:repo/installation";
  const credentials = isAppRoute ? { token: null } : readToken(world, received.headers);
  if ("refused" in credentials) return credentials.refused;
  const { token } = credentials;
  limits.begin();
  try {
    const isRead = route.method === "GET";
    const limited =
      isAppRoute || route.path === "/rate_limit"
        ? null
        : limits.check(token, route.isContent, received.requestId);
    const answered = limited ?? (await handle(parts, route, received, params, token));
    const sent =
      isRead && answered.status === 200 ? withETag(answered, received.headers) : answered;
    const isFree =
      isAppRoute ||
      route.path === "/rate_limit" ||
      limited !== null ||
      (sent.status === 304 && token !== null);
    if (!isFree) limits.count(token);
    return isAppRoute ? sent : { ...sent, headers: { ...limits.headers(token), ...sent.headers } };
  } finally {
    limits.end();
  }
}

async function handle(
  { world, limits }: ServerParts,
  route: Route,
  received: Received,
  params: Record<string, string>,
  token: Token | null,
): Promise<Answer> {
  const body = parseBody(received.body);
  if (body === null) return refuse(400, "Problems parsing JSON");
  const call: Call = {
    world,
    limits,
    method: route.method,
    url: received.url,
    params,
    headers: received.headers,
    body,
    token,
  };
  return route.handle(call);
}

function parseBody(text: string): Readonly<Record<string, unknown>> | null {
  if (text === "") return {};
  try {
    const value = JSON.parse(text) as unknown;
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : null;
  } catch {
    return null;
  }
}

/** A weak ETag over the body; the same one in `If-None-Match` gives 304 without a body. */
function withETag(answered: Answer, headers: Headers): Answer {
  const { body } = answered;
  const bytes =
    body instanceof Uint8Array || typeof body === "string" ? body : JSON.stringify(body);
  const etag = `W/"${createHash("sha256").update(bytes).digest("hex")}"`;
  const known = (headers.get("if-none-match") ?? "").split(",").map((one) => one.trim());
  const shared = {
    ...answered.headers,
    etag,
    vary: "Accept, Authorization, Cookie, X-GitHub-OTP,Accept-Encoding, Accept, X-Requested-With",
  };
  if (known.some((one) => one === etag || `W/${one}` === etag)) return answer(304, null, shared);
  return {
    ...answered,
    headers: { "cache-control": "private, max-age=60, s-maxage=60", ...shared },
  };
}

function describeCaller(world: FakeParts, received: Received): string {
  const value = /^(?:bearer|token) +(\S+)$/i.exec(received.headers.get("authorization") ?? "")?.[1];
  if (value === undefined) return "anonymous";
  const token = world.state.tokens.get(value);
  if (token) return `${token.kind}:${token.account.login}`;
  return value.split(".").length === 3 ? "app" : "unknown";
}
