/**
 * Takes over runs that are not here. One that was under way is taken over as failed: its operations
 * live in the roots, go on by themselves, and are followed by the tick like any other. A run that
 * goes on from yesterday's state would start what somebody may have cancelled since.
 */
import type { RunAction } from "../../../model/api.ts";
import type { ShownFigures } from "../../../model/count-moved.ts";
import { failRun, type RunRecord } from "../../../runs/run-record.ts";
import type { CoordinatorStore, StoredRun } from "../../../runs/store.ts";
import type { StagedRows } from "./staged-rows.ts";
import { stagedText } from "./staged-text.ts";
import type { Tally } from "./tally.ts";

export const IMPORTED_WHILE_RUNNING =
  "It was under way when the Worker's state was exported, and that state was imported since. Its operations continue by themselves, and it will start nothing more. Plan again";

export function mergeRuns(
  staged: StagedRows,
  tally: Tally,
  store: CoordinatorStore,
  now: number,
): string[] {
  let running = 0;
  for (const { id } of staged.all<{ readonly id: string }>("runs")) {
    const record = store.getRun(id) === null ? readRecord(staged, id) : null;
    if (record === null) {
      tally.note("runs", "kept");
      continue;
    }
    const isRunning = record.run.state === "running";
    if (isRunning) running++;
    store.putRun(isRunning ? failRun(record, IMPORTED_WHILE_RUNNING, now) : record, null, 0);
    tally.note("runs", "added");
  }
  return running === 0
    ? []
    : [
        `${running} ${running === 1 ? "run that was under way is" : "runs that were under way are"} taken over as failed: running operations continue by themselves, and \`shardctl drift\` shows them. Apply again what they have left.`,
      ];
}

function readRecord(staged: StagedRows, id: string): RunRecord | null {
  const text = stagedText(staged, "run", id);
  if (text === null) return null;
  const { head, attempts, actionCount } = JSON.parse(text) as StoredRun;
  const actions: RunAction[] = [];
  for (let index = 0; index < actionCount; index++) {
    const action = stagedText(staged, "action", `${id}/${index}`);
    if (action === null) return null;
    actions.push(JSON.parse(action) as RunAction);
  }
  const shown = stagedText(staged, "shown", id);
  return {
    run: { ...head, actions },
    attempts,
    cancelRequested: false,
    shown: shown === null ? null : (JSON.parse(shown) as ShownFigures),
  };
}
