/**
 * Represents the process as a value: everything that a command takes from its surroundings, so
 * that tests can run commands without a process. Owns the only use of `process` outside `main.ts`
 * and `dev`.
 */

/** A place to write text, with what bars need to know about it. */
export type TextStream = NodeJS.WritableStream & {
  readonly isTTY?: boolean;
  readonly columns?: number;
};

interface Interruption {
  /** Aborts at the first Ctrl-C (or SIGTERM). */
  readonly signal: AbortSignal;
  /** Gives Ctrl-C its usual meaning back. */
  release(): void;
}

export interface Host {
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly stdin: NodeJS.ReadableStream & { readonly isTTY?: boolean };
  readonly stdout: TextStream;
  readonly stderr: TextStream;
  readonly fetch: typeof fetch;
  /** Milliseconds since the Unix epoch. */
  readonly now: () => number;
  /** 0 … 1, for the jitter of retries. */
  readonly random: () => number;
  /** Resolves after the time, or at once when the signal aborts. */
  readonly sleep: (timeMs: number, signal?: AbortSignal) => Promise<void>;
  /** From here on Ctrl-C aborts the signal; a second one ends the process. */
  readonly interceptInterrupt: () => Interruption;
}

/** The host of the real process. */
export function nodeHost(): Host {
  return {
    cwd: process.cwd(),
    env: process.env,
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    fetch: globalThis.fetch,
    now: () => Date.now(),
    random: () => Math.random(),
    sleep,
    interceptInterrupt,
  };
}

export function sleep(timeMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const end = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, timeMs);
    signal?.addEventListener("abort", end);
  });
}

const SIGNALS = ["SIGINT", "SIGTERM"] as const;

function interceptInterrupt(): Interruption {
  const controller = new AbortController();
  const handle = (): void => {
    // Removed first: a second Ctrl-C then does what Ctrl-C does without us.
    release();
    controller.abort();
  };
  const release = (): void => {
    for (const name of SIGNALS) process.off(name, handle);
  };
  for (const name of SIGNALS) process.on(name, handle);
  return { signal: controller.signal, release };
}
