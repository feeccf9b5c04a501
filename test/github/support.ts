/** A private repository on the fake GitHub, and clients of it that do not wait. */
import { createGithubClient, type GithubOptions } from "../../src/github/client.ts";
import type { GithubFailure, GithubResult, GithubWriter } from "../../src/github/port.ts";
import { type FakeGitHub, type Repository, startFakeGitHub, type Token } from "../support/github/index.ts";

export const PERMISSIONS = { contents: "read", pull_requests: "write", checks: "write", issues: "write" } as const;

export interface Place extends AsyncDisposable {
  readonly github: FakeGitHub;
  readonly repo: Repository;
  readonly token: Token;
  /** Sleeps that a client asked for, in ms. */
  readonly sleeps: number[];
  readonly client: GithubWriter;
  /** A client with another token or other options. */
  readonly clientWith: (options?: Partial<GithubOptions>) => GithubWriter;
}

export const ORDERS = "kind: Namespace\n";

export async function openPlace(files: Readonly<Record<string, string>> = { "manifests/orders.yaml": ORDERS }): Promise<Place> {
  const github = await startFakeGitHub();
  const repo = github.createRepo({ owner: "acme", name: "data", private: true, files });
  const token = github.createActionsToken(repo, PERMISSIONS);
  const sleeps: number[] = [];
  const clientWith = (options: Partial<GithubOptions> = {}) =>
    createGithubClient({
      repository: { owner: "acme", name: "data" },
      credentials: { kind: "token", token: token.value },
      apiUrl: github.url,
      writeSpacingMs: 0,
      retryBaseMs: 0,
      sleep: async (durationMs) => {
        sleeps.push(durationMs);
      },
      ...options,
    });
  return { github, repo, token, sleeps, client: clientWith(), clientWith, [Symbol.asyncDispose]: () => github.stop() };
}

export function valueOf<Value>(result: GithubResult<Value>): Value {
  if (!result.ok) throw new Error(`Expected a value, got ${result.failure.kind}: ${result.failure.message}`);
  return result.value;
}

export function failureOf(result: GithubResult<unknown>): GithubFailure {
  if (result.ok) throw new Error(`Expected a failure, got ${JSON.stringify(result.value)}`);
  return result.failure;
}

/** A token's text in the form that a client takes. */
export function withToken(token: Token): Pick<GithubOptions, "credentials"> {
  return { credentials: { kind: "token", token: token.value } };
}
