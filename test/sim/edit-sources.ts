/**
 * Changes source text as it is loaded: the engine's constants are scaled down, so that few rows
 * make many pages, and a mutant has one rule taken away. The files themselves are never touched.
 * Code that is gone, or stands twice, stops the run: an edit never fails silently.
 */
import { readFileSync } from "node:fs";
import { registerHooks } from "node:module";
import { fileURLToPath } from "node:url";

import { findCode } from "./find-code.ts";

export interface SourceEdit {
  /** Path below the project's `src`. */
  readonly file: string;
  /** Code that stands there once, as `findCode` finds it: layout and comments do not count. */
  readonly find: string;
  /** True for a part of a text, such as a statement of SQL: it is found letter by letter. */
  readonly isText?: true;
  readonly replace: string;
}

const SOURCE_FOLDER = new URL("../../src/", import.meta.url).href;

/**
 * Applies an edit to the text of its file.
 * @throws Error naming the edit whose code is gone, or stands more than once.
 */
export function editSource(source: string, { file, find, isText, replace }: SourceEdit): string {
  const places = isText ? findText(source, find) : findCode(source, find);
  const [place] = places;
  if (!place || places.length > 1)
    throw new Error(
      `The code to be replaced stands ${places.length} times in src/${file}, expected once:\n${find}`,
    );
  return source.slice(0, place.start) + replace + source.slice(place.end);
}

function findText(source: string, text: string): { start: number; end: number }[] {
  const found: { start: number; end: number }[] = [];
  for (let at = source.indexOf(text); at >= 0; at = source.indexOf(text, at + text.length))
    found.push({ start: at, end: at + text.length });
  return found;
}

/** The text of a file below `src`. */
export function readSource(file: string): string {
  return readFileSync(fileURLToPath(SOURCE_FOLDER + file), "utf8");
}

/**
 * Applies the edits, in their order, to every module that is loaded from now on.
 * @throws Error naming the edit that does not fit.
 */
export function editSources(edits: readonly SourceEdit[]): void {
  const sources = new Map<string, string>();
  for (const edit of edits) {
    const url = SOURCE_FOLDER + edit.file;
    sources.set(url, editSource(sources.get(url) ?? readSource(edit.file), edit));
  }
  registerHooks({
    load: (url, context, nextLoad) => {
      const loaded = nextLoad(url, context);
      const source = sources.get(url.split("?")[0] ?? "");
      return source === undefined ? loaded : { ...loaded, source };
    },
  });
}

/**
 * Pages of five rows, drains of four keys, impatient members, few tries before ids that were found
 * twice are judged: the paths of a million rows, of slow roots and of storms, with a dozen rows.
 */
export const SCALED: readonly SourceEdit[] = [
  { file: "shards/move/outbox.ts", find: "PAGE_ROWS_MAX = …;", replace: "PAGE_ROWS_MAX = 5;" },
  { file: "shards/move/walk-page.ts", find: "FIRST_ROWS = …;", replace: "FIRST_ROWS = 2;" },
  { file: "shards/move/drain.ts", find: "DRAIN_KEYS_MAX = …;", replace: "DRAIN_KEYS_MAX = 4;" },
  { file: "shards/move/staging.ts", find: "STAGED_KEYS_MAX = …;", replace: "STAGED_KEYS_MAX = 3;" },
  { file: "shards/root/drain-sources.ts", find: "BACKLOG_MAX = …;", replace: "BACKLOG_MAX = 2;" },
  { file: "shards/host/fence-resolver.ts", find: "RESOLVE_MS = …;", replace: "RESOLVE_MS = 100;" },
  { file: "shards/member/tickets.ts", find: "TICKET_MS = …;", replace: "TICKET_MS = 100;" },
  { file: "shards/root/drain-sources.ts", find: "SLICE_MS = …;", replace: "SLICE_MS = 60;" },
  {
    file: "shards/root/failures.ts",
    find: "DUPLICATE_TRIES_MAX = …;",
    replace: "DUPLICATE_TRIES_MAX = 1;",
  },
];
