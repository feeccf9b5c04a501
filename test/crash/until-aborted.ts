/**
 * Rejects once a run is interrupted. What still waits then is let go: the runtime that it waits for
 * is stopped next.
 */
export function untilAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const interrupt = (): void => reject(new Error("Interrupted before the end"));
    if (signal.aborted) interrupt();
    else signal.addEventListener("abort", interrupt, { once: true });
  });
}
