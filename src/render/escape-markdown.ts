/**
 * Text from manifests and registries, made inert in GitHub's Markdown.
 *
 * A name must not be able to close a table cell, open a tag, load an image, hide text, mention a
 * person or team, link an issue, or look like part of the plan. Punctuation with a meaning becomes
 * a numeric entity, which Markdown never reads as syntax. Mentions and references are looked for
 * after that, in the finished text, so a zero-width space parts their mark from what follows.
 */
import { printable } from "./printable.ts";

const ENTITIES = /[&<>"'`*_~|\\[\]{}$:^#@]/g;
const ZERO_WIDTH_SPACE = "&#8203;";

/**
 * Inert Markdown that reads as the text: safe in a paragraph, a table cell, a list item, and an
 * HTML element. One line.
 */
export function escapeMarkdown(text: string): string {
  return printable(text)
    .replace(
      ENTITIES,
      (mark) => `&#${mark.charCodeAt(0)};${mark === "@" || mark === "#" ? ZERO_WIDTH_SPACE : ""}`,
    )
    .replace(/(www)\./gi, "$1&#46;")
    .replace(/\b(GH)-(?=\d)/gi, `$1&#45;${ZERO_WIDTH_SPACE}`)
    .replace(/^([-+=]|\d+[.)](?=\s|$))/, (mark) =>
      Array.from(mark, (character) =>
        /\d/.test(character) ? character : `&#${character.charCodeAt(0)};`,
      ).join(""),
    );
}

/** The text in a code element, where GitHub looks for neither mentions nor references. */
export function codeMarkdown(text: string): string {
  return `<code>${escapeMarkdown(text)}</code>`;
}
