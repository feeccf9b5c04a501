/**
 * Sends a batch to its targets and makes sure that it stands there: the target answers with the
 * digest of what it reads back.
 *
 * Rows that differ are compared by key and sent once more; a second difference ends the operation.
 * Rows under an id that another source has sent too end the step: nothing is stored over them.
 */
import { NOTHING_CHANGED } from "../../model/operation.ts";
import { rowWords } from "../../model/row-words.ts";
import { EngineFault } from "../storage/faults.ts";
import { type Batch, nextSequence } from "./outbox.ts";
import type { SourceContext } from "./source-context.ts";
import { noteStored, storedPage } from "./stored-pages.ts";

/**
 * Sends rows, and compares what each target reads back of them with what was read here. Gives the
 * tables in which a later row may still displace one of these.
 */
export async function deliver(
  context: SourceContext,
  operation: number,
  batch: Batch,
  sequences: ReadonlyMap<string, number>,
): Promise<ReadonlySet<string>> {
  const { runtime, self: source } = context;
  const answers = await Promise.all(
    batch.targets.map(async (target) => {
      const packed = batch.rowsFor(target);
      const parts = packed.map(({ part }) => part);
      const sequence = sequences.get(target) ?? 0;
      const [reply, digests] = await Promise.all([
        context.ask(target, {
          kind: "receive",
          operation,
          source,
          sequence,
          life: context.life,
          stored: storedPage(context.sql, operation, target),
          parts,
        }),
        Promise.all(packed.map(({ text }) => runtime.digest(text))),
      ]);
      return {
        target,
        reply,
        isSame: digests.every((digest, index) => digest === reply.digests[index]),
      };
    }),
  );
  const duplicates = answers.flatMap(({ reply }) => reply.duplicates);
  if (duplicates.length > 0) throw new EngineFault("duplicateId", duplicateMessage(duplicates));
  for (const { target, isSame } of answers)
    if (!isSame) await check(context, operation, batch, target, false);
  return new Set(answers.flatMap(({ reply }) => reply.unsettled));
}

/**
 * Compares by key. Rows that differ are sent once more; a second difference ends the operation, and
 * the sources keep their rows. In step verify what is sent `repairs`: it takes no other row's
 * place, or two rows that displace each other would both be found in turn.
 */
export async function check(
  context: SourceContext,
  operation: number,
  batch: Batch,
  target: string,
  repairs: boolean,
): Promise<void> {
  const { self: source } = context;
  const parts = await batch.checksFor(target, context.runtime);
  const request = { kind: "check", operation, source, parts } as const;
  if ((await context.ask(target, request)).mismatch < 0) return;
  const sequence = nextSequence(context.sql, target);
  const again = batch.rowsFor(target).map(({ part }) => part);
  const stored = storedPage(context.sql, operation, target);
  await context.ask(target, {
    kind: "receive",
    operation,
    source,
    sequence,
    life: context.life,
    stored,
    parts: again,
    repairs,
  });
  context.plan(operation); // the move may have ended while we waited
  noteStored(context.sql, operation, new Map([[target, sequence]]));
  const { mismatch } = await context.ask(target, request);
  if (mismatch < 0) return;
  throw new EngineFault(
    "mismatch",
    `Rows of table '${parts[mismatch]?.table ?? "?"}' on ${target} differ from their source ${source}, also after they were copied again. ${NOTHING_CHANGED}`,
  );
}

const DUPLICATES_NAMED_MAX = 20;

function duplicateMessage(duplicates: readonly string[]): string {
  const named = duplicates.slice(0, DUPLICATES_NAMED_MAX).join(", ");
  const more =
    duplicates.length > DUPLICATES_NAMED_MAX
      ? ` and ${duplicates.length - DUPLICATES_NAMED_MAX} more`
      : "";
  return `${duplicates.length} ids stand under more than one shard key and would become one row: ${rowWords(named)}${more}. ${NOTHING_CHANGED}: give each row its own id, then start again`;
}
