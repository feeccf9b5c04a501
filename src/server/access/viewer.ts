/**
 * Identifies the viewer of the page: somebody let through by Cloudflare Access, somebody who signed
 * in with a token, a script with one, or the developer on a loopback address. The cookie holds the
 * token itself, so that a revoked token stops counting at once.
 */
import { deleteCookie, getCookie, setCookie } from "hono/cookie";

import { failure, success, type Result } from "../../model/result.ts";
import type { TokenScope } from "../../model/token-scope.ts";
import { anonymous, isLoopback, type AccessOptions } from "./authorize.ts";
import type { ApiContext } from "../context.ts";
import { authenticate, UNKNOWN_TOKEN } from "./tokens.ts";
import { ACCESS_HEADER, type AccessSettings, type AccessVerifier } from "./access-verifier.ts";

const COOKIE_AGE_S = 7 * 24 * 60 * 60;
const COOKIE = "shardctl";

export interface ViewerOptions extends Pick<AccessOptions, "tokens" | "allowAnonymous"> {
  /** Keeps the team's keys. */
  readonly openAccess: (settings: AccessSettings) => AccessVerifier;
}

export interface Viewer {
  readonly name: string;
  /** True when the browser keeps a token, which signing out takes away. */
  readonly hasCookie: boolean;
  /** Null for everything. */
  readonly scope: TokenScope | null;
}

export type FindViewer = (context: ApiContext) => Promise<Result<Viewer, string | null>>;

/** Null as a failure: nothing was sent to be recognised by. */
export function createViewerCheck({
  tokens,
  allowAnonymous,
  openAccess,
}: ViewerOptions): FindViewer {
  const verifiers = new WeakMap<AccessSettings, AccessVerifier>();
  const verifierOf = (settings: AccessSettings): AccessVerifier => {
    const verifier = verifiers.get(settings) ?? openAccess(settings);
    verifiers.set(settings, verifier);
    return verifier;
  };
  return async (context) => {
    const { access } = context.var.settings;
    const assertion = context.req.header(ACCESS_HEADER);
    if (access !== null && assertion !== undefined) {
      const verified = await verifierOf(access).verify(assertion, Date.now());
      if (verified.ok) return success({ name: verified.value, hasCookie: false, scope: null });
      const byToken = await findByToken(context, tokens(context.env));
      return byToken.ok ? byToken : verified;
    }
    const secret = tokens(context.env);
    const byToken = await findByToken(context, secret);
    if (byToken.ok || !allowAnonymous || (byToken.failure !== null && secret)) return byToken;
    const caller = anonymous(context.req.raw);
    return caller.ok
      ? success({ name: caller.value.name, hasCookie: false, scope: null })
      : byToken;
  };
}

/** Remembers a token in the browser. */
export function rememberToken(context: ApiContext, token: string): void {
  setCookie(context, COOKIE, token, { ...cookieOptions(context), maxAge: COOKIE_AGE_S });
}

export function forgetToken(context: ApiContext): void {
  deleteCookie(context, COOKIE, cookieOptions(context));
}

async function findByToken(
  context: ApiContext,
  secret: string | undefined,
): Promise<Result<Viewer, string | null>> {
  const header = context.req.header("authorization");
  const cookie = getCookie(context, COOKIE, prefixOf(context)) || undefined;
  if (header === undefined && cookie === undefined) return failure(null);
  const caller = await authenticate(header ?? `Bearer ${cookie ?? ""}`, secret, Date.now());
  if (!caller.ok) return failure(forBrowsers(caller.failure));
  const { name, scope } = caller.value;
  return success({ name, scope, hasCookie: header === undefined });
}

/** Says nothing of headers to who signs in by a form. */
export function forBrowsers(refusal: string): string {
  return refusal === UNKNOWN_TOKEN ? "The token is not known to this Worker." : refusal;
}

/** A browser keeps a secure cookie only from https; a loopback address needs none. */
function cookieOptions(context: ApiContext) {
  const prefix = prefixOf(context);
  return {
    path: "/",
    httpOnly: true,
    sameSite: "Strict",
    secure: prefix === "host",
    ...(prefix ? { prefix } : {}),
  } as const;
}

function prefixOf(context: ApiContext): "host" | undefined {
  const { protocol, hostname } = new URL(context.req.url);
  return protocol === "http:" && isLoopback(hostname) ? undefined : "host";
}
