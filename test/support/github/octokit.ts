/** A client for tests of the fake, and refusals as values. */
import { Octokit } from "@octokit/rest";

import type { FakeGitHub, Token } from "./index.ts";

const SILENT = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

/** `null` calls without credentials. */
export function octokitFor(github: FakeGitHub, token: Token | null): Octokit {
  return new Octokit({ ...(token ? { auth: token.value } : {}), baseUrl: github.url, log: SILENT });
}

export interface Refused {
  readonly status: number;
  readonly message: string;
  readonly headers: Readonly<Record<string, string | undefined>>;
}

/** Returns the refusal of a request. @throws Error when it was not refused. */
export async function refusalOf(request: Promise<{ readonly status: number }>): Promise<Refused> {
  try {
    const { status } = await request;
    throw new Error(`Not refused: ${status}`);
  } catch (error) {
    const failed = error as {
      status?: number;
      message: string;
      response?: { headers: Refused["headers"] };
    };
    if (failed.status === undefined) throw error;
    return {
      status: failed.status,
      message: failed.message,
      headers: failed.response?.headers ?? {},
    };
  }
}
