/**
 * The end of an operation: every participant lets go, and the record says what has become of it.
 */
import { NOTHING_CHANGED } from "../../model/operation.ts";
import type { StrayRows } from "../../model/repair.ts";
import { hideRowWords } from "../../model/row-words.ts";
import { RefusedError } from "../protocol/refused-error.ts";
import { spendReserve } from "../storage/reserve.ts";
import { each } from "./each.ts";
import { BACKOFF_MS_MIN } from "./failures.ts";
import { type OperationRecord, endedState, participants } from "./operation-record.ts";
import { type DriverContext, requireCurrent, save } from "./progress.ts";
import { describeAside, lostUntold, noteLost, release, tellAside } from "./release.ts";

const HOUR_MS = 3_600_000;

/**
 * Lets every participant go. Who does not answer now is told later, by a chore: its state cannot do
 * harm.
 */
export async function cleanUp(context: DriverContext, record: OperationRecord): Promise<void> {
  const { journal, runtime, sql } = context;
  const { layout, epoch } = journal.registry();
  const kind = record.fault === null ? "finish" : "abandon";
  if (kind === "abandon" && record.attempt > 0) await hearAll(context, record);
  if (kind === "abandon") await noteLost(context, record);
  const silent: string[] = [];
  const setAside: StrayRows[] = [];
  await each(participants(record), async (member) => {
    try {
      setAside.push(...(await release(context, member, { kind, operation: record.id })));
    } catch {
      silent.push(member);
    }
  });
  const now = runtime.now();
  sql.transaction(() => {
    const current = requireCurrent(context, record);
    spendReserve(sql);
    // First of all: the record gives the room back that it had to grow, and the waves give theirs.
    const fault = record.fault && {
      ...record.fault,
      message: withOutcome(record.fault.message, record) + describeAside(current, setAside),
    };
    const ended = save(context, current, {
      state: endedState(fault),
      fault,
      finishedAt: now,
      lastError: null,
    });
    const untold = silent.flatMap((member) => lostUntold(journal, member));
    // One chore takes the place of another: what that was to tell goes with this one.
    if (untold.length > 0)
      save(context, ended, { lost: [...new Set([...(ended.lost ?? []), ...untold])].toSorted() });
    for (const member of silent)
      journal.putChore({
        member,
        kind,
        operation: record.id,
        dueAt: now + BACKOFF_MS_MIN,
        tries: 0,
      });
    const retired = record.from.members.filter((member) => !layout.members.includes(member));
    if (kind === "finish") {
      for (const member of retired) {
        journal.putChore({
          member,
          kind: "empty",
          operation: record.id,
          dueAt: now + record.policy.retainHours * HOUR_MS,
          tries: 0,
        });
      }
    }
    const type = ended.state === "completed" ? "completed" : ended.state;
    context.emit(
      `${record.kind}.${type}`,
      ended,
      ended.fault
        ? { kind: ended.fault.kind, message: hideRowWords(ended.fault.message) }
        : { epoch },
    );
    tellAside(context, ended, setAside, { step: "end" });
  });
}

/**
 * Before anybody drops what came: a root that was restored to before a cutover hears of it here
 * from those that have acted by it, and falls. Silence says nothing. @throws RefusedError
 */
async function hearAll(context: DriverContext, record: OperationRecord): Promise<void> {
  await each(participants(record), async (member) => {
    try {
      await context.ask(member, { kind: "unfence", operation: record.id, attempt: record.attempt });
    } catch (error) {
      if (error instanceof RefusedError && error.reason.kind === "registryLost") throw error;
    }
  });
  requireCurrent(context, record);
}

/**
 * Returns a failure's message with its outcome: once waves have cut over it is another than
 * `NOTHING_CHANGED`, and their number is known only here, at the end.
 */
function withOutcome(message: string, { wavesDone, waveCount, epoch }: OperationRecord): string {
  if (wavesDone === 0) return message;
  const outcome = `${wavesDone} of ${waveCount} waves are cut over, and the layout is valid at epoch ${epoch}`;
  return message.includes(NOTHING_CHANGED)
    ? message.replace(NOTHING_CHANGED, outcome)
    : `${message}. ${outcome}`;
}
