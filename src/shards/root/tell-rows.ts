/**
 * Tells what the objects of a namespace know of single rows: the texts of operations with their
 * ids, and rows that stand on a member which does not own them.
 *
 * Read from the journal and from the live members for each who asks, with the role apply; kept
 * nowhere.
 */
import type { RowIds } from "../../model/live.ts";
import { withRowWords } from "../../model/row-words.ts";
import type { Ask } from "../protocol/messages.ts";
import { messageOf } from "../storage/faults.ts";
import { each } from "./each.ts";
import type { Journal } from "./journal.ts";
import type { OperationRecord } from "./operation-record.ts";

/** Operations whose texts are told. */
const OPERATIONS_TOLD = 20;
/** Rows of each table and member. */
const ROWS_TOLD = 20;

export interface RowsContext {
  readonly namespace: string;
  readonly journal: Journal;
  readonly ask: Ask;
}

export async function tellRows({ namespace, journal, ask }: RowsContext): Promise<RowIds> {
  const { layout } = journal.registry();
  const told = await each(layout.members, async (member) => {
    try {
      const { samples } = await ask(member, { kind: "testify", layout, sampleMax: ROWS_TOLD });
      return { member, samples: samples ?? [], error: null, isOld: samples === undefined };
    } catch (error) {
      return { member, samples: [], error: withRowWords(messageOf(error)), isOld: false };
    }
  });
  return {
    namespace,
    texts: [
      ...journal.history(OPERATIONS_TOLD).flatMap(textsOf),
      ...told.flatMap(({ member, error }) => (error === null ? [] : [{ of: member, text: error }])),
    ],
    misplaced: told.flatMap(({ member, samples }) =>
      samples.map((sample) => ({ member, ...sample })),
    ),
    unsaid: told.flatMap(({ member, error, isOld }) => (isOld || error !== null ? [member] : [])),
  };
}

function textsOf({ id, fault, lastError }: OperationRecord): RowIds["texts"] {
  const texts = [fault?.message, lastError].flatMap((text) => (text ? [withRowWords(text)] : []));
  return [...new Set(texts)].map((text) => ({ of: `operation ${id}`, text }));
}
