/**
 * Deletes the rows that left a source with a wave, page by page behind the fence, as its target
 * names them: exactly those that the target has now. Children go before parents.
 */
import type { MoveRange } from "../../model/layout/move-range.ts";
import { cascadeLate } from "../move/cascade-late.ts";
import { deleteKeys } from "../move/delete-keys.ts";
import type { MovePlan } from "../move/move-plan.ts";
import type { StagedKeysReply } from "../protocol/replies.ts";
import { lendTriggerRoom } from "../storage/reserve.ts";
import { presentTable } from "../storage/tables.ts";
import type { ProvenMember } from "./proven-member.ts";

interface MovedRows {
  readonly target: string;
  readonly range: MoveRange;
  /** True when the object has started behind the fence: its constructor may have written. */
  readonly mayBeLate: boolean;
}

/** `change`: the member's way to a transaction of its own. */
export async function deleteMoved(
  member: ProvenMember,
  plan: MovePlan,
  { target, range, mayBeLate }: MovedRows,
  change: (work: () => void) => void,
): Promise<void> {
  const { sql } = member;
  const { operation } = plan.moving;
  const moved = plan.tables.map((moving) => moving.table.name);
  for (const { table } of plan.tables.toReversed()) {
    let after: string | null = null;
    do {
      const page: StagedKeysReply = await member.ask(target, {
        kind: "stagedKeys",
        operation,
        source: member.self,
        range,
        table: table.name,
        after,
      });
      member.planAfterCutover(operation);
      const { keys } = page;
      // By the names of now: behind a commit a deploy may have changed them, or taken the table
      // away.
      const present = presentTable(sql, table);
      const remove = (): void => {
        if (!present) return;
        lendTriggerRoom(sql, () => {
          if (mayBeLate) cascadeLate(sql, table.name, present, keys, moved);
          deleteKeys(sql, table.name, present, keys);
        });
      };
      if (present) await member.foreignKeys.off(() => change(remove));
      after = page.after;
    } while (after !== null);
  }
}
