/** Draining: the changes that sources have captured are sent to their targets. */
import { EngineError } from "../storage/faults.ts";
import { each } from "./each.ts";
import type { OperationRecord } from "./operation-record.ts";
import { type DriverContext, requireCurrent } from "./progress.ts";

/** How long one slice of a source works before it answers. */
export const SLICE_MS = 500;
/** Log entries that may be left for the fence to drain. */
const BACKLOG_MAX = 200;
/** Slices that one source may drain before the driver takes a breath. */
const DRAIN_SLICES_MAX = 30;

/** Drains every source until what is left is little enough for a fence. */
export async function drainAll(context: DriverContext, record: OperationRecord): Promise<void> {
  await each(record.from.members, async (source) => {
    for (let slice = 0; slice < DRAIN_SLICES_MAX; slice++) {
      const { backlog } = await context.ask(source, {
        kind: "drain",
        operation: record.id,
        budgetMs: SLICE_MS,
        round: record.round ?? 0,
      });
      if (backlog <= BACKLOG_MAX) return;
      requireCurrent(context, record);
    }
    throw new EngineError(`${source} is written faster than its changes can be copied`);
  });
}
