/**
 * Keeps what is known of every registry that is or was sharded, in the coordinator's SQLite, one
 * row a namespace for all environments: the highest epoch and its members. It outlives a root that
 * loses its storage. Written when an epoch is new, and when a namespace was repaired.
 */
import type { SeenRegistries } from "../live/watch-registries.ts";
import { SEEN_MEMBERS_MAX, type SeenRegistry } from "../model/disorder.ts";
import type { NamespaceRef } from "../model/live.ts";
import type { RepairOutcome } from "../model/repair.ts";

const SCHEMA = `
  CREATE TABLE registries (object TEXT, name TEXT, epoch INTEGER NOT NULL, members TEXT NOT NULL, at INTEGER NOT NULL,
    repairs INTEGER NOT NULL, repair TEXT, PRIMARY KEY (object, name)) WITHOUT ROWID;
`;
/**
 * The registries that reconciliation believed in before there was this table. Their members were
 * not kept.
 */
const SEED = `
  INSERT OR IGNORE INTO registries SELECT object, name, max(json_extract(body, '$.registry.epoch')), '[]', 0, 0, NULL
    FROM reconciledNames WHERE json_extract(body, '$.registry.epoch') > 0 GROUP BY object, name
`;
/** Objects that were only ever asked: earlier versions noted them, too. */
const FORGET_NOTHING = "DELETE FROM registries WHERE epoch = 0 AND repairs = 0";

/** One registry by name, for those that compare many. */
export type NamedRegistry = NamespaceRef & Pick<SeenRegistry, "epoch" | "at">;

/** A repair, and what tells it from another of the same plan. */
export interface AppliedRepair {
  readonly id: string;
  readonly outcome: RepairOutcome;
}

/** The calls about registries as earlier looks have seen them. */
export interface RegistryCalls {
  /** All that were ever sharded: a root that knows less has lost its own. */
  list(): readonly NamedRegistry[];
  /** Null when it was never seen. */
  read(ref: NamespaceRef): SeenRegistry | null;
  /** The outcome of the newest repair of the namespace, if it was the one of this fingerprint. */
  findRepair(ref: NamespaceRef, fingerprint: string): RepairOutcome | null;
}

/** The call that tells of a repair. */
export interface RepairNotes {
  /** A repair was applied: for the history, and what it has left is believed from now on. */
  noteRepair(ref: NamespaceRef, repair: AppliedRepair, by: string): void;
}

interface Row extends Record<string, SqlStorageValue> {
  readonly epoch: number;
  readonly members: string;
  readonly at: number;
  readonly repairs: number;
}

export class RegistriesStore implements SeenRegistries, RegistryCalls {
  readonly #sql: SqlStorage;

  /** Call after the tables of reconciliation are there. */
  constructor(sql: SqlStorage) {
    this.#sql = sql;
    if (
      sql.exec("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'registries'").toArray()
        .length > 0
    ) {
      sql.exec(FORGET_NOTHING);
      return;
    }
    sql.exec(SCHEMA);
    sql.exec(SEED);
  }

  read({ object, name }: NamespaceRef): SeenRegistry | null {
    const row = this.#sql
      .exec<Row>(
        "SELECT epoch, members, at, repairs FROM registries WHERE object = ? AND name = ?",
        object,
        name,
      )
      .toArray()[0];
    return row ? { ...row, members: JSON.parse(row.members) as string[] } : null;
  }

  note(
    ref: NamespaceRef,
    { epoch, members, at }: Pick<SeenRegistry, "epoch" | "members" | "at">,
  ): void {
    const known = this.read(ref);
    // Nobody has sharded it: there is no registry that could be lost.
    if (known === null && epoch === 0) return;
    // Members change with the epoch; of one that was taken over from before there are none yet.
    if (
      known !== null &&
      (known.epoch > epoch || (known.epoch === epoch && known.members.length > 0))
    )
      return;
    this.#sql.exec(
      `INSERT INTO registries VALUES (?, ?, ?, ?, ?, 0, NULL)
        ON CONFLICT (object, name) DO UPDATE SET epoch = excluded.epoch, members = excluded.members, at = excluded.at`,
      ref.object,
      ref.name,
      epoch,
      JSON.stringify(members.slice(0, SEEN_MEMBERS_MAX)),
      at,
    );
  }

  /**
   * A repair was applied: what it has left is believed, whatever was seen before. Its members are
   * asked by the next one, too. False when the same repair was noted before.
   */
  noteRepair({ object, name }: NamespaceRef, applied: AppliedRepair, at: number): boolean {
    if (this.#newestRepair({ object, name })?.id === applied.id) return false;
    this.#sql.exec(
      `INSERT INTO registries VALUES (?, ?, 0, '[]', ?, 1, ?)
        ON CONFLICT (object, name) DO UPDATE SET epoch = 0, at = excluded.at, repairs = repairs + 1, repair = excluded.repair`,
      object,
      name,
      at,
      JSON.stringify(applied),
    );
    return true;
  }

  /** Compares nothing with it any longer, and has its members asked no more. */
  forget({ object, name }: NamespaceRef): void {
    this.#sql.exec("DELETE FROM registries WHERE object = ? AND name = ?", object, name);
  }

  findRepair(ref: NamespaceRef, fingerprint: string): RepairOutcome | null {
    const outcome = this.#newestRepair(ref)?.outcome ?? null;
    return outcome?.fingerprint === fingerprint ? outcome : null;
  }

  list(): NamedRegistry[] {
    return this.#sql
      .exec<Record<"object" | "name", string> & Record<"epoch" | "at", number>>(
        "SELECT object, name, epoch, at FROM registries WHERE epoch > 0",
      )
      .toArray();
  }

  #newestRepair({ object, name }: NamespaceRef): AppliedRepair | null {
    const row = this.#sql
      .exec<{ repair: string | null }>(
        "SELECT repair FROM registries WHERE object = ? AND name = ?",
        object,
        name,
      )
      .toArray()[0];
    return row?.repair ? (JSON.parse(row.repair) as AppliedRepair) : null;
  }
}
