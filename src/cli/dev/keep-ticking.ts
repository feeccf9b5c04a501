/**
 * The cron trigger of the local runtime, which fires none by itself: without it nothing is
 * reconciled, and every state on the status page stays unknown. Ticks the way Cloudflare does,
 * through the Worker's `scheduled` handler, one after the other, until the runtime is stopped.
 */
import type { Host } from "../host.ts";

/** The runtime's own address for it; the expression is the one that a deployed Worker is given. */
const PATH = "/cdn-cgi/handler/scheduled?cron=*+*+*+*+*";
const TIMEOUT_MS = 60_000;

export interface TickOptions {
  readonly endpoint: string;
  readonly intervalMs: number;
  /** Told when a tick fails, and not again before one has worked. */
  readonly say: (line: string) => void;
}

/** Ticks at once, and then that long after each tick has ended. Never throws. */
export async function keepTicking(
  host: Host,
  { endpoint, intervalMs, say }: TickOptions,
  signal: AbortSignal,
): Promise<void> {
  let wasWell = true;
  while (!signal.aborted) {
    const trouble = await tick(host, endpoint, signal);
    if (trouble !== null && wasWell && !signal.aborted)
      say(
        `A tick failed: ${trouble}. Nothing is reconciled until one succeeds; the next is in ${intervalMs / 1000} s.`,
      );
    wasWell = trouble === null;
    await host.sleep(intervalMs, signal);
  }
}

/** Null when it worked. */
async function tick(host: Host, endpoint: string, signal: AbortSignal): Promise<string | null> {
  try {
    const response = await host.fetch(`${endpoint}${PATH}`, {
      signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
    });
    await response.body?.cancel();
    return response.ok ? null : `the Worker's scheduled handler answered ${response.status}`;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
