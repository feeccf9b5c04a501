/** Tells addresses of this machine from all others. */

const LOOPBACK_NAMES = new Set(["127.0.0.1", "localhost", "[::1]"]);

/** True for a URL whose host is this machine; false for any other text. */
export function isLoopbackUrl(endpoint: string): boolean {
  return URL.canParse(endpoint) && LOOPBACK_NAMES.has(new URL(endpoint).hostname);
}
