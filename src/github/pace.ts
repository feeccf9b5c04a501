/**
 * Decides when a request may be sent: writes one after another with a pause between them, and no
 * request while GitHub limits this client.
 *
 * A limit is waited for only when it ends soon; otherwise the caller learns until when, and no
 * further request is made before that: GitHub bans clients that go on asking. One pace belongs to
 * one client. `@octokit/plugin-throttling` does not fit here: it keeps one set of limiters and
 * timers for the whole process, so that clients would wait for each other, and it has no end to its
 * waits.
 */

export interface PaceOptions {
  readonly writeSpacingMs: number;
  /** The longest that one call waits for limits, in sum. */
  readonly waitMaxMs: number;
  readonly now: () => number;
  readonly sleep: (durationMs: number) => Promise<void>;
}

export interface Pace {
  /** Runs a request when its turn has come. Throws what it throws, or `RateLimitReached`. */
  run<Value>(isWrite: boolean, request: () => Promise<Value>): Promise<Value>;
}

/** A limit that ends too late to wait for it. */
export class RateLimitReached extends Error {
  readonly retryAt: number;

  constructor(retryAt: number, cause: unknown) {
    super(`GitHub limits this client until ${new Date(retryAt).toISOString()}`, { cause });
    this.name = "RateLimitReached";
    this.retryAt = retryAt;
  }
}

/** Times that one call is sent again after a limit. */
const RETRIES_MAX = 3;
/** GitHub asks for a minute when it does not say how long. */
const DEFAULT_WAIT_MS = 60_000;
/** The reset is in whole seconds, and their clock is not ours. */
const RESET_MARGIN_MS = 1000;

export function createPace({ writeSpacingMs, waitMaxMs, now, sleep }: PaceOptions): Pace {
  let limitedUntil = 0;
  let limitCause: unknown = null;
  let lastWriteEndedAt = Number.NEGATIVE_INFINITY;
  let turn: Promise<unknown> = Promise.resolve();

  async function attempt<Value>(request: () => Promise<Value>): Promise<Value> {
    let waitLeftMs = waitMaxMs;
    for (let retries = 0; ; retries++) {
      const waitMs = limitedUntil - now();
      if (waitMs > waitLeftMs) throw new RateLimitReached(limitedUntil, limitCause);
      if (waitMs > 0) {
        waitLeftMs -= waitMs;
        await sleep(waitMs);
      }
      try {
        return await request();
      } catch (error) {
        const retryAt = findRetryTime(error, now());
        if (retryAt === null) throw error;
        limitedUntil = Math.max(limitedUntil, retryAt);
        limitCause = error;
        if (retries >= RETRIES_MAX) throw new RateLimitReached(limitedUntil, error);
      }
    }
  }

  async function writeInTurn<Value>(request: () => Promise<Value>): Promise<Value> {
    const waitMs = lastWriteEndedAt + writeSpacingMs - now();
    if (waitMs > 0) await sleep(waitMs);
    try {
      return await attempt(request);
    } finally {
      lastWriteEndedAt = now();
    }
  }

  return {
    run(isWrite, request) {
      if (!isWrite) return attempt(request);
      const mine = turn.then(() => writeInTurn(request));
      // The next writer waits for the end of this write, not for its success; the failure goes to
      // this one's caller.
      turn = mine.then(
        () => null,
        () => null,
      );
      return mine;
    },
  };
}

/**
 * When to try again, if the error is a rate limit, primary or secondary; null for every other
 * error.
 */
function findRetryTime(error: unknown, now: number): number | null {
  const { status, message, response } = (
    typeof error === "object" && error !== null ? error : {}
  ) as {
    readonly status?: unknown;
    readonly message?: unknown;
    readonly response?: { readonly headers?: Readonly<Record<string, string | undefined>> };
  };
  const headers = response?.headers ?? {};
  const retryAfterSeconds = Number(headers["retry-after"] ?? Number.NaN);
  const hasRetryAfter = Number.isFinite(retryAfterSeconds) && retryAfterSeconds >= 0;
  const isLimit =
    status === 429 || (status === 403 && (hasRetryAfter || /\brate limit/i.test(String(message))));
  if (!isLimit) return null;
  if (hasRetryAfter) return now + retryAfterSeconds * 1000;
  const resetSeconds = Number(headers["x-ratelimit-reset"] ?? Number.NaN);
  const isPrimary = headers["x-ratelimit-remaining"] === "0" && Number.isFinite(resetSeconds);
  return isPrimary ? Math.max(now, resetSeconds * 1000 + RESET_MARGIN_MS) : now + DEFAULT_WAIT_MS;
}
