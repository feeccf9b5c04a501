/**
 * Makes tokens and app keys, as GitHub and its runners hand them out. Their text is random, so that
 * a test can look for it in outputs.
 */
import { createPrivateKey, randomBytes } from "node:crypto";
import { exportPKCS8, exportSPKI, generateKeyPair } from "jose";

import type {
  Account,
  App,
  Installation,
  Permissions,
  Repository,
  State,
  Token,
  TokenKind,
} from "./state.ts";

const TOKEN_PREFIX: Readonly<Record<TokenKind, string>> = {
  installation: "ghs_",
  actions: "ghs_",
  fineGrained: "github_pat_",
  classic: "ghp_",
};
const INSTALLATION_TOKEN_MS = 3_600_000;

export interface TokenFields {
  readonly kind: TokenKind;
  readonly account: Account;
  readonly app?: App;
  readonly permissions?: Permissions;
  readonly repositories?: readonly Repository[] | null;
  readonly expiresAtMs?: number | null;
}

export function createToken(state: State, fields: TokenFields): Token {
  const token: Token = {
    value: TOKEN_PREFIX[fields.kind] + randomBytes(20).toString("hex"),
    kind: fields.kind,
    account: fields.account,
    app: fields.app ?? null,
    permissions: fields.permissions ?? {},
    repositories: fields.repositories ?? null,
    expiresAtMs: fields.expiresAtMs ?? null,
  };
  state.tokens.set(token.value, token);
  return token;
}

/**
 * A token of a workflow run: one repository, `github-actions[bot]`. From a fork's pull request
 * nothing is more than readable.
 */
export function createActionsToken(
  state: State,
  repo: Repository,
  permissions: Permissions,
  isFromFork: boolean,
): Token {
  const granted = isFromFork ? readOnly(permissions) : permissions;
  const { actionsApp } = state;
  return createToken(state, {
    kind: "actions",
    account: actionsApp.bot,
    app: actionsApp,
    permissions: granted,
    repositories: [repo],
  });
}

/**
 * A token of an installation, for an hour; it may ask for fewer repositories and permissions than
 * the installation has.
 */
export function createInstallationToken(
  state: State,
  installation: Installation,
  permissions: Permissions = installation.permissions,
  repositories: readonly Repository[] = reachable(state, installation),
): Token {
  return createToken(state, {
    kind: "installation",
    account: installation.app.bot,
    app: installation.app,
    permissions,
    repositories,
    expiresAtMs: state.now() + INSTALLATION_TOKEN_MS,
  });
}

/** The repositories of an installation. */
export function reachable(state: State, installation: Installation): readonly Repository[] {
  return (
    installation.repositories ??
    [...state.repositories.values()].filter((repo) => repo.owner === installation.account)
  );
}

function readOnly(permissions: Permissions): Permissions {
  return Object.fromEntries(Object.keys(permissions).map((scope) => [scope, "read" as const]));
}

/** GitHub gives app keys out as PKCS#1; WebCrypto reads PKCS#8 only. */
export async function generateAppKeys(): Promise<NonNullable<App["keys"]>> {
  const { privateKey, publicKey } = await generateKeyPair("RS256", { extractable: true });
  const pkcs8 = await exportPKCS8(privateKey);
  const pkcs1 = createPrivateKey(pkcs8).export({ type: "pkcs1", format: "pem" });
  return { pkcs8, pkcs1: String(pkcs1), publicPem: await exportSPKI(publicKey) };
}
