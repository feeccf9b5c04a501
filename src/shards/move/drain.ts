/**
 * A source's drain: what was written while the rows are copied.
 *
 * Rule "drain-before-cutover": what the walk has passed is kept true by the log of captured keys,
 * which is drained until it is short, and to its end once the fence stands. The log says which rows
 * changed; their values are read when they are sent.
 */
import { EngineError, EngineFault, messageOf } from "../storage/faults.ts";
import { capturedCount } from "./capture.ts";
import { deliver } from "./deliver.ts";
import type { Ask } from "../protocol/messages.ts";
import type { DrainReply } from "../protocol/replies.ts";
import { RefusedError } from "../protocol/refused-error.ts";
import { within } from "../protocol/within.ts";
import { type MovePlan, type MoveTable, forgetDealt } from "./move-plan.ts";
import { Batch, PAGE_BYTES_MAX, createScan, nextSequence, tableFrom } from "./outbox.ts";
import {
  type RowForm,
  inPlainForm,
  primaryKeyCells,
  primaryKeyMatches,
  rowBytes,
  rowJson,
} from "../storage/row-codec.ts";
import type { SourceContext } from "./source-context.ts";
import { type Sql, type SqlRow, quoteName } from "../storage/storage.ts";
import { collate } from "../storage/tables.ts";
import { noteStored } from "./stored-pages.ts";

/** Log entries that one drain reads. */
const DRAIN_KEYS_MAX = 1000;
/** How many times its budget a drain in the middle of a walk waits for answers. */
const PATIENCE = 4;

/**
 * Sends captured changes until the log is empty or `budgetMs` is used.
 * @throws EngineFault when rows have rivals on a target, once everything else is sent.
 */
export async function drainSlice(
  context: SourceContext,
  operation: number,
  budgetMs: number,
): Promise<DrainReply> {
  const rivals = await drainPages(context, operation, budgetMs);
  if (rivals !== null) throw rivals;
  return { backlog: capturedCount(context.sql) };
}

/**
 * The same between two slices of a walk. What has rivals stays in the log: the end of the step
 * judges it. So does what a target is slow to take, or does not answer to: the walk's own answer is
 * not kept waiting for it, and who stays silent is met again by the next page.
 */
export async function drainMeanwhile(
  context: SourceContext,
  operation: number,
  budgetMs: number,
): Promise<void> {
  if (capturedCount(context.sql) === 0) return;
  try {
    await drainPages(withDeadline(context, budgetMs * PATIENCE), operation, budgetMs);
  } catch (error) {
    if (!(error instanceof Unanswered)) throw error;
  }
}

/** A target did not answer, in time or at all. What it refused is no such thing. */
class Unanswered extends EngineError {}

/**
 * The same context, whose targets have to answer until `leftMs` from now. What they do later goes
 * unnoticed, as after any silence.
 */
function withDeadline(context: SourceContext, leftMs: number): SourceContext {
  const { sql, self, runtime, life } = context;
  const until = runtime.now() + leftMs;
  const ask: Ask = async (target, request) => {
    try {
      return await within(
        runtime,
        context.ask(target, request),
        Math.max(0, until - runtime.now()),
        target,
      );
    } catch (error) {
      if (error instanceof EngineFault || error instanceof RefusedError) throw error;
      throw new Unanswered(messageOf(error), { cause: error });
    }
  };
  return { sql, self, runtime, life, plan: (operation) => context.plan(operation), ask };
}

/**
 * A page with rows that have rivals on a target stays in the log, and those behind it are sent all
 * the same: what is gone there may be the rival that another source waits for, as this one waits
 * for what is gone there. So may what a later page brings, since a key that is written again goes
 * to the end of the log: then the log is read once more. Only what is left then is a fault.
 *
 * The followers of an entry are appended once, however often its page is read: else each reading
 * would find new ones to send, and go on until the time is up.
 */
async function drainPages(
  context: SourceContext,
  operation: number,
  budgetMs: number,
): Promise<EngineFault | null> {
  const { runtime, sql } = context;
  const startedAt = runtime.now();
  let after = 0;
  let followedTo = 0;
  let rivals: EngineFault | null = null;
  let isFreed = false;
  for (;;) {
    const plan = context.plan(operation);
    const drained = inPlainForm(sql, (form) =>
      readCaptured(context, plan, { after, followedTo }, form),
    );
    if (drained) {
      followedTo = Math.max(followedTo, drained.upTo);
      const found = await deliverUnlessRivals(context, operation, drained);
      context.plan(operation);
      if (found === null)
        sql.transaction(() => {
          noteStored(sql, operation, drained.sequences);
          sql.run("DELETE FROM shardctl_captured WHERE id > ? AND id <= ?", after, drained.upTo);
        });
      else after = drained.upTo;
      isFreed ||= found === null && rivals !== null;
      rivals ??= found;
    }
    if (runtime.now() - startedAt >= budgetMs) return rivals;
    if (drained) continue;
    if (rivals === null || !isFreed) return rivals;
    [after, rivals, isFreed] = [0, null, false];
  }
}

/**
 * Null when the page is stored; the fault when the rows of it have rivals, and what is gone is all
 * that was done.
 */
async function deliverUnlessRivals(
  context: SourceContext,
  operation: number,
  page: Drained,
): Promise<EngineFault | null> {
  try {
    await deliver(context, operation, page.batch, page.sequences);
    return null;
  } catch (error) {
    if (error instanceof EngineFault && error.kind === "duplicateId") return error;
    throw error;
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

/** How far the log has been read. */
interface Reading {
  /** The newest entry of the page before. */
  readonly after: number;
  /** The newest entry of those whose followers have been appended. */
  readonly followedTo: number;
}

/**
 * Reads the oldest entries of the log behind `after`, and the rows that they name as they are now.
 */
function readCaptured(
  context: SourceContext,
  plan: MovePlan,
  { after, followedTo }: Reading,
  form: RowForm,
): Drained | undefined {
  const { sql, self } = context;
  const upTo = drainLimit(sql, plan, after);
  if (upTo === null) return undefined;
  captureFollowers(sql, plan, Math.max(after, followedTo), upTo);
  const batch = new Batch(sql, plan, self);
  for (const table of plan.tables) {
    const keys = sql.rows<CapturedKey>(
      "SELECT table_name, pk, max(is_moved) AS is_moved FROM shardctl_captured WHERE id > ? AND id <= ? AND table_name = ? GROUP BY pk ORDER BY pk",
      after,
      upTo,
      table.table.name,
    );
    if (keys.length > 0) addCurrent(context, batch, { plan, table, form }, keys);
  }
  const sequences = new Map(
    batch.targets.map((target) => [target, nextSequence(sql, target)] as const),
  );
  return { batch, sequences, upTo };
}

/**
 * The newest entry of the next page: as many as fit one, and one at least. Null when there is none
 * behind `after`.
 */
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
  // Of rows that are gone only the keys are left, which go into one statement all the same.
  const keys =
    "SELECT sum(octet_length(pk)) AS bytes FROM shardctl_captured WHERE id > ? AND id <= ?";
  const ofKeys = sql.first<{ bytes: number | null }>(keys, after, upTo)?.bytes ?? 0;
  return Math.max(
    ofKeys,
    perTable.reduce((total, bytes) => total + bytes, 0),
  );
}

/**
 * A row that moved takes its followers along: they are appended to the log, as if each had been
 * written.
 */
function captureFollowers(sql: Sql, plan: MovePlan, after: number, upTo: number): void {
  const followers = plan.tables.flatMap(({ table }) =>
    table.followed === null ? [] : [{ table, followed: table.followed }],
  );
  if (followers.length === 0) return;
  const newest =
    sql.first<{ id: number }>("SELECT max(id) AS id FROM shardctl_captured")?.id ?? upTo;
  for (const { table, followed } of followers) {
    const { table: parent, by } = followed;
    sql.run(
      `INSERT INTO shardctl_captured (table_name, pk, is_moved)
       SELECT DISTINCT ?1, ${rowJson(table.primaryKey, "t")}, 1 FROM shardctl_captured AS c JOIN ${quoteName(table.name)} AS t
         ON t.${quoteName(by)}${collate(parent.keyCollations?.[0])} = ${primaryKeyCells(parent, "c.pk").join("")}
       WHERE c.id > ?2 AND c.id <= ?3 AND c.table_name = ?4 AND c.is_moved = 1`,
      table.name,
      after,
      upTo,
      parent.name,
    );
  }
  // Rule "one-entry-a-key" for them too.
  sql.run(
    "DELETE FROM shardctl_captured WHERE id <= ?1 AND (table_name, pk) IN (SELECT table_name, pk FROM shardctl_captured WHERE id > ?1)",
    newest,
  );
}

function addCurrent(
  { sql, self }: SourceContext,
  batch: Batch,
  { plan, table, form }: { plan: MovePlan; table: MoveTable; form: RowForm },
  keys: readonly CapturedKey[],
): void {
  // Of each row that is there, and of each entry that names one: by its own key, or by one that is
  // only alike.
  const owners = new Map<string, string | null>();
  const ownersOfEntries = new Map<number, string | null>();
  const scan = createScan(sql, table, form);
  const list = `[${keys.map((entry) => entry.pk).join(",")}]`;
  const from = `json_each(?1) AS j CROSS JOIN ${tableFrom(table)} ON ${primaryKeyMatches(table.table, "t", "j.value")}`;
  for (const found of sql.rows<SqlRow>(
    `${scan.sql(from, "j.key AS entry, ")} ORDER BY j.key`,
    list,
  )) {
    const row = scan.read(found);
    const known = owners.get(row.key);
    const owner = known === undefined ? batch.add(table, row) : known;
    owners.set(row.key, owner);
    ownersOfEntries.set(Number(found["entry"]), owner);
  }
  for (const [entry, { pk, is_moved: isMoved }] of keys.entries()) {
    const owner = ownersOfEntries.get(entry);
    if (!owners.has(pk)) forgetDealt(sql, plan.moving, table.table, pk);
    // A row that is where it was needs no word to the others.
    if (owner !== undefined && isMoved === 0) continue;
    for (const target of plan.targets) {
      if (target !== owner && !(plan.moving.mode === "shift" && target === self))
        batch.addAbsent(table, target, pk);
    }
  }
}
