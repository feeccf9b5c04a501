/**
 * Makes a directory whole again after a repair, by chores: has every member enter the ids of its
 * rows again, then tells all that the directory can be trusted. Rule "entered-again".
 */
import { hasDirectory } from "../../model/layout/directory.ts";
import { each } from "./each.ts";
import { backoffMs } from "./failures.ts";
import type { Chore, Journal } from "./journal.ts";
import type { DriverContext } from "./progress.ts";
import type { RepairDecision } from "./repair-plan.ts";

/** How long a member works on one message: far below what a chore may take. */
const SLICE_MS = 1_000;

type DirectoryChore = Chore & { readonly kind: "enterIds" | "trustDirectory" };

/** True until every member has entered its ids, and has been told that all have. */
export function isDirectoryChecked(journal: Journal): boolean {
  return journal.chores().some(({ kind }) => kind === "enterIds" || kind === "trustDirectory");
}

/**
 * Journals the check of all members, and has those that serve suspect their directory from here
 * on; those that the repair changes are told by that. Gives the time that the check is known by.
 */
export async function suspectDirectory(
  { sql, journal, runtime, ask }: DriverContext,
  { layout: { members }, mends }: RepairDecision,
): Promise<number> {
  const since = runtime.now();
  sql.transaction(() => {
    for (const member of members) {
      for (const chore of journal.chores().filter((known) => known.member === member))
        if (chore.kind === "trustDirectory") journal.dropChore(chore);
      journal.putChore({ member, kind: "enterIds", operation: since, dueAt: since, tries: 0 });
    }
  });
  const changed = new Set(mends.map(({ member }) => member));
  await each(
    members.filter((member) => !changed.has(member)),
    (member) => ask(member, { kind: "suspectDirectory", since }),
  );
  return since;
}

/** Does one of the chores above, or a part of it. */
export async function checkDirectory(context: DriverContext, chore: DirectoryChore): Promise<void> {
  const { journal, runtime, sql, ask } = context;
  const { member, kind, operation: since } = chore;
  const { epoch, layout } = journal.registry();
  if (!hasDirectory(layout) || !layout.members.includes(member))
    return sql.transaction(() => endChore(context, chore));
  if (kind === "trustDirectory") {
    await ask(member, { kind, since });
    return sql.transaction(() => journal.dropChore(chore));
  }
  // Rows and entries move meanwhile.
  if (journal.running()) {
    const tries = chore.tries + 1;
    return journal.putChore({ ...chore, tries, dueAt: runtime.now() + backoffMs(tries) });
  }
  const { isDone, taken } = await ask(member, { kind, epoch, since, budgetMs: SLICE_MS });
  sql.transaction(() => {
    // A repair that came meanwhile has the member begin from the first row.
    if (!journal.chores().some((known) => isSame(known, chore))) return;
    if (!isDone) return journal.putChore({ ...chore, tries: 0, dueAt: runtime.now() });
    const detail = { member, idsTaken: taken };
    journal.addEvent("directory.entered", String(since), null, runtime.now(), detail);
    endChore(context, chore);
  });
}

/** Drops it; the last one has all members trust the directory. Call inside a transaction. */
function endChore({ journal, runtime }: DriverContext, chore: DirectoryChore): void {
  journal.dropChore(chore);
  if (chore.kind === "trustDirectory" || journal.chores().some(({ kind }) => kind === "enterIds"))
    return;
  const { layout } = journal.registry();
  const dueAt = runtime.now();
  for (const member of hasDirectory(layout) ? layout.members : [])
    journal.putChore({ ...chore, member, kind: "trustDirectory", dueAt, tries: 0 });
}

function isSame(left: Chore, right: Chore): boolean {
  return (
    left.member === right.member && left.kind === right.kind && left.operation === right.operation
  );
}
