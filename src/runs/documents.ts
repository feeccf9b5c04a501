/**
 * Keeps bodies of any size in parts: a row is at most 2 MB, and a plan of thousands of namespaces
 * is more.
 */

const PART_BYTES_MAX = 1024 * 1024;

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS documents (kind TEXT, id TEXT, part INTEGER, body BLOB NOT NULL, PRIMARY KEY (kind, id, part)) WITHOUT ROWID;
`;

/** All methods are synchronous: the caller decides what is one transaction. */
export class Documents {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    sql.exec(SCHEMA);
  }

  put(kind: string, id: string, body: Uint8Array): void {
    this.delete(kind, id);
    for (let part = 0; part * PART_BYTES_MAX < body.length; part++) {
      const bytes = body.slice(part * PART_BYTES_MAX, (part + 1) * PART_BYTES_MAX);
      this.#sql.exec("INSERT INTO documents VALUES (?, ?, ?, ?)", kind, id, part, bytes);
    }
  }

  /** Null when there is none. */
  get(kind: string, id: string): Uint8Array | null {
    const parts = this.#sql
      .exec<{ body: ArrayBuffer }>(
        "SELECT body FROM documents WHERE kind = ? AND id = ? ORDER BY part",
        kind,
        id,
      )
      .toArray();
    if (parts.length === 0) return null;
    const body = new Uint8Array(parts.reduce((total, part) => total + part.body.byteLength, 0));
    let at = 0;
    for (const part of parts) {
      body.set(new Uint8Array(part.body), at);
      at += part.body.byteLength;
    }
    return body;
  }

  delete(kind: string, id: string): void {
    this.#sql.exec("DELETE FROM documents WHERE kind = ? AND id = ?", kind, id);
  }
}

export function haveSameBytes(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && left.every((byte, index) => byte === right[index]);
}
