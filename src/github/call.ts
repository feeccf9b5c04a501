/**
 * One request to GitHub's API: its turn, its retries, its ETag, and its answer checked for shape,
 * as a value or a failure.
 *
 * Only reads are sent again after a broken connection or a 5xx: a write that got no answer may have
 * been carried out, and sending it again would make a second comment. Whoever writes looks again
 * instead.
 */
import { retry } from "@octokit/plugin-retry";
import { Octokit } from "@octokit/rest";
import * as z from "zod";

import { failure, success } from "../model/result.ts";
import { boundFetch, type SentRequest } from "./bounded-fetch.ts";
import { type AppCredential, createAppCredential, type GithubCredentials } from "./credentials.ts";
import { createMemoryEtags, ENTRY_LENGTH_MAX, type EtagStore } from "./etag-store.ts";
import { explainError, explainNonsense } from "./failures.ts";
import { createPace } from "./pace.ts";
import type { GithubRepository, GithubResult, RateBudget } from "./port.ts";

export interface GithubOptions {
  readonly repository: GithubRepository;
  readonly credentials: GithubCredentials;
  /** Address of the REST API, without a slash at its end. Default `https://api.github.com`. */
  readonly apiUrl?: string;
  readonly fetch?: typeof fetch;
  /** For one request and its whole answer. Default 15,000. */
  readonly timeoutMs?: number;
  /** The longest that one call waits for rate limits, in sum. Default 30,000. */
  readonly waitMaxMs?: number;
  /** Between two writes. Default 1,000, as GitHub asks for. */
  readonly writeSpacingMs?: number;
  /** A failed read is tried again after 1, 4 and 9 times this long. Default 1,000. */
  readonly retryBaseMs?: number;
  /** Default: in memory, for this client alone. */
  readonly etags?: EtagStore;
  readonly now?: () => number;
  readonly sleep?: (durationMs: number) => Promise<void>;
  /** Told of each request: never of headers, bodies or credentials. */
  readonly log?: (request: LoggedRequest) => void;
}

export type LoggedRequest = Omit<SentRequest, "headers">;

/** A request, and what a good answer looks like. */
export interface Ask<Value> {
  /** Completes "Could not …"; the repository is added. */
  readonly what: string;
  /** Such as `GET /repos/{owner}/{repo}/pulls/{pull_number}`; owner and repo are filled in. */
  readonly route: string;
  readonly parameters?: Readonly<Record<string, unknown>>;
  readonly answer: z.ZodType<Value>;
  /** The permission, as in `` `checks: write` ``. */
  readonly needs: string;
  /** True keeps the answer under its ETag; for reads of what changes now and then. */
  readonly isCached?: boolean;
  /** True for a POST that changes nothing. Default: by method. */
  readonly isRead?: boolean;
  /** Makes the Authorization header, instead of the client's credential. */
  readonly authorize?: () => Promise<string>;
}

export interface Pages<Item> {
  readonly items: readonly Item[];
  /** False when there are more than were asked for. */
  readonly isComplete: boolean;
}

export interface GithubCaller {
  readonly repository: GithubRepository;
  readonly app: AppCredential | null;
  /** Base address of `/graphql`: on GitHub Enterprise Server it is not the REST API's address. */
  readonly graphqlUrl: string;
  readonly call: <Value>(ask: Ask<Value>) => Promise<GithubResult<Value>>;
  /** All pages of a list, 100 items each, at most `pagesMax`. */
  readonly callPages: <Item>(
    ask: Omit<Ask<readonly Item[]>, "isCached">,
    pagesMax: number,
  ) => Promise<GithubResult<Pages<Item>>>;
  readonly rateBudget: () => RateBudget | null;
}

const DEFAULT_API_URL = "https://api.github.com";
const DEFAULT_TIMEOUT_MS = 15_000;
const DEFAULT_WAIT_MAX_MS = 30_000;
const DEFAULT_WRITE_SPACING_MS = 1000;
const DEFAULT_RETRY_BASE_MS = 1000;
const READ_RETRIES_MAX = 3;
/** Above the largest tree (7 MB) and file (1 MiB in base64) that is read. */
const ANSWER_BYTES_MAX = 16 * 1024 * 1024;
const PAGE_ITEMS = 100;
const API_VERSION = "2022-11-28";
/** 429 is the pace's business, the others do not get better. */
const NEVER_RETRIED = [400, 401, 403, 404, 409, 410, 422, 429, 451];

/** Octokit writes warnings to the console unless it is given something else. */
const SILENT_LOG = { debug: () => null, info: () => null, warn: () => null, error: () => null };

interface RawAnswer {
  readonly data: unknown;
  readonly link: string | null;
}

export function createCaller(options: GithubOptions): GithubCaller {
  const { repository, credentials, now = Date.now } = options;
  const app = credentials.kind === "app" ? createAppCredential(credentials, repository, now) : null;
  let budget: RateBudget | null = null;
  const octokit = createOctokit(options, app, (headers) => {
    budget = readBudget(headers) ?? budget;
  });
  const etags = options.etags ?? createMemoryEtags();
  const pace = createPace({
    writeSpacingMs: options.writeSpacingMs ?? DEFAULT_WRITE_SPACING_MS,
    waitMaxMs: options.waitMaxMs ?? DEFAULT_WAIT_MAX_MS,
    now,
    sleep: options.sleep ?? sleepFor,
  });

  async function send(wanted: Ask<unknown>, page: number | null): Promise<RawAnswer> {
    const isRead = wanted.isRead ?? wanted.route.startsWith("GET ");
    const headers: Record<string, string> =
      wanted.authorize === undefined ? {} : { authorization: await wanted.authorize() };
    const parameters: Record<string, unknown> = {
      // Where the route has no place for them they would be sent as a query, or in the body.
      ...(wanted.route.includes("{owner}")
        ? { owner: repository.owner, repo: repository.name }
        : {}),
      ...wanted.parameters,
      ...(page === null ? {} : { per_page: PAGE_ITEMS, page }),
      // Only for writes: stated for a read, the plugin would retry refusals as well.
      ...(isRead ? {} : { request: { retries: 0 } }),
    };
    const { url } = octokit.request.endpoint(wanted.route, parameters);
    const known = wanted.isCached === true ? await etags.get(url) : null;
    if (known !== null) headers["if-none-match"] = known.etag;
    try {
      const answered = await pace.run(!isRead, () =>
        octokit.request(wanted.route, { ...parameters, headers }),
      );
      const data: unknown = answered.data;
      const { etag, link = null } = answered.headers;
      if (wanted.isCached === true && etag !== undefined) {
        const body = JSON.stringify(data);
        if (body.length <= ENTRY_LENGTH_MAX) await etags.set(url, { etag, link, body });
      }
      return { data, link };
    } catch (error) {
      const isUnchanged = (error as { readonly status?: unknown }).status === 304;
      if (known === null || !isUnchanged) throw error;
      return { data: JSON.parse(known.body), link: known.link };
    }
  }

  async function ask<Value>(
    wanted: Ask<Value>,
    page: number | null,
  ): Promise<GithubResult<{ value: Value; link: string | null }>> {
    const what = `${wanted.what} of ${repository.owner}/${repository.name}`;
    const request = { what, needs: wanted.needs };
    try {
      const { data, link } = await send(wanted, page);
      return success({ value: wanted.answer.parse(data), link });
    } catch (error) {
      const explained =
        error instanceof z.ZodError
          ? explainNonsense(request, describeIssue(error))
          : explainError(error, request);
      return failure(explained);
    }
  }

  return {
    repository,
    app,
    graphqlUrl: (options.apiUrl ?? DEFAULT_API_URL).replace(/\/api\/v3$/, "/api"),
    rateBudget: () => budget,
    async call(wanted) {
      const answered = await ask(wanted, null);
      return answered.ok ? success(answered.value.value) : answered;
    },
    async callPages<Item>(wanted: Omit<Ask<readonly Item[]>, "isCached">, pagesMax: number) {
      const items: Item[] = [];
      for (let page = 1; page <= pagesMax; page++) {
        const answered = await ask({ ...wanted, isCached: true }, page);
        if (!answered.ok) return answered;
        items.push(...answered.value.value);
        if (!/rel="next"/.test(answered.value.link ?? ""))
          return success({ items, isComplete: true });
      }
      return success({ items, isComplete: false });
    },
  };
}

/**
 * A list of which a part would be mistaken for the whole: more than `pagesMax` pages are a failure.
 */
export async function callWholeList<Item>(
  caller: GithubCaller,
  pagesMax: number,
  ask: Omit<Ask<readonly Item[]>, "isCached">,
): Promise<GithubResult<readonly Item[]>> {
  const pages = await caller.callPages(ask, pagesMax);
  if (!pages.ok) return pages;
  if (pages.value.isComplete) return success(pages.value.items);
  const message = `Could not ${ask.what}: there are more than ${pagesMax * 100}, which is as many as are read.`;
  return failure({ kind: "invalid", message, retryAt: null });
}

function createOctokit(
  options: GithubOptions,
  app: AppCredential | null,
  onHeaders: (headers: Headers) => void,
): Octokit {
  const { credentials, apiUrl = DEFAULT_API_URL, now = Date.now, log } = options;
  const bounded = boundFetch(options.fetch ?? fetch, {
    timeoutMs: options.timeoutMs ?? DEFAULT_TIMEOUT_MS,
    answerBytesMax: ANSWER_BYTES_MAX,
    now,
    onRequest: ({ headers, ...request }) => {
      if (headers !== null) onHeaders(headers);
      log?.(request);
    },
  });
  const RetryingOctokit = Octokit.plugin(retry);
  const octokit = new RetryingOctokit({
    baseUrl: apiUrl,
    userAgent: "shardctl",
    log: SILENT_LOG,
    request: { fetch: bounded },
    retry: {
      doNotRetry: NEVER_RETRIED,
      retries: READ_RETRIES_MAX,
      retryAfterBaseValue: options.retryBaseMs ?? DEFAULT_RETRY_BASE_MS,
    },
    ...(credentials.kind === "token" ? { auth: credentials.token } : { authStrategy: () => app }),
  });
  octokit.hook.before("request", (request) => {
    request.headers["x-github-api-version"] = API_VERSION;
  });
  return octokit;
}

function readBudget(headers: Headers): RateBudget | null {
  const resource = headers.get("x-ratelimit-resource");
  if (resource !== null && resource !== "core") return null;
  const numberOf = (name: string) => Number.parseInt(headers.get(`x-ratelimit-${name}`) ?? "", 10);
  const [limit, remaining, resetsAt] = [
    numberOf("limit"),
    numberOf("remaining"),
    numberOf("reset") * 1000,
  ];
  return Number.isNaN(limit + remaining + resetsAt) ? null : { limit, remaining, resetsAt };
}

function describeIssue(error: z.ZodError): string {
  const [first] = error.issues;
  return first === undefined
    ? ""
    : `${first.path.join(".") || "the whole answer"}: ${first.message}`;
}

function sleepFor(durationMs: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, durationMs);
  });
}
