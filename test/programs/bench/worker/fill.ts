/** Rows for a benchmark, and an end to them. */
import type { BenchBinding, BenchEnv } from "./env.ts";

/** Rows of one statement: what it writes is held in memory until it commits. */
const FILL_ROWS = 20_000;

/** Makes `rows` things in the root of a namespace that nobody has used, and measures them. */
export async function fillRoot(
  env: BenchEnv,
  {
    binding = "THINGS",
    namespace,
    rows,
  }: { binding?: BenchBinding; namespace: string; rows: number },
): Promise<{ readonly rows: number; readonly bytes: number }> {
  const root = env[binding].getByName(namespace);
  for (let from = 0; from < rows; from += FILL_ROWS)
    await root.fill(from, Math.min(rows, from + FILL_ROWS));
  return root.measureThings();
}

export async function wipeObjects(
  env: BenchEnv,
  { binding = "THINGS", names }: { binding?: BenchBinding; names: readonly string[] },
): Promise<void> {
  for (const name of names) await env[binding].getByName(name).wipe();
}
