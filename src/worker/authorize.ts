/** Lets a request through to a handler when its caller has the role that the handler needs. */
import type { MiddlewareHandler } from "hono";

import type { Role } from "../core/api.ts";
import { failure, success, type Result } from "../core/result.ts";
import type { ApiEnv } from "./context.ts";
import { problemResponse } from "./problems.ts";
import { authenticate, hasRole, type Caller } from "./tokens.ts";

export interface AccessOptions {
  /** The content of `SHARDCTL_TOKENS`. */
  readonly tokens: (env: object) => string | undefined;
  /** True lets requests without a token do everything, on a loopback address only. */
  readonly allowAnonymous: boolean;
}

export type RequireRole = (needed: Role) => MiddlewareHandler<ApiEnv>;

/** Makes the check for one role. */
export function createAuthorization({ tokens, allowAnonymous }: AccessOptions): RequireRole {
  return (needed) => async (context, next) => {
    const authorization = context.req.header("authorization") ?? null;
    const secret = tokens(context.env);
    const isAnonymous = allowAnonymous && (authorization === null || !secret);
    const caller = isAnonymous ? anonymous(context.req.raw) : await authenticate(authorization, secret);
    if (!caller.ok)
      return problemResponse("unauthenticated", caller.failure, undefined, { "www-authenticate": 'Bearer realm="shardctl"' });
    if (!hasRole(caller.value.role, needed)) {
      const { name, role } = caller.value;
      return problemResponse("forbidden", `Token '${name}' has the role ${role}; this call needs ${needed}.`);
    }
    context.set("caller", caller.value);
    await next();
  };
}

const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/;

/** Whoever can reach a loopback address is the developer, except a web page in their browser: that one sends its origin. */
function anonymous(request: Request): Result<Caller, string> {
  const { hostname, host } = new URL(request.url);
  if (!LOOPBACK.test(hostname)) return failure(`Requests without a token are for loopback addresses only, not for ${hostname}.`);
  const origin = request.headers.get("origin");
  if (origin !== null && origin !== `http://${host}`) return failure("Requests from other web pages need a token.");
  return success({ name: "anonymous", role: "apply", actions: null });
}
