/** Puts the pieces of a document of an import together. */
import type { StagedRows } from "./staged-rows.ts";
import { DOCUMENTS } from "./state-tables.ts";

/** Null when the first piece is missing; a later one that is missing is the writer's mistake. */
export function stagedText(staged: StagedRows, kind: string, id: string): string | null {
  const pieces: string[] = [];
  for (;;) {
    const row = staged.find<{ readonly text: string }>(DOCUMENTS, kind, id, pieces.length);
    if (row === null) return pieces.length === 0 ? null : pieces.join("");
    pieces.push(row.text);
  }
}
