/**
 * A target's part of a move: take rows, answer checks.
 *
 * Rule "no-late-rows": a target takes rows only while its part of the operation runs, and from each
 * source only with a number above the last one. In a swap the rows go straight into the live
 * tables, which nobody is routed to yet; in a shift into staging tables.
 */
import { NOTHING_CHANGED } from "../../model/operation.ts";
import { EngineFault } from "../storage/faults.ts";
import { deleteKeys } from "./delete-keys.ts";
import { withoutTriggers } from "./write-blocks.ts";
import { noteLate } from "./late-rows.ts";
import type { CheckPart, Message, RowsPart } from "../protocol/messages.ts";
import type { ReceiveReply } from "../protocol/replies.ts";
import { type MovePlan, type MoveTable, tableOf } from "./move-plan.ts";
import type { Incoming, IncomingPart } from "./incoming.ts";
import { isOfOtherLife, noteLife } from "./lives-of-sources.ts";
import { foreignKeysOf, ownKeys } from "./row-sources.ts";
import { rowsText, storedText } from "./read-back.ts";
import type { Runtime } from "../storage/storage.ts";
import { upsertRows } from "./store-rows.ts";

/** A message of rows, see `Message<"receive">`. */
export type ReceivedPage = Pick<Message<"receive">, "sequence" | "life" | "parts" | "repairs">;

/**
 * Applies one message of rows. Idempotent: a message that is not newer than the last one of its
 * source changes nothing. Rows that `repairs` brings displace no other row. @throws EngineFault
 * when they would.
 */
export function receiveRows(
  incoming: Incoming,
  { sequence, life, parts, repairs = false }: ReceivedPage,
): Received {
  const { sql, plan, source } = incoming;
  const tables = parts.map((part) => ({ part, table: sameTable(plan, part, source) }));
  return sql.transaction(() => {
    const last =
      sql.first<{ sequence: number }>(
        "SELECT sequence FROM shardctl_received WHERE source = ?",
        source,
      )?.sequence ?? 0;
    const findDuplicates = (): string[] => tables.flatMap((rows) => foreignKeysOf(incoming, rows));
    const answer = (duplicates: string[]): Received => {
      if (duplicates.length > 0) return { duplicates, texts: [], unsettled: [] };
      return { duplicates, ...readBack(incoming, tables) };
    };
    if (sequence === last && isOfOtherLife(incoming, life))
      throw wentBack(source, `Two of its lives have sent page ${sequence}`);
    if (sequence === last) return answer(findDuplicates()); // delivered twice
    // Rule "captured-until-stored": an older page is never acknowledged. Who waits for the answer
    // counts anew: what it has sent since then is here, and would be made live.
    if (sequence < last) throw wentBack(source, `Its page ${sequence} came after page ${last}`);
    sql.run(
      "INSERT INTO shardctl_received (source, sequence) VALUES (?1, ?2) ON CONFLICT (source) DO UPDATE SET sequence = ?2",
      source,
      sequence,
    );
    noteLife(incoming, life);
    noteLate(sql, plan, tables);
    const stores = tables.map(({ table }) => table.store);
    const rowCount = tables.reduce((sum, { part }) => sum + part.rowCount + part.absentCount, 0);
    const store = (): string[] => {
      // Absent rows are deleted in any case: two sources may be waiting for each other's word when
      // rows have changed places.
      for (const rows of tables.toReversed()) deleteAbsent(incoming, rows);
      const found = findDuplicates();
      if (found.length === 0) for (const rows of tables) upsertRows(incoming, rows, repairs);
      return found;
    };
    const duplicates = withoutTriggers(sql, stores, store, rowCount);
    return answer(duplicates);
  });
}

/** A target that has forgotten pages which it has taken. Rule "one-history". */
export function missesPages(
  target: string,
  source: string,
  has: number,
  sent: number,
): EngineFault {
  return new EngineFault(
    "outOfStep",
    `${target} has page ${has} of ${source}, which has sent it ${sent}: it was restored meanwhile. ${NOTHING_CHANGED}: start again`,
  );
}

/** A source that has forgotten pages which it has sent. Rule "one-history". */
export function wentBack(source: string, shown: string): EngineFault {
  return new EngineFault(
    "outOfStep",
    `${source} was restored meanwhile. ${NOTHING_CHANGED}: start again. ${shown}`,
  );
}

/** Stored rows before they are hashed: the text of each part's rows. */
export type Received = Omit<ReceiveReply, "digests"> & {
  readonly texts: readonly (string | ArrayBuffer)[];
};

/** Hashes what was read back: the source compares it with what it has read. */
export async function digestReceived(
  { duplicates, texts, unsettled }: Received,
  runtime: Runtime,
): Promise<ReceiveReply> {
  return {
    duplicates,
    digests: await Promise.all(texts.map((text) => runtime.digest(text))),
    unsettled,
  };
}

/**
 * Reads the rows of the parts as they are stored now. Rows that should be gone and are not make a
 * text that matches nothing.
 */
function readBack(
  incoming: Incoming,
  tables: readonly IncomingPart[],
): Pick<Received, "texts" | "unsettled"> {
  const { plan } = incoming;
  const texts = tables.map((rows) => {
    const { part, table } = rows;
    const isGone = part.absentCount === 0 || ownKeys(incoming, table, part.absent) === "[]";
    return isGone ? storedText(incoming, rows) : "rows that should be gone";
  });
  // Rows replace each other by the unique values of a live table, which a staging table has not,
  // and by keys that are alike here.
  const isUnsettled = ({ table }: MoveTable): boolean =>
    table.hasLikeKeys || (plan.moving.mode === "swap" && table.hasConstraints);
  return {
    texts,
    unsettled: tables.filter(({ table }) => isUnsettled(table)).map(({ part }) => part.table),
  };
}

/** Compares with the source's rows: index of the first part that differs, or -1. */
export async function checkRows(
  incoming: Incoming,
  parts: readonly CheckPart[],
  runtime: Runtime,
): Promise<number> {
  const texts = parts.map((part) => {
    const table = tableOf(incoming.plan, part.table);
    return {
      text: rowsText(incoming.sql, table, part.keys),
      hasAbsent: ownKeys(incoming, table, part.absent) !== "[]",
    };
  });
  for (const [index, { text, hasAbsent }] of texts.entries()) {
    if (hasAbsent || (await runtime.digest(text)) !== parts[index]?.digest) return index;
  }
  return -1;
}

/**
 * The table of a part. Rows travel without the names of their columns: @throws EngineFault when
 * they are others here.
 */
function sameTable(plan: MovePlan, { table: name, columns }: RowsPart, source: string): MoveTable {
  const found = tableOf(plan, name);
  const own = found.table.columns.join(", ");
  const sent = columns.join(", ");
  if (own === sent) return found;
  throw new EngineFault(
    "schema",
    `Table '${name}' has other columns on its target (${own}) than on ${source} (${sent}). ${NOTHING_CHANGED}: let the table be the same on every shard, then start again`,
  );
}

function deleteAbsent(incoming: Incoming, { part, table }: IncomingPart): void {
  if (part.absentCount === 0) return;
  const { sql } = incoming;
  const own = ownKeys(incoming, table, part.absent);
  deleteKeys(sql, table.store, table.table, own);
  sql.run(
    "DELETE FROM shardctl_origin WHERE table_name = ?1 AND pk IN (SELECT value FROM json_each(?2))",
    table.table.name,
    own,
  );
}
