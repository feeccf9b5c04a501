/**
 * Stores the last post of each open pull request in the coordinator's SQLite, so that unchanged
 * content is not posted again.
 */
export const PULLS_MAX = 5000;

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS pulls (number INTEGER PRIMARY KEY, headSha TEXT NOT NULL, posted TEXT, plannedAt INTEGER NOT NULL);
`;

export interface PostedPull {
  readonly number: number;
  readonly headSha: string;
  /** Digest of what was posted; null for a pull request that touches no manifest. */
  readonly posted: string | null;
  /** Milliseconds since the Unix epoch. */
  readonly plannedAt: number;
}

export class PullsStore {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    sql.exec(SCHEMA);
  }

  get(number: number): PostedPull | null {
    return this.#read("WHERE number = ?", number)[0] ?? null;
  }

  put({ number, headSha, posted, plannedAt }: PostedPull): void {
    this.#sql.exec(
      "INSERT OR REPLACE INTO pulls VALUES (?, ?, ?, ?)",
      number,
      headSha,
      posted,
      plannedAt,
    );
    // The newest pull requests matter most; a forgotten one is found again by the next scan.
    this.#sql.exec(
      "DELETE FROM pulls WHERE number NOT IN (SELECT number FROM pulls ORDER BY number DESC LIMIT ?)",
      PULLS_MAX,
    );
  }

  forget(number: number): void {
    this.#sql.exec("DELETE FROM pulls WHERE number = ?", number);
  }

  /** By number. */
  list(): PostedPull[] {
    return this.#read("ORDER BY number");
  }

  #read(condition: string, ...bindings: SqlStorageValue[]): PostedPull[] {
    return this.#sql
      .exec<{ number: number; headSha: string; posted: string | null; plannedAt: number }>(
        `SELECT number, headSha, posted, plannedAt FROM pulls ${condition}`,
        ...bindings,
      )
      .toArray();
  }
}
