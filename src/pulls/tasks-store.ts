/**
 * Work that the coordinator does outside of requests, in its SQLite: what to do, when, and how
 * often it has failed. A task has a key, so that asking for the same work twice is asking once;
 * asked for again while it is done, it is done once more.
 */

/**
 * Above this, new tasks are refused: a flood of webhooks must not fill the storage. The next scan
 * finds what was missed.
 */
export const TASKS_MAX = 5000;

const RETRY_FIRST_MS = 5_000;
const RETRY_LONGEST_MS = 60 * 60 * 1000;
/**
 * Nothing is put off for longer, by us or by GitHub's limits: what is further away was written by a
 * clock that was wrong.
 */
export const DELAY_LONGEST_MS = 2 * RETRY_LONGEST_MS;

/** With the delays above: more than a day. */
const RETRIES_MAX = 40;

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS tasks (key TEXT PRIMARY KEY, body TEXT NOT NULL, dueAt INTEGER NOT NULL, failures INTEGER NOT NULL,
    version INTEGER NOT NULL) WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS tasksByTime ON tasks (dueAt);
  CREATE TABLE IF NOT EXISTS taskAttempts (key TEXT PRIMARY KEY, begun INTEGER NOT NULL) WITHOUT ROWID;
`;

export interface StoredTask<Body> {
  readonly key: string;
  readonly body: Body;
  readonly failures: number;
  readonly version: number;
}

/** @template Body what is to be done, JSON-safe. */
export class TasksStore<Body> {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    sql.exec(SCHEMA);
  }

  /** Asks for work. False when there is too much of it already. */
  put(key: string, body: Body, dueAt: number): boolean {
    const { tasks, known } = this.#sql
      .exec<{ tasks: number; known: number }>(
        "SELECT count(*) AS tasks, coalesce(sum(key = ?), 0) AS known FROM tasks",
        key,
      )
      .one();
    if (tasks >= TASKS_MAX && known === 0) return false;
    this.#sql.exec(
      `INSERT INTO tasks VALUES (?, ?, ?, 0, 1) ON CONFLICT (key) DO UPDATE SET body = excluded.body,
         dueAt = min(dueAt, excluded.dueAt), version = version + 1`,
      key,
      JSON.stringify(body),
      dueAt,
    );
    return true;
  }

  /** Returns the tasks that are due, longest first. */
  due(now: number, limit: number): StoredTask<Body>[] {
    return this.#sql
      .exec<Record<"key" | "body", string> & Record<"failures" | "version", number>>(
        "SELECT key, body, failures, version FROM tasks WHERE dueAt <= ? OR dueAt > ? ORDER BY dueAt, key LIMIT ?",
        now,
        now + DELAY_LONGEST_MS,
        limit,
      )
      .toArray()
      .map((row) => ({ ...row, body: JSON.parse(row.body) as Body }));
  }

  /**
   * Counts an attempt before it is made. Returns how many attempts before it have ended without an
   * answer, so that `answered` was never said of them.
   */
  begin({ key }: StoredTask<Body>): number {
    const { begun } = this.#sql
      .exec<{ begun: number }>(
        `INSERT INTO taskAttempts VALUES (?, 1) ON CONFLICT (key) DO UPDATE SET begun = begun + 1
           RETURNING begun`,
        key,
      )
      .one();
    return begun - 1;
  }

  /** The attempt has ended with an answer, good or bad: those before it no longer count. */
  answered({ key }: StoredTask<Body>): void {
    this.#sql.exec("DELETE FROM taskAttempts WHERE key = ?", key);
  }

  /** Null when nothing is to be done. */
  nextDueAt(): number | null {
    return this.#sql.exec<{ dueAt: number | null }>("SELECT min(dueAt) AS dueAt FROM tasks").one()
      .dueAt;
  }

  clear(): void {
    this.#sql.exec("DELETE FROM tasks");
    this.#sql.exec("DELETE FROM taskAttempts");
  }

  /** It is done, unless it was asked for again meanwhile: then it is due at once. */
  complete({ key, version }: StoredTask<Body>, now: number): void {
    this.#sql.exec("DELETE FROM tasks WHERE key = ? AND version = ?", key, version);
    this.#sql.exec("UPDATE tasks SET dueAt = ?, failures = 0 WHERE key = ?", now, key);
  }

  /**
   * It failed: again later, at the earliest at `retryAt` if that is given; false when it has failed
   * too often and is given up.
   */
  postpone(
    { key, failures, version }: StoredTask<Body>,
    retryAt: number | null,
    now: number,
  ): boolean {
    if (failures >= RETRIES_MAX) {
      this.#sql.exec("DELETE FROM tasks WHERE key = ? AND version = ?", key, version);
      return false;
    }
    const delayMs = Math.min(RETRY_LONGEST_MS, RETRY_FIRST_MS * 2 ** failures);
    this.#sql.exec(
      "UPDATE tasks SET dueAt = ?, failures = ? WHERE key = ?",
      Math.max(now + delayMs, retryAt ?? 0),
      failures + 1,
      key,
    );
    return true;
  }
}
