/**
 * Measures how long writers wait at a cutover. Each writer is a caller of its own, with its own
 * router and cache, that writes one thing, waits, and writes the next, at a steady pace, from
 * before the operation until after it.
 */
import { connect } from "../../../../src/shards/router.ts";
import type { BenchEnv } from "./env.ts";
import { type FenceWindow, takeWindows } from "./marks.ts";
import { type OperateArgs, operate } from "./operate.ts";
import type { Things } from "./things.ts";

export interface PauseArgs {
  readonly operation: OperateArgs;
  readonly writers: number;
  /** Pause of a writer between two writes. */
  readonly everyMs: number;
  /** Makes the ids of this run's things its own. */
  readonly run: number;
}

export interface Paused {
  /**
   * Of each writer that met a fence, how long it waited at most from when the fence went up, one
   * for each of its fences. Milliseconds. What it had waited before, behind the copy, is not the
   * cutover's.
   */
  readonly atFences: readonly number[];
  /** Every write before the operation began, and every one while it ran but met no fence. */
  readonly atRest: readonly number[];
  readonly meanwhile: readonly number[];
  readonly fences: readonly number[];
  readonly writes: number;
  readonly errorCount: number;
  /** Messages of the first ones. */
  readonly errors: readonly string[];
  readonly durationMs: number;
  /** Acknowledged writes that the namespace does not hold afterwards. */
  readonly missing: number;
}

interface Write {
  /** When it was due: a writer that could not even begin waits too. */
  readonly from: number;
  readonly to: number;
}

const REST_MS = 1_000;

export async function measurePause(env: BenchEnv, args: PauseArgs): Promise<Paused> {
  const { namespace } = args.operation;
  takeWindows();
  const stop = { isStopped: false };
  const errors: string[] = [];
  const running = Array.from({ length: args.writers }, (_, writer) =>
    write(env, args, writer, stop, errors),
  );
  await sleep(REST_MS);
  const startedAt = Date.now();
  const { durationMs } = await operate(env, args.operation);
  const windows = takeWindows();
  await sleep(REST_MS / 4);
  stop.isStopped = true;
  const writers = await Promise.all(running);
  const writes = writers.flat();
  const meets = ({ from, to }: Write, window: FenceWindow): boolean =>
    from <= window.to && to >= window.from;
  const isFenced = (one: Write): boolean => windows.some((window) => meets(one, window));
  const ids = writes.length - errors.length;
  const { data } = await connect<Things>(env.THINGS, namespace).queryShards({
    query: `SELECT count(*) AS n FROM things WHERE id GLOB 'written-${args.run}-*'`,
    aggregation: "count",
  });
  return {
    atFences: windows.flatMap((window) =>
      writers.flatMap((mine) => {
        const met = mine
          .filter((one) => meets(one, window))
          .map((one) => one.to - Math.max(one.from, window.from));
        return met.length > 0 ? [Math.max(...met)] : [];
      }),
    ),
    atRest: writes.filter(({ to }) => to < startedAt).map(latencyOf),
    meanwhile: writes
      .filter((one) => one.from >= startedAt && one.to <= startedAt + durationMs && !isFenced(one))
      .map(latencyOf),
    fences: windows.map(({ from, to }) => to - from),
    writes: writes.length,
    errorCount: errors.length,
    errors: errors.slice(0, 5),
    durationMs,
    missing: ids - Number(data),
  };
}

async function write(
  env: BenchEnv,
  { operation: { namespace }, everyMs, run }: PauseArgs,
  writer: number,
  stop: { readonly isStopped: boolean },
  errors: string[],
): Promise<Write[]> {
  const router = connect<Things>(env.THINGS, namespace);
  const writes: Write[] = [];
  let due = Date.now();
  while (!stop.isStopped) {
    const id = `written-${run}-${writer}-${writes.length}`;
    const thing = {
      id,
      type: "city",
      name: null,
      data: { country: `c${writes.length % 199}` },
      visibility: "private",
    };
    const now = Date.now();
    try {
      // The key as a function: right before and after the rekey.
      await router
        .at((shardKey) => (shardKey === "id" ? id : thing.data.country))
        .putHere([{ ...thing, createdAt: now, updatedAt: now }]);
    } catch (error) {
      errors.push(error instanceof Error ? error.message : String(error));
    }
    const to = Date.now();
    writes.push({ from: due, to });
    due = to + everyMs;
    await sleep(everyMs);
  }
  return writes;
}

function latencyOf({ from, to }: Write): number {
  return to - from;
}

function sleep(delayMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, delayMs));
}
