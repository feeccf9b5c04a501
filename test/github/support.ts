/** A private repository on the fake GitHub, and clients of it that do not wait. */
import { createGithubClient, type GithubOptions } from "../../src/github/client.ts";
import type { GithubFailure, GithubResult, GithubWriter } from "../../src/github/port.ts";
import {
  type FakeGitHub,
  type Repository,
  startFakeGitHub,
  type Token,
} from "../support/github/index.ts";

export const PERMISSIONS = {
  contents: "read",
  pull_requests: "write",
  checks: "write",
  issues: "write",
} as const;

export interface Place {
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

export async function openPlace(
  files: Readonly<Record<string, string>> = { "manifests/orders.yaml": ORDERS },
): Promise<Place> {
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
  return { github, repo, token, sleeps, client: clientWith(), clientWith };
}

/**
 * Stops it. @throws Error when a call went to a path that GitHub does not have, or a fault met no
 * request: the test did not test that.
 */
export async function closePlace({ github }: Place): Promise<void> {
  await github.stop();
  const unknown = github.journal.unknown.map(({ method, path }) => `${method} ${path}`);
  if (unknown.length > 0) throw new Error(`Unknown to GitHub: ${unknown.join(", ")}`);
  if (github.faults.pending > 0) throw new Error(`${github.faults.pending} faults met no request`);
}

/** The first of a list that must have one. */
export function firstOf<Item>(items: readonly Item[]): Item {
  const [first] = items;
  if (first === undefined) throw new Error("The list is empty");
  return first;
}

export function valueOf<Value>(result: GithubResult<Value>): Value {
  if (!result.ok)
    throw new Error(`Expected a value, got ${result.failure.kind}: ${result.failure.message}`);
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
