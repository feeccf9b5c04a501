/**
 * Measures how long callers wait at the fence of a shift whose members run calls that do not simply
 * end: methods that call the owner of another key, or that run for seconds. Each caller has a
 * router of its own, and makes its next call a moment after the answer.
 */
import { connect } from "../../../../src/shards/router.ts";
import type { BenchEnv } from "./env.ts";
import { type OperateArgs, operate } from "./operate.ts";
import type { Things } from "./things.ts";

export interface NestedArgs {
  readonly operation: OperateArgs;
  /** Things that the namespace has. */
  readonly rows: number;
  readonly callers: number;
  /**
   * `nested`: each call calls the owner of another key. `long`: one member always runs a method of
   * `longMs`, the callers call the others.
   */
  readonly kind: "nested" | "long";
  readonly longMs: number;
  /** Pause of a caller between two calls. */
  readonly everyMs: number;
}

export interface Nested {
  /** Milliseconds of each call of the callers, before the operation and while it ran. */
  readonly atRest: readonly number[];
  readonly meanwhile: readonly number[];
  /**
   * The same while it ran, from when each call was due: a caller that could not even begin waits
   * too.
   */
  readonly fromDue: readonly number[];
  readonly durationMs: number;
  /** Long calls that ran while the operation did. */
  readonly longCalls: number;
}

interface Call {
  readonly due: number;
  readonly from: number;
  readonly to: number;
}

type Ways = Readonly<
  Record<NestedArgs["kind"], (caller: number, turn: number) => Promise<unknown>>
>;

const REST_MS = 1_000;
const IDS = 500;

export async function measureNested(env: BenchEnv, args: NestedArgs): Promise<Nested> {
  const { operation, rows, kind, callers } = args;
  const { namespace } = operation;
  const asking = connect<Things>(env.THINGS, namespace);
  const ids = Array.from(
    { length: Math.min(rows, IDS) },
    (_, index) => `thing-${String((index * 7919) % rows).padStart(8, "0")}`,
  );
  const owners = await Promise.all(ids.map((id) => asking.at(id).nameHere()));
  const slow = ids.filter((_, index) => owners[index] === owners[0]);
  const others = ids.filter((_, index) => owners[index] !== owners[0]);
  const routers = Array.from({ length: callers }, () => connect<Things>(env.THINGS, namespace));
  const ways: Ways = {
    nested: async (caller, turn) =>
      routers[caller]?.at(pick(ids, caller * 7 + turn)).getBeside(pick(ids, caller + turn * 3)),
    long: async (caller, turn) => {
      const id = pick(others, caller * 7 + turn);
      return routers[caller]?.at(id).getHere(id);
    },
  };
  const stop = { isStopped: false };
  const running = Array.from({ length: callers }, (_, caller) =>
    call(stop, args.everyMs, (turn) => ways[kind](caller, turn)),
  );
  const slowly =
    kind === "long"
      ? call(stop, 0, (turn) => asking.at(pick(slow, turn)).waitHere(args.longMs))
      : Promise.resolve([]);
  await sleep(REST_MS);
  const { startedAt, durationMs } = await operate(env, operation);
  const endedAt = startedAt + durationMs;
  await sleep(REST_MS / 4);
  stop.isStopped = true;
  const calls = (await Promise.all(running)).flat();
  const isMeanwhile = ({ from, to }: Call): boolean => to >= startedAt && from <= endedAt;
  return {
    atRest: calls.filter(({ to }) => to < startedAt).map(({ from, to }) => to - from),
    meanwhile: calls.filter(isMeanwhile).map(({ from, to }) => to - from),
    fromDue: calls.filter(isMeanwhile).map(({ due, to }) => to - due),
    durationMs,
    longCalls: (await slowly).filter(isMeanwhile).length,
  };
}

/** Calls until it is stopped. @throws what a call throws. */
async function call(
  stop: { readonly isStopped: boolean },
  everyMs: number,
  work: (turn: number) => Promise<unknown>,
): Promise<Call[]> {
  const calls: Call[] = [];
  let due = Date.now();
  while (!stop.isStopped) {
    const from = Date.now();
    if ((await work(calls.length)) === null) throw new Error("A call found nothing");
    const to = Date.now();
    calls.push({ due, from, to });
    due = to + everyMs;
    await sleep(everyMs);
  }
  return calls;
}

function pick(ids: readonly string[], turn: number): string {
  return ids[turn % ids.length] ?? "";
}

function sleep(delayMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, delayMs));
}
