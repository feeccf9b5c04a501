/**
 * Takes an engine through all that the benchmark asks for, in small, before hours are spent on
 * measuring it.
 */
import type { BenchContext, Benchmark } from "../benchmark.ts";
import type { Engine } from "../engine.ts";
import { bundleWorker } from "../runtime.ts";

const ROWS = 500;
const PAUSE_SHARDS = 2;

/** @throws Error that names the engine and what it does not do, with the reason as its cause. */
export async function tryEngine(
  engine: Engine,
  benchmarks: Readonly<Record<string, Benchmark>>,
): Promise<void> {
  const unfit = `${engine.name} cannot be compared: it is too old, or too different`;
  const buildError = await bundleWorker(engine).then(
    () => null,
    (error: unknown) => buildErrorsOf((error as Error).message),
  );
  if (buildError !== null) {
    throw new Error(`${unfit}. This benchmark's Worker does not build with its src`, {
      cause: new Error(buildError),
    });
  }
  const context: BenchContext = {
    engine,
    runs: 1,
    rows: ROWS,
    pauseShards: [PAUSE_SHARDS],
    say: () => {},
  };
  for (const [name, run] of Object.entries(benchmarks)) {
    try {
      await run(context);
    } catch (error) {
      throw new Error(`${unfit}. The benchmark '${name}' fails with it, with ${ROWS} rows`, {
        cause: error,
      });
    }
  }
}

/**
 * Each of the bundler's errors once, by its first line; all of the output when it does not look
 * like the bundler's.
 */
function buildErrorsOf(output: string): string {
  const errors = [...output.matchAll(/\[ERROR\] (.*)/g)].map(([, text = ""]) => text);
  return errors.length === 0 ? output : [...new Set(errors)].join("\n");
}
