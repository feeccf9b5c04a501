/**
 * Identifies callers and their roles.
 *
 * The secret `SHARDCTL_TOKENS` is a JSON list with one entry a token, and holds only hashes, so
 * that reading the secret gives no access:
 *
 *     [{ "name": "ci", "role": "apply", "sha256": "<64 hex digits>" }]
 *
 * Make a token with `openssl rand -hex 32`, and its hash with `printf %s "$TOKEN" | sha256sum`.
 * Roles: read < plan < apply. Without the secret every request is refused: an open API is never the
 * default.
 */
import * as z from "zod";

import { RECONCILER } from "../../runs/run-record.ts";
import { ROLES, type Role } from "../../model/api.ts";
import { failure, success, type Result } from "../../model/result.ts";
import type { ActionsCaller } from "../../github/actions-verifier.ts";

export interface Caller {
  readonly name: string;
  readonly role: Role;
  /** GitHub's claims about the workflow that asks; null for everybody else. */
  readonly actions: ActionsCaller | null;
}

interface Token {
  readonly name: string;
  readonly role: Role;
  readonly hash: Uint8Array;
}

const TOKENS_MAX = 1000;
const TOKEN_LENGTH_MAX = 1024;
const HOW_TO =
  'Set the secret SHARDCTL_TOKENS to a JSON list such as [{"name":"ci","role":"apply","sha256":"<hex>"}], where sha256 is what `printf %s "$TOKEN" | sha256sum` prints.';

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
    }),
  )
  .max(TOKENS_MAX);

/**
 * The caller behind an `Authorization` header, or why there is none.
 *
 * Compares the SHA-256 of what was sent with every configured hash, each over all bytes, so that
 * the time tells nothing about a token.
 */
export async function authenticate(
  authorization: string | null,
  secret: string | undefined,
): Promise<Result<Caller, string>> {
  if (secret === undefined || secret.trim() === "")
    return failure(`This Worker has no tokens, so it refuses every request. ${HOW_TO}`);
  const tokens = parseTokens(secret);
  if (!tokens.ok) return tokens;
  const presented = /^Bearer +(\S+)$/i.exec(authorization ?? "")?.[1];
  if (presented === undefined)
    return failure(
      "Send the token as `Authorization: Bearer <token>` (the CLI reads it from SHARDCTL_TOKEN).",
    );
  if (presented.length > TOKEN_LENGTH_MAX) return failure("The token is not known to this Worker.");
  const hash = new Uint8Array(
    await crypto.subtle.digest("SHA-256", new TextEncoder().encode(presented)),
  );
  let found: Caller | null = null;
  for (const token of tokens.value) {
    if (equalBytes(token.hash, hash)) found = { name: token.name, role: token.role, actions: null };
  }
  return found ? success(found) : failure("The token is not known to this Worker.");
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
    parsed.data.map(({ name, role, sha256 }) => ({ name, role, hash: bytesOfHex(sha256) })),
  );
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
