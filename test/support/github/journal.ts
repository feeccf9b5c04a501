/** Every request that reached the fake, in order: what tests assert on the wire. */

export interface RecordedRequest {
  readonly method: string;
  /** Decoded, without the query. */
  readonly path: string;
  readonly query: string;
  /**
   * `actions:github-actions[bot]`, `user:octocat`, `app:<slug>` for an app's JWT, `anonymous`,
   * `unknown`.
   */
  readonly caller: string;
  readonly headers: Readonly<Record<string, string>>;
  /** The text of the body. */
  readonly body: string;
  readonly atMs: number;
  /** 0 when the connection was cut or left hanging. */
  readonly status: number;
  /** False for a path that GitHub may have and the fake has not. */
  readonly isKnownPath: boolean;
}

/**
 * POST requests that write nothing: the way to credentials, and GraphQL, which answers no mutation
 * here.
 */
const READING_POSTS = /^(\/app\/installations\/\d+\/access_tokens|\/graphql)$/;

export class Journal {
  readonly requests: RecordedRequest[] = [];

  add(request: RecordedRequest): void {
    this.requests.push(request);
  }

  /** Requests that could have changed something on GitHub, refused ones among them. */
  get writes(): readonly RecordedRequest[] {
    return this.requests.filter(
      (one) => one.method !== "GET" && one.method !== "HEAD" && !READING_POSTS.test(one.path),
    );
  }

  /** Requests to paths that the fake does not know. */
  get unknown(): readonly RecordedRequest[] {
    return this.requests.filter((one) => !one.isKnownPath);
  }

  find(method: string, path: string | RegExp): readonly RecordedRequest[] {
    return this.requests.filter(
      (one) =>
        one.method === method &&
        (typeof path === "string" ? one.path.includes(path) : path.test(one.path)),
    );
  }

  clear(): void {
    this.requests.length = 0;
  }
}
