/** Chores: what is left to do for an operation that has ended. */
import { within } from "../protocol/within.ts";
import { FAN_OUT_MAX, each } from "./each.ts";
import { backoffMs } from "./failures.ts";
import type { DriverContext } from "./progress.ts";

/** Longest wait for one chore. */
const CHORE_MS_MAX = 5_000;

/** Tells members what they missed, and empties retired ones whose time has come. */
export async function doChores(context: DriverContext): Promise<void> {
  const { journal, runtime, sql } = context;
  const { layout, epoch } = journal.registry();
  const due = journal.chores().filter((chore) => chore.dueAt <= runtime.now());
  // A bounded part of them: members that hang must not keep the root from what else its alarm is for. The next alarm takes the rest.
  await each(due.slice(0, FAN_OUT_MAX), async (chore) => {
    const { member, kind, operation } = chore;
    try {
      await within(runtime, context.ask(member, { kind, operation, epoch, layout }), CHORE_MS_MAX, member);
      sql.transaction(() => journal.dropChore(chore));
    } catch {
      // Not an error of its own: the member is asked again, less and less often.
      journal.putChore({ ...chore, tries: chore.tries + 1, dueAt: runtime.now() + backoffMs(chore.tries + 1) });
    }
  });
}
