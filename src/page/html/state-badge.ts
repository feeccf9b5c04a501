/**
 * The state of a namespace as a badge: a mark, a word and a colour that say the same, and the
 * reason in words.
 */
import type { StateFilter } from "../page-data.ts";
import type { NamespaceView } from "../page-data.ts";
import { mark, type Markup, markup } from "./markup.ts";

const MARKS: Readonly<Record<StateFilter, string>> = {
  Stalled: "!",
  Reconciling: "↻",
  Ready: "✓",
  Unknown: "?",
};

export function stateOf({ condition }: Pick<NamespaceView, "condition">): StateFilter {
  return condition?.type ?? "Unknown";
}

export function stateBadge(state: StateFilter): Markup {
  return markup`<span class="badge ${state.toLowerCase()}">${mark(MARKS[state])} ${state}</span>`;
}

/** "WindowClosed" → "window closed". */
export function reasonWords(reason: string): string {
  return reason.replace(/(?!^)([A-Z])/g, " $1").toLowerCase();
}
