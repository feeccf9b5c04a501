/**
 * Things that may happen once, in the coordinator's SQLite: a delivery of a webhook, a token of a
 * workflow that changes something. Remembered until they expire by themselves; bounded, and when
 * full it says no rather than forget what has not expired.
 */
export const ONCE_MAX = 100_000;

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS once (kind TEXT, id TEXT, claim TEXT NOT NULL, expiresAt INTEGER NOT NULL, PRIMARY KEY (kind, id)) WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS onceByTime ON once (expiresAt);
`;

export class OnceStore {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    sql.exec(SCHEMA);
  }

  /** True for the claim that came first, however often it comes. */
  claim(
    kind: "delivery" | "token",
    id: string,
    claim: string,
    expiresAt: number,
    now: number,
  ): boolean {
    this.#sql.exec("DELETE FROM once WHERE expiresAt <= ?", now);
    const { known } = this.#sql.exec<{ known: number }>("SELECT count(*) AS known FROM once").one();
    if (known < ONCE_MAX)
      this.#sql.exec("INSERT OR IGNORE INTO once VALUES (?, ?, ?, ?)", kind, id, claim, expiresAt);
    const row = this.#sql
      .exec<{ claim: string }>("SELECT claim FROM once WHERE kind = ? AND id = ?", kind, id)
      .toArray()[0];
    return row?.claim === claim;
  }
}
