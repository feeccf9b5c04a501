/**
 * The directory: where the row with an id is, asked of the member that holds the id's slot, so that
 * `get(id)` takes two hops.
 *
 * | layout     | an entry says         | it is made                                                                     |
 * |------------|-----------------------|--------------------------------------------------------------------------------|
 * | roundRobin | the row's owner       | at the first write, which deals the owner in turn; it stays                    |
 * | others     | the row's shard key   | by a claim, before the row is stored; it goes once the row is seen to be gone  |
 *
 * Rule "claim-first": a row is stored only while its entry says its key. An entry is changed or
 * dropped only after the key's owner has said that it has no such row, and that no call of its own
 * may yet store one: see `claims.ts`. An entry without a row is no harm.
 *
 * Rule "entered-again": a directory that may lack entries answers for no id: see
 * `directory-suspicion.ts`.
 */
import type { Key } from "../../model/layout/key.ts";
import {
  type KeyedDirectoryLayout,
  directoryMember,
  hasKeyedDirectory,
} from "../../model/layout/directory.ts";
import type { RoundRobinLayout } from "../../model/layout/layout.ts";
import { type ProtocolFailure, refusal } from "../../model/wire/protocol-failure.ts";
import type { Admission } from "../member/admission.ts";
import type { Member } from "../member/member.ts";
import type { Claim, Message } from "../protocol/messages.ts";
import type { RowId } from "../protocol/terms.ts";
import type { EnterReply, LocateReply, ProbeReply, ReleaseReply } from "../protocol/replies.ts";
import { directoryText, keyOf } from "../move/move-plan.ts";
import { RefusedError, refused } from "../protocol/refused-error.ts";
import { ensureSchema, hasSchema, readMeta, writeMeta } from "../storage/schema.ts";
import type { Sql } from "../storage/storage.ts";
import { sameKey } from "../member/unique.ts";
import { suspicionOf } from "../member/directory-suspicion.ts";

/** Ids that a refusal names. */
const TAKEN_NAMED_MAX = 20;

/** An id, and its entry as it stands. */
interface Found<Row extends RowId = RowId> {
  readonly row: Row;
  readonly entry: string | undefined;
}

export class Directory {
  readonly #sql: Sql;
  readonly #member: Member;
  readonly #admission: Admission;
  /** Ids whose entry is being settled: no two calls may decide about one id at the same time. */
  readonly #settling = new Set<string>();

  constructor(member: Member, admission: Admission) {
    this.#sql = member.sql;
    this.#member = member;
    this.#admission = admission;
  }

  /**
   * Where the row is; with `deal`, gives an unknown id its owner (roundRobin). One turn: nothing
   * can come between.
   */
  locate(table: string, id: string, deal: boolean): LocateReply {
    const layout = this.#layoutOf([id]);
    this.#requireWhole();
    const known = this.#entry({ table, id });
    if (layout.kind !== "roundRobin")
      return { owner: null, key: known === undefined ? null : keyOf(known) };
    if (known !== undefined || !deal) return { owner: known ?? null, key: null };
    return { owner: this.#deal(layout.members, table, id), key: null };
  }

  /**
   * Enters the key of each id, unless a row of that id stands under another. @throws RefusedError:
   * nothing was entered.
   */
  async claim(epoch: number, claims: readonly Claim[]): Promise<void> {
    await this.#settle(epoch, claims, async (found) => {
      const layout = this.#keyedLayout();
      this.#requireWhole();
      const others = found.filter(
        ({ row, entry }) => entry !== undefined && !sameKey(layout, keyOf(entry), row.key),
      );
      const taken = await this.#probe(epoch, others);
      return () => {
        this.#requireWhole();
        const standing = others.filter((_, index) => taken[index] !== "absent");
        if (standing.some((_, index) => taken[index] === "busy"))
          throw retry("an id is just being stored under another shard key");
        if (standing.length > 0)
          throw new RefusedError(takenFailure(standing.map(({ row }) => row)));
        for (const claim of claims) this.#enter(claim, directoryText(claim.key));
      };
    });
  }

  /**
   * Enters ids again, of rows that stand on `owner`, and counts those that another member has a row
   * of: their entries stay. @throws RefusedError: nothing was entered.
   */
  async enter({ epoch, owner, claims }: Omit<Message<"enter">, "kind">): Promise<EnterReply> {
    const taken = new Set<Claim>();
    await this.#settle(epoch, claims, async (found) => {
      const { layout } = this.#member.membership;
      const isRoundRobin = layout.kind === "roundRobin";
      const isOf = (entry: string, key: Key): boolean =>
        isRoundRobin ? entry === owner : sameKey(layout, keyOf(entry), key);
      const others = found.filter(({ row, entry }) => entry !== undefined && !isOf(entry, row.key));
      // A member has one row of an id: the entry is of a key that the row has had before.
      const foreign = others.filter(({ entry }) => this.#ownerOf(entry ?? "") !== owner);
      const states = await this.#probe(epoch, foreign);
      if (states.includes("busy"))
        throw retry("an id is just being stored under another shard key");
      for (const [index, { row }] of foreign.entries())
        if (states[index] === "there") taken.add(row);
      const known = new Set(
        found
          .filter((each) => each.entry !== undefined && !others.includes(each))
          .map(({ row }) => row),
      );
      return () => {
        for (const claim of claims.filter((each) => !taken.has(each) && !known.has(each)))
          this.#enter(claim, isRoundRobin ? owner : directoryText(claim.key));
      };
    });
    return { taken: taken.size };
  }

  /**
   * Drops the entries of rows that are gone. Answers with those that need not be asked for again.
   */
  async release(epoch: number, rows: readonly RowId[]): Promise<ReleaseReply> {
    const settled: RowId[] = [];
    await this.#settle(epoch, rows, async (found) => {
      const known = found.filter(({ entry }) => entry !== undefined);
      const states = await this.#probe(epoch, known);
      return () => {
        const busy = new Set(
          known.filter((_, index) => states[index] === "busy").map(({ row }) => row),
        );
        settled.push(...rows.filter((row) => !busy.has(row)));
        for (const [index, { row }] of known.entries()) {
          if (states[index] !== "absent") continue;
          this.#sql.run(
            "DELETE FROM shardctl_directory WHERE table_name = ? AND id = ?",
            row.table,
            row.id,
          );
        }
      };
    });
    return { settled };
  }

  /**
   * Finds the entries, lets `judge` ask about them, and does what it decides in one transaction,
   * provided that this member may still change its entries: it serves at the same epoch, and no
   * fence stands.
   */
  async #settle<Row extends RowId>(
    epoch: number,
    rows: readonly Row[],
    judge: (found: readonly Found<Row>[]) => Promise<() => void>,
  ): Promise<void> {
    await this.#admission.arrive(epoch);
    this.#admission.requireNow(epoch);
    this.#layoutOf(rows.map(({ id }) => id));
    const names = [...new Set(rows.map((row) => nameOf(row)))];
    if (names.some((name) => this.#settling.has(name)))
      throw retry("an id is just being claimed by another call");
    for (const name of names) this.#settling.add(name);
    try {
      const found = rows.map((row) => ({ row, entry: this.#entry(row) }));
      const act = await judge(found);
      this.#admission.requireNow(epoch);
      ensureSchema(this.#sql);
      this.#sql.transaction(act);
    } finally {
      for (const name of names) this.#settling.delete(name);
    }
  }

  /**
   * Asks the owners that the entries name for the states of the rows; returns them in the order of
   * the rows.
   */
  async #probe(epoch: number, found: readonly Found[]): Promise<ProbeReply["states"][number][]> {
    const byOwner = new Map<string, number[]>();
    for (const [index, { entry }] of found.entries()) {
      if (entry === undefined) continue;
      const owner = this.#ownerOf(entry);
      byOwner.set(owner, [...(byOwner.get(owner) ?? []), index]);
    }
    const states: ProbeReply["states"][number][] = [];
    await Promise.all(
      [...byOwner].map(async ([owner, indexes]) => {
        const rows = indexes
          .flatMap((index) => found[index]?.row ?? [])
          .map(({ table, id }) => ({ table, id }));
        const reply = await this.#member.ask(owner, { kind: "probe", epoch, rows });
        for (const [at, index] of indexes.entries()) states[index] = reply.states[at] ?? "busy";
      }),
    );
    return states;
  }

  #ownerOf(entry: string): string {
    const { layout } = this.#member.membership;
    return layout.kind === "roundRobin" ? entry : this.#admission.ownerOf(keyOf(entry));
  }

  /** Rule "entered-again". @throws RefusedError */
  #requireWhole(): void {
    if (suspicionOf(this.#sql))
      throw retry("the ids of all rows are being entered in the directory again, after a repair");
  }

  #layoutOf(ids: readonly string[]): RoundRobinLayout | KeyedDirectoryLayout {
    const { membership, self } = this.#member;
    const { layout } = membership;
    if (layout.kind === "roundRobin" || hasKeyedDirectory(layout)) {
      if (ids.every((id) => directoryMember(layout, id) === self)) return layout;
    }
    throw refused("notOwner", `${self} does not hold the directory entry`);
  }

  #keyedLayout(): KeyedDirectoryLayout {
    const { layout } = this.#member.membership;
    if (hasKeyedDirectory(layout)) return layout;
    throw refused("invalid", `A ${layout.kind} layout takes no claims`);
  }

  #entry({ table, id }: RowId): string | undefined {
    if (!hasSchema(this.#sql)) return undefined;
    return this.#sql.first<{ owner: string }>(
      "SELECT owner FROM shardctl_directory WHERE table_name = ? AND id = ?",
      table,
      id,
    )?.owner;
  }

  #enter({ table, id }: RowId, entry: string): void {
    this.#sql.run(
      `INSERT INTO shardctl_directory (table_name, id, owner) VALUES (?, ?, ?)
       ON CONFLICT (table_name, id) DO UPDATE SET owner = excluded.owner WHERE owner <> excluded.owner`,
      table,
      id,
      entry,
    );
  }

  #deal(members: readonly string[], table: string, id: string): string {
    ensureSchema(this.#sql);
    return this.#sql.transaction(() => {
      // Each directory member deals in its own turn, starting at itself, so that together they are
      // even.
      const { self } = this.#member;
      const turn = readMeta<number>(this.#sql, "directoryTurn") ?? members.indexOf(self);
      const owner = members[turn % members.length] ?? self;
      this.#sql.run(
        "INSERT INTO shardctl_directory (table_name, id, owner) VALUES (?, ?, ?)",
        table,
        id,
        owner,
      );
      writeMeta(this.#sql, "directoryTurn", turn + 1);
      return owner;
    });
  }
}

/** One text for a row's table and id. */
export function nameOf({ table, id }: RowId): string {
  return JSON.stringify([table, id]);
}

/** The refusal of ids that rows have under another shard key. */
export function takenFailure(rows: readonly RowId[]): ProtocolFailure {
  const named = rows
    .slice(0, TAKEN_NAMED_MAX)
    .map(({ table, id }) => `${JSON.stringify(id)} of ${table}`);
  const more = rows.length > named.length ? ` and ${rows.length - named.length} more` : "";
  const stand =
    rows.length === 1 ? "is stored under another shard key" : "are stored under other shard keys";
  return refusal(
    "idTaken",
    `${named.join(", ")}${more} ${stand}, and ids are unique in this namespace: nothing was written. Delete what is there first, or choose another id`,
  );
}

function retry(why: string): RefusedError {
  return refused("moving", `${why}: retry`);
}
