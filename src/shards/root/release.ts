/**
 * Tells a participant the end of its operation. Sources that have lost their storage are found
 * before anybody drops what came from them, and named to the targets, which set it aside.
 */
import { formatQuantity } from "../../model/figures.ts";
import type { StrayRows } from "../../model/repair.ts";
import type { SetAsideReply } from "../protocol/replies.ts";
import { each } from "./each.ts";
import type { Chore, Journal } from "./journal.ts";
import type { OperationRecord } from "./operation-record.ts";
import { type DriverContext, requireCurrent, save } from "./progress.ts";
import { backoffMs } from "./failures.ts";
import { type Answer, hasLostItsPart, hearTestimony } from "./testimonies.ts";

/**
 * Asks the sources of an operation that is abandoned what they know of it, and notes in its record
 * those that have lost it. Before they have all begun there is nothing of theirs to be kept.
 */
export async function noteLost(context: DriverContext, record: OperationRecord): Promise<void> {
  if (Object.keys(record.sources).length === 0) return;
  const { id: operation, token, from, lost: known = [] } = record;
  const found = await each(from.members, async (source) => {
    const answer = await hearPatiently(context, source);
    return hasLostItsPart(answer, { operation, ...(token !== undefined && { token }) })
      ? [source]
      : [];
  });
  const current = requireCurrent(context, record);
  const lost = [...new Set([...known, ...found.flat()])].toSorted();
  if (lost.length > known.length) save(context, current, { lost });
}

/** Asks again a few times where nothing is heard: what is dropped here may be the last copies. */
async function hearPatiently(context: DriverContext, source: string): Promise<Answer> {
  for (let tries = 1; ; tries++) {
    const answer = await hearTestimony(context, source, { layout: null });
    if (answer !== "silent" || tries >= HEAR_TRIES_MAX) return answer;
    await context.runtime.sleep(backoffMs(tries));
  }
}

const HEAR_TRIES_MAX = 4;

/** Tells a member the end of an operation. Gives the rows that it has set aside. */
export async function release(
  { ask, journal }: DriverContext,
  member: string,
  { kind, operation }: Pick<Chore, "operation"> & { readonly kind: "finish" | "abandon" },
): Promise<StrayRows[]> {
  const { layout, epoch } = journal.registry();
  const lost = [
    ...new Set([...(journal.find(operation)?.lost ?? []), ...lostUntold(journal, member)]),
  ];
  const reply: SetAsideReply | undefined = await ask(member, {
    kind,
    operation,
    epoch,
    layout,
    ...(lost.length > 0 && { lost }),
  });
  return rowsOf(member, reply);
}

export function rowsOf(member: string, reply: Partial<SetAsideReply> | undefined): StrayRows[] {
  return (reply?.setAside ?? []).map(({ table, rows }) => ({ member, table, rows }));
}

/**
 * The lost sources of operations whose end a member has yet to hear: a newer operation that comes
 * first has it forget them.
 */
export function lostUntold(journal: Journal, member: string): string[] {
  const untold = journal
    .chores()
    .filter((chore) => chore.member === member && chore.kind !== "empty")
    .flatMap(({ operation }) => journal.find(operation)?.lost ?? []);
  return [...new Set(untold)].toSorted();
}

/**
 * Stores the event that rows were set aside, where some were. Once for each step of
 * a member: it gives the same answer when it is asked again.
 */
export function tellAside(
  { journal, sql, emit }: Pick<DriverContext, "journal" | "sql" | "emit">,
  record: OperationRecord,
  setAside: readonly StrayRows[],
  { step, lost = record.lost ?? [] }: { step: "prepare" | "end"; lost?: readonly string[] },
): void {
  if (setAside.length === 0) return;
  sql.transaction(() => {
    const stored = journal.find(record.id) ?? record;
    const told = new Set(stored.asideTold);
    const fresh = setAside.filter(({ member }) => !told.has(`${step} ${member}`));
    if (fresh.length === 0) return;
    emit(`${record.kind}.setAside`, record, { lost, setAside: fresh });
    for (const { member } of fresh) told.add(`${step} ${member}`);
    journal.update({ ...stored, asideTold: [...told] });
  });
}

/** The sentence about it that ends the message of the operation's fault; empty for no rows. */
export function describeAside(
  { lost = [] }: OperationRecord,
  setAside: readonly StrayRows[],
): string {
  if (setAside.length === 0) return "";
  const rows = setAside.reduce((sum, aside) => sum + aside.rows, 0);
  const members = [...new Set(setAside.map(({ member }) => member))].toSorted();
  const counted = formatQuantity(rows, "row");
  if (lost.length === 0)
    return `. A deploy has changed rows, or their keys, amid a cutover: ${counted} that nothing proves to be of use ${rows === 1 ? "is" : "are"} set aside on ${members.join(", ")}`;
  const sources = `${lost.join(", ")} ${lost.length === 1 ? "no longer knows" : "no longer know"} of this operation, as after a restore or a loss of storage`;
  return `. ${sources}: ${counted} that had come from there ${rows === 1 ? "is" : "are"} set aside on ${members.join(", ")}`;
}
