/**
 * The runtime as the library needs it: SQLite, alarms and a clock. A Durable Object's
 * `ctx.storage` has this shape; the simulator brings its own. Nothing else in this folder touches
 * the platform.
 */
import { CAPTURE_PREFIX } from "./private-names.ts";

/**
 * A value that goes into or comes out of SQLite through JavaScript. Row contents never do, except
 * large text and blobs, byte for byte.
 */
export type SqlValue = string | number | null | ArrayBuffer;
export type SqlRow = Record<string, SqlValue>;

export interface SqlCursor<Row extends SqlRow> extends Iterable<Row> {
  toArray(): Row[];
  readonly rowsWritten: number;
}

export interface HostStorage {
  readonly sql: {
    exec<Row extends SqlRow>(query: string, ...bindings: SqlValue[]): SqlCursor<Row>;
    /** Bytes that the database takes, free pages left out; known without reading it. */
    readonly databaseSize?: number;
  };
  transactionSync<Value>(closure: () => Value): Value;
  getAlarm(options?: AlarmOptions): Promise<number | null>;
  setAlarm(scheduledTimeMs: number, options?: AlarmOptions): Promise<void>;
}

/** The runtime's options of an alarm, handed through as they are. */
export interface AlarmOptions {
  readonly allowConcurrency?: boolean;
  readonly allowUnconfirmed?: boolean;
}

/** Time and hashing, passed in so that a simulation replays exactly. */
export interface Runtime {
  /** Milliseconds since the Unix epoch. */
  now(): number;
  /**
   * Resolves after the delay, or at once when the signal aborts: a timer that nobody needs any
   * more.
   */
  readonly sleep: Sleep;
  /** SHA-256 of the bytes, or of the text's UTF-8 bytes, as hex. */
  digest(content: string | ArrayBuffer): Promise<string>;
}

export type Sleep = (delayMs: number, signal?: AbortSignal) => Promise<void>;

/**
 * Runs `work` while the object delivers nothing else: no message, timer, alarm or answer. Inside,
 * it may wait for nothing but the `sleep` that it is given. An object in which it throws begins
 * anew.
 */
export type RunAlone = <Value>(work: (sleep: Sleep) => Promise<Value>) => Promise<Value>;

/** Triggers are lifted and put back all the time: only those of a capture count, by their names. */
const DEFINITIONS = `SELECT coalesce(group_concat(CASE type WHEN 'trigger' THEN
    iif(substr(name, 1, ${CAPTURE_PREFIX.length}) = '${CAPTURE_PREFIX}', name || ' ' || tbl_name, NULL)
  ELSE coalesce(sql, name) END), '') AS text FROM sqlite_master`;
const CHANGES_DEFINITIONS = /^\s*(?:CREATE|DROP|ALTER)\b/i;

/** Thin reading helpers over `sql.exec`, so that every statement of the library reads the same. */
export class Sql {
  readonly #storage: HostStorage;
  #definitions = "";
  /** Readings taken from those definitions. */
  readonly #readings = new Map<string, unknown>();
  #isOneTurn = false;
  /** True while nobody can have changed the definitions since they were read. */
  #areRead = false;

  constructor(storage: HostStorage) {
    this.#storage = storage;
  }

  /** Bytes that the database takes; undefined where the storage does not say. */
  get databaseSize(): number | undefined {
    return this.#storage.sql.databaseSize;
  }

  run(query: string, ...bindings: SqlValue[]): SqlCursor<SqlRow> {
    if (this.#areRead && CHANGES_DEFINITIONS.test(query)) this.#areRead = false;
    return this.#storage.sql.exec<SqlRow>(query, ...bindings);
  }

  rows<Row extends SqlRow>(query: string, ...bindings: SqlValue[]): Row[] {
    return this.#storage.sql.exec<Row>(query, ...bindings).toArray();
  }

  first<Row extends SqlRow>(query: string, ...bindings: SqlValue[]): Row | undefined {
    return this.rows<Row>(query, ...bindings)[0];
  }

  /** The rows one by one. The cursor must be used up, or dropped, before the next `await`. */
  stream<Row extends SqlRow>(query: string, ...bindings: SqlValue[]): Iterable<Row> {
    return this.#storage.sql.exec<Row>(query, ...bindings);
  }

  /**
   * Runs the engine's own synchronous work, in which no code of the user can change a definition:
   * they are read once. Nests. Ends with the first `await`.
   */
  inOneTurn<Value>(work: () => Value): Value {
    if (this.#isOneTurn) return work();
    this.#isOneTurn = true;
    try {
      return work();
    } finally {
      this.#isOneTurn = false;
      this.#areRead = false;
    }
  }

  /**
   * Returns what `read` finds in the definitions of tables and indexes, in the names of the capture
   * triggers, and in nothing else. Calls it again only when one of them has changed since, by
   * whomever. `what` names the reading.
   */
  fromDefinitions<Value>(what: string, read: () => Value): Value {
    if (!this.#areRead) {
      const definitions = textOf(this.first(DEFINITIONS)?.["text"]);
      if (definitions !== this.#definitions) {
        this.#readings.clear();
        this.#definitions = definitions;
      }
      this.#areRead = this.#isOneTurn;
    }
    if (!this.#readings.has(what)) this.#readings.set(what, read());
    return this.#readings.get(what) as Value;
  }

  /** All or nothing: a throw rolls back. Nests. */
  transaction<Value>(closure: () => Value): Value {
    try {
      return this.#storage.transactionSync(closure);
    } catch (error) {
      this.#areRead = false;
      throw error;
    }
  }

  /** Runs work whose changes are all rolled back. Gives what it has found. */
  rolledBack<Value>(work: () => Value): Value {
    let found: { readonly value: Value } | undefined;
    const rollBack = new Error("rolled back");
    try {
      this.transaction(() => {
        found = { value: work() };
        throw rollBack;
      });
    } catch (error) {
      if (error === rollBack && found) return found.value;
      throw error;
    }
    throw rollBack;
  }
}

/** A value that the query makes a text. @throws Error when it is not one: a broken invariant. */
export function textOf(value: SqlValue | undefined): string {
  if (typeof value === "string") return value;
  throw new Error(`Expected a text from SQL, got ${value === null ? "NULL" : typeof value}`);
}

/** `UNION ALL` of any number of SELECTs: the runtime takes five terms at a time. */
export function unionAll(selects: readonly string[]): string {
  if (selects.length <= UNION_TERMS_MAX) return selects.join(" UNION ALL ");
  const size = Math.ceil(selects.length / UNION_TERMS_MAX);
  const groups = Array.from({ length: Math.ceil(selects.length / size) }, (_, index) =>
    selects.slice(index * size, (index + 1) * size),
  );
  return unionAll(groups.map((group) => `SELECT * FROM (${unionAll(group)})`));
}

const UNION_TERMS_MAX = 5;

/** A name as an SQL identifier. */
export function quoteName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** A text as an SQL literal. Only for texts that code chose; values are bound. */
export function quoteText(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}
