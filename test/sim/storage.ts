/**
 * An object's storage over `node:sqlite`, with the durability of a Durable Object.
 *
 * Writes gather in one implicit transaction until `flush`; `discard` is what a crash does to them.
 * The alarm's time is written with the rows. The real runtime ends its implicit transaction with
 * the turn, and makes it durable later; here both are one, so a setting that works only between
 * transactions brings the flush forward when the turn has written nothing yet. What the real
 * runtime refuses is refused here: transactions in SQL, ATTACH, TEMP, most pragmas, more than 100
 * parameters or five terms of a compound SELECT. Integers are read as the runtime reads them, as
 * JavaScript numbers.
 *
 * A database that is full undoes the whole transaction, as SQLite says, and with it what a
 * savepoint could go back to: the object is broken from then on, and begins anew from what is
 * durable.
 *
 * Trade-off: a cursor's rows are read at once, not step by step.
 */
import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";
import type { HostStorage, SqlCursor, SqlRow, SqlValue } from "../../src/shards/storage/storage.ts";

const READS = /^\s*(select|values|explain)\b/i;
/** No write: it works outside a transaction and does nothing inside one. */
const SETS_FOREIGN_KEYS = /^\s*pragma\s+foreign_keys\s*=/i;
const DENIED =
  /^\s*(begin|commit|end|rollback|savepoint|release|attach|detach|vacuum|reindex|analyze)\b/i;
const PRAGMA = /^\s*pragma\s+(\w+)/i;
const PRAGMAS = new Set([
  "table_list",
  "table_info",
  "table_xinfo",
  "index_list",
  "index_info",
  "index_xinfo",
  "foreign_key_list",
  "foreign_key_check",
  "foreign_keys",
  "legacy_alter_table",
  "defer_foreign_keys",
  "quick_check",
]);
const COMPOUND_TERMS_MAX = 5;
const PARAMETERS_MAX = 100;
const SQL_LENGTH_MAX = 100_000;
/** SQLite's own limit. */
const PAGES_MAX = 4_294_967_294;

/** SQLite's error when a database would outgrow its limit. */
export const DISK_IS_FULL = "database or disk is full";

/** Requests of the storage to its object. */
export interface StoragePort {
  /** A statement has found no room. */
  full(): void;
  /** The transaction is gone: the object must end its life. */
  broken(): void;
  /** Something is to be flushed. */
  changed(): void;
  /** Flush now. */
  flushNow(): void;
  /** The promise of `setAlarm`. */
  settled(): Promise<void>;
  /** The number of the turn. */
  turn(): number;
}

/** The durable state at one moment. */
export interface Snapshot {
  readonly database: Uint8Array;
  readonly alarm: number | null;
}

/** Methods of Node's SQLite that its types do not have yet. */
interface Serializing {
  serialize(): Uint8Array;
  deserialize(database: Uint8Array): void;
}

interface Prepared {
  readonly statement: StatementSync;
  readonly isRead: boolean;
}

export class SimStorage implements HostStorage {
  #database = new DatabaseSync(":memory:");
  readonly #prepared = new Map<string, Prepared>();
  /** Found by `peek` since the last write. */
  readonly #peeked = new Map<string, readonly SqlRow[]>();
  /** Rows that the database has written so far. */
  #written = 0;
  readonly #port: StoragePort;
  #depth = 0;
  #isOpen = false;
  #isBroken = false;
  /** The turn of the last write. */
  #wroteIn = -1;
  #durableAlarm: number | null = null;
  #alarm: number | null = null;

  constructor(port: StoragePort) {
    this.#port = port;
  }

  readonly sql = this.#sql();

  /** Runs statements, and says what the database takes, as the real runtime does. */
  #sql() {
    const bytes = (): number =>
      Number(
        this.#database
          .prepare(
            "SELECT (page_count - freelist_count) * page_size AS bytes FROM pragma_page_count, pragma_freelist_count, pragma_page_size",
          )
          .get()?.["bytes"],
      );
    return {
      exec: <Row extends SqlRow>(query: string, ...bindings: SqlValue[]): SqlCursor<Row> =>
        this.#exec<Row>(query, bindings),
      get databaseSize() {
        return bytes();
      },
    };
  }

  transactionSync<Value>(closure: () => Value): Value {
    this.#requireWhole();
    this.#open();
    const name = `sim_${this.#depth++}`;
    this.#database.exec(`SAVEPOINT ${name}`);
    try {
      const value = closure();
      if (value instanceof Promise)
        throw new Error("transactionSync: the closure must be synchronous");
      this.#database.exec(`RELEASE ${name}`);
      return value;
    } catch (error) {
      this.#peeked.clear();
      if (this.#isBroken) throw error;
      this.#database.exec(`ROLLBACK TO ${name}`);
      this.#database.exec(`RELEASE ${name}`);
      throw error;
    } finally {
      this.#depth--;
    }
  }

  getAlarm(): Promise<number | null> {
    const time = this.#alarm;
    return this.#port.settled().then(() => time);
  }

  setAlarm(scheduledTimeMs: number): Promise<void> {
    this.#requireWhole();
    this.#open();
    this.#alarm = scheduledTimeMs;
    return this.#port.settled();
  }

  /** True when a crash would lose something. */
  get isDirty(): boolean {
    return this.#isOpen;
  }

  get durableAlarm(): number | null {
    return this.#durableAlarm;
  }

  /** Makes everything so far durable. @throws what SQLite says against the commit. */
  flush(): void {
    if (!this.#isOpen || this.#isBroken) return;
    this.#database.exec("COMMIT");
    this.#isOpen = false;
    this.#durableAlarm = this.#alarm;
  }

  /** Drops everything that is not durable, as a crash does. */
  discard(): void {
    this.#peeked.clear();
    if (this.#isOpen && !this.#isBroken) this.#database.exec("ROLLBACK");
    this.#isOpen = false;
    this.#isBroken = false;
    this.#depth = 0;
    this.#alarm = this.#durableAlarm;
    // A new life begins with the default.
    this.#database.exec("PRAGMA foreign_keys = ON");
    this.#database.exec("PRAGMA legacy_alter_table = OFF");
  }

  /** The alarm fires: it is gone, unless a later one was set meanwhile. Gives its time. */
  takeAlarm(): number {
    const time = this.#durableAlarm;
    if (time === null) throw new Error("No alarm is set");
    if (this.#alarm === time) this.#alarm = null;
    this.#durableAlarm = null;
    return time;
  }

  /**
   * Puts a fired alarm back, as the runtime does when its handler did not end; a newer one wins.
   */
  restoreAlarm(time: number): void {
    this.#durableAlarm ??= time;
    this.#alarm ??= time;
  }

  /** Takes what is durable; null while something is to be flushed. */
  snapshot(): Snapshot | null {
    if (this.#isOpen) return null;
    return {
      database: (this.#database as DatabaseSync & Serializing).serialize(),
      alarm: this.#durableAlarm,
    };
  }

  /**
   * Goes back to what was durable then; with null, to an empty database. The object must end its
   * life first.
   */
  restore(snapshot: Snapshot | null): void {
    this.discard();
    this.close();
    this.#database = new DatabaseSync(":memory:");
    this.#written = 0;
    if (snapshot) (this.#database as DatabaseSync & Serializing).deserialize(snapshot.database);
    this.#durableAlarm = this.#alarm = snapshot?.alarm ?? null;
    this.#database.exec("PRAGMA foreign_keys = ON");
  }

  /**
   * Reads what is there now, for checks: never through the object's code. Asked the same again and
   * again, it reads once a write.
   */
  peek<Row extends SqlRow>(
    query: string,
    ...bindings: readonly (string | number)[]
  ): readonly Row[] {
    const name = bindings.length === 0 ? query : JSON.stringify([query, ...bindings]);
    let rows = this.#peeked.get(name);
    if (!rows) this.#peeked.set(name, (rows = this.#run(this.#prepare(query), bindings)));
    return rows as readonly Row[];
  }

  get pages(): number {
    return Number(this.peek("PRAGMA page_count")[0]?.["page_count"]);
  }

  /**
   * Lets the database have so many pages, or any number. A limit below what it holds is what it
   * holds.
   */
  limit(pages: number | null): void {
    this.#database.exec(`PRAGMA max_page_count = ${pages ?? PAGES_MAX}`);
  }

  close(): void {
    this.#prepared.clear();
    this.#peeked.clear();
    this.#database.close();
  }

  #exec<Row extends SqlRow>(query: string, bindings: readonly SqlValue[]): SqlCursor<Row> {
    refuseQuery(query, bindings.length);
    this.#requireWhole();
    const prepared = this.#prepare(query);
    if (SETS_FOREIGN_KEYS.test(query)) {
      if (this.#isOpen && this.#wroteIn !== this.#port.turn()) this.#port.flushNow();
      return cursor(this.#run<Row>(prepared, bindings), 0);
    }
    if (prepared.isRead) return cursor(this.#run<Row>(prepared, bindings), 0);
    this.#open();
    this.#peeked.clear();
    const before = this.#written;
    let rows: Row[];
    try {
      rows = this.#run<Row>(prepared, bindings);
    } catch (error) {
      this.#written = this.#totalChanges();
      if (error instanceof Error && error.message.includes(DISK_IS_FULL)) this.#port.full();
      if (!this.#database.isTransaction) {
        this.#isBroken = true;
        this.#port.broken();
      }
      throw error;
    }
    this.#written = this.#totalChanges();
    return cursor(rows, this.#written - before);
  }

  #requireWhole(): void {
    if (this.#isBroken) throw new Error(`${DISK_IS_FULL}: the object is broken`);
  }

  #totalChanges(): number {
    return Number(this.#run(this.#prepare("SELECT total_changes() AS n"), [])[0]?.["n"]);
  }

  #open(): void {
    this.#wroteIn = this.#port.turn();
    if (this.#isOpen) return;
    this.#database.exec("BEGIN");
    this.#isOpen = true;
    this.#port.changed();
  }

  #prepare(query: string): Prepared {
    const known = this.#prepared.get(query);
    if (known) return known;
    const statement = this.#database.prepare(query);
    statement.setReadBigInts(true);
    const isRead =
      READS.test(query) || (PRAGMA.test(query) && !query.includes("defer_foreign_keys"));
    const prepared = { statement, isRead };
    this.#prepared.set(query, prepared);
    return prepared;
  }

  #run<Row extends SqlRow>({ statement }: Prepared, bindings: readonly SqlValue[]): Row[] {
    const rows = statement.all(...bindings.map(toSql)) as Record<string, unknown>[];
    for (const row of rows) {
      for (const name in row) {
        const value = row[name];
        if (typeof value === "bigint") row[name] = Number(value);
        else if (value instanceof Uint8Array) row[name] = value.slice().buffer;
      }
    }
    return rows as Row[];
  }
}

function cursor<Row extends SqlRow>(rows: Row[], rowsWritten: number): SqlCursor<Row> {
  const iterator = rows[Symbol.iterator]();
  return { toArray: () => [...iterator], rowsWritten, [Symbol.iterator]: () => iterator };
}

function toSql(value: SqlValue): SQLInputValue {
  return value instanceof ArrayBuffer ? new Uint8Array(value) : value;
}

function refuseQuery(query: string, parameters: number): void {
  if (DENIED.test(query)) throw new Error(`not authorized: ${query.slice(0, 60)}`);
  const pragma = PRAGMA.exec(query)?.[1];
  if (pragma !== undefined && !PRAGMAS.has(pragma.toLowerCase()))
    throw new Error(`not authorized: PRAGMA ${pragma}`);
  if (/^\s*create\s+temp/i.test(query)) throw new Error("not authorized: TEMP");
  if (parameters > PARAMETERS_MAX) throw new Error("too many SQL variables");
  if (query.length > SQL_LENGTH_MAX) throw new Error("statement too long");
  if (query.split(/\bUNION\b/).length > COMPOUND_TERMS_MAX)
    throw new Error("too many terms in compound SELECT");
}
