/**
 * Writes and reads the hidden lines by which shardctl finds its own comments and issues again. A
 * body begins with its marker; a comment on a plan names its commit in the next line.
 *
 * The forms are stored in other people's pull requests: never change them.
 */

/** First line of the one comment of a pull request and an environment. */
export function planMarker(environment: string): string {
  return `<!-- shardctl:plan:${encodeName(environment)} -->`;
}

/** First line of the one issue of an environment's alerts. */
export function alertMarker(environment: string): string {
  return `<!-- shardctl:alert:${encodeName(environment)} -->`;
}

/**
 * Second line of an issue that we closed: opened again when the same alert comes back. Without it a
 * person closed the issue.
 */
export const CLOSED_MARKER = "<!-- shardctl:closed -->";

/**
 * Last line of an issue that tells of drifts: their fingerprint. Whoever has lost its memory finds
 * in it what it has told.
 */
export function toldMarker(fingerprint: string): string {
  return `<!-- shardctl:told:${fingerprint} -->`;
}

/**
 * The fingerprint of what an issue tells; null of one that we closed: that tells of no drift.
 * Undefined of one that does not say.
 */
export function readTold(body: string): string | null | undefined {
  const lines = normalize(body).split("\n");
  if (lines[1] === CLOSED_MARKER) return null;
  return /^<!-- shardctl:told:([0-9a-f]{64}) -->$/.exec(lines.at(-1) ?? "")?.[1];
}

export function headMarker(headSha: string): string {
  return `<!-- shardctl:head:${headSha} -->`;
}

/** The commit that a marked comment is about; null when a person took the line out. */
export function readHead(body: string): string | null {
  return (
    /^<!-- shardctl:head:([0-9a-f]{40}) -->\r?$/.exec(body.split("\n", 2)[1] ?? "")?.[1] ?? null
  );
}

/**
 * True when GitHub would show both the same: it may change line ends, and drops blanks at the end.
 */
export function isSameBody(left: string, right: string): boolean {
  return normalize(left) === normalize(right);
}

function normalize(body: string): string {
  return body.replaceAll("\r\n", "\n").trimEnd();
}

/** A name that cannot end the HTML comment that it stands in. */
function encodeName(name: string): string {
  return encodeURIComponent(name).replaceAll("--", "-%2D");
}
