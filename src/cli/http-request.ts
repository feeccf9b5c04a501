/**
 * Types of a request to the API, its recipient, and the outcome of one try. Types only: sending is
 * `http.ts`.
 */
import type { CliResult } from "./failure.ts";
import type { TokenSource } from "./token-source.ts";

export interface HttpTarget {
  /** Origin and optional path prefix, without a slash at the end. */
  readonly endpoint: string;
  readonly tokens: TokenSource;
}

/** A target with the token of one request. */
export interface HttpRecipient {
  readonly endpoint: string;
  readonly token: string | null;
  /** Advice for a refused token: the place to look. */
  readonly advice: string;
}

/** `whenUnsent`: only when the connection was refused, so that nothing can have arrived. */
export type Repeat = "whenTransient" | "whenUnsent" | "never";

export interface HttpRequest {
  readonly method: "GET" | "POST" | "PUT" | "DELETE";
  readonly path: string;
  readonly body?: unknown;
  readonly timeoutMs: number;
  readonly repeat: Repeat;
  readonly signal?: AbortSignal;
}

/** `unsent`: certainly nothing arrived. `transient`: asking again may help. */
export interface Attempt<Value> {
  readonly result: CliResult<Value>;
  readonly trouble: "none" | "unsent" | "transient" | "lasting";
}

/** Gives the value, or a text that says what is wrong with the body. */
export type ReadAnswer<Value> = (body: unknown, status: number) => Value | string;
