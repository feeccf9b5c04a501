/** What a benchmark is given, and what it gives. */
import type { BenchOptions } from "./options.ts";
import type { Figure } from "./report.ts";

export interface BenchContext extends Pick<BenchOptions, "runs" | "rows"> {
  /** Tells the terminal how far it is; not part of the table. */
  readonly say: (line: string) => void;
}

export type Benchmark = (context: BenchContext) => Promise<Figure[]>;
