/**
 * Measures how long calls to an object wait while somebody looks at it: a trivial call every few
 * milliseconds, beside the messages of a look, a plan, an audit and the begin of an operation.
 */
import type { ControlRequest } from "../../../../src/model/wire/protocol.ts";
import type { BenchEnv } from "./env.ts";
import { type OperateArgs, askRoot } from "./operate.ts";

export interface LooksArgs {
  /** An operation of the namespace, of which only the first step is let run. */
  readonly operation: OperateArgs;
  /** Pause of the caller between two calls, in milliseconds. */
  readonly everyMs: number;
}

/** The measurements in their order: the first look counts, later ones may take that count. */
export const LOOKS = ["rest", "look", "plan", "audit", "prepare"] as const;

/** Milliseconds. */
export interface Looked {
  /** Of each call from when it was due to its answer. */
  readonly waits: readonly number[];
  /** From the first message to the last answer. */
  readonly durationMs: number;
}

const REST_MS = 2_000;
const LOOKS_OF_A_TICK = 60;
const TICK_MS = 25;
const POLL_MS = 5;
const DAY_MS = 24 * 3_600_000;

export async function measureLooks(
  env: BenchEnv,
  args: LooksArgs,
): Promise<Readonly<Record<(typeof LOOKS)[number], Looked>>> {
  const { binding, namespace } = args.operation;
  const ask = async (request: ControlRequest): Promise<unknown> =>
    askRoot(env, binding, namespace, request);
  const describe = async (countsMaxAgeMs?: number): Promise<unknown> =>
    ask({
      kind: "describe",
      object: binding,
      ...(countsMaxAgeMs !== undefined && { countsMaxAgeMs }),
    });
  const bySlots = { by: "slots", shardKey: "id" } as const;
  const looks: Record<(typeof LOOKS)[number], () => Promise<unknown>> = {
    rest: async () => sleep(REST_MS),
    // The ticks of an hour, at once: the count of before is young enough for them.
    look: async () => {
      await describe(DAY_MS);
      for (let tick = 0; tick < LOOKS_OF_A_TICK; tick++) {
        await describe(DAY_MS);
        await sleep(TICK_MS);
      }
    },
    plan: async () => {
      await describe(0);
      await ask({ kind: "distribute", distribution: bySlots });
    },
    audit: async () => ask({ kind: "distribute", distribution: bySlots, exact: true }),
    prepare: async () => prepareOnly(env, args.operation),
  };
  const found: Partial<Record<(typeof LOOKS)[number], Looked>> = {};
  for (const name of LOOKS) found[name] = await callMeanwhile(env, args, looks[name]);
  return found as Record<(typeof LOOKS)[number], Looked>;
}

/**
 * Starts the operation, and waits until it copies: the runtime ends after that. Gives when it was
 * last seen before, in milliseconds since the Unix epoch.
 */
async function prepareOnly(env: BenchEnv, args: OperateArgs): Promise<number> {
  const { binding, namespace, kind, to, policy } = args;
  const live = await askRoot(env, binding, namespace, {
    kind: "describe",
    object: binding,
    countsMaxAgeMs: DAY_MS,
  });
  const started = await askRoot(env, binding, namespace, {
    kind: "start",
    operation: {
      kind,
      epoch: live.epoch,
      to,
      policy,
      correlationId: crypto.randomUUID(),
      requestedBy: "bench",
      refuseEmpty: false,
    },
  });
  let preparedAt = Date.now();
  for (;;) {
    const { state, step } = await askRoot(env, binding, namespace, {
      kind: "operation",
      id: started.id,
    });
    if (state !== "running" || step !== "prepare") return preparedAt;
    preparedAt = Date.now();
    await sleep(POLL_MS);
  }
}

async function callMeanwhile(
  env: BenchEnv,
  { operation: { binding, namespace }, everyMs }: LooksArgs,
  look: () => Promise<unknown>,
): Promise<Looked> {
  const stop = { isStopped: false };
  const calling = callSteadily(env, binding, namespace, everyMs, stop);
  const startedAt = Date.now();
  let endedAt: number;
  try {
    const until = await look();
    endedAt = typeof until === "number" ? until : Date.now();
  } finally {
    stop.isStopped = true;
  }
  const waits = (await calling).filter(({ to }) => to <= endedAt).map(({ from, to }) => to - from);
  return { waits, durationMs: endedAt - startedAt };
}

async function callSteadily(
  env: BenchEnv,
  binding: OperateArgs["binding"],
  namespace: string,
  everyMs: number,
  stop: { readonly isStopped: boolean },
): Promise<{ readonly from: number; readonly to: number }[]> {
  const calls: { readonly from: number; readonly to: number }[] = [];
  let from = Date.now();
  while (!stop.isStopped) {
    await env[binding].getByName(namespace).nameHere();
    const to = Date.now();
    calls.push({ from, to });
    // A caller that was held up is not behind afterwards: its next call is due after a pause.
    from = to + everyMs;
    await sleep(everyMs);
  }
  return calls;
}

function sleep(delayMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, delayMs));
}
