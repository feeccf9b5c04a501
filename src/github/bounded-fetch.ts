/**
 * `fetch` with an end: an answer that does not come, does not finish or is too large becomes an
 * error, whatever the server does.
 *
 * The body is read here and handed on whole, because a body that breaks off later looks like an
 * empty one to Octokit.
 */

export interface BoundedFetchOptions {
  readonly timeoutMs: number;
  readonly answerBytesMax: number;
  readonly now: () => number;
  /** Called once for each request that was sent. */
  readonly onRequest: (request: SentRequest) => void;
}

/** Log entry of a request: never a header or a body. */
export interface SentRequest {
  readonly method: string;
  /** Without the query. */
  readonly path: string;
  /** Null when there was no answer. */
  readonly status: number | null;
  readonly durationMs: number;
  readonly headers: Headers | null;
}

/** Named as Octokit expects of errors that it must not retry. */
export class NoAnswer extends Error {
  constructor(message: string) {
    super(message);
    this.name = "AbortError";
  }
}

const BODILESS_STATUSES: ReadonlySet<number> = new Set([204, 205, 304]);

export function boundFetch(send: typeof fetch, options: BoundedFetchOptions): typeof fetch {
  const { timeoutMs, answerBytesMax, now, onRequest } = options;
  return async (input, init) => {
    const startedAt = now();
    const address =
      typeof input === "string" ? input : input instanceof URL ? input.href : input.url;
    const sent = { method: init?.method ?? "GET", path: new URL(address).pathname };
    const abort = new AbortController();
    const overdue = Promise.withResolvers<never>();
    const timer = setTimeout(() => {
      const error = new NoAnswer(`no whole answer within ${timeoutMs / 1000} seconds`);
      abort.abort(error);
      overdue.reject(error);
    }, timeoutMs);
    try {
      const work = sendAndRead(send, input, { ...init, signal: abort.signal }, answerBytesMax);
      const answer = await Promise.race([work, overdue.promise]);
      onRequest({
        ...sent,
        status: answer.status,
        durationMs: now() - startedAt,
        headers: answer.headers,
      });
      return answer;
    } catch (error) {
      onRequest({ ...sent, status: null, durationMs: now() - startedAt, headers: null });
      throw error;
    } finally {
      clearTimeout(timer);
    }
  };
}

async function sendAndRead(
  send: typeof fetch,
  input: Parameters<typeof fetch>[0],
  init: RequestInit,
  bytesMax: number,
): Promise<Response> {
  const answer = await send(input, init);
  const { status, statusText, headers } = answer;
  const bytes = await readBytes(answer, bytesMax);
  return new Response(BODILESS_STATUSES.has(status) ? null : bytes, {
    status,
    statusText,
    headers,
  });
}

async function readBytes(answer: Response, bytesMax: number): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array[] = [];
  let length = 0;
  if (answer.body !== null) {
    const reader: ReadableStreamDefaultReader<Uint8Array> = answer.body.getReader();
    for (;;) {
      const part = await reader.read();
      if (part.done) break;
      length += part.value.byteLength;
      if (length > bytesMax) {
        await reader.cancel();
        throw new NoAnswer(`the answer is larger than ${bytesMax} bytes`);
      }
      parts.push(part.value);
    }
  }
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.byteLength;
  }
  return bytes;
}
