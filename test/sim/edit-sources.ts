/**
 * Changes source text as it is loaded: the engine's constants are scaled down, so that few rows make many pages, and a mutant has one rule
 * taken away. The files themselves are never touched. A text that is gone, or stands twice, stops the run: an edit never fails silently.
 */
import { readFileSync } from "node:fs";
import { registerHooks } from "node:module";
import { fileURLToPath } from "node:url";

export interface SourceEdit {
  /** Path below the project's `src`. */
  readonly file: string;
  readonly find: string | RegExp;
  readonly replace: string;
}

const SOURCE_FOLDER = new URL("../../src/", import.meta.url).href;

/** Checks the edits against the files, and applies them to every module loaded from now on. @throws Error naming the edit that does not fit. */
export function editSources(edits: readonly SourceEdit[]): void {
  const sources = new Map<string, string>();
  for (const { file, find, replace } of edits) {
    const url = SOURCE_FOLDER + file;
    const source = sources.get(url) ?? readFileSync(fileURLToPath(url), "utf8");
    const found = source.split(find).length - 1;
    if (found !== 1)
      throw new Error(`The text to be replaced stands ${found} times in src/${file}, expected once:\n${String(find)}`);
    sources.set(
      url,
      source.replace(find, () => replace),
    );
  }
  registerHooks({
    load: (url, context, nextLoad) => {
      const loaded = nextLoad(url, context);
      const source = sources.get(url.split("?")[0] ?? "");
      return source === undefined ? loaded : { ...loaded, source };
    },
  });
}

/** Pages of five rows, drains of four keys, impatient members: the paths of a million rows and of slow roots with a dozen rows. */
export const SCALED: readonly SourceEdit[] = [
  { file: "shards/move/outbox.ts", find: /PAGE_ROWS_MAX = [\d_]+;/, replace: "PAGE_ROWS_MAX = 5;" },
  { file: "shards/move/walk-page.ts", find: /FIRST_ROWS = [\d_]+;/, replace: "FIRST_ROWS = 2;" },
  { file: "shards/move/drain.ts", find: /DRAIN_KEYS_MAX = [\d_]+;/, replace: "DRAIN_KEYS_MAX = 4;" },
  { file: "shards/move/staging.ts", find: /STAGED_KEYS_MAX = [\d_]+;/, replace: "STAGED_KEYS_MAX = 3;" },
  { file: "shards/root/drain.ts", find: /BACKLOG_MAX = [\d_]+;/, replace: "BACKLOG_MAX = 2;" },
  { file: "shards/host/fence-resolver.ts", find: /RESOLVE_MS = [\d_]+;/, replace: "RESOLVE_MS = 100;" },
  { file: "shards/member/tickets.ts", find: /TICKET_MS = [\d_]+;/, replace: "TICKET_MS = 100;" },
  { file: "shards/root/drain.ts", find: /SLICE_MS = [\d_]+;/, replace: "SLICE_MS = 60;" },
];
