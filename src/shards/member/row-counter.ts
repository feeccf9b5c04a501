/**
 * Counts the rows of an object, and the bytes of their values, in slices between which it serves:
 * looking at a large object holds no call up. A count that was long is kept with its age, so that
 * those who look often read no row.
 *
 * Writers go on meanwhile: a count is of no single moment. What it misses, or counts twice, was
 * written while it ran.
 */
import { isFull } from "../storage/faults.ts";
import { refused } from "../protocol/refused-error.ts";
import type { TableCount } from "../protocol/replies.ts";
import { requireRoom } from "../storage/reserve.ts";
import { primaryKeyAfter, primaryKeyOrder, rowBytes, rowJson } from "../storage/row-codec.ts";
import { hasSchema } from "../storage/schema.ts";
import { type Sql, quoteName } from "../storage/storage.ts";
import { type Table, type TableSpec, undeclaredTables } from "../storage/tables.ts";
import type { Member } from "./member.ts";
import { heardEnd } from "./membership.ts";
import { retiredTableOf } from "./retired-rows.ts";

/** Rows of one slice: some 10 ms, at most 50 on a slow machine. */
const SLICE_ROWS = 4_000;
/** A count of so many rows is kept: a smaller one costs little more than to read it back. */
const KEPT_ROWS_MIN = 10_000;
/** Longest wait for a count; it goes on without who has asked. */
const WAIT_MS_MAX = 20_000;
/** From such an age on, an older count is better than none: of who watches, and decides nothing. */
const WATCHED_AGE_MIN_MS = 3_600_000;
/** Bytes up to which an object without private tables has room for its count for sure. */
const SURE_ROOM_BYTES = 9_500_000_000;

/** The rows of one object. */
export interface Counted {
  /** When the count began, in milliseconds since the Unix epoch. */
  readonly countedAt: number;
  readonly tables: readonly TableCount[];
  /** Tables with rows that no table spec names. */
  readonly undeclared: readonly string[];
}

/** The tables that the class declares, and those that it keeps for itself. */
export interface DeclaredTables {
  readonly specs: readonly TableSpec[];
  readonly localTables: readonly string[];
}

/** A count as it is stored: it is of use as long as the object has the same part. */
interface Kept extends Counted {
  readonly part: string;
}

interface Sum {
  rows: number;
  bytes: number;
}

export class RowCounter {
  readonly #member: Member;
  readonly #declared: DeclaredTables;
  #running: Promise<Counted> | undefined;
  #rowsSoFar = 0;
  /** True once the running count has let others come between. */
  #isLong = false;

  constructor(member: Member, declared: DeclaredTables) {
    this.#member = member;
    this.#declared = declared;
  }

  /**
   * The kept count if it is younger than `maxAgeMs`, or else a new one, shared by all who ask
   * meanwhile. Where that takes long it continues, and is kept: whoever asks for counts of an hour
   * or more is given the older one then. @throws RefusedError, retryable, for all others.
   */
  async count(maxAgeMs = 0): Promise<Counted> {
    const { runtime } = this.#member;
    const kept = maxAgeMs > 0 ? this.#read() : undefined;
    if (kept && runtime.now() - kept.countedAt <= maxAgeMs) return kept;
    const running = (this.#running ??= this.#begin());
    if (!this.#isLong) return running;
    const waited = new AbortController();
    const late = runtime.sleep(WAIT_MS_MAX, waited.signal).then((): Counted => {
      const { self } = this.#member;
      if (kept && maxAgeMs >= WATCHED_AGE_MIN_MS) return kept;
      throw refused(
        "moving",
        `${self} is still counting its rows (${this.#rowsSoFar} so far): ask again in a while`,
      );
    });
    late.catch(() => undefined);
    try {
      return await Promise.race([running, late]);
    } finally {
      waited.abort("counted");
    }
  }

  #begin(): Promise<Counted> {
    this.#rowsSoFar = 0;
    this.#isLong = false;
    const running = this.#count().finally(() => {
      this.#running = undefined;
    });
    // The caller may have gone by then.
    running.catch(() => undefined);
    return running;
  }

  async #count(): Promise<Counted> {
    const { sql, runtime } = this.#member;
    const { specs, localTables } = this.#declared;
    const part = this.#part();
    const countedAt = runtime.now();
    const tables: TableCount[] = [];
    for (const table of this.#member.knownTables()) {
      const sum = { rows: 0, bytes: 0 };
      await this.#addRows(table, sum);
      const retired = retiredTableOf(sql, table.name);
      if (retired) await this.#addRows({ ...table, ...retired }, sum);
      tables.push({ table: table.name, ...sum });
    }
    const undeclared = undeclaredTables(sql, specs, localTables);
    const counted = { countedAt, tables, undeclared };
    if (this.#rowsSoFar >= KEPT_ROWS_MIN && part === this.#part()) this.#keep({ ...counted, part });
    return counted;
  }

  async #addRows(table: Table, sum: Sum): Promise<void> {
    const { sql, runtime } = this.#member;
    let last: string | null = null;
    for (;;) {
      const slice = readSlice(sql, table, last);
      sum.rows += slice.rows;
      sum.bytes += slice.bytes;
      this.#rowsSoFar += slice.rows;
      if (slice.rows < SLICE_ROWS) return;
      ({ last } = slice);
      this.#isLong = true;
      // Messages that have come meanwhile are taken first.
      await runtime.sleep(0);
    }
  }

  /** The part of the object that a count is of, as one text. */
  #part(): string {
    const { membership } = this.#member;
    const names = this.#declared.specs.map(({ name }) => name);
    return JSON.stringify([membership.epoch, heardEnd(membership), names]);
  }

  #read(): Counted | undefined {
    const { sql } = this.#member;
    if (!hasCounts(sql)) return undefined;
    const text = sql.first<{ counted: string }>("SELECT counted FROM shardctl_counts")?.counted;
    if (text === undefined) return undefined;
    const { part, ...counted } = JSON.parse(text) as Kept;
    return part === this.#part() ? counted : undefined;
  }

  #keep(kept: Kept): void {
    const { sql, membership } = this.#member;
    if (membership.trouble) return;
    const hasMeta = hasSchema(sql);
    // A statement that makes a table and finds no room would take the object with it.
    if (!hasMeta && (sql.databaseSize ?? 0) > SURE_ROOM_BYTES) return;
    try {
      sql.transaction(() => {
        if (hasMeta) requireRoom(sql);
        // A table of its own: an object that was never sharded gets no other by being looked at.
        sql.run(
          "CREATE TABLE IF NOT EXISTS shardctl_counts (id INTEGER PRIMARY KEY, counted TEXT NOT NULL)",
        );
        sql.run(
          "INSERT OR REPLACE INTO shardctl_counts (id, counted) VALUES (1, ?)",
          JSON.stringify(kept),
        );
      });
    } catch (error) {
      // A full object is counted each time.
      if (!isFull(error)) throw error;
    }
  }
}

function hasCounts(sql: Sql): boolean {
  const query = "SELECT 1 AS found FROM sqlite_master WHERE name = 'shardctl_counts'";
  return sql.first(query) !== undefined;
}

/** The next rows of a table in the order of its rowid, or of its key where it has none. */
function readSlice(sql: Sql, table: Table, after: string | null): Sum & { last: string | null } {
  const isFirst = after === null;
  const query = sql.fromDefinitions(`slice of ${table.name} ${isFirst}`, () =>
    sliceSql(sql, table, isFirst),
  );
  const found = sql.first<{ n: number; bytes: number | null; last: string | null }>(
    query,
    ...(isFirst ? [] : [after]),
  );
  return { rows: found?.n ?? 0, bytes: found?.bytes ?? 0, last: found?.last ?? null };
}

function sliceSql(sql: Sql, table: Table, isFirst: boolean): string {
  const from = `FROM ${quoteName(table.name)} AS t`;
  const bytes = `${rowBytes(table.columns, "t")} AS bytes`;
  const where = (after: string): string => (isFirst ? "" : `WHERE ${after}`);
  const rowid = rowidOf(sql, table.name);
  if (rowid !== null)
    // As text: a number above 2^53 would not survive JavaScript.
    return `SELECT count(*) AS n, sum(bytes) AS bytes, CAST(max(id) AS TEXT) AS last FROM (
      SELECT t.${rowid} AS id, ${bytes} ${from} ${where(`t.${rowid} > CAST(?1 AS INTEGER)`)}
      ORDER BY t.${rowid} LIMIT ${SLICE_ROWS})`;
  return `SELECT count(*) AS n, sum(bytes) AS bytes, json_group_array(json(pk)) -> '$[#-1]' AS last FROM (
    SELECT ${rowJson(table.primaryKey, "t")} AS pk, ${bytes} ${from} ${where(primaryKeyAfter(table, "t", "?1"))}
    ORDER BY ${primaryKeyOrder(table, "t")} LIMIT ${SLICE_ROWS})`;
}

/** A name under which the rowid of the table can be read; null where it has none, or hides it. */
function rowidOf(sql: Sql, table: string): string | null {
  const listed = sql
    .rows<{ name: string; wr: number }>("PRAGMA table_list")
    .find(({ name }) => name === table);
  if (listed?.wr !== 0) return null;
  const columns = new Set(
    sql
      .rows<{ name: string }>(`PRAGMA table_xinfo(${quoteName(table)})`)
      .map(({ name }) => name.toLowerCase()),
  );
  return ["rowid", "_rowid_", "oid"].find((name) => !columns.has(name)) ?? null;
}
