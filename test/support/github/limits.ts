/**
 * Rate limits: the primary one by the hour, the secondary ones by the minute, and what every answer
 * says of them.
 *
 * Both are on by default with GitHub's numbers, because code that ignores them must fail here too.
 * A 304 to an authorized request does not count against the primary limit. Time is the fake's
 * clock.
 */
import { refuse, type Answer } from "./answers.ts";
import type { Token } from "./state.ts";

export interface LimitSettings {
  isPrimaryOn: boolean;
  isSecondaryOn: boolean;
  /** Requests in an hour; `null`: 5,000, for GITHUB_TOKEN 1,000, without a token 60. */
  primaryPerHour: number | null;
  contentWritesPerMinute: number;
  contentWritesPerHour: number;
  /** A read costs 1, a write 5. */
  pointsPerMinute: number;
  concurrentMax: number;
  secondaryStatus: 403 | 429;
  /** False leaves `retry-after` out, as GitHub sometimes does. */
  hasRetryAfter: boolean;
}

interface Usage {
  windowStartMs: number;
  used: number;
  /** Newest last. */
  requests: { readonly atMs: number; readonly points: number; readonly isWrite: boolean }[];
}

const HOUR_MS = 3_600_000;
const MINUTE_MS = 60_000;
const WRITE_POINTS = 5;
const SECONDARY_DOCS =
  "https://docs.github.com/free-pro-team@latest/rest/overview/rate-limits-for-the-rest-api#about-secondary-rate-limits";
const PRIMARY_DOCS = "https://docs.github.com/rest/overview/rate-limits-for-the-rest-api";

export class Limits {
  readonly settings: LimitSettings;
  readonly #now: () => number;
  readonly #usage = new Map<string, Usage>();
  #exhaustedUntilMs = 0;
  #inFlight = 0;

  constructor(now: () => number, settings: Partial<LimitSettings>) {
    this.#now = now;
    this.settings = {
      isPrimaryOn: true,
      isSecondaryOn: true,
      primaryPerHour: null,
      contentWritesPerMinute: 80,
      contentWritesPerHour: 500,
      pointsPerMinute: 900,
      concurrentMax: 100,
      secondaryStatus: 403,
      hasRetryAfter: true,
      ...settings,
    };
  }

  /** Everybody's primary limit is used up until then, on the fake's clock. */
  exhaust(durationMs: number): void {
    this.#exhaustedUntilMs = this.#now() + durationMs;
  }

  /** Forgets what was used. */
  reset(): void {
    this.#exhaustedUntilMs = 0;
    this.#usage.clear();
  }

  begin(): void {
    this.#inFlight += 1;
  }

  end(): void {
    this.#inFlight -= 1;
  }

  /**
   * The refusal of a request that is over a limit; counts it for the secondary limits otherwise.
   */
  check(token: Token | null, isContent: boolean, requestId: string): Answer | null {
    const usage = this.#usageOf(token);
    if (this.settings.isPrimaryOn && this.#remaining(token, usage) <= 0) {
      const who = token === null ? "127.0.0.1" : `user ID ${token.account.id}`;
      return refuse(
        403,
        `API rate limit exceeded for ${who}. If you reach out to GitHub Support for help, please include the request ID ${requestId}.`,
        PRIMARY_DOCS,
      );
    }
    const waitMs = this.settings.isSecondaryOn ? this.#secondaryWait(usage, isContent) : 0;
    if (waitMs > 0) {
      const message = `You have exceeded a secondary rate limit. Please wait a few minutes before you try again. If you reach out to GitHub Support for help, please include the request ID ${requestId}.`;
      const refused = refuse(this.settings.secondaryStatus, message, SECONDARY_DOCS);
      return this.settings.hasRetryAfter
        ? { ...refused, headers: { "retry-after": String(Math.ceil(waitMs / 1000)) } }
        : refused;
    }
    usage.requests.push({
      atMs: this.#now(),
      points: isContent ? WRITE_POINTS : 1,
      isWrite: isContent,
    });
    return null;
  }

  /** Counts an answered request against the primary limit. */
  count(token: Token | null): void {
    this.#usageOf(token).used += 1;
  }

  headers(token: Token | null): Record<string, string> {
    const usage = this.#usageOf(token);
    const limit = this.#limitOf(token);
    const remaining = this.#remaining(token, usage);
    const resetMs = Math.max(usage.windowStartMs + HOUR_MS, this.#exhaustedUntilMs);
    return {
      "x-ratelimit-limit": String(limit),
      "x-ratelimit-remaining": String(remaining),
      "x-ratelimit-used": String(limit - remaining),
      "x-ratelimit-reset": String(Math.ceil(resetMs / 1000)),
      "x-ratelimit-resource": "core",
    };
  }

  #limitOf(token: Token | null): number {
    if (this.settings.primaryPerHour !== null) return this.settings.primaryPerHour;
    if (token === null) return 60;
    return token.kind === "actions" ? 1_000 : 5_000;
  }

  #remaining(token: Token | null, usage: Usage): number {
    if (this.#exhaustedUntilMs > this.#now()) return 0;
    return Math.max(0, this.#limitOf(token) - usage.used);
  }

  #usageOf(token: Token | null): Usage {
    const key = limitKey(token);
    const known = this.#usage.get(key);
    const now = this.#now();
    if (known && now < known.windowStartMs + HOUR_MS) return known;
    const fresh = { windowStartMs: now, used: 0, requests: known?.requests ?? [] };
    this.#usage.set(key, fresh);
    return fresh;
  }

  /**
   * Milliseconds until the oldest request that is too many leaves its window; 0 when there is room.
   */
  #secondaryWait(usage: Usage, isContent: boolean): number {
    const now = this.#now();
    usage.requests = usage.requests.filter((one) => one.atMs > now - HOUR_MS);
    const recent = usage.requests.filter((one) => one.atMs > now - MINUTE_MS);
    const points = recent.reduce((sum, one) => sum + one.points, 0);
    const oldest = (list: Usage["requests"], windowMs: number) =>
      (list[0]?.atMs ?? now) + windowMs - now;
    const { settings } = this;
    if (this.#inFlight > settings.concurrentMax) return MINUTE_MS;
    if (points >= settings.pointsPerMinute) return oldest(recent, MINUTE_MS);
    if (!isContent) return 0;
    const writes = recent.filter((one) => one.isWrite);
    if (writes.length >= settings.contentWritesPerMinute) return oldest(writes, MINUTE_MS);
    const hourly = usage.requests.filter((one) => one.isWrite);
    return hourly.length >= settings.contentWritesPerHour ? oldest(hourly, HOUR_MS) : 0;
  }
}

/** Tokens of one installation, one user, or one repository's runs share a limit. */
function limitKey(token: Token | null): string {
  if (token === null) return "anonymous";
  const scope = token.kind === "actions" ? (token.repositories?.[0]?.id ?? 0) : 0;
  return `${token.kind === "classic" || token.kind === "fineGrained" ? "user" : token.kind}:${token.account.id}:${scope}`;
}
