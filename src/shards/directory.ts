/**
 * The directory of a roundRobin namespace: which member has the row with an id.
 *
 * Spread over the same members by slot of the id, so that `get(id)` takes two hops at most. An owner is dealt once, in turn, at the first
 * write; two racing first writes meet at the directory's member and get the same owner.
 */
import { directoryMember } from "../core/layout.ts";
import type { Membership } from "./membership.ts";
import { RefusedError } from "./refused-error.ts";
import { ensureSchema, hasSchema, readMeta, writeMeta } from "./schema.ts";
import type { Sql } from "./storage.ts";

export interface LocateReply {
  /** Null when the id is not known and `deal` was false. */
  readonly owner: string | null;
}

export class Directory {
  readonly #sql: Sql;
  readonly #self: string;

  constructor(sql: Sql, self: string) {
    this.#sql = sql;
    this.#self = self;
  }

  /** Where the row is; with `deal`, gives an unknown id its owner. One turn: nothing can come between. */
  locate({ layout }: Membership, table: string, id: string, deal: boolean): LocateReply {
    if (layout.kind !== "roundRobin" || directoryMember(layout, id) !== this.#self) {
      throw new RefusedError({ kind: "notOwner", message: `${this.#self} does not hold the directory entry`, retryable: true });
    }
    const known = hasSchema(this.#sql)
      ? this.#sql.first<{ owner: string }>("SELECT owner FROM shardctl_directory WHERE table_name = ? AND id = ?", table, id)
      : undefined;
    if (known || !deal) return { owner: known?.owner ?? null };
    return { owner: this.#deal(layout.members, table, id) };
  }

  #deal(members: readonly string[], table: string, id: string): string {
    ensureSchema(this.#sql);
    return this.#sql.transaction(() => {
      // Each directory member deals in its own turn, starting at itself, so that together they are even.
      const turn = readMeta<number>(this.#sql, "directoryTurn") ?? members.indexOf(this.#self);
      const owner = members[turn % members.length] ?? this.#self;
      this.#sql.run("INSERT INTO shardctl_directory (table_name, id, owner) VALUES (?, ?, ?)", table, id, owner);
      writeMeta(this.#sql, "directoryTurn", turn + 1);
      return owner;
    });
  }
}
