/**
 * Text from manifests and registries, made safe to print.
 *
 * A name may hold terminal escapes that clear lines above it, a newline that forges a line of a
 * plan, or a mark that reverses the reading order. All such characters are shown as their code
 * points instead of being obeyed.
 */

// Controls, line and paragraph separators, and everything invisible that changes direction, joins
// or hides.
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Co}]/gu;

/**
 * The text with every control, format and separator character written as `\u{…}`. Idempotent on
 * what it gives.
 */
export function printable(text: string): string {
  return text.replace(
    UNPRINTABLE,
    (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`,
  );
}

/** The first characters of a text, at most `lengthMax`, without cutting one in two. */
export function shorten(text: string, lengthMax: number): string {
  // A character is two units at most.
  return Array.from(text.slice(0, 2 * lengthMax))
    .slice(0, lengthMax)
    .join("");
}
