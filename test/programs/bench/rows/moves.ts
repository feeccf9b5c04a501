/**
 * Rows per second of each operation, whole: from its start in the journal to its end, online and
 * verified. Each run measures a `shard` beside both references, on rows of its own, and takes the
 * sharded namespace through the other operations.
 */
import type { BenchContext } from "../benchmark.ts";
import type { Figure } from "../report.ts";
import { type BenchRuntime, startRuntime } from "../runtime.ts";
import { type Target, planMove } from "../plan-move.ts";
import { type Series, perSecond } from "../statistics.ts";
import type { Operated } from "../worker/operate.ts";

const SHARDS = 8;
const REBALANCED_SHARDS = 12;
const WARM_UP_ROWS = 5_000;

type Rate = "shard" | "plain" | "naive" | "rebalance" | "rekey" | "unshard";
type CpuRate = Exclude<Rate, "naive">;

/** The findings of one run. */
interface Found {
  /** Rows per second. */
  readonly rates: Record<Rate, number | null>;
  /** Rows per second of the runtime's CPU: less shaken by whatever else the machine does. */
  readonly cpuRates: Record<CpuRate, number | null>;
  callSeconds: number | null;
}

export async function benchMoves({ runs, rows, engine, say }: BenchContext): Promise<Figure[]> {
  const runtime = await startRuntime(engine);
  try {
    await runOnce(runtime, "warm", WARM_UP_ROWS, 0);
    const found: Found[] = [];
    for (let run = 0; run < runs; run++) {
      const one = await runOnce(runtime, `run${run}`, rows, run);
      found.push(one);
      say(
        `moves, run ${run + 1} of ${runs}: ${Object.entries(one.rates)
          .map(([name, rate]) => `${name} ${describeRate(rate)}`)
          .join(", ")}`,
      );
    }
    return figuresOf(found, rows);
  } finally {
    await runtime.stop();
  }
}

async function runOnce(
  runtime: BenchRuntime,
  name: string,
  rows: number,
  run: number,
): Promise<Found> {
  const found: Found = {
    rates: { shard: null, plain: null, naive: null, rebalance: null, rekey: null, unshard: null },
    cpuRates: { shard: null, plain: null, rebalance: null, rekey: null, unshard: null },
    callSeconds: null,
  };
  const steps = [
    async () => {
      found.rates.plain = await copy(runtime, "copyPlainly", `${name}-plain`, rows, found);
    },
    async () => {
      found.rates.naive = await copy(runtime, "copyNaively", `${name}-naive`, rows, null);
    },
    () => moveAround(runtime, name, rows, found),
  ];
  // Another one goes first each time.
  for (let step = 0; step < steps.length; step++) await steps[(step + run) % steps.length]?.();
  return found;
}

async function copy(
  runtime: BenchRuntime,
  handler: "copyPlainly" | "copyNaively",
  namespace: string,
  rows: number,
  found: Found | null,
): Promise<number | null> {
  await runtime.call("fillRoot", { namespace, rows });
  const targets = Array.from({ length: SHARDS }, (_, index) => `${namespace}-target-${index}`);
  const cpuMs = await runtime.cpuMs();
  const durationMs = await runtime.call<number>(handler, { namespace, targets });
  if (found) found.cpuRates.plain = perSecond(rows, (await runtime.cpuMs()) - cpuMs);
  await runtime.call("wipeObjects", { names: [namespace, ...targets] });
  return perSecond(rows, durationMs);
}

async function moveAround(
  runtime: BenchRuntime,
  namespace: string,
  rows: number,
  found: Found,
): Promise<void> {
  await runtime.call("fillRoot", { namespace, rows });
  const names = new Set([namespace]);
  const rateOf = ({ durationMs, rowsMoved, members }: Operated): number | null => {
    members.forEach((member) => names.add(member));
    return perSecond(rowsMoved, durationMs);
  };
  const cpuMs = await runtime.cpuMs();
  const sharded = await runtime.call<Operated & { callMs: number }>("shardDirectly", {
    namespace,
    count: SHARDS,
  });
  found.cpuRates.shard = perSecond(rows, (await runtime.cpuMs()) - cpuMs);
  found.rates.shard = rateOf(sharded);
  found.callSeconds = sharded.callMs / 1000;
  const moves: readonly Exclude<Target, { readonly kind: "shard" }>[] = [
    { kind: "rebalance", count: REBALANCED_SHARDS },
    { kind: "rekey", count: REBALANCED_SHARDS, shardKey: "data.country" },
    { kind: "unshard" },
  ];
  for (const to of moves) {
    const args = await planMove(runtime, { namespace, to });
    const cpuBeforeMs = await runtime.cpuMs();
    const operated = await runtime.call<Operated>("operate", args);
    found.cpuRates[to.kind] = perSecond(operated.rowsMoved, (await runtime.cpuMs()) - cpuBeforeMs);
    found.rates[to.kind] = rateOf(operated);
  }
  await runtime.call("wipeObjects", { names: [...names] });
}

function figuresOf(found: readonly Found[], rows: number): Figure[] {
  const rates = (name: Rate): Series => found.map((one) => one.rates[name]);
  const plain = { name: "plain copy", values: rates("plain") };
  const shown = rows.toLocaleString("en-US");
  const plainFigure = (name: string, rate: Rate): Figure => ({
    name,
    unit: "rows/s",
    values: rates(rate),
    none: "too few rows to time",
    reference: plain,
    goal: null,
  });
  const cpuFigure = (name: string, rate: CpuRate): Figure => ({
    ...plainFigure(`${name}, by CPU time`, rate),
    values: found.map((one) => one.cpuRates[rate]),
    reference: { name: "plain copy", values: found.map((one) => one.cpuRates.plain) },
  });
  return [
    {
      ...plainFigure(`shard into ${SHARDS}, ${shown} rows`, "shard"),
      goal: { of: "ratio", is: "atLeast", limit: 0.5 },
    },
    {
      ...cpuFigure(`shard into ${SHARDS}`, "shard"),
      note: "with the counts that shard() makes before and after",
    },
    {
      ...plainFigure(`shard into ${SHARDS}, against the naive way`, "shard"),
      reference: { name: "naive copy", values: rates("naive") },
      repeats: true,
    },
    {
      name: `shard() as the caller waits, ${shown} rows`,
      unit: "s",
      values: found.map((one) => one.callSeconds),
      reference: null,
      goal: rows === 100_000 ? { of: "value", is: "atMost", limit: 9.9 } : null,
    },
    plainFigure(`rebalance ${SHARDS} → ${REBALANCED_SHARDS}, moved rows`, "rebalance"),
    plainFigure(`rekey ${REBALANCED_SHARDS} → ${REBALANCED_SHARDS}`, "rekey"),
    plainFigure(`unshard ${REBALANCED_SHARDS}`, "unshard"),
    cpuFigure(`rebalance ${SHARDS} → ${REBALANCED_SHARDS}`, "rebalance"),
    cpuFigure(`rekey ${REBALANCED_SHARDS} → ${REBALANCED_SHARDS}`, "rekey"),
    cpuFigure(`unshard ${REBALANCED_SHARDS}`, "unshard"),
  ];
}

function describeRate(rate: number | null): string {
  return rate === null ? "too few rows to time" : `${Math.round(rate / 1000)}k rows/s`;
}
