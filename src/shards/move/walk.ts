/**
 * A source's walk: every table by primary key, page by page, sent and read back; a second walk
 * compares the tables in which a later row could have displaced an earlier one (see
 * docs/decisions/0002).
 *
 * Each slice works until its budget is used and leaves its progress in SQLite; the root calls
 * again. A slice reads a page and takes its sequence numbers in one turn, sends, and saves the
 * cursor after the targets' answers: a crash in between only repeats a page. Each slice ends with a
 * drain of what was written meanwhile: the log of a long copy stays short.
 */
import { check, deliver } from "./deliver.ts";
import { drainMeanwhile } from "./drain.ts";
import type { OutgoingCount, WalkReply } from "../protocol/replies.ts";
import type { MovePlan, MoveTable } from "./move-plan.ts";
import { inPlainForm } from "../storage/row-codec.ts";
import type { SourceContext } from "./source-context.ts";
import type { Runtime, Sql } from "../storage/storage.ts";
import { type Page, type Walk, type WalkStep, readPage } from "./walk-page.ts";
import { noteStored } from "./stored-pages.ts";

/** Walks until everything is done or `budgetMs` is used; then drains, for as long again at most. */
export async function walkSlice(
  context: SourceContext,
  operation: number,
  step: WalkStep,
  budgetMs: number,
): Promise<WalkReply> {
  const reply = await walkPages(context, operation, step, budgetMs);
  await drainMeanwhile(context, operation, budgetMs);
  return reply;
}

async function walkPages(
  context: SourceContext,
  operation: number,
  step: WalkStep,
  budgetMs: number,
): Promise<WalkReply> {
  const { runtime, sql } = context;
  const startedAt = runtime.now();
  let rows = 0;
  for (;;) {
    const plan = context.plan(operation);
    const next = nextTable(sql, plan, step);
    if (!next) return { isDone: true, outgoing: outgoing(sql) };
    const page = inPlainForm(sql, (form) => readPage(context, plan, next, step, form));
    let unsettled: ReadonlySet<string> = new Set();
    if (step === "copy") unsettled = await deliver(context, operation, page.batch, page.sequences);
    else
      await Promise.all(
        page.batch.targets.map((target) => check(context, operation, page.batch, target, true)),
      );
    rows += page.rows;
    context.plan(operation); // the move may have ended while we waited
    sql.transaction(() => {
      noteStored(sql, operation, page.sequences);
      saveProgress(sql, step, next, page, unsettled);
    });
    await pause(runtime, plan.moving.rowsPerSecondMax, rows, startedAt);
    if (runtime.now() - startedAt >= budgetMs) return { isDone: false, outgoing: outgoing(sql) };
  }
}

function nextTable(sql: Sql, plan: MovePlan, step: WalkStep): Walk | undefined {
  for (const table of plan.tables) {
    const walk = sql.first<{ cursor: string | null; done: number }>(
      "SELECT cursor, done FROM shardctl_walk WHERE step = ? AND table_name = ?",
      step,
      table.table.name,
    );
    // Rows that the targets have read back as stored, and that nothing can have displaced since,
    // are not read again.
    if (!walk && step === "verify" && isSettled(sql, table)) continue;
    if (walk?.done !== 1) return { table, cursor: walk?.cursor ?? null };
  }
  return undefined;
}

function isSettled(sql: Sql, { table }: MoveTable): boolean {
  const open =
    "SELECT 1 AS found FROM shardctl_outgoing WHERE table_name = ? AND rows_verified < rows_copied LIMIT 1";
  return sql.first(open, table.name) === undefined;
}

function saveProgress(
  sql: Sql,
  step: WalkStep,
  { table }: Walk,
  page: Page,
  unsettled: ReadonlySet<string>,
): void {
  sql.run(
    "UPDATE shardctl_walk SET cursor = ?, done = ? WHERE step = ? AND table_name = ?",
    page.cursor,
    page.isLast ? 1 : 0,
    step,
    table.table.name,
  );
  for (const target of page.batch.targets) {
    for (const count of page.batch.countsFor(target)) {
      const verified = unsettled.has(count.table) ? 0 : count.rows;
      const copied = step === "copy" ? [count.rows, count.bytes, verified] : [0, 0, count.rows];
      sql.run(
        `INSERT INTO shardctl_outgoing (target, table_name, rows_copied, bytes_copied, rows_verified) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT (target, table_name) DO UPDATE SET rows_copied = rows_copied + excluded.rows_copied,
           bytes_copied = bytes_copied + excluded.bytes_copied, rows_verified = rows_verified + excluded.rows_verified`,
        target,
        count.table,
        ...copied,
      );
    }
  }
}

function outgoing(sql: Sql): OutgoingCount[] {
  return sql
    .rows<{
      target: string;
      table_name: string;
      rows_copied: number;
      rows_verified: number;
      bytes_copied: number;
    }>(
      "SELECT target, table_name, rows_copied, rows_verified, bytes_copied FROM shardctl_outgoing ORDER BY target, table_name",
    )
    .map((row) => ({
      target: row.target,
      table: row.table_name,
      rowsCopied: row.rows_copied,
      rowsVerified: row.rows_verified,
      bytesCopied: row.bytes_copied,
    }));
}

/**
 * Lets the object's other calls have their turn after every page, and waits for as long as the
 * throttle says.
 */
async function pause(
  runtime: Runtime,
  rowsPerSecondMax: number | null,
  rows: number,
  startedAt: number,
): Promise<void> {
  const dueMs =
    rowsPerSecondMax === null ? 0 : (rows / rowsPerSecondMax) * 1000 - (runtime.now() - startedAt);
  await runtime.sleep(Math.max(0, dueMs));
}
