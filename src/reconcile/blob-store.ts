/**
 * Contents of manifests by their hash, in the coordinator's SQLite: after a restart ten thousand
 * files are not fetched again.
 */
import type { BlobCache } from "../github/find-manifests.ts";

const SCHEMA = `CREATE TABLE IF NOT EXISTS manifestBlobs (blobSha TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID`;

export class BlobStore implements BlobCache {
  readonly #sql: SqlStorage;
  #used = new Set<string>();

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    sql.exec(SCHEMA);
  }

  get(blobSha: string): Uint8Array | null {
    this.#used.add(blobSha);
    const row = this.#sql
      .exec<{ body: ArrayBuffer }>("SELECT body FROM manifestBlobs WHERE blobSha = ?", blobSha)
      .toArray()[0];
    return row ? new Uint8Array(row.body) : null;
  }

  set(blobSha: string, bytes: Uint8Array): void {
    this.#used.add(blobSha);
    this.#sql.exec("INSERT OR IGNORE INTO manifestBlobs VALUES (?, ?)", blobSha, bytes);
  }

  /** Drops what was not asked for since the last call: call when a whole set was read. */
  dropUnused(): void {
    this.#sql.exec(
      "DELETE FROM manifestBlobs WHERE blobSha NOT IN (SELECT value FROM json_each(?))",
      JSON.stringify([...this.#used]),
    );
    this.#used = new Set();
  }
}
