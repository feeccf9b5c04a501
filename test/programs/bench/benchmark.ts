/** The input and the output of a benchmark. */
import type { Engine } from "./engine.ts";
import type { BenchOptions } from "./options.ts";
import type { Figure } from "./report.ts";

export interface BenchContext extends Pick<BenchOptions, "runs" | "rows" | "pauseShards"> {
  /** The engine that is measured, by benchmarks that start a runtime. */
  readonly engine: Engine;
  /** Tells the terminal how far it is; not part of the table. */
  readonly say: (line: string) => void;
}

export type Benchmark = (context: BenchContext) => Promise<Figure[]>;
