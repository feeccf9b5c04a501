/**
 * Formats values and lists for messages: short, quoted, and without control characters for a
 * terminal.
 */

/** Longest piece of a file that a message repeats, in UTF-16 units. */
const QUOTED_LENGTH_MAX = 60;

/** Text in quotes, cut when long, control and direction characters escaped. */
export function quoteValue(text: string): string {
  const cut = text.length > QUOTED_LENGTH_MAX ? `${text.slice(0, QUOTED_LENGTH_MAX)}…` : text;
  return escapeControls(JSON.stringify(cut.toWellFormed()));
}

/** Escapes what a terminal obeys and what turns the direction of text; line breaks included. */
export function escapeControls(text: string): string {
  return text.replaceAll(
    /[\p{Cc}\u2028\u2029\u200E\u200F\u202A-\u202E\u2066-\u2069]/gu,
    (character) => {
      return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
    },
  );
}

/** Describes the value found, for "…, but is X". */
export function describeValue(value: unknown): string {
  switch (typeof value) {
    case "string":
      return value === "" ? "empty text" : `the text ${quoteValue(value)}`;
    case "number":
    case "bigint":
      return String(value);
    case "boolean":
      return String(value);
    default:
      return value === null || value === undefined
        ? "empty"
        : Array.isArray(value)
          ? "a list"
          : "a map";
  }
}

/** A path as it stands in YAML: `spec.policy.windows[0].start`. */
export function formatPath(path: readonly PropertyKey[]): string {
  let text = "";
  for (const part of path) {
    if (typeof part === "number") text += `[${part}]`;
    else
      text += `${text === "" ? "" : "."}${/^[\w$-]+$/u.test(String(part)) ? String(part) : quoteValue(String(part))}`;
  }
  return text;
}
