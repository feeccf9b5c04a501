/** Rehearsals: members try what they are about to do, and say whether the rows fit. */
import { EngineFault } from "../storage/faults.ts";
import { drainAll } from "./drain.ts";
import { each } from "./each.ts";
import type { Wave } from "./journal.ts";
import type { OperationRecord } from "./operation-record.ts";
import { type DriverContext, requireCurrent } from "./progress.ts";
import { NO_WAVE, incomingOf, outgoingOf, sourcesOf } from "./waves.ts";

/** Checks of foreign keys that may fail before it counts. */
const SETTLE_TRIES_MAX = 3;

/**
 * Has members try what they are about to do: targets check that the rows fit, by their unique values and by what points at what, and sources
 * that no row stays behind by itself. In a swap targets have checked everything before the fence, and now check what has come since.
 */
export async function rehearse(
  context: DriverContext,
  record: OperationRecord,
  targets: readonly string[],
  wave: Wave,
): Promise<void> {
  const { id: operation, mode, to } = record;
  const members = mode === "swap" ? to.members : [...new Set([...targets, ...sourcesOf(wave)])].toSorted();
  await each(members, (member) => {
    const [incoming, outgoing] = [incomingOf(wave, member), outgoingOf(wave, member)];
    return context.ask(member, { kind: "rehearse", operation, incoming, outgoing });
  });
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
