/// <reference types="@cloudflare/vitest-plugin/types" />
/** Asks the control half's test Worker with a token of one's own making. */
import { createExecutionContext } from "cloudflare:test";

import { bytesToHex } from "../../src/model/bytes-to-hex.ts";
import { controlEnv } from "./control-api.ts";
import worker from "./control-worker.ts";

export interface Entry {
  readonly name: string;
  readonly role?: "read" | "plan" | "apply";
  readonly expires?: string;
  readonly environments?: readonly string[];
  readonly namespaces?: readonly string[];
  readonly labels?: Readonly<Record<string, string>>;
}

/** The secret with one token, whose text is its name. Its role is apply unless it says another. */
export async function tokensOf(entry: Entry): Promise<string> {
  const sha256 = bytesToHex(
    new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(entry.name))),
  );
  return JSON.stringify([{ role: "apply", ...entry, sha256 }]);
}

/** Asks as somebody whose token, the entry's name, is the only one there is. */
export async function ask(
  entry: Entry,
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<{ status: number; text: string; headers: Headers }> {
  const response = await worker.fetch(
    new Request(`http://control.test${path}`, {
      method,
      redirect: "manual",
      headers: { authorization: `Bearer ${entry.name}`, ...headers },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    }),
    { ...controlEnv, SHARDCTL_TOKENS: await tokensOf(entry) },
    createExecutionContext(),
  );
  return { status: response.status, text: await response.text(), headers: response.headers };
}
