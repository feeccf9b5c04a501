/**
 * Makes a directory whole again after a repair, by chores: has every member enter the ids of its
 * rows again, then tells all that the directory can be trusted. Rule "entered-again".
 */
import { hasDirectory } from "../../model/layout/directory.ts";
import { each } from "./each.ts";
import type { Answer } from "./testimonies.ts";
import { backoffMs } from "./failures.ts";
import type { Chore, Journal } from "./journal.ts";
import type { DriverContext } from "./progress.ts";
import type { RepairDecision } from "./repair-plan.ts";

/** How long a member works on one message: far below what a chore may take. */
const SLICE_MS = 1_000;

type DirectoryChore = Chore & { readonly kind: "enterIds" | "trustDirectory" };

function isOfDirectory({ kind }: Chore): boolean {
  return kind === "enterIds" || kind === "trustDirectory";
}

/** True until every member has entered its ids, and has been told that all have. */
export function isDirectoryChecked(journal: Journal): boolean {
  return journal.chores().some(({ kind }) => kind === "enterIds" || kind === "trustDirectory");
}

/**
 * Journals the check of these members. `since` tells it from any other. Call inside a transaction.
 */
export function putDirectoryCheck(
  journal: Journal,
  members: readonly string[],
  since: number,
  dueAt: number,
): void {
  for (const chore of journal.chores()) if (isOfDirectory(chore)) journal.dropChore(chore);
  journal.putDirectoryCheck({ since, entered: [] });
  for (const member of members)
    journal.putChore({ member, kind: "enterIds", operation: since, dueAt, tries: 0 });
}

/**
 * Journals the check of all members, and has those that serve suspect their directory from here
 * on, and those that an operation is making members; those that the repair changes are told by
 * that. Gives the time that the check is known by: later than any that a member knows.
 */
export async function suspectDirectories(
  { sql, journal, runtime, ask }: DriverContext,
  { layout: { members }, mends }: RepairDecision,
  answers: ReadonlyMap<string, Answer>,
): Promise<number> {
  const known = [...answers.values()].flatMap((answer) =>
    typeof answer === "object" ? (answer.suspectSince ?? []) : [],
  );
  const since = Math.max(runtime.now(), ...known.map((time) => time + 1));
  sql.transaction(() => {
    putDirectoryCheck(journal, members, since, runtime.now());
  });
  const changed = new Set(mends.map(({ member }) => member));
  const joining = journal.running()?.to.members.filter((member) => isStored(answers.get(member)));
  await each(
    [...new Set([...members, ...(joining ?? [])])].filter((member) => !changed.has(member)),
    (member) => ask(member, { kind: "suspectDirectory", since }),
  );
  return since;
}

function isStored(answer: Answer | undefined): boolean {
  return typeof answer === "object" && answer.isStored;
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

/**
 * Drops it. The last one has those enter their ids that have become members meanwhile, or all
 * trust the directory. Call inside a transaction.
 */
function endChore({ journal, runtime }: DriverContext, chore: DirectoryChore): void {
  journal.dropChore(chore);
  if (chore.kind === "trustDirectory") return;
  const { operation: since, member } = chore;
  const known = journal.directoryCheck();
  const entered = [...(known?.since === since ? known.entered : []), member];
  journal.putDirectoryCheck({ since, entered });
  if (journal.chores().some(({ kind }) => kind === "enterIds")) return;
  const { layout } = journal.registry();
  const members = hasDirectory(layout) ? layout.members : [];
  const missing = members.filter((name) => !entered.includes(name));
  const isEntered = missing.length === 0;
  if (isEntered) journal.putDirectoryCheck(null);
  const kind = isEntered ? "trustDirectory" : "enterIds";
  for (const name of isEntered ? members : missing)
    journal.putChore({ ...chore, member: name, kind, dueAt: runtime.now(), tries: 0 });
}

function isSame(left: Chore, right: Chore): boolean {
  return (
    left.member === right.member && left.kind === right.kind && left.operation === right.operation
  );
}
