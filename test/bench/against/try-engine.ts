/** Takes an engine through all that the benchmark asks for, in small, before hours are spent on measuring it. */
import type { BenchContext, Benchmark } from "../benchmark.ts";
import type { Engine } from "../engine.ts";
import { bundleWorker } from "../runtime.ts";

const ROWS = 500;
const PAUSE_SHARDS = 2;

/** @throws Error that names the engine, and says what it does not do. */
export async function tryEngine(engine: Engine, benchmarks: Readonly<Record<string, Benchmark>>): Promise<void> {
  try {
    await bundleWorker(engine);
  } catch (error) {
    throw new Error(
      `${engine.name} is too old to be compared, or too different: this benchmark's Worker does not build with its src.\n${messageOf(error)}`,
      { cause: error },
    );
  }
  const context: BenchContext = { engine, runs: 1, rows: ROWS, pauseShards: [PAUSE_SHARDS], say: () => {} };
  for (const [name, run] of Object.entries(benchmarks)) {
    try {
      await run(context);
    } catch (error) {
      throw new Error(
        `${engine.name} is too old to be compared, or too different: '${name}' fails with it, with ${ROWS} rows.\n${messageOf(error)}`,
        { cause: error },
      );
    }
  }
}

function messageOf(error: unknown): string {
  const { message, cause } = error as Error;
  return cause instanceof Error ? `${message}\n${cause.message}` : message;
}
