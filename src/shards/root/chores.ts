/** Chores: what is left to do for an operation that has ended. */
import { within } from "../protocol/within.ts";
import { FAN_OUT_MAX, each } from "./each.ts";
import { backoffMs } from "./failures.ts";
import { EngineFault } from "../storage/faults.ts";
import type { Chore } from "./journal.ts";
import type { DriverContext } from "./progress.ts";
import { checkDirectory } from "./directory-check.ts";
import { release, tellAside } from "./release.ts";

/** Longest wait for one chore. */
const CHORE_MS_MAX = 5_000;

/**
 * Tries to release a member that is full, before it is left alone; with the backoff, about two
 * minutes.
 */
const FULL_TRIES_MAX = 10;

/** Tells members what they missed, and empties retired ones whose time has come. */
export async function doChores(context: DriverContext): Promise<void> {
  const { journal, runtime, sql } = context;
  const due = journal.chores().filter((chore) => chore.dueAt <= runtime.now());
  // A bounded part of them: members that hang must not keep the root from what else its alarm is
  // for. The next alarm takes the rest.
  await each(due.slice(0, FAN_OUT_MAX), async (chore) => {
    try {
      await within(runtime, doChore(context, chore), CHORE_MS_MAX, chore.member);
    } catch (error) {
      if (isPointless(context, chore, error)) {
        sql.transaction(() => journal.dropChore(chore));
        return;
      }
      // Not an error of its own: the member is asked again, less and less often.
      journal.putChore({
        ...chore,
        tries: chore.tries + 1,
        dueAt: runtime.now() + backoffMs(chore.tries + 1),
      });
    }
  });
}

async function doChore(context: DriverContext, chore: Chore): Promise<void> {
  const { journal, sql, ask } = context;
  const { member, kind, operation } = chore;
  if (kind === "enterIds" || kind === "trustDirectory")
    return checkDirectory(context, { ...chore, kind });
  if (kind === "empty") await ask(member, { kind, operation });
  const setAside = kind === "empty" ? [] : await release(context, member, { kind, operation });
  sql.transaction(() => {
    journal.dropChore(chore);
    const record = journal.find(operation);
    if (record) tellAside(context, record, setAside, { step: "end" });
  });
}

/**
 * True for a target that was never a member and has no room even for the records of an object that
 * lets go: nothing was begun there, and what may still be on its way has come. Its next operation
 * clears what is left. Also for one to be emptied that has lost its storage.
 */
function isPointless(
  { journal }: DriverContext,
  { kind, member, operation, tries }: Chore,
  error: unknown,
): boolean {
  if (kind === "empty" && error instanceof EngineFault && error.kind === "outOfStep") return true;
  if (kind !== "abandon" || tries < FULL_TRIES_MAX) return false;
  // It may have all that is left of a source.
  if (journal.find(operation)?.lost !== undefined) return false;
  if (!(error instanceof EngineFault) || error.kind !== "storageFull") return false;
  return (
    !journal.registry().layout.members.includes(member) &&
    !journal.find(operation)?.from.members.includes(member)
  );
}
