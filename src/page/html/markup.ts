/**
 * HTML as hono's `html` makes it: every value is escaped, and here every text is made printable
 * first and loses the keys it may quote, so that a name can neither open a tag nor turn the reading
 * order around. Nothing in this folder builds HTML in another way.
 */
import { html } from "hono/html";

import { printable } from "../../render/printable.ts";
import { formatMoment } from "../../render/time.ts";

/**
 * Split points are keys of rows. They stand in some reasons, for whoever reads a plan; whoever sees
 * the page need not see them.
 */
const SPLIT_POINTS = /split points → .*?(?= \(live was changed\)|$)/g;

export type Markup = ReturnType<typeof html>;

export function markup(strings: TemplateStringsArray, ...values: readonly unknown[]): Markup {
  return html(strings, ...values.map(cleanText));
}

/** Returns the rendered markup as one text. */
export async function toText(rendered: Markup): Promise<string> {
  return String(await rendered);
}

function cleanText(value: unknown): unknown {
  if (typeof value === "string") return printable(hideKeys(value.replace(/[\r\n\t]+/g, " ")));
  return Array.isArray(value) ? value.map(cleanText) : value;
}

function hideKeys(text: string): string {
  return text.replace(SPLIT_POINTS, "other split points");
}

/** A moment. The page's script turns it into an age; without it the moment stands. */
export function moment(at: number): Markup {
  return markup`<time datetime="${new Date(at).toISOString()}" data-age>${formatMoment(at)}</time>`;
}

/** A mark that readers of screens skip: the words beside it say the same. */
export function mark(character: string): Markup {
  return markup`<span class="mark" aria-hidden="true">${character}</span>`;
}

/** A link, or its text where there is no address. */
export function linkTo(address: string | null, text: string): Markup {
  return address === null ? markup`${text}` : markup`<a href="${address}">${text}</a>`;
}
