/** Rehearsals: targets try what they are about to do, and say whether the rows fit. */
import { EngineFault } from "../storage/faults.ts";
import { drainAll } from "./drain.ts";
import { each } from "./each.ts";
import type { OperationRecord, Wave } from "./journal.ts";
import { type DriverContext, requireCurrent } from "./progress.ts";
import { NO_WAVE, incomingOf } from "./waves.ts";

/** Checks of foreign keys that may fail before it counts. */
const SETTLE_TRIES_MAX = 3;

/** Has targets try what they are about to do, and check that the rows fit: unique values, and what points at what. */
export async function rehearse(
  context: DriverContext,
  record: OperationRecord,
  targets: readonly string[],
  wave: Wave,
): Promise<void> {
  await each(targets, (target) =>
    context.ask(target, { kind: "rehearse", operation: record.id, incoming: incomingOf(wave, target) }),
  );
}

/**
 * Has the targets of a swap check what points at what. A row may have come whose parent is still in the log, so only what dangles after
 * several drains is a fault.
 */
export async function settleTargets(context: DriverContext, record: OperationRecord): Promise<void> {
  for (let tries = 1; ; tries++) {
    await drainAll(context, record);
    try {
      await rehearse(context, record, record.to.members, NO_WAVE);
      return;
    } catch (error) {
      if (!(error instanceof EngineFault) || tries >= SETTLE_TRIES_MAX) throw error;
      requireCurrent(context, record);
    }
  }
}
