/**
 * Lets a request through to a handler when its caller has the role that the handler needs, and a
 * token that holds for what it is about.
 *
 * A workflow's token may be used for many calls that read or plan, within its few minutes. A call
 * that needs the role apply uses it up: such a token changes something once, whoever has got hold
 * of it. GitHub gives a job as many tokens as it asks for.
 */
import type { MiddlewareHandler } from "hono";

import { EXPIRES_HEADER, type Role } from "../../model/api.ts";
import { assertNever, failure, success, type Result } from "../../model/result.ts";
import {
  checkApply,
  type ActionsCaller,
  type ActionsVerifier,
} from "../../github/actions-verifier.ts";
import { readWorkflowToken } from "./actions-identity.ts";
import type { ApiContext, ApiEnv } from "../context.ts";
import { RefusedRequest } from "../../model/refused-request.ts";
import type { GithubSettings } from "../../github/settings.ts";
import { CallerScope, type RouteScope } from "./caller-scope.ts";
import { authenticate, hasRole, type Caller } from "./tokens.ts";

export interface AccessOptions {
  /** The content of `SHARDCTL_TOKENS`. */
  readonly tokens: (env: object) => string | undefined;
  /** True lets requests without a token do everything, on a loopback address only. */
  readonly allowAnonymous: boolean;
  /** Keeps the issuer's keys, so it is asked for once for each settings. */
  readonly openVerifier: (settings: GithubSettings) => ActionsVerifier;
}

/** A check that says how its route judges the scope of a token. */
export type RoleCheck = MiddlewareHandler<ApiEnv> & { readonly scope: RouteScope };

/** @param scope how the scope of the caller's token is judged; see `RouteScope`. */
export type RequireRole = (needed: Role, scope: RouteScope) => RoleCheck;

/** A token that expires within this time is told of. */
const EXPIRES_SOON_MS = 7 * 24 * 3_600_000;

/** Makes the check for one role. */
export function createAuthorization(options: AccessOptions): RequireRole {
  const verifiers = new WeakMap<GithubSettings, ActionsVerifier>();
  const verifierOf = (settings: GithubSettings): ActionsVerifier => {
    const verifier = verifiers.get(settings) ?? options.openVerifier(settings);
    verifiers.set(settings, verifier);
    return verifier;
  };
  return (needed, scope) => {
    const check: MiddlewareHandler<ApiEnv> = async (context, next) => {
      const workflowToken = readWorkflowToken(context.req.header("authorization") ?? null);
      const caller =
        workflowToken === null
          ? await findPerson(context, options)
          : await findWorkflow(context, workflowToken, verifierOf);
      if (!hasRole(caller.role, needed))
        throw new RefusedRequest("forbidden", explainRole(context, caller, needed));
      context.set("caller", caller);
      context.set("scope", new CallerScope(caller.name, caller.scope, context.var.coordinator));
      await checkScope(context, scope);
      if (needed === "apply" && caller.actions !== null) await useUp(context, caller.actions);
      await next();
      refuseUnasked(context);
      tellExpiry(context, caller, Date.now());
    };
    return Object.assign(check, { scope });
  };
}

async function checkScope(context: ApiContext, declared: RouteScope): Promise<void> {
  const { scope, caller, coordinator } = context.var;
  if (caller.scope === null) return;
  switch (declared) {
    case "everything":
      return scope.requireEverything();
    case "namespace": {
      const params = context.req.param() as Readonly<Record<string, string>>;
      const { name = "", namespace = name, binding } = params;
      const object = binding ?? (context.req.query("object") || undefined);
      if (object !== undefined) return scope.require({ name: namespace, object });
      const known = await coordinator.plans.listNamespaces(null);
      return scope.requireName(
        namespace,
        known.filter((ref) => ref.name === namespace),
      );
    }
    case "checked":
      return;
    default:
      return assertNever(declared);
  }
}

/** A handler that has forgotten to ask shows a token with a scope nothing. */
export function refuseUnasked(context: ApiContext): void {
  const { scope } = context.var;
  if (scope.wasAsked || scope.isEverything || context.res.status >= 400) return;
  throw scope.refuse("this call");
}

function tellExpiry(context: ApiContext, { expiresAt }: Caller, now: number): void {
  if (expiresAt !== null && expiresAt - now <= EXPIRES_SOON_MS)
    context.header(EXPIRES_HEADER, new Date(expiresAt).toISOString());
}

async function findPerson(
  context: ApiContext,
  { tokens, allowAnonymous }: AccessOptions,
): Promise<Caller> {
  const authorization = context.req.header("authorization") ?? null;
  const secret = tokens(context.env);
  const isAnonymous = allowAnonymous && (authorization === null || !secret);
  const caller = isAnonymous
    ? anonymous(context.req.raw)
    : await authenticate(authorization, secret, Date.now());
  if (caller.ok) return caller.value;
  throw unauthenticated(caller.failure);
}

async function findWorkflow(
  context: ApiContext,
  token: string,
  verifierOf: (settings: GithubSettings) => ActionsVerifier,
): Promise<Caller> {
  const { github } = context.var.settings;
  if (github === null) {
    throw unauthenticated(
      "This Worker accepts no tokens of workflows: its entry file names no repository (option `github`).",
    );
  }
  const audience = github.oidc.audience ?? new URL(context.req.url).origin;
  const verified = await verifierOf(github).verify(token, audience, Date.now());
  if (!verified.ok) {
    const { kind, message } = verified.failure;
    throw kind === "unavailable"
      ? new RefusedRequest("unavailable", message)
      : unauthenticated(message);
  }
  const actions = verified.value;
  const role = checkApply(actions, applyPolicyOf(github)) === null ? "apply" : "plan";
  const name = `github-actions (${actions.actor})`;
  return { name, role, actions, scope: null, expiresAt: null };
}

function applyPolicyOf({ oidc }: GithubSettings): Parameters<typeof checkApply>[1] {
  return { ref: oidc.applyRef, environment: oidc.applyEnvironment, workflow: oidc.applyWorkflow };
}

function explainRole(context: ApiContext, { name, role, actions }: Caller, needed: Role): string {
  const { github } = context.var.settings;
  const reason =
    actions !== null && github !== null ? checkApply(actions, applyPolicyOf(github)) : null;
  return reason ?? `Token '${name}' has the role ${role}; this call needs ${needed}.`;
}

/**
 * Refuses a token that has changed something before. The call itself may reach the coordinator
 * twice: it claims under its own id.
 */
async function useUp(context: ApiContext, { tokenId, expiresAt }: ActionsCaller): Promise<void> {
  const claim = crypto.randomUUID();
  const isFirst = await context.var.coordinator.once.claimToken(tokenId, claim, expiresAt);
  if (isFirst) return;
  throw unauthenticated(
    "This token (jti) was used to change something before: ask GitHub for a new one for each such call.",
  );
}

function unauthenticated(message: string): RefusedRequest {
  return new RefusedRequest("unauthenticated", message);
}

const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/;

export function isLoopback(hostname: string): boolean {
  return LOOPBACK.test(hostname);
}

/**
 * Takes a caller of a loopback address for the developer, except a web page in their browser: that
 * one sends its origin.
 */
export function anonymous(request: Request): Result<Caller, string> {
  const { hostname, host } = new URL(request.url);
  if (!isLoopback(hostname))
    return failure(
      `Requests without a token are for loopback addresses only, not for ${hostname}.`,
    );
  const origin = request.headers.get("origin");
  if (origin !== null && origin !== `http://${host}`)
    return failure("Requests from other web pages need a token.");
  return success({
    name: "anonymous",
    role: "apply",
    actions: null,
    scope: null,
    expiresAt: null,
  });
}
