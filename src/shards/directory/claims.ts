/**
 * The owner's part of unique ids: it claims the ids of a call from the directory before the call
 * runs, and gives back what was deleted.
 *
 * While a call may store a row, this member holds the row's id for the call's key, in memory: a
 * crash ends the call and the hold together.
 *
 * | the directory asks whether the row is gone, and | the answer | since                                                         |
 * |--------------------------------------------------|------------|---------------------------------------------------------------|
 * | the row is stored                                | there      |                                                               |
 * | a call that may store it is running              | busy       | it may store the row at any moment                            |
 * | a call waits for its claim                       | absent     | rule "probe-revokes": what the claim brings no longer counts  |
 * | none of these                                    | absent     | whoever would store the row has yet to claim its id           |
 */
import { withRowWords } from "../../model/row-words.ts";
import type { Key } from "../../model/layout/key.ts";
import {
  type KeyedDirectoryLayout,
  directoryMember,
  hasKeyedDirectory,
} from "../../model/layout/directory.ts";
import type { Admission } from "../member/admission.ts";
import { nameOf, takenFailure } from "./directory.ts";
import { messageOf } from "../storage/faults.ts";
import type { Member } from "../member/member.ts";
import type { Claim, DirectoryRequest, ReplyTo } from "../protocol/messages.ts";
import type { RowId } from "../protocol/terms.ts";
import type { ProbeReply } from "../protocol/replies.ts";
import { keyColumn, keyOf } from "../move/move-plan.ts";
import { RefusedError, refused } from "../protocol/refused-error.ts";
import { type SqlRow, quoteName } from "../storage/storage.ts";
import { type Table, keyExpression } from "../storage/tables.ts";
import { idMatches } from "../storage/row-id.ts";
import { keyedTables, sameKey } from "../member/unique.ts";
import { within } from "../protocol/within.ts";

/** Longest wait for the directory: the call has not run, and its caller is told to retry. */
const CLAIM_MS_MAX = 5_000;
/** Claims of one call whose answers may be revoked before its caller is told to retry. */
const CLAIM_ROUNDS_MAX = 4;
/** Ids that one message gives back. */
const RELEASE_IDS_MAX = 500;
/** Rounds of giving back after a call; what is then left is given back after a later one. */
const RELEASE_ROUNDS_MAX = 4;
const RELEASE_PAUSE_MS = 50;

interface Hold {
  readonly claim: Claim;
  /** Calls that may store the row. */
  calls: number;
  /**
   * True once the directory's entry is known to say this key, and while a call runs nobody can
   * change it.
   */
  granted: boolean;
  /** How often the directory was told that the row is not here. */
  probes: number;
}

export class Claims {
  readonly #member: Member;
  readonly #admission: Admission;
  readonly #holds = new Map<string, Hold>();
  #tables: { readonly epoch: number; readonly byName: ReadonlyMap<string, Table> } | undefined;
  #isReleasing = false;

  constructor(member: Member, admission: Admission) {
    this.#member = member;
    this.#admission = admission;
  }

  /**
   * Runs an admitted call that may store rows of these ids, once they are claimed. @throws
   * RefusedError: nothing has run.
   */
  async run<Value>(claims: readonly Claim[], work: () => Value | Promise<Value>): Promise<Value> {
    const layout = this.#layout();
    if (layout === null) return work();
    try {
      return claims.length === 0 ? await work() : await this.#runClaimed(layout, claims, work);
    } finally {
      this.#releaseFreed();
    }
  }

  /**
   * Returns this member's state of rows that the entries of its keys name. Asked by the directory,
   * at its epoch.
   */
  async probe(epoch: number, rows: readonly RowId[]): Promise<ProbeReply> {
    await this.#admission.arrive(epoch);
    // Behind a fence another member may have the row by now.
    this.#admission.requireNow(epoch);
    return { states: rows.map((row) => this.#stateOf(row)) };
  }

  #stateOf(row: RowId): ProbeReply["states"][number] {
    if (this.#stored(row).length > 0) return "there";
    const hold = this.#holds.get(nameOf(row));
    if (hold?.granted) return "busy";
    if (hold) hold.probes++;
    return "absent";
  }

  async #runClaimed<Value>(
    layout: KeyedDirectoryLayout,
    claims: readonly Claim[],
    work: () => Value | Promise<Value>,
  ): Promise<Value> {
    const holds = this.#take(layout, claims);
    try {
      for (let round = 1; ; round++) {
        const open = holds.filter((hold) => !hold.granted);
        if (open.length === 0) break;
        if (round > CLAIM_ROUNDS_MAX)
          throw retry("the id of a row is wanted under several shard keys at once");
        const probes = open.map((hold) => hold.probes);
        await this.#claim(open.map((hold) => hold.claim));
        // Rule "probe-revokes".
        open.forEach((hold, index) => (hold.granted ||= hold.probes === probes[index]));
      }
      this.#grant(holds);
      return await work();
    } finally {
      this.#drop(holds);
    }
  }

  /** Holds the ids for the call's keys, all or none. */
  #take(layout: KeyedDirectoryLayout, claims: readonly Claim[]): Hold[] {
    const wanted = new Map(claims.map((claim) => [nameOf(claim), claim]));
    const stored = new Map<string, boolean>();
    const taken: RowId[] = [];
    for (const claim of claims) {
      const held = this.#holds.get(nameOf(claim))?.claim.key ?? claim.key;
      if (!sameKey(layout, held, claim.key))
        throw retry(`${JSON.stringify(claim.id)} is just being stored under another shard key`);
      const keys = this.#stored(claim);
      const others = [
        ...keys,
        ...claims.filter((other) => nameOf(other) === nameOf(claim)).map((other) => other.key),
      ];
      if (others.some((key) => !sameKey(layout, key, claim.key))) taken.push(claim);
      stored.set(nameOf(claim), keys.length > 0);
    }
    if (taken.length > 0) throw new RefusedError(takenFailure(taken));
    return [...wanted].map(([name, claim]) => {
      const hold = this.#holds.get(name) ?? { claim, calls: 0, granted: false, probes: 0 };
      this.#holds.set(name, hold);
      hold.calls++;
      // A row that is stored has its entry.
      hold.granted ||= stored.get(name) === true;
      return hold;
    });
  }

  #drop(holds: readonly Hold[]): void {
    const ended = holds.filter((hold) => --hold.calls === 0);
    for (const { claim } of ended) this.#holds.delete(nameOf(claim));
    const { sql } = this.#member;
    sql.transaction(() => {
      for (const { claim } of ended.filter((hold) => hold.granted))
        sql.run(
          "DELETE FROM shardctl_granted WHERE table_name = ? AND id = ?",
          claim.table,
          claim.id,
        );
    });
  }

  /** Lets the triggers pass the rows of these ids: see `unique.ts`. */
  #grant(holds: readonly Hold[]): void {
    const { sql } = this.#member;
    sql.transaction(() => {
      for (const { claim } of holds) {
        sql.run(
          `INSERT OR REPLACE INTO shardctl_granted (table_name, id, key) VALUES (?1, ?2, CASE ?3 WHEN 'text' THEN ?4
             WHEN 'integer' THEN CAST(?4 AS INTEGER) WHEN 'real' THEN CAST(?4 AS REAL) WHEN 'blob' THEN unhex(?4) END)`,
          claim.table,
          claim.id,
          claim.key.type,
          claim.key.text,
        );
      }
    });
  }

  async #claim(claims: readonly Claim[]): Promise<void> {
    const { epoch } = this.#member.membership;
    await this.#toDirectories(claims, (member, part) =>
      this.#ask(member, { kind: "claim", epoch, claims: part }),
    );
  }

  /** Gives back the ids of deleted rows, beside the calls that go on. */
  #releaseFreed(): void {
    if (
      this.#isReleasing ||
      this.#layout() === null ||
      this.#member.sql.first("SELECT 1 AS found FROM shardctl_freed LIMIT 1") === undefined
    )
      return;
    this.#isReleasing = true;
    void this.#releaseRounds().finally(() => {
      this.#isReleasing = false;
    });
  }

  async #releaseRounds(): Promise<void> {
    const { sql, runtime } = this.#member;
    for (let round = 0; round < RELEASE_ROUNDS_MAX; round++) {
      if (round > 0) await runtime.sleep(RELEASE_PAUSE_MS * round);
      const freed = sql.rows<{ table_name: string; row_id: string; last: number }>(
        `SELECT table_name, row_id, max(id) AS last FROM shardctl_freed GROUP BY table_name, row_id ORDER BY last LIMIT ${RELEASE_IDS_MAX}`,
      );
      if (freed.length === 0) return;
      const rows = freed.map(({ table_name: table, row_id: id, last }) => ({ table, id, last }));
      const { epoch } = this.#member.membership;
      try {
        await this.#toDirectories(rows, async (member, part) => {
          const asked = part.map(({ table, id }) => ({ table, id }));
          const { settled } = await this.#ask(member, { kind: "release", epoch, rows: asked });
          const names = new Set(settled.map((row) => nameOf(row)));
          for (const { table, id, last } of part.filter((row) => names.has(nameOf(row))))
            sql.run(
              "DELETE FROM shardctl_freed WHERE table_name = ? AND row_id = ? AND id <= ?",
              table,
              id,
              last,
            );
        });
      } catch (error) {
        // The entry of a row that is gone is no harm: it is asked for again, after this or a later
        // call.
        if (!(error instanceof RefusedError)) throw error;
      }
    }
  }

  /** Sends each directory member its part; waits for all, then throws the first failure. */
  async #toDirectories<Row extends RowId>(
    rows: readonly Row[],
    send: (member: string, part: readonly Row[]) => Promise<unknown>,
  ): Promise<void> {
    const layout = this.#layout();
    if (layout === null) throw retry("the directory has just been switched off");
    const parts = new Map<string, Row[]>();
    for (const row of rows) {
      const member = directoryMember(layout, row.id);
      parts.set(member, [...(parts.get(member) ?? []), row]);
    }
    const sent = await Promise.allSettled([...parts].map(([member, part]) => send(member, part)));
    const failures = sent
      .filter((each) => each.status === "rejected")
      .map((each): unknown => each.reason);
    if (failures.length > 0) throw failures.find((reason) => !isRetryable(reason)) ?? failures[0];
  }

  /** Nothing has run yet: no answer is a reason to retry. */
  async #ask<const Request extends DirectoryRequest>(
    member: string,
    request: Request,
  ): Promise<ReplyTo<Request>> {
    try {
      return await within(
        this.#member.runtime,
        this.#member.ask(member, request),
        CLAIM_MS_MAX,
        member,
      );
    } catch (error) {
      if (error instanceof RefusedError) throw error;
      throw retry(`the directory on ${member} did not answer (${withRowWords(messageOf(error))})`);
    }
  }

  /**
   * The keys of the rows with this id here: one at most, unless ids of two storage classes read
   * alike.
   */
  #stored({ table: name, id }: RowId): Key[] {
    const { sql, membership } = this.#member;
    const table = this.#table(name);
    const { layout } = membership;
    const key = layout.kind === "none" ? "NULL" : keyExpression(table, layout.shardKey, "t");
    const query = `SELECT ${keyColumn(key, "key")} FROM ${quoteName(name)} AS t WHERE ${idMatches(table, "t", "?1")}`;
    return sql.rows<SqlRow>(query, id).map((row) => keyOf(row["key"]));
  }

  #table(name: string): Table {
    const { epoch } = this.#member.membership;
    if (this.#tables?.epoch !== epoch) {
      this.#tables = {
        epoch,
        byName: new Map(keyedTables(this.#member.tables()).map((table) => [table.name, table])),
      };
    }
    const table = this.#tables.byName.get(name);
    if (table) return table;
    const known = [...this.#tables.byName.keys()].toSorted().join(", ");
    throw refused(
      "invalid",
      `Ids are claimed for tables that carry the shard key (${known}), not for '${name}'`,
    );
  }

  #layout(): KeyedDirectoryLayout | null {
    const { layout, serving } = this.#member.membership;
    return serving && hasKeyedDirectory(layout) ? layout : null;
  }
}

function isRetryable(reason: unknown): boolean {
  return reason instanceof RefusedError && reason.reason.retryable;
}

function retry(why: string): RefusedError {
  return refused("moving", `${why}: retry`);
}
