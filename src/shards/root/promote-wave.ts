/**
 * Has members promote under the fence, or, in a swap, check what came: what does not fit is met
 * before the commit.
 */
import { EngineFault } from "../storage/faults.ts";
import { drainAll } from "./drain-sources.ts";
import { each } from "./each.ts";
import type { Wave } from "./journal.ts";
import type { OperationRecord } from "./operation-record.ts";
import type { PageFloor } from "../protocol/terms.ts";
import { type DriverContext, requireCurrent } from "./progress.ts";
import type { Fenced } from "./raise-fence.ts";
import { incomingOf, outgoingOf, sourcesOf, targetsOf } from "./waves.ts";

/** Checks of foreign keys that may fail before it counts. */
const SETTLE_TRIES_MAX = 3;

/**
 * Makes the rows of the wave live on its targets, under the fence of this attempt; its sources see
 * that no row stays behind by itself. Rule "promoted-before-commit". The targets of a swap have
 * their rows already, and check what has come since they were checked whole.
 */
export async function promote(context: Fenced, record: OperationRecord, wave: Wave): Promise<void> {
  const { id: operation, attempt } = record;
  // A source of either mode that has written since it said that it is drained, as a constructor
  // may, says so now.
  const promotes =
    record.mode === "swap"
      ? record.from.members
      : [...new Set([...targetsOf(wave), ...sourcesOf(wave)])];
  const check = record.mode === "swap" ? checkTargets(context, record, context) : undefined;
  await Promise.all([check, askToPromote(context, promotes.toSorted(), operation, attempt, wave)]);
}

async function askToPromote(
  context: Fenced,
  members: readonly string[],
  operation: number,
  attempt: number,
  wave: Wave,
): Promise<void> {
  await each(members, (member) => {
    const [incoming, outgoing] = [incomingOf(wave, member), outgoingOf(wave, member)];
    const floors = floorsOf(context.floors, member);
    return context.ask(member, { kind: "promote", operation, attempt, incoming, outgoing, floors });
  });
}

/** The pages that a target must have: one that was restored meanwhile has forgotten some. */
function floorsOf(floors: readonly PageFloor[], member: string): PageFloor[] {
  return floors.filter(({ target }) => target === member);
}

/**
 * Has the targets of a swap check what points at what, and, behind the fence, that all has come.
 */
export async function checkTargets(
  context: DriverContext,
  { id: operation, to, attempt }: OperationRecord,
  fenced?: Fenced,
): Promise<void> {
  await each(to.members, (member) => {
    const behind = fenced ? { attempt, floors: floorsOf(fenced.floors, member) } : {};
    return context.ask(member, { kind: "rehearse", operation, incoming: [], ...behind });
  });
}

/**
 * Has the targets of a swap check what points at what, before the fence. A row may have come whose
 * parent is still in the log, so only what dangles after several drains is a fault.
 */
export async function settleTargets(
  context: DriverContext,
  record: OperationRecord,
): Promise<void> {
  for (let tries = 1; ; tries++) {
    await drainAll(context, record);
    try {
      await checkTargets(context, record);
      return;
    } catch (error) {
      if (!(error instanceof EngineFault) || tries >= SETTLE_TRIES_MAX) throw error;
      requireCurrent(context, record);
    }
  }
}
