/**
 * Runs a reference copy from a root that was never sharded to eight other objects, and times it.
 */
import type { BenchEnv } from "./env.ts";

interface CopyArgs {
  readonly namespace: string;
  readonly targets: readonly string[];
}

/** Milliseconds of the plain copy. @throws Error when rows are missing afterwards. */
export async function copyPlainly(
  env: BenchEnv,
  { namespace, targets }: CopyArgs,
): Promise<number> {
  return timed(env, namespace, targets, () => env.THINGS.getByName(namespace).copyPlainly(targets));
}

/** Milliseconds of the naive copy. */
export async function copyNaively(
  env: BenchEnv,
  { namespace, targets }: CopyArgs,
): Promise<number> {
  return timed(env, namespace, targets, () => env.THINGS.getByName(namespace).copyNaively(targets));
}

async function timed(
  env: BenchEnv,
  source: string,
  targets: readonly string[],
  copy: () => Promise<void>,
): Promise<number> {
  const startedAt = Date.now();
  await copy();
  const durationMs = Date.now() - startedAt;
  const { rows } = await env.THINGS.getByName(source).measureThings();
  const counts = await Promise.all(
    targets.map((target) => env.THINGS.getByName(target).measureThings()),
  );
  const copied = counts.reduce((sum, count) => sum + count.rows, 0);
  if (copied !== rows) throw new Error(`${copied} of ${rows} rows were copied`);
  return durationMs;
}
