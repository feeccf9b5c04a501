/** The command line of the benchmark. */
import { parseArgs } from "node:util";

export interface BenchOptions {
  /** Runs of each measurement; figures are medians over them. */
  readonly runs: number;
  /** Rows of a namespace, each about 200 bytes. */
  readonly rows: number;
  /** Names of the benchmarks to run; null runs all. */
  readonly only: readonly string[] | null;
  /**
   * Shard counts of the rekeys whose write pause is taken. With 16 among them, the other pauses of
   * 16 shards are taken too.
   */
  readonly pauseShards: readonly number[];
  /**
   * The commit whose engine is measured beside this tree's, run by run; null measures this tree's
   * alone.
   */
  readonly against: string | null;
  readonly jsonFile: string;
  /** A Markdown file with marks for the figures to stand between; null writes none. */
  readonly markdownFile: string | null;
}

const RUNS_MAX = 100;
const ROWS_MAX = 10_000_000;
const SHARDS_MAX = 1_000;

/**
 * Benchmarks of which another commit can be measured: their figures come from the engine in its
 * Worker, not from code of this tree.
 */
const OF_THE_ENGINE = ["moves", "pause", "nested", "looks", "calls", "memory", "cost"];
/** Benchmarks that --against takes when --only does not choose. */
const AGAINST_DEFAULT = ["moves", "pause", "calls", "cost"];

/** @throws Error that names the option and what it takes. */
export function readOptions(args: readonly string[], known: readonly string[]): BenchOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      runs: { type: "string", default: "5" },
      rows: { type: "string", default: "100000" },
      only: { type: "string" },
      "pause-shards": { type: "string", default: "2,16,64" },
      against: { type: "string" },
      json: { type: "string", default: "bench.json" },
      markdown: { type: "string" },
    },
  });
  const against = values.against ?? null;
  const only = values.only?.split(",") ?? (against === null ? null : AGAINST_DEFAULT);
  const unknown = only?.find((name) => !known.includes(name));
  if (unknown !== undefined)
    throw new Error(`--only knows no '${unknown}': choose of ${known.join(", ")}`);
  const foreign =
    against === null ? undefined : only?.find((name) => !OF_THE_ENGINE.includes(name));
  if (foreign !== undefined) {
    throw new Error(
      `--against compares engines, and '${foreign}' measures none: choose of ${OF_THE_ENGINE.join(", ")}`,
    );
  }
  if (against !== null && values.markdown !== undefined) {
    throw new Error("--markdown writes the figures of one commit: leave it out, or --against");
  }
  return {
    runs: readCount("--runs", values.runs, RUNS_MAX),
    rows: readCount("--rows", values.rows, ROWS_MAX),
    only,
    pauseShards: values["pause-shards"]
      .split(",")
      .map((count) => readCount("--pause-shards", count, SHARDS_MAX)),
    against,
    jsonFile: values.json,
    markdownFile: values.markdown ?? null,
  };
}

function readCount(option: string, text: string, max: number): number {
  const count = Number(text);
  if (!Number.isInteger(count) || count < 1 || count > max)
    throw new Error(`${option} takes a whole number from 1 to ${max}, not '${text}'`);
  return count;
}
