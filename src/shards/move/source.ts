/**
 * A source's part of a move: walk every table by primary key, and drain what was written meanwhile.
 *
 * Rows are compared as they are stored: the target answers with the digest of what it reads back. A second walk compares the tables in
 * which a later row could have displaced an earlier one; see docs/decisions/0002.
 *
 * Each slice works until its budget is used and leaves its progress in SQLite; the root calls again. A slice reads a page and takes its
 * sequence numbers in one turn, sends, and saves the cursor after the targets' answers: a crash in between only repeats a page.
 *
 * Rule "drain-before-cutover": what the walk has passed is kept true by the log of captured keys, which is drained until it is short,
 * and to its end once the fence stands.
 */
import { EngineFault } from "../storage/faults.ts";
import { capturedCount } from "./capture.ts";
import type { CheckReply, DrainReply, OutgoingCount, ReceiveReply, WalkReply } from "../protocol/messages.ts";
import { type MovePlan, type MoveTable, forgetDealt } from "./move-plan.ts";
import {
  Batch,
  PAGE_BYTES_MAX,
  PAGE_ROWS_MAX,
  type Scan,
  type ScannedRow,
  createScan,
  nextSequence,
  tableFrom,
} from "./outbox.ts";
import {
  type RowForm,
  inPlainForm,
  isTooBig,
  primaryKeyAfter,
  primaryKeyCells,
  primaryKeyMatches,
  primaryKeyOrder,
  rowBytes,
  rowJson,
} from "../storage/row-codec.ts";
import type { Runtime, Sql, SqlRow } from "../storage/storage.ts";
import { quoteName } from "../storage/storage.ts";

export type WalkStep = "copy" | "verify";

/** What a source needs from its host. */
export interface SourceContext {
  readonly sql: Sql;
  readonly self: string;
  readonly runtime: Runtime;
  /** The plan of the running move; throws when `operation` is not the one that runs. */
  plan(operation: number): MovePlan;
  /** Sends to a target and unwraps the reply; throws when refused or unreachable. */
  ask<Reply>(target: string, request: object): Promise<Reply>;
}

/** Log entries that one drain reads. */
const DRAIN_KEYS_MAX = 1000;
/** Pages grow with the number of targets so that each still gets a message worth sending, up to this many bytes. */
const PAGE_BYTES_CEILING = 8 * 1024 * 1024;
const PAGE_BYTES_PER_TARGET = 256 * 1024;

/** Walks until everything is done or `budgetMs` is used. */
export async function walkSlice(context: SourceContext, operation: number, step: WalkStep, budgetMs: number): Promise<WalkReply> {
  const { runtime, sql } = context;
  const startedAt = runtime.now();
  let rows = 0;
  let bytes = 0;
  for (;;) {
    const plan = context.plan(operation);
    const next = nextTable(sql, plan, step);
    if (!next) return { isDone: true, rows, bytes, outgoing: outgoing(sql) };
    const page = inPlainForm(sql, (form) => readPage(context, plan, next, step, form));
    let unsettled: ReadonlySet<string> = new Set();
    if (step === "copy") unsettled = await deliver(context, operation, page.batch, page.sequences);
    else await Promise.all(page.batch.targets.map((target) => check(context, operation, page.batch, target, true)));
    rows += page.rows;
    bytes += page.bytes;
    context.plan(operation); // the move may have ended while we waited
    sql.transaction(() => saveProgress(sql, step, next, page, unsettled));
    await pause(runtime, plan.moving.rowsPerSecondMax, rows, startedAt);
    if (runtime.now() - startedAt >= budgetMs) return { isDone: false, rows, bytes, outgoing: outgoing(sql) };
  }
}

/**
 * Sends captured changes until the log is empty or `budgetMs` is used.
 *
 * A page with rows that have rivals on a target stays in the log, and those behind it are sent all the same: what is gone there may be the
 * rival that another source waits for, as this one waits for what is gone there. Only then is it a fault.
 */
export async function drainSlice(context: SourceContext, operation: number, budgetMs: number): Promise<DrainReply> {
  const { runtime, sql } = context;
  const startedAt = runtime.now();
  let after = 0;
  let rivals: EngineFault | null = null;
  for (;;) {
    const plan = context.plan(operation);
    const drained = inPlainForm(sql, (form) => readCaptured(context, plan, after, form));
    if (drained) {
      const found = await deliverUnlessRivals(context, operation, drained);
      context.plan(operation);
      if (found === null) sql.run("DELETE FROM shardctl_captured WHERE id > ? AND id <= ?", after, drained.upTo);
      else after = drained.upTo;
      rivals ??= found;
    }
    const isOver = !drained || runtime.now() - startedAt >= budgetMs;
    if (isOver && rivals !== null) throw rivals;
    if (isOver) return { backlog: capturedCount(sql) };
  }
}

/** Null when the page is stored; the fault when the rows of it have rivals, and what is gone is all that was done. */
async function deliverUnlessRivals(context: SourceContext, operation: number, page: Drained): Promise<EngineFault | null> {
  try {
    await deliver(context, operation, page.batch, page.sequences);
    return null;
  } catch (error) {
    if (error instanceof EngineFault && error.kind === "duplicateId") return error;
    throw error;
  }
}

interface Walk {
  readonly table: MoveTable;
  readonly cursor: string | null;
  readonly ordinal: number;
}

interface Page {
  readonly batch: Batch;
  readonly sequences: ReadonlyMap<string, number>;
  readonly cursor: string | null;
  readonly isLast: boolean;
  readonly rows: number;
  readonly bytes: number;
}

function nextTable(sql: Sql, plan: MovePlan, step: WalkStep): Walk | undefined {
  for (const table of plan.tables) {
    const walk = sql.first<{ cursor: string | null; ordinal: number; done: number }>(
      "SELECT cursor, ordinal, done FROM shardctl_walk WHERE step = ? AND table_name = ?",
      step,
      table.table.name,
    );
    // What the targets have read back as they stored it, and nothing can have displaced since, is not read again.
    if (!walk && step === "verify" && isSettled(sql, table)) continue;
    if (walk?.done !== 1) return { table, cursor: walk?.cursor ?? null, ordinal: walk?.ordinal ?? 0 };
  }
  return undefined;
}

function isSettled(sql: Sql, { table }: MoveTable): boolean {
  const open = "SELECT 1 AS found FROM shardctl_outgoing WHERE table_name = ? AND rows_verified < rows_copied LIMIT 1";
  return sql.first(open, table.name) === undefined;
}

function readPage(context: SourceContext, plan: MovePlan, { table, cursor }: Walk, step: WalkStep, form: RowForm): Page {
  const { sql, self } = context;
  // From here on, changes of the directory are captured: see `createDealer`.
  sql.run(
    "INSERT OR IGNORE INTO shardctl_walk (step, table_name, cursor, ordinal, done) VALUES (?, ?, NULL, 0, 0)",
    step,
    table.table.name,
  );
  const batch = new Batch(sql, plan, self);
  const scan = createScan(sql, table, form);
  // Under a throttle a page is at most a second's worth.
  const rowsMax = Math.min(PAGE_ROWS_MAX, plan.moving.rowsPerSecondMax ?? PAGE_ROWS_MAX);
  const bytesMax = Math.min(PAGE_BYTES_CEILING, Math.max(PAGE_BYTES_MAX, plan.targets.length * PAGE_BYTES_PER_TARGET));
  // Rows with a captured change are settled by the drain, which checks them itself.
  const leavesOut = step === "verify" && capturedCount(sql) > 0;
  let last = cursor;
  let rows = 0;
  let bytes = 0;
  let seen = 0;
  let limit = FIRST_ROWS;
  for (let isFull = false; !isFull;) {
    const found = readRows(sql, table, scan, last, leavesOut, Math.min(limit, rowsMax - seen));
    for (const row of found.rows) {
      if (seen > 0 && bytes + row.bytes > bytesMax) {
        isFull = true;
        break;
      }
      seen++;
      bytes += row.bytes;
      last = row.key;
      if (batch.add(table, row) !== null) rows++;
    }
    limit = Math.floor((seen * Math.min(bytesMax - bytes, PAGE_BYTES_MAX)) / Math.max(1, bytes));
    isFull ||= found.isEmpty || seen >= rowsMax || limit < 1;
  }
  const sequences = new Map(step === "copy" ? batch.targets.map((target) => [target, nextSequence(sql, target)] as const) : []);
  const isLast = seen === 0;
  return { batch, sequences, cursor: last, isLast, rows, bytes };
}

/** Rows that the first statement of a page reads; what the others read follows from the size of these. */
const FIRST_ROWS = 250;

/**
 * Some of the next `rowsMax` rows in the order of the primary key, one at least if there is any. SQLite's limit for a text bounds what is
 * held, whatever the rows' size: of rows that are larger than those before them, fewer are read.
 */
function readRows(
  sql: Sql,
  table: MoveTable,
  scan: Scan,
  after: string | null,
  leavesOut: boolean,
  rowsMax: number,
): { readonly rows: Iterable<ScannedRow>; readonly isEmpty: boolean } {
  const where = [
    ...(after === null ? [] : [primaryKeyAfter(table.table, "t", "?1")]),
    ...(leavesOut ? [notCaptured(table)] : []),
  ];
  const bindings = after === null ? [] : [after];
  const select = `${scan.sql(tableFrom(table))} ${where.length > 0 ? `WHERE ${where.join(" AND ")}` : ""} ORDER BY ${primaryKeyOrder(table.table, "t")}`;
  for (let limit = rowsMax; limit > 1; limit = Math.floor(limit / 4)) {
    try {
      // Bound, so that it stays one statement: SQLite need not prepare it again for each page.
      const query = scan.linesSql(`${select} LIMIT ?${bindings.length + 1}`);
      const lines = sql.first<{ lines: string | null }>(query, ...bindings, limit)?.lines ?? null;
      return { rows: lines === null ? [] : scan.readLines(lines), isEmpty: lines === null };
    } catch (error) {
      if (!isTooBig(error)) throw error;
    }
  }
  const rows = sql.rows<SqlRow>(`${select} LIMIT 1`, ...bindings).map((row) => scan.read(row));
  return { rows, isEmpty: rows.length === 0 };
}

function notCaptured(table: MoveTable): string {
  return `NOT EXISTS (SELECT 1 FROM shardctl_captured AS c WHERE c.table_name = '${table.table.name.replaceAll("'", "''")}' AND c.pk = ${rowJson(table.table.primaryKey, "t")})`;
}

function saveProgress(sql: Sql, step: WalkStep, { table }: Walk, page: Page, unsettled: ReadonlySet<string>): void {
  sql.run(
    "UPDATE shardctl_walk SET cursor = ?, ordinal = ordinal + ?, done = ? WHERE step = ? AND table_name = ?",
    page.cursor,
    page.rows,
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

interface Drained {
  readonly batch: Batch;
  readonly sequences: ReadonlyMap<string, number>;
  readonly upTo: number;
}

interface CapturedKey extends SqlRow {
  table_name: string;
  pk: string;
  is_moved: number;
}

/** Reads the oldest entries of the log behind `after`, and the rows that they name as they are now. */
function readCaptured(context: SourceContext, plan: MovePlan, after: number, form: RowForm): Drained | undefined {
  const { sql, self } = context;
  const upTo = drainLimit(sql, plan, after);
  if (upTo === null) return undefined;
  captureFollowers(sql, plan, after, upTo);
  const batch = new Batch(sql, plan, self);
  for (const table of plan.tables) {
    const keys = sql.rows<CapturedKey>(
      "SELECT table_name, pk, max(is_moved) AS is_moved FROM shardctl_captured WHERE id > ? AND id <= ? AND table_name = ? GROUP BY pk ORDER BY pk",
      after,
      upTo,
      table.table.name,
    );
    if (keys.length > 0) addCurrent(sql, plan, batch, table, keys, self, form);
  }
  const sequences = new Map(batch.targets.map((target) => [target, nextSequence(sql, target)] as const));
  return { batch, sequences, upTo };
}

/** The newest entry of the next page: as many as fit one, and one at least. Null when there is none behind `after`. */
function drainLimit(sql: Sql, plan: MovePlan, after: number): number | null {
  for (let keys = DRAIN_KEYS_MAX; ; keys = Math.ceil(keys / 8)) {
    const upTo = sql.first<{ id: number | null }>(
      "SELECT max(id) AS id FROM (SELECT id FROM shardctl_captured WHERE id > ? ORDER BY id LIMIT ?)",
      after,
      keys,
    )?.id;
    if (upTo === null || upTo === undefined) return null;
    if (keys === 1 || capturedBytes(sql, plan, after, upTo) <= PAGE_BYTES_MAX) return upTo;
  }
}

function capturedBytes(sql: Sql, plan: MovePlan, after: number, upTo: number): number {
  const perTable = plan.tables.map(({ table }) => {
    const query = `SELECT sum(${rowBytes(table.columns, "t")}) AS bytes FROM shardctl_captured AS c CROSS JOIN ${quoteName(table.name)} AS t
      ON ${primaryKeyMatches(table, "t", "c.pk")} WHERE c.id > ? AND c.id <= ? AND c.table_name = ?`;
    return sql.first<{ bytes: number | null }>(query, after, upTo, table.name)?.bytes ?? 0;
  });
  return perTable.reduce((total, bytes) => total + bytes, 0);
}

/** A row that moved takes its followers along: they are appended to the log, as if each had been written. */
function captureFollowers(sql: Sql, plan: MovePlan, after: number, upTo: number): void {
  for (const { table } of plan.tables) {
    if (table.followed === null) continue;
    const followed = table.followed.table;
    sql.run(
      `INSERT INTO shardctl_captured (table_name, pk, is_moved)
       SELECT DISTINCT ?1, ${rowJson(table.primaryKey, "t")}, 1 FROM shardctl_captured AS c JOIN ${quoteName(table.name)} AS t
         ON t.${quoteName(table.followed.by)} = ${primaryKeyCells(followed, "c.pk").join("")}
       WHERE c.id > ?2 AND c.id <= ?3 AND c.table_name = ?4 AND c.is_moved = 1`,
      table.name,
      after,
      upTo,
      followed.name,
    );
  }
}

function addCurrent(
  sql: Sql,
  plan: MovePlan,
  batch: Batch,
  table: MoveTable,
  keys: readonly CapturedKey[],
  self: string,
  form: RowForm,
): void {
  const owners = new Map<string, string | null>();
  const scan = createScan(sql, table, form);
  const list = `[${keys.map((entry) => entry.pk).join(",")}]`;
  const query = `${scan.sql(`json_each(?1) AS j CROSS JOIN ${tableFrom(table)} ON ${primaryKeyMatches(table.table, "t", "j.value")}`)} ORDER BY j.key`;
  for (const found of sql.rows<SqlRow>(query, list)) {
    const row = scan.read(found);
    owners.set(row.key, batch.add(table, row));
  }
  for (const { pk, is_moved: isMoved } of keys) {
    const owner = owners.get(pk);
    if (owner === undefined) forgetDealt(sql, plan.moving, table.table, pk);
    // A row that is where it was needs no word to the others.
    if (owner !== undefined && isMoved === 0) continue;
    for (const target of plan.targets) {
      if (target !== owner && !(plan.moving.mode === "shift" && target === self)) batch.addAbsent(table, target, pk);
    }
  }
}

/**
 * Sends rows, and compares what each target reads back of them with what was read here. Gives the tables in which a later row may still
 * displace one of these.
 */
async function deliver(
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
        context.ask<ReceiveReply>(target, { kind: "receive", operation, source, sequence, parts }),
        Promise.all(packed.map(({ text }) => runtime.digest(text))),
      ]);
      return { target, reply, isSame: digests.every((digest, index) => digest === reply.digests[index]) };
    }),
  );
  const duplicates = answers.flatMap(({ reply }) => reply.duplicates);
  if (duplicates.length > 0) throw new EngineFault("duplicateId", duplicateMessage(duplicates));
  for (const { target, isSame } of answers) if (!isSame) await check(context, operation, batch, target, false);
  return new Set(answers.flatMap(({ reply }) => reply.unsettled));
}

/**
 * Compares by key. Rows that differ are sent once more; a second difference ends the operation, and the sources keep their rows. In step
 * verify what is sent `repairs`: it takes no other row's place, or two rows that displace each other would both be found in turn.
 */
async function check(context: SourceContext, operation: number, batch: Batch, target: string, repairs: boolean): Promise<void> {
  const { self: source } = context;
  const parts = await batch.checksFor(target, context.runtime);
  const request = { kind: "check", operation, source, parts };
  if ((await context.ask<CheckReply>(target, request)).mismatch < 0) return;
  const sequence = nextSequence(context.sql, target);
  const again = batch.rowsFor(target).map(({ part }) => part);
  await context.ask(target, { kind: "receive", operation, source, sequence, parts: again, repairs });
  const { mismatch } = await context.ask<CheckReply>(target, request);
  if (mismatch < 0) return;
  throw new EngineFault(
    "mismatch",
    `Rows of table '${parts[mismatch]?.table ?? "?"}' on ${target} differ from their source ${source}, also after they were copied again: nothing was changed`,
  );
}

function outgoing(sql: Sql): OutgoingCount[] {
  return sql
    .rows<{ target: string; table_name: string; rows_copied: number; rows_verified: number; bytes_copied: number }>(
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

/** Lets the object's other calls have their turn after every page, and waits for as long as the throttle says. */
async function pause(runtime: Runtime, rowsPerSecondMax: number | null, rows: number, startedAt: number): Promise<void> {
  const dueMs = rowsPerSecondMax === null ? 0 : (rows / rowsPerSecondMax) * 1000 - (runtime.now() - startedAt);
  await runtime.sleep(Math.max(0, dueMs));
}

const DUPLICATES_NAMED_MAX = 20;

function duplicateMessage(duplicates: readonly string[]): string {
  const named = duplicates.slice(0, DUPLICATES_NAMED_MAX).join(", ");
  const more = duplicates.length > DUPLICATES_NAMED_MAX ? ` and ${duplicates.length - DUPLICATES_NAMED_MAX} more` : "";
  return `${duplicates.length} ids stand under more than one shard key and would become one row: ${named}${more}. Nothing was changed: give each row its own id, then start again`;
}
