/**
 * Refuses the user's writes where they would be lost, and lets every object start: write blocks are
 * open until its constructor has ended, whatever its role.
 */
import { hasKeyedDirectory } from "../../model/layout/directory.ts";
import type { Layout } from "../../model/layout/layout.ts";
import { capturedCount } from "../move/capture.ts";
import { ForeignKeys } from "../move/foreign-keys.ts";
import {
  type WriteBlockReason,
  armWriteBlocks,
  disarmWriteBlocks,
  writeBlocksStand,
  keepWriteBlocks,
  removeOldWriteBlocks,
  setWriteBlock,
  spoilFence,
  spoiledAttempt,
} from "../move/write-blocks.ts";
import {
  type KeyChecks,
  compareKeyTriggers,
  hasKeysToCheck,
  liftKeyTriggers,
  nameOtherColumns,
  noteOwned,
} from "./owned-keys.ts";
import { pointingAt } from "../move/references.ts";
import { refused } from "../protocol/refused-error.ts";
import { fullFault, isFull } from "../storage/faults.ts";
import { requireRoom } from "../storage/reserve.ts";
import { ensureSchema, hasSchema, isSchemaWhole } from "../storage/schema.ts";
import { quoteName } from "../storage/storage.ts";
import {
  type Table,
  TableFault,
  type TableSpec,
  existingTables,
  resolveTables,
} from "../storage/tables.ts";
import { type MemberOptions, MemberState } from "./member-state.ts";
import type { Membership } from "./membership.ts";
import { keepUnique } from "./unique.ts";

/** Why a full object must not go on. */
const NO_WRITE_BLOCKS = "triggers that block writes to its tables are missing";

export class BlockingMember extends MemberState {
  /** The caller of a method that writes rows turns enforcement off around it. */
  readonly foreignKeys: ForeignKeys;
  #hasStarted = false;
  #isArmed = false;
  /** True when a constructor may have written rows in this life. */
  protected startedWithWrites = false;

  constructor(options: MemberOptions) {
    super(options);
    this.foreignKeys = new ForeignKeys(options.sql, options.alone);
  }

  /**
   * To be called when the host is made. True when `keepWriteBlocks` has something to do once the
   * object has started, and must not wait for its first message. An object that was never sharded
   * pays one read, and one that merely serves no write.
   */
  beginStart(): boolean {
    if (!hasSchema(this.sql)) return false;
    const { membership, moving } = this;
    if (
      nameOtherColumns(
        this.sql,
        this.options.specs,
        membership.serving ? membership.layout : (moving?.to ?? membership.layout),
        this.#keyChecks,
      )
    )
      this.liftKeyTriggers();
    if (moving?.mode === "swap" && moving.isTarget && !membership.serving)
      this.foreignKeys.openForStart();
    if (!this.#isBlocked()) return hasKeyedDirectory(membership.layout) || this.#checksKeys();
    this.change(() => removeOldWriteBlocks(this.sql));
    return true;
  }

  /**
   * Ends the start of the object: from here on write blocks do what they say. Puts write blocks
   * back on tables that were rebuilt, as a deploy's migrations do. Idempotent; call it before
   * anything is served, and wait for what it gives, if anything. `isPage`: for one of very many
   * messages, which come between others.
   */
  keepWriteBlocks(isPage = false): Promise<void> | undefined {
    const isBlocked = this.#isBlocked();
    // Most messages, by what is known already: they cost no statement.
    const isArmed = isBlocked || this.#checksKeys();
    if (this.#hasStarted && (!isBlocked || isPage) && this.#isArmed === isArmed) return undefined;
    if (!hasSchema(this.sql)) {
      this.#hasStarted = true;
      return undefined;
    }
    // Each time: the setting is the connection's, which the user's code has too.
    if (isArmed) armWriteBlocks(this.sql);
    else if (this.#isArmed) disarmWriteBlocks(this.sql);
    this.#isArmed = isArmed;
    if (this.#hasStarted) return undefined;
    // Of the connection, which is as old as this life.
    const writes = this.sql.first<{ n: number }>("SELECT total_changes() AS n")?.n ?? 0;
    this.startedWithWrites ||= writes > 0;
    const ended = this.foreignKeys.endStart();
    this.#hasStarted = this.#endStart();
    return ended;
  }

  /** False when write blocks are missing for want of room: the next message tries again. */
  #endStart(): boolean {
    const { membership, moving } = this;
    if (membership.serving && hasKeyedDirectory(membership.layout)) this.#keepUnique(membership);
    this.#keepKeys();
    if (!this.#isBlocked()) return true;
    const isFenced = moving !== undefined && moving.fence !== 0;
    if (!this.hasRoomForWriteBlocks()) {
      // Messages need no write block, and may make room. Behind a fence somebody may write
      // unseen: the attempt must end.
      if (isFenced) this.change(() => spoilFence(this.sql, moving.fence));
      return false;
    }
    this.change(() => {
      // An object that an older library wrote may lack the row of the write blocks.
      ensureSchema(this.sql);
      this.block(!membership.serving ? "notMember" : isFenced ? "moving" : null);
      // A table that was rebuilt without its capture is found by the frozen definitions, and
      // copied again.
      if (isFenced && moving.isSource && membership.serving && capturedCount(this.sql) > 0)
        spoilFence(this.sql, moving.fence);
    });
    return true;
  }

  /** Write blocks on every declared table, which say this. Call inside a transaction. */
  protected block(reason: WriteBlockReason | null): void {
    keepWriteBlocks(this.sql, ...this.#blockedTables());
    setWriteBlock(this.sql, reason);
  }

  /**
   * Refuses the user's writes from here on. Call inside a transaction. @throws EngineFault
   * `storageFull` when a write block lacks and there is no room for it.
   */
  protected shut(): void {
    if (!this.hasRoomForWriteBlocks()) throw fullFault(this.self, NO_WRITE_BLOCKS, true);
    this.block("moving");
  }

  /**
   * The declared tables, and those that point at one while rows are there: a target's belong to the
   * operation before it serves.
   */
  #blockedTables(): [declared: string[], pointing: string[]] {
    const declared = existingTables(this.sql, this.declared());
    const isPointedAt = this.membership.serving || this.moving?.isTarget === true;
    return [declared, isPointedAt ? pointingAt(this.sql, declared) : []];
  }

  /**
   * A statement that makes a table or a trigger and finds no room would take the object with it.
   */
  protected hasRoomForWriteBlocks(): boolean {
    return (
      (isSchemaWhole(this.sql) && writeBlocksStand(this.sql, ...this.#blockedTables())) ||
      this.#hasRoom()
    );
  }

  #hasRoom(): boolean {
    try {
      this.sql.transaction(() => requireRoom(this.sql));
      return true;
    } catch (error) {
      if (!isFull(error)) throw error;
      return false;
    }
  }

  /**
   * The declared tables; those that are there where the object is to be repaired. @throws
   * TableFault
   */
  knownTables(): Table[] {
    return this.membership.trouble ? this.presentTables() : this.tables();
  }

  /**
   * The declared tables that are there. A deploy may have taken one away: neither an activation nor
   * the start of an object may fail over it.
   */
  protected presentTables(): Table[] {
    const present = new Set(existingTables(this.sql, this.declared()));
    const isWhole = (spec: TableSpec): boolean =>
      present.has(spec.name) && (!("follows" in spec) || present.has(spec.follows));
    return resolveTables(
      this.sql,
      this.options.specs.filter((spec) => isWhole(spec)),
    );
  }

  /**
   * Notes what a member owns that is to be of this membership, which is given back with the epoch
   * of the notes. Call in the transaction that stores it.
   */
  protected noteKeys(membership: Membership): Membership {
    const { ownedEpoch: _, ...unnoted } = membership;
    const { layout, serving, epoch } = membership;
    if (!serving || !hasKeysToCheck(layout, this.#keyChecks) || !isSchemaWhole(this.sql))
      return unnoted;
    return noteOwned(this.sql, this.self, layout) ? { ...unnoted, ownedEpoch: epoch } : unnoted;
  }

  /**
   * Has triggers check the keys of this layout. Where there is no room for them, what they would
   * check goes unchecked until the next start. Call inside a transaction.
   */
  protected keepKeyTriggers(layout: Layout | null): void {
    const tables = layout === null ? [] : this.#tablesWithKeys();
    const { missing, wrong } = compareKeyTriggers(this.sql, tables, layout, this.#keyChecks);
    for (const name of wrong) this.sql.run(`DROP TRIGGER ${quoteName(name)}`);
    if (missing.length > 0 && isSchemaWhole(this.sql) && this.#hasRoom())
      for (const statement of missing) this.sql.run(statement);
  }

  /**
   * Takes away the triggers that check keys, until the object has started: they name columns that a
   * migration may drop.
   */
  liftKeyTriggers(): void {
    this.sql.transaction(() => liftKeyTriggers(this.sql));
  }

  /**
   * None where a deploy has made tables of the declared ones that cannot move: an operation says
   * so, and neither an activation nor the start of an object may fail over it.
   */
  #tablesWithKeys(): Table[] {
    try {
      return this.presentTables();
    } catch (error) {
      if (error instanceof TableFault) return [];
      throw error;
    }
  }

  /**
   * After a start: a library that does not know of the notes may have changed what is owned, and a
   * migration rebuilt a table.
   */
  #keepKeys(): void {
    if (!this.#checksKeys()) return;
    this.change(() => {
      const { membership } = this;
      const noted = this.noteKeys(membership);
      // Without room the notes stay what they were, of another epoch: nothing goes by them.
      if (noted.ownedEpoch !== membership.ownedEpoch && this.#hasRoom())
        this.put({ membership: noted });
      this.keepKeyTriggers(membership.layout);
    });
  }

  #checksKeys(): boolean {
    const { membership } = this;
    return membership.serving && hasKeysToCheck(membership.layout, this.#keyChecks);
  }

  get #keyChecks(): KeyChecks {
    return this.options.checkKeys ?? "all";
  }

  /** Has the write blocks of this life do what they say, whoever was there first. */
  protected arm(): void {
    armWriteBlocks(this.sql);
    this.#isArmed = true;
  }

  protected declared(): string[] {
    return this.options.specs.map(({ name }) => name);
  }

  /** True when writes may be blocked here: it owns nothing, or takes part in an operation. */
  #isBlocked(): boolean {
    return !this.membership.serving || this.moving !== undefined;
  }

  /**
   * True when a constructor has written behind the fence of this attempt, on a source: what it
   * wrote may have come after the source said that it is drained. The attempt must end without a
   * cutover.
   */
  isSpoiled(attempt: number): boolean {
    return attempt !== 0 && spoiledAttempt(this.sql) === attempt;
  }

  /** @throws RefusedError when the fence of this attempt is spoiled. */
  requireUnspoiled(operation: number, attempt: number): void {
    if (!this.isSpoiled(attempt)) return;
    const which = `fence attempt ${attempt} of operation ${operation}`;
    throw refused("moving", `${this.self} was restarted behind ${which}, and wrote`);
  }

  /** Forgets what a crash has left of calls: they are gone. */
  #keepUnique({ layout }: Membership): void {
    this.change(() => {
      this.sql.run("DELETE FROM shardctl_granted");
      keepUnique(this.sql, this.presentTables(), layout);
    });
  }
}
