/**
 * The root's durable records: the registry (one row for each of the newest epochs), the journal of
 * operations, chores and events.
 *
 * The registry's newest row is the live layout; writing it is the cutover. Everything that the
 * driver knows is here, so that a crash loses nothing but time.
 */
import { type Layout, unshardedLayout } from "../../model/layout/layout.ts";
import type { Move } from "../../model/layout/moves.ts";
import type { OperationStatus } from "../../model/operation.ts";
import { type OperationRecord, operationStatus, participants } from "./operation-record.ts";
import { dropMeta, ensureSchema, hasSchema, readMeta, writeMeta } from "../storage/schema.ts";
import type { Sql } from "../storage/storage.ts";

/** One epoch of the namespace. */
export interface RegistryEntry {
  readonly epoch: number;
  readonly layout: Layout;
  readonly committedAt: number;
}

/**
 * The least that can be cut over at once: what changes hands in it. A swap has exactly one, without
 * moves.
 */
export interface Wave {
  readonly moves: readonly Move[];
  readonly rows: number;
}

/**
 * A message that a member has yet to take: the end of an operation, to be emptied once it has
 * retired, or the directory's check after a repair.
 */
export interface Chore {
  readonly member: string;
  readonly kind: "finish" | "abandon" | "empty" | "enterIds" | "trustDirectory";
  /** Of the directory: when the repair began, in milliseconds since the Unix epoch. */
  readonly operation: number;
  readonly dueAt: number;
  readonly tries: number;
}

/** The check of a directory after a repair: see `directory-check.ts`. */
export interface DirectoryCheck {
  /** When the repair began, in milliseconds since the Unix epoch. */
  readonly since: number;
  /** Members that have entered the ids of all their rows. */
  readonly entered: readonly string[];
}

export interface StoredEvent {
  readonly id: number;
  readonly type: string;
  readonly correlationId: string;
  readonly operation: number | null;
  readonly at: number;
  readonly detail: Readonly<Record<string, unknown>>;
}

/**
 * Operations that are kept for the history, the running one among them, and their bytes: a record
 * holds two layouts.
 */
const HISTORY_MAX = 1000;
const HISTORY_BYTES_MAX = 8 * 1024 * 1024;
/** Events that are kept. */
const EVENTS_MAX = 5000;
/** Rows of the registry that are kept. */
const EPOCHS_MAX = 100;

/**
 * Room that the record of a running operation has to grow, in bytes: it is updated in place, also
 * where the storage is full.
 */
const RECORD_ROOM = 12 * 1024;
/** The same for the progress of one source, beside its name. */
const SOURCE_ROOM = 160;
/** And for the bookmark of one participant. */
const BOOKMARK_ROOM = 80;

/**
 * Tries of a chore are stored as a number of one byte: so that counting them needs no room. SQLite
 * has 0 and 1 in none, and numbers above 127 in two.
 */
const TRIES_OFFSET = 2;
const TRIES_MAX = 127 - TRIES_OFFSET;

/**
 * A record as it is stored: while it runs, with white space behind it up to a length that does not
 * change.
 */
function paddedRecord(record: OperationRecord): string {
  const text = JSON.stringify({ ...record, markedAt: record.updatedAt });
  if (record.state !== "running") return text;
  const { from, to } = record;
  const sources = from.members.reduce((room, member) => room + member.length + SOURCE_ROOM, 0);
  const bookmarks = participants(record).reduce(
    (room, member) => room + member.length + BOOKMARK_ROOM,
    0,
  );
  return text.padEnd(JSON.stringify([from, to]).length + sources + bookmarks + RECORD_ROOM);
}

/**
 * Four values as a SELECT: a statement that finds the storage full is then undone alone, see
 * `reserve.ts`.
 */
const ONE_ROW = "SELECT ?, ?, ?, ? FROM json_each('[1]')";

const DIRECTORY_CHECK = "directoryCheck";
/** The document with the newest number that operations of a lost journal had. */
const NUMBERS_USED = "numbersUsed";

export class Journal {
  readonly #sql: Sql;
  readonly #namespace: string;

  constructor(sql: Sql, namespace: string) {
    this.#sql = sql;
    this.#namespace = namespace;
  }

  /** The live layout and its epoch. */
  registry(): RegistryEntry {
    const row = hasSchema(this.#sql)
      ? this.#sql.first<{ epoch: number; layout: string; committed_at: number }>(
          "SELECT epoch, layout, committed_at FROM shardctl_registry ORDER BY epoch DESC LIMIT 1",
        )
      : undefined;
    if (!row) return { epoch: 0, layout: unshardedLayout(this.#namespace, 0), committedAt: 0 };
    return {
      epoch: row.epoch,
      layout: JSON.parse(row.layout) as Layout,
      committedAt: row.committed_at,
    };
  }

  /** The epoch of the live layout, without the layout. */
  epoch(): number {
    if (!hasSchema(this.#sql)) return 0;
    return (
      this.#sql.first<{ epoch: number | null }>("SELECT max(epoch) AS epoch FROM shardctl_registry")
        ?.epoch ?? 0
    );
  }

  /** The cutover. Call in the transaction that also moves the operation on. */
  commitEpoch(epoch: number, layout: Layout, operation: number, at: number): void {
    this.#sql.run(
      `INSERT OR ABORT INTO shardctl_registry (epoch, layout, operation, committed_at) ${ONE_ROW}`,
      epoch,
      JSON.stringify(layout),
      operation,
      at,
    );
    // A shift commits an epoch for each of its waves: only the newest is ever looked up, the others
    // are for people.
    this.#sql.run("DELETE FROM shardctl_registry WHERE epoch <= ?", epoch - EPOCHS_MAX);
  }

  /** The running operation; at most one. */
  running(): OperationRecord | undefined {
    return this.#read("state = 'running' ORDER BY id DESC LIMIT 1")[0];
  }

  find(id: number): OperationRecord | undefined {
    return this.#read("id = ?", id)[0];
  }

  findByCorrelation(correlationId: string): OperationRecord | undefined {
    return this.#read("correlation_id = ?", correlationId)[0];
  }

  /** Newest first. */
  history(limit: number): OperationRecord[] {
    return this.#read("true ORDER BY id DESC LIMIT ?", limit);
  }

  nextId(): number {
    if (!hasSchema(this.#sql)) return 1;
    const newest =
      this.#sql.first<{ id: number | null }>("SELECT max(id) AS id FROM shardctl_operations")?.id ??
      0;
    return Math.max(newest, readMeta<number>(this.#sql, NUMBERS_USED) ?? 0) + 1;
  }

  /** Never gives these numbers to an operation again: a journal that was lost has. */
  skipTo(operation: number): void {
    writeMeta(
      this.#sql,
      NUMBERS_USED,
      Math.max(operation, readMeta<number>(this.#sql, NUMBERS_USED) ?? 0),
    );
  }

  insert(record: OperationRecord): void {
    this.#sql.run(
      "INSERT INTO shardctl_operations (id, correlation_id, state, record) VALUES (?, ?, ?, ?)",
      record.id,
      record.correlationId,
      record.state,
      paddedRecord(record),
    );
    this.#sql.run(
      "DELETE FROM shardctl_operations WHERE state <> 'running' AND id <= ?",
      record.id - HISTORY_MAX,
    );
    this.#dropBeyond(HISTORY_BYTES_MAX);
  }

  /** Call in the turn in which the record was read. */
  update(record: OperationRecord): void {
    this.#sql.run(
      "UPDATE shardctl_operations SET state = ?, record = ? WHERE id = ?",
      record.state,
      paddedRecord(record),
      record.id,
    );
    if (record.state !== "running")
      this.#sql.run("DELETE FROM shardctl_waves WHERE operation = ?", record.id);
  }

  /**
   * Stores what each wave of an operation holds, a row for each. Call in the transaction that also
   * stores their number.
   */
  putWaves(operation: number, waves: readonly Wave[]): void {
    this.#sql.run("DELETE FROM shardctl_waves");
    this.#insertWaves(operation, 0, waves);
  }

  #insertWaves(operation: number, first: number, waves: readonly Wave[]): void {
    for (const [index, { moves, rows }] of waves.entries()) {
      this.#sql.run(
        `INSERT OR ABORT INTO shardctl_waves (operation, wave, moves, rows) ${ONE_ROW}`,
        operation,
        first + index,
        JSON.stringify(moves),
        rows,
      );
    }
  }

  /**
   * Replaces the waves from the `from`th on. Call in the transaction that also stores their number.
   */
  replaceWaves(operation: number, from: number, waves: readonly Wave[]): void {
    this.#sql.run("DELETE FROM shardctl_waves WHERE operation = ? AND wave >= ?", operation, from);
    this.#insertWaves(operation, from, waves);
  }

  /** The next `count` waves of a running operation, at most, from the `from`th. */
  waves(operation: number, from: number, count: number): Wave[] {
    return this.#sql
      .rows<{ moves: string; rows: number }>(
        "SELECT moves, rows FROM shardctl_waves WHERE operation = ? AND wave >= ? ORDER BY wave LIMIT ?",
        operation,
        from,
        count,
      )
      .map(({ moves, rows }) => ({ moves: JSON.parse(moves) as Move[], rows }));
  }

  chores(): Chore[] {
    if (!hasSchema(this.#sql)) return [];
    return this.#sql
      .rows<{ member: string; kind: string; operation: number; due_at: number; tries: number }>(
        "SELECT member, kind, operation, due_at, tries FROM shardctl_chores ORDER BY due_at, member",
      )
      .map((row) => ({
        member: row.member,
        kind: row.kind as Chore["kind"],
        operation: row.operation,
        dueAt: row.due_at,
        tries: Math.max(0, row.tries - TRIES_OFFSET),
      }));
  }

  putChore(chore: Chore): void {
    this.#sql.run(
      `INSERT INTO shardctl_chores (member, kind, operation, due_at, tries) VALUES (?1, ?2, ?3, ?4, ?5)
       ON CONFLICT (member, kind) DO UPDATE SET operation = ?3, due_at = ?4, tries = ?5`,
      chore.member,
      chore.kind,
      chore.operation,
      chore.dueAt,
      Math.min(chore.tries, TRIES_MAX) + TRIES_OFFSET,
    );
  }

  dropChore({ member, kind, operation }: Chore): void {
    this.#sql.run(
      "DELETE FROM shardctl_chores WHERE member = ? AND kind = ? AND operation = ?",
      member,
      kind,
      operation,
    );
  }

  /** Returns the running check of the directory; undefined for none. */
  directoryCheck(): DirectoryCheck | undefined {
    return hasSchema(this.#sql) ? readMeta<DirectoryCheck>(this.#sql, DIRECTORY_CHECK) : undefined;
  }

  putDirectoryCheck(check: DirectoryCheck | null): void {
    if (check === null) dropMeta(this.#sql, DIRECTORY_CHECK);
    else writeMeta(this.#sql, DIRECTORY_CHECK, check);
  }

  addEvent(
    type: string,
    correlationId: string,
    operation: number | null,
    at: number,
    detail: Readonly<Record<string, unknown>>,
  ): StoredEvent {
    ensureSchema(this.#sql);
    this.#sql.run(
      "INSERT INTO shardctl_events (type, correlation_id, operation, at, detail) VALUES (?, ?, ?, ?, ?)",
      type,
      correlationId,
      operation,
      at,
      JSON.stringify(detail),
    );
    const id = this.#sql.first<{ id: number }>("SELECT last_insert_rowid() AS id")?.id ?? 0;
    this.#sql.run("DELETE FROM shardctl_events WHERE id <= ?", id - EVENTS_MAX);
    return { id, type, correlationId, operation, at, detail };
  }

  /** Newest first. */
  events(limit: number): StoredEvent[] {
    if (!hasSchema(this.#sql)) return [];
    return this.#sql
      .rows<{
        id: number;
        type: string;
        correlation_id: string;
        operation: number | null;
        at: number;
        detail: string;
      }>(
        "SELECT id, type, correlation_id, operation, at, detail FROM shardctl_events ORDER BY id DESC LIMIT ?",
        limit,
      )
      .map((row) => ({
        id: row.id,
        type: row.type,
        correlationId: row.correlation_id,
        operation: row.operation,
        at: row.at,
        detail: JSON.parse(row.detail) as Record<string, unknown>,
      }));
  }

  /** The record as the world sees it. */
  status(record: OperationRecord): OperationStatus {
    return operationStatus(this.#namespace, record);
  }

  /** Drops the oldest operations of those that have more bytes together, but never the newest. */
  #dropBeyond(bytesMax: number): void {
    this.#sql.run(
      `DELETE FROM shardctl_operations WHERE state <> 'running' AND id IN (SELECT id FROM (
         SELECT id, sum(octet_length(record)) OVER (ORDER BY id DESC) AS bytes FROM shardctl_operations) WHERE bytes > ?)`,
      bytesMax,
    );
  }

  #read(where: string, ...bindings: (string | number)[]): OperationRecord[] {
    if (!hasSchema(this.#sql)) return [];
    return this.#sql
      .rows<{ record: string }>(
        `SELECT record FROM shardctl_operations WHERE ${where}`,
        ...bindings,
      )
      .map((row) => JSON.parse(row.record) as OperationRecord);
  }
}
