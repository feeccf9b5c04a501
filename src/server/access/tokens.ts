/**
 * Identifies callers and their roles.
 *
 * The secret `SHARDCTL_TOKENS` is a JSON list with one entry a token, and holds only hashes, so
 * that reading the secret gives no access:
 *
 *     [{ "name": "ci", "role": "apply", "sha256": "<64 hex digits>",
 *        "expires": "2027-01-31T00:00:00Z", "environments": ["production"],
 *        "namespaces": ["orders"], "labels": { "team": "shop" } }]
 *
 * The last four may be left out: such a token never expires, and holds for everything. One with
 * names and labels holds for namespaces that have such a name, and for those that have all labels.
 * Make an entry with `shardctl token`. Roles: read < plan < apply. Without the secret every request
 * is refused: an open API is never the default.
 */
import * as z from "zod";

import { RECONCILER } from "../../runs/run-record.ts";
import { ROLES, type Role } from "../../model/api.ts";
import { failure, success, type Result } from "../../model/result.ts";
import type { TokenScope } from "../../model/token-scope.ts";
import type { ActionsCaller } from "../../github/actions-verifier.ts";

export interface Caller {
  readonly name: string;
  readonly role: Role;
  /** GitHub's claims about the workflow that asks; null for everybody else. */
  readonly actions: ActionsCaller | null;
  /** Null for everything. */
  readonly scope: TokenScope | null;
  /** When its token expires, in milliseconds since the Unix epoch; null for never. */
  readonly expiresAt: number | null;
}

interface Token extends Omit<Caller, "actions"> {
  readonly hash: Uint8Array;
}

const TOKENS_MAX = 1000;
const TOKEN_LENGTH_MAX = 1024;
const LIST_LENGTH_MAX = 1000;
/** The same for no token and for any that is not known: a guess learns nothing. */
export const UNKNOWN_TOKEN =
  "No token that this Worker knows was sent. Send one as `Authorization: Bearer <token>` (the CLI reads it from SHARDCTL_TOKEN).";
const HOW_TO =
  'Set the secret SHARDCTL_TOKENS to a JSON list such as [{"name":"ci","role":"apply","sha256":"<hex>"}], where sha256 is what `printf %s "$TOKEN" | sha256sum` prints.';

const names = z.array(z.string().min(1).max(512)).min(1).max(LIST_LENGTH_MAX);

const tokensSchema = z
  .array(
    z.strictObject({
      // The Worker's own name says whose runs and pauses are its own.
      name: z
        .string()
        .min(1)
        .max(100)
        .refine((name) => name !== RECONCILER),
      role: z.enum(ROLES),
      sha256: z.string().regex(/^[0-9a-f]{64}$/i, "must be 64 hex digits"),
      // A day begins in UTC. No other form: what a clock takes for another time must not be read.
      expires: z.union([z.iso.datetime({ offset: true }), z.iso.date()]).exactOptional(),
      environments: names.exactOptional(),
      namespaces: names.exactOptional(),
      labels: z
        .record(z.string().min(1).max(512), z.string().max(512))
        .refine((labels) => Object.keys(labels).length > 0)
        .exactOptional(),
    }),
  )
  .max(TOKENS_MAX);

/**
 * The caller behind an `Authorization` header, or why there is none. Only who has an expired token
 * hears that it has expired.
 *
 * Compares the SHA-256 of what was sent with every configured hash, each over all bytes, so that
 * the time tells nothing about a token.
 */
export async function authenticate(
  authorization: string | null,
  secret: string | undefined,
  now: number,
): Promise<Result<Caller, string>> {
  if (secret === undefined || secret.trim() === "")
    return failure(`This Worker has no tokens, so it refuses every request. ${HOW_TO}`);
  const tokens = parseTokens(secret);
  if (!tokens.ok) return tokens;
  const presented = /^Bearer +(\S+)$/i.exec(authorization ?? "")?.[1];
  if (presented === undefined || presented.length > TOKEN_LENGTH_MAX) return failure(UNKNOWN_TOKEN);
  const hash = new Uint8Array(
    await crypto.subtle.digest("SHA-256", new TextEncoder().encode(presented)),
  );
  let found: Caller | null = null;
  for (const { hash: known, ...token } of tokens.value) {
    const caller = { ...token, actions: null };
    // Of two entries of one token, one that has not expired counts.
    if (equalBytes(known, hash) && (found === null || !isExpired(caller, now))) found = caller;
  }
  if (found === null) return failure(UNKNOWN_TOKEN);
  return isExpired(found, now)
    ? failure(
        `Token '${found.name}' expired at ${new Date(found.expiresAt ?? 0).toISOString()}. Make another one with \`shardctl token\`, and put its entry into SHARDCTL_TOKENS in the place of this one's.`,
      )
    : success(found);
}

/** The text expires with the moment that it names. */
function isExpired({ expiresAt }: Caller, now: number): boolean {
  return expiresAt !== null && now >= expiresAt;
}

/** True when the role includes the needed one. */
export function hasRole(role: Role, needed: Role): boolean {
  return ROLES.indexOf(role) >= ROLES.indexOf(needed);
}

function parseTokens(secret: string): Result<readonly Token[], string> {
  let json: unknown;
  try {
    json = JSON.parse(secret);
  } catch {
    // The parser's message quotes the text, which is a secret.
    return failure(`The secret SHARDCTL_TOKENS is not JSON. ${HOW_TO}`);
  }
  const parsed = tokensSchema.safeParse(json);
  if (!parsed.success) {
    const where = parsed.error.issues
      .map((issue) => `[${issue.path.join(".")}] ${issue.code}`)
      .join(", ");
    return failure(`The secret SHARDCTL_TOKENS is not a list of tokens (${where}). ${HOW_TO}`);
  }
  return success(
    parsed.data.map(({ name, role, sha256, expires, ...scope }) => ({
      name,
      role,
      hash: bytesOfHex(sha256),
      expiresAt: expires === undefined ? null : Date.parse(expires),
      scope: scopeOf(scope),
    })),
  );
}

function scopeOf({
  environments = null,
  namespaces = null,
  labels = null,
}: Partial<TokenScope>): TokenScope | null {
  return environments === null && namespaces === null && labels === null
    ? null
    : { environments, namespaces, labels };
}

function equalBytes(left: Uint8Array, right: Uint8Array): boolean {
  let difference = left.length ^ right.length;
  for (let at = 0; at < left.length; at++) difference |= (left[at] ?? 0) ^ (right[at] ?? 0);
  return difference === 0;
}

function bytesOfHex(hex: string): Uint8Array {
  return Uint8Array.from({ length: hex.length / 2 }, (_, index) =>
    Number.parseInt(hex.slice(index * 2, index * 2 + 2), 16),
  );
}
