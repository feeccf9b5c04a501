/**
 * The user's alarm in the Worker of the crash runs: it writes to the object's own tables and asks
 * nobody. It writes to declared tables, and to one that is not declared and points at one that is.
 * Each write and its entry in the log are one transaction.
 *
 * A mark stands for a moment only: an operation refuses to part a row from an undeclared one that
 * points at it.
 */
import { COUNTED_IDS, DOOMED_IDS } from "./accounts.ts";
import type { AlarmEvent } from "./alarm-log.ts";

/** Refusals of the engine, and of a foreign key. */
const REFUSALS = /FOREIGN KEY constraint failed|shardctl: /;
const MARK_MS_MAX = 3;
/** One alarm in so many deletes an account. */
const ALARMS_PER_DELETION = 20;
const NOBODY = "99999-nobody-0";

export const ALARM_TABLES = `
  CREATE TABLE IF NOT EXISTS marks (account TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE);
  CREATE INDEX IF NOT EXISTS marks_by_account ON marks (account);
  CREATE TABLE IF NOT EXISTS alarm_log (event TEXT NOT NULL, id TEXT NOT NULL, times INTEGER NOT NULL, PRIMARY KEY (event, id)) WITHOUT ROWID;
`;

export class AlarmWork {
  readonly #storage: DurableObjectStorage;
  readonly #sql: SqlStorage;
  readonly #countUp: (id: string) => void;

  /** `countUp` counts up an account that is here. */
  constructor(storage: DurableObjectStorage, countUp: (id: string) => void) {
    this.#storage = storage;
    this.#sql = storage.sql;
    this.#countUp = countUp;
  }

  /** Once through all that an alarm writes. False when this object has none of the rows. */
  async run(): Promise<boolean> {
    // Of an alarm that was killed.
    this.#sql.exec("DELETE FROM marks");
    const counted = this.#pick(COUNTED_IDS);
    const doomed = Math.random() * ALARMS_PER_DELETION < 1 ? this.#pick(DOOMED_IDS) : undefined;
    if (counted !== undefined) this.#write("counted", counted, () => this.#countUp(counted));
    this.#storeOrphan("marks", "INSERT INTO marks (account) VALUES (?)");
    this.#storeOrphan("notes", "INSERT INTO notes (account, serial) VALUES (?, 1)");
    const marked = doomed ?? counted;
    if (marked === undefined) return false;
    this.#write("marked", marked, () =>
      this.#sql.exec("INSERT INTO marks (account) VALUES (?)", marked),
    );
    await new Promise((resolve) => setTimeout(resolve, Math.random() * MARK_MS_MAX));
    if (doomed !== undefined) this.#delete(doomed);
    this.#sql.exec("DELETE FROM marks");
    return true;
  }

  #delete(id: string): void {
    this.#write("deleted", id, () => {
      const isGone =
        this.#sql.exec("DELETE FROM accounts WHERE id = ? RETURNING id", id).toArray().length > 0;
      // It has left, or an alarm before a crash was the one: nothing was deleted here.
      if (!isGone) return false;
      const pointing =
        "SELECT (SELECT count(*) FROM marks WHERE account = ?1) + (SELECT count(*) FROM notes WHERE account = ?1) AS n";
      const left = this.#sql.exec<{ n: number }>(pointing, id).one().n;
      if (left > 0) this.#log("left", id, left);
      return true;
    });
  }

  #storeOrphan(table: string, statement: string): void {
    this.#write("orphan", table, () => this.#sql.exec(statement, NOBODY));
  }

  /** One transaction with its entry. A refusal takes both back, and is an entry of its own. */
  #write(event: AlarmEvent, id: string, change: () => unknown): void {
    try {
      this.#storage.transactionSync(() => {
        if (change() !== false) this.#log(event, id);
      });
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      if (!REFUSALS.test(message)) this.#log("failed", `${event} ${id}: ${message}`);
      else if (event === "orphan") this.#log("orphanRefused", id);
      else this.#log("refused", event);
    }
  }

  #log(event: AlarmEvent, id: string, times = 1): void {
    this.#sql.exec(
      "INSERT INTO alarm_log (event, id, times) VALUES (?1, ?2, ?3) ON CONFLICT (event, id) DO UPDATE SET times = times + ?3",
      event,
      id,
      times,
    );
  }

  #pick(ids: readonly string[]): string | undefined {
    const here =
      "SELECT id FROM accounts WHERE id IN (SELECT value FROM json_each(?)) ORDER BY random() LIMIT 1";
    return this.#sql.exec<{ id: string }>(here, JSON.stringify(ids)).toArray()[0]?.id;
  }
}
