/**
 * Stores how namespaces were last seen live, in the coordinator's SQLite, for the status page to
 * show without asking them. One row a namespace; the members are kept apart, because a list of
 * namespaces does not need them. All methods are synchronous.
 */
import type { LiveNamespace, NamespaceRef } from "../model/live.ts";
import type { MemberView, Sight } from "./page-data.ts";
import { listMembers, makeSight } from "./sight.ts";

/** Namespaces that are remembered: as many as one environment may have. */
export const SIGHTS_MAX = 50_000;

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS sights (object TEXT, name TEXT, askedAt INTEGER NOT NULL, sight TEXT, members TEXT, problem TEXT,
    PRIMARY KEY (object, name)) WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS sightsByTime ON sights (askedAt);
`;

/** A namespace's answer when it was asked for the page. */
export type Looked = NamespaceRef &
  (
    | { readonly live: LiveNamespace; readonly problem: null }
    | { readonly live: null; readonly problem: string }
  );

export interface StoredSight {
  /** Milliseconds since the Unix epoch; 0 when it is to be asked again. */
  readonly askedAt: number;
  readonly sight: Sight | null;
  readonly problem: string | null;
}

export class SightsStore {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    sql.exec(SCHEMA);
  }

  /** Keeps an answer. One that failed leaves what was seen before, and says why. */
  put(looked: Looked, now: number): void {
    const { object, name, live, problem } = looked;
    if (live === null) {
      this.#sql.exec(
        `INSERT INTO sights VALUES (?, ?, ?, NULL, NULL, ?)
          ON CONFLICT (object, name) DO UPDATE SET askedAt = excluded.askedAt, problem = excluded.problem`,
        object,
        name,
        now,
        problem,
      );
    } else {
      this.#sql.exec(
        `INSERT INTO sights VALUES (?, ?, ?, ?, ?, NULL) ON CONFLICT (object, name) DO UPDATE SET
          askedAt = excluded.askedAt, sight = excluded.sight, members = excluded.members, problem = NULL`,
        object,
        name,
        now,
        JSON.stringify(makeSight(live, now)),
        JSON.stringify(listMembers(live.members)),
      );
    }
    this.#forgetOldest();
  }

  /** Has the namespace asked again when it is next shown. */
  expire({ object, name }: NamespaceRef): void {
    this.#sql.exec("UPDATE sights SET askedAt = 0 WHERE object = ? AND name = ?", object, name);
  }

  forget({ object, name }: NamespaceRef): void {
    this.#sql.exec("DELETE FROM sights WHERE object = ? AND name = ?", object, name);
  }

  get({ object, name }: NamespaceRef): StoredSight | null {
    const row = this.#sql
      .exec<SightRow>(
        "SELECT askedAt, sight, problem FROM sights WHERE object = ? AND name = ?",
        object,
        name,
      )
      .toArray()[0];
    if (!row) return null;
    return {
      askedAt: row.askedAt,
      sight: row.sight === null ? null : (JSON.parse(row.sight) as Sight),
      problem: row.problem,
    };
  }

  members({ object, name }: NamespaceRef): MemberView[] {
    const row = this.#sql
      .exec<{ members: string | null }>(
        "SELECT members FROM sights WHERE object = ? AND name = ?",
        object,
        name,
      )
      .toArray()[0];
    return row?.members ? (JSON.parse(row.members) as MemberView[]) : [];
  }

  #forgetOldest(): void {
    this.#sql.exec(
      "DELETE FROM sights WHERE askedAt < (SELECT askedAt FROM sights ORDER BY askedAt DESC LIMIT 1 OFFSET ?)",
      SIGHTS_MAX,
    );
  }
}

interface SightRow extends Record<string, SqlStorageValue> {
  readonly askedAt: number;
  readonly sight: string | null;
  readonly problem: string | null;
}
