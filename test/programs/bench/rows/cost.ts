/**
 * The cost of a move where rows are billed: rows read and written, all objects together, for each
 * row that moved.
 */
import { setTimeout as sleep } from "node:timers/promises";

import type { BenchContext } from "../benchmark.ts";
import type { Figure } from "../report.ts";
import { type BenchRuntime, startRuntime } from "../runtime.ts";
import type { Meter } from "../worker/meter.ts";
import { type MoveRequest, type Target, planMove } from "../plan-move.ts";
import { shareOf } from "../statistics.ts";
import type { Operated } from "../worker/operate.ts";

const STEPS: readonly { readonly name: string; readonly to: Target }[] = [
  { name: "shard into 8", to: { kind: "shard", count: 8 } },
  { name: "rebalance 8 → 12", to: { kind: "rebalance", count: 12 } },
  { name: "rekey 12 → 12", to: { kind: "rekey", count: 12, shardKey: "data.country" } },
  { name: "unshard 12", to: { kind: "unshard" } },
];
/** Retired members are emptied at once, so that their deletes are in the sum. */
const POLICY = { retainHours: 0 };
const EMPTIED_MS = 2_000;
/**
 * More change no figure: they only make the bookkeeping, which does not grow with them, count for
 * less.
 */
const ROWS_MAX = 20_000;

/** Counts do not vary from run to run: one is enough. */
export async function benchCost({
  rows: rowsWanted,
  engine,
  say,
}: BenchContext): Promise<Figure[]> {
  const runtime = await startRuntime(engine);
  try {
    const namespace = "cost";
    const rows = Math.min(rowsWanted, ROWS_MAX);
    await runtime.call("fillRoot", { binding: "METERED", namespace, rows });
    const figures: Figure[] = [];
    for (const { name, to } of STEPS) {
      const { meter, moved } = await measureStep(runtime, {
        binding: "METERED",
        namespace,
        to,
        policy: POLICY,
      });
      figures.push({
        name: `rows written per moved row, ${name}`,
        unit: "ratio",
        values: [shareOf(meter.rowsWritten, moved)],
        none: "no row moved",
        reference: { name: "one insert and one delete", values: [2] },
        goal: null,
      });
      figures.push({
        name: `rows read per moved row, ${name}`,
        unit: "ratio",
        values: [shareOf(meter.rowsRead, moved)],
        none: "no row moved",
        reference: null,
        goal: null,
      });
      say(
        `cost, ${name}: ${moved} rows moved, ${meter.rowsWritten} written, ${meter.rowsRead} read`,
      );
    }
    return figures;
  } finally {
    await runtime.stop();
  }
}

async function measureStep(
  runtime: BenchRuntime,
  request: MoveRequest,
): Promise<{ readonly meter: Meter; readonly moved: number }> {
  const args = await planMove(runtime, request);
  await runtime.call("takeMeter");
  const { rowsMoved } = await runtime.call<Operated>("operate", args);
  await sleep(EMPTIED_MS);
  return { meter: await runtime.call<Meter>("takeMeter"), moved: rowsMoved };
}
