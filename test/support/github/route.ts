/**
 * Defines a route and its permitted callers.
 *
 * An app's token (an installation's, GITHUB_TOKEN) and a fine-grained token need the permission
 * that the route names; a classic token counts by the role of its owner. Public repositories are
 * readable without a permission, as on GitHub: test missing permissions on a private one. Anything
 * that a token cannot see does not exist (404).
 */
import { badCredentials, notFound, refuse, type Answer } from "./answers.ts";
import type { Limits } from "./limits.ts";
import {
  mayPush,
  roleOf,
  type Access,
  type Account,
  type Repository,
  type Scope,
  type Token,
} from "./state.ts";
import type { FakeParts } from "./world.ts";

export type Need = `${Scope}=${Access}`;

export interface Call {
  readonly world: FakeParts;
  readonly limits: Limits;
  readonly method: string;
  readonly url: URL;
  readonly params: Readonly<Record<string, string>>;
  readonly headers: Headers;
  /** The JSON object of the body; empty without one. */
  readonly body: Readonly<Record<string, unknown>>;
  readonly token: Token | null;
}

export interface RepoCall extends Call {
  readonly repo: Repository;
}

export interface Route {
  readonly method: "GET" | "POST" | "PATCH" | "PUT" | "DELETE";
  readonly path: string;
  /** False for what does not count as creating content: tokens. */
  readonly isContent: boolean;
  readonly handle: (call: Call) => Answer | Promise<Answer>;
}

type Needs = readonly Need[] | ((call: RepoCall) => readonly Need[]);

/** Paths that readers may write to: foreign comments are refused by their routes. */
const OPEN_TO_READERS =
  /\/(issues|pulls|issues\/\d+\/comments|issues\/comments\/\d+(\/reactions)?)$/;

/** A route below a repository. `needs` are alternatives: one is enough. */
export function repoRoute(
  method: Route["method"],
  path: string,
  needs: Needs,
  handle: (call: RepoCall) => Answer | Promise<Answer>,
): Route {
  return {
    method,
    path: `/repos/:owner/:repo${path}`,
    isContent: method !== "GET",
    handle: (call) => {
      const repo = call.world.state.findRepository(
        call.params["owner"] ?? "",
        call.params["repo"] ?? "",
      );
      if (repo === null || !canSee(call.token, repo)) return notFound();
      const repoCall = { ...call, repo };
      return (
        refuseAccess(repoCall, typeof needs === "function" ? needs(repoCall) : needs) ??
        withNeeds(handle, repoCall, needs)
      );
    },
  };
}

/** Answers to apps carry the permissions that would have been enough. */
async function withNeeds(
  handle: (call: RepoCall) => Answer | Promise<Answer>,
  call: RepoCall,
  needs: Needs,
): Promise<Answer> {
  const answered = await handle(call);
  const accepted = typeof needs === "function" ? needs(call) : needs;
  return { ...answered, headers: { ...acceptedHeader(accepted), ...answered.headers } };
}

function acceptedHeader(needs: readonly Need[]): Readonly<Record<string, string>> {
  return needs.length === 0 ? {} : { "x-accepted-github-permissions": needs.join("; ") };
}

function canSee(token: Token | null, repo: Repository): boolean {
  if (!repo.private) return true;
  if (token === null) return false;
  if (token.repositories !== null) return token.repositories.includes(repo);
  return roleOf(repo, token.account) !== "none";
}

function refuseAccess(call: RepoCall, needs: readonly Need[]): Answer | null {
  const { token, repo } = call;
  const isRead = call.method === "GET";
  if (token === null) return isRead ? null : refuse(401, "Requires authentication");
  if (token.kind === "classic")
    return isRead || mayWrite(call, token)
      ? null
      : refuse(403, "Must have admin rights to Repository.");
  if (isRead && !repo.private) return null;
  const isInside = token.repositories === null || token.repositories.includes(repo);
  if (isInside && needs.some((need) => isGranted(token, need))) return null;
  const who = token.kind === "fineGrained" ? "personal access token" : "integration";
  return { ...refuse(403, `Resource not accessible by ${who}`), headers: acceptedHeader(needs) };
}

/**
 * Where they may read, people may open issues and pull requests, and write, change and react to
 * comments; the rest takes push access.
 */
function mayWrite(call: RepoCall, token: Token): boolean {
  const role = roleOf(call.repo, token.account);
  return mayPush(role) || (role !== "none" && OPEN_TO_READERS.test(call.url.pathname));
}

function isGranted(token: Token, need: Need): boolean {
  const [scope, access] = need.split("=") as [Scope, Access];
  if (scope === "metadata") return true;
  const granted = token.permissions[scope];
  return granted === "write" || (granted === "read" && access === "read");
}

/** Whom the token acts as. */
export function callerOf(call: Call): Account {
  if (call.token === null) throw new Error("A route that writes was reached without a token");
  return call.token.account;
}

export function appOf(call: Call): Token["app"] {
  return call.token?.app ?? null;
}

/** The token of a request: `null` without one, an answer for one that is unknown or has expired. */
export function readToken(
  world: FakeParts,
  headers: Headers,
): { readonly token: Token | null } | { readonly refused: Answer } {
  const value = /^(?:bearer|token) +(\S+)$/i.exec(headers.get("authorization") ?? "")?.[1];
  if (value === undefined)
    return headers.has("authorization") ? { refused: badCredentials() } : { token: null };
  const token = world.state.tokens.get(value);
  if (!token || (token.expiresAtMs !== null && token.expiresAtMs <= world.state.now()))
    return { refused: badCredentials() };
  return { token };
}
