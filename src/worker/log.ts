/** The Worker's log: one JSON line an event. No secret and no row value goes in. */

/** Writes an error with its facts; the console is where Workers' logs and `wrangler tail` read from. */
export function logError(event: string, facts: Readonly<Record<string, string | number>>, error: unknown): void {
  const cause = error instanceof Error ? { error: error.message, stack: error.stack } : { error: String(error) };
  // oxlint-disable-next-line no-console -- the console is a Worker's log
  console.error(JSON.stringify({ event, ...facts, ...cause }));
}

/** Writes what happened, when nothing went wrong that needs a stack. */
export function logEvent(event: string, facts: Readonly<Record<string, string | number>>): void {
  // oxlint-disable-next-line no-console -- the console is a Worker's log
  console.log(JSON.stringify({ event, ...facts }));
}
