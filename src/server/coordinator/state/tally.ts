/** Counts what becomes of the rows of one table in an import. */
import type { TableReport } from "../../../model/state-file.ts";

export type Fate = "added" | "replaced" | "kept";

export class Tally {
  readonly #counts = new Map<string, Record<Fate, number>>();

  note(table: string, fate: Fate, count = 1): void {
    const counts = this.#counts.get(table) ?? { added: 0, replaced: 0, kept: 0 };
    counts[fate] += count;
    this.#counts.set(table, counts);
  }

  of(table: string): Pick<TableReport, Fate> {
    return this.#counts.get(table) ?? { added: 0, replaced: 0, kept: 0 };
  }
}
