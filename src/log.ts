/**
 * The Worker's log: one JSON line an event, with the id of the tick, run or request that it belongs
 * to in `correlationId`.
 *
 * No secret and no row value goes in. Messages of errors come from elsewhere, so whatever looks
 * like a credential is taken out of every text.
 */
export type Facts = Readonly<Record<string, string | number | boolean>>;

/** A message or a stack that is longer is cut. */
const TEXT_LENGTH_MAX = 4000;

const SECRETS: readonly RegExp[] = [
  /-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/g,
  /\b(?:gh[a-z]_\w+|github_pat_\w+|xox[a-z]-[\w-]+)/g,
  /\bey[\w-]+\.[\w-]+\.[\w-]*/g,
  /\b(?:token|bearer|basic)\s+[\w+/=.~-]{8,}/gi,
  // Addresses of webhooks are secrets, and so is what stands before an @ or behind a question mark.
  /\bhttps?:\/\/[^\s"'<>]*?(?:hooks|webhook)[^\s"'<>]*/gi,
  /(?<=\bhttps?:\/\/)[^\s/"'<>@]+(?=@)/gi,
  /(?<=\bhttps?:\/\/[^\s"'<>?]*\?)[^\s"'<>]+/gi,
];

/**
 * Writes an error with its facts; the console is where Workers' logs and `wrangler tail` read from.
 */
export function logError(event: string, facts: Facts, error: unknown): void {
  const cause =
    error instanceof Error
      ? { error: error.message, stack: error.stack }
      : { error: String(error) };
  // oxlint-disable-next-line no-console -- the console is a Worker's log
  console.error(toLine({ event, ...facts, ...cause }));
}

/** Writes what happened, when nothing went wrong that needs a stack. */
export function logEvent(event: string, facts: Facts): void {
  // oxlint-disable-next-line no-console -- the console is a Worker's log
  console.log(toLine({ event, ...facts }));
}

/** The correlation id of one pass of reconciliation. */
export function tickId(environment: string, pass: number): string {
  return `tick-${environment}-${pass}`;
}

/** The text with everything that looks like a credential replaced. */
export function hideSecrets(text: string): string {
  return SECRETS.reduce((hidden, pattern) => hidden.replace(pattern, "[hidden]"), text);
}

function toLine(entry: Readonly<Record<string, unknown>>): string {
  return JSON.stringify(entry, (_key, value: unknown) =>
    typeof value === "string" ? hideSecrets(value).slice(0, TEXT_LENGTH_MAX) : value,
  );
}
