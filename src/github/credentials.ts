/**
 * Credentials that a client shows GitHub: a token, or the installation token of an App, made from
 * its private key and renewed before it expires.
 *
 * An installation token is requested for one repository only. It lives in the client that requested
 * it: nothing is shared between clients.
 */
import { createAppAuth } from "@octokit/auth-app";
import * as z from "zod";

import { UnusableCredential } from "./failures.ts";
import type { GithubRepository } from "./port.ts";

export type GithubCredentials =
  | { readonly kind: "token"; readonly token: string }
  | {
      readonly kind: "app";
      readonly appId: number | string;
      /**
       * PKCS#8 PEM (`-----BEGIN PRIVATE KEY-----`), the only form that WebCrypto reads; `\n` may
       * stand for a line break.
       */
      readonly privateKey: string;
      /** Default: found by asking for the repository's installation. */
      readonly installationId?: number | string;
    };

/** The part of Octokit's request that is used here. */
interface RequestFunction {
  (route: string, parameters?: object): Promise<{ readonly data: unknown }>;
  readonly endpoint: {
    merge(
      route: unknown,
      parameters?: unknown,
    ): { headers: Record<string, string | number | undefined> };
  };
}

const RENEW_BEFORE_MS = 5 * 60 * 1000;
const CONVERT =
  "convert the key with `openssl pkcs8 -topk8 -inform PEM -outform PEM -nocrypt -in app.pem -out app.pkcs8.pem`, and use the new file";

const installationSchema = z.object({ id: z.number() });
const tokenSchema = z.object({ token: z.string().min(1), expires_at: z.iso.datetime() });

/**
 * Why a private key cannot be used and what to do, or null when it has the right form. Never
 * repeats the key.
 */
export function checkPrivateKey(privateKey: string): string | null {
  if (privateKey.includes("-----BEGIN PRIVATE KEY-----")) return null;
  if (privateKey.includes("-----BEGIN RSA PRIVATE KEY-----")) {
    return `The App's private key has the form that GitHub hands out (PKCS#1), which Workers cannot read: ${CONVERT}.`;
  }
  return `The App's private key is not a PKCS#8 PEM ("-----BEGIN PRIVATE KEY-----"): ${CONVERT}.`;
}

export interface AppCredential {
  /** For `Octokit`'s `authStrategy`. */
  readonly hook: (
    request: RequestFunction,
    route: unknown,
    parameters?: unknown,
  ) => Promise<unknown>;
  /** Authorization header for what only the App itself may ask. */
  readonly appAuthorization: () => Promise<string>;
}

export function createAppCredential(
  credentials: GithubCredentials & { readonly kind: "app" },
  repository: GithubRepository,
  now: () => number,
): AppCredential {
  const privateKey = credentials.privateKey.replaceAll("\\n", "\n");
  const problem = checkPrivateKey(privateKey);
  const sign = problem === null ? createAppAuth({ appId: credentials.appId, privateKey }) : null;
  let installation: Promise<number> | null =
    credentials.installationId === undefined
      ? null
      : Promise.resolve(Number(credentials.installationId));
  let known: { readonly token: string; readonly expiresAt: number } | null = null;

  async function appAuthorization(): Promise<string> {
    if (sign === null) throw new UnusableCredential(problem ?? "");
    try {
      const { token } = await sign({ type: "app" });
      return `bearer ${token}`;
    } catch {
      // The error of the crypto library may quote the key.
      throw new UnusableCredential(
        "The App's private key cannot be read: it is damaged, or not an RSA key. Set the complete key again.",
      );
    }
  }

  async function findInstallation(
    request: RequestFunction,
    authorization: string,
  ): Promise<number> {
    const { data } = await request("GET /repos/{owner}/{repo}/installation", {
      owner: repository.owner,
      repo: repository.name,
      headers: { authorization },
    });
    return installationSchema.parse(data).id;
  }

  async function installationToken(request: RequestFunction): Promise<string> {
    if (known !== null && known.expiresAt - RENEW_BEFORE_MS > now()) return known.token;
    const authorization = await appAuthorization();
    installation ??= findInstallation(request, authorization);
    const id = await installation.catch((error: unknown) => {
      installation = null;
      throw error;
    });
    const { data } = await request("POST /app/installations/{installation_id}/access_tokens", {
      installation_id: id,
      repositories: [repository.name],
      headers: { authorization },
    });
    const made = tokenSchema.parse(data);
    known = { token: made.token, expiresAt: Date.parse(made.expires_at) };
    return made.token;
  }

  async function hook(
    request: RequestFunction,
    route: unknown,
    parameters?: unknown,
  ): Promise<unknown> {
    const endpoint = request.endpoint.merge(route, parameters);
    if (endpoint.headers["authorization"] !== undefined) return request(endpoint as never);
    const used = known;
    endpoint.headers["authorization"] = `token ${await installationToken(request)}`;
    try {
      return await request(endpoint as never);
    } catch (error) {
      // A token from before that is refused was revoked: ask for another, once.
      if ((error as { readonly status?: unknown }).status !== 401 || used === null) throw error;
      known = null;
      endpoint.headers["authorization"] = `token ${await installationToken(request)}`;
      return request(endpoint as never);
    }
  }

  return { hook, appAuthorization };
}
