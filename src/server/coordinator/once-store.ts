/**
 * Things that may happen once, in the coordinator's SQLite: a delivery of a webhook, a token of a
 * workflow that changes something. Remembered until they expire by themselves; each kind is
 * bounded by itself, and when full it says no rather than forget what has not expired.
 */
export const ONCE_MAX = 100_000;

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS once (kind TEXT, id TEXT, claim TEXT NOT NULL, expiresAt INTEGER NOT NULL, PRIMARY KEY (kind, id)) WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS onceByTime ON once (expiresAt);
`;

/** GitHub sends a delivery again for at most three days. */
const DELIVERY_MEMORY_MS = 4 * 24 * 60 * 60 * 1000;

/** Something that may happen once, and the claim of who does it. */
export interface Claim {
  readonly kind: "delivery" | "token";
  readonly id: string;
  readonly claim: string;
  /** Milliseconds since the Unix epoch; after that it is forgotten. */
  readonly expiresAt: number;
}

/** The calls about what may happen once. */
export interface OnceCalls {
  /** True the first time that a workflow's token changes something, and for that claim again. */
  claimToken(id: string, claim: string, expiresAt: number): boolean;
}

export class OnceStore implements OnceCalls {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    sql.exec(SCHEMA);
  }

  claimToken(id: string, claim: string, expiresAt: number): boolean {
    return this.claim({ kind: "token", id, claim, expiresAt }, Date.now());
  }

  /**
   * True the first time that a webhook's delivery is claimed.
   *
   * @param id of what GitHub has signed: nobody else can give the same delivery another one.
   */
  claimDelivery(id: string, now: number): boolean {
    const expiresAt = now + DELIVERY_MEMORY_MS;
    return this.claim({ kind: "delivery", id, claim: crypto.randomUUID(), expiresAt }, now);
  }

  /** True for the claim that came first, however often it comes. */
  claim({ kind, id, claim, expiresAt }: Claim, now: number): boolean {
    this.#sql.exec("DELETE FROM once WHERE expiresAt <= ?", now);
    const { known } = this.#sql
      .exec<{ known: number }>("SELECT count(*) AS known FROM once WHERE kind = ?", kind)
      .one();
    if (known < ONCE_MAX)
      this.#sql.exec("INSERT OR IGNORE INTO once VALUES (?, ?, ?, ?)", kind, id, claim, expiresAt);
    const row = this.#sql
      .exec<{ claim: string }>("SELECT claim FROM once WHERE kind = ? AND id = ?", kind, id)
      .toArray()[0];
    return row?.claim === claim;
  }
}
