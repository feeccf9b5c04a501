/**
 * Lets go of operations: ended, forgotten, or taken for running by a member that a repair mends.
 *
 * Rule "operation-numbers": a late call of an operation that is over changes nothing. What came
 * from sources that have lost their storage is set aside: it may be all that is left of their rows.
 */
import { hasKeyedDirectory } from "../../model/layout/directory.ts";
import { type Layout, sameLayout } from "../../model/layout/layout.ts";
import { ownSince } from "../../model/layout/moves.ts";
import { ownsSamePart } from "../../model/layout/own-part.ts";
import { forgetSuspicion, suspectDirectory, trustDirectory } from "./directory-suspicion.ts";
import { removeCapture } from "../move/capture.ts";
import { deleteAllRows } from "../move/delete-keys.ts";
import { changedTables, definitionsOf } from "../move/frozen-tables.ts";
import { noteAside, notedAside, setLostCopiesAside } from "../move/lost-copies.ts";
import type { Moving } from "../move/moving.ts";
import { undoPromotion } from "../move/promote.ts";
import { dropStaging } from "../move/staging.ts";
import { setStraysAside } from "../move/stray-rows.ts";
import { removeWriteBlocks, setWriteBlock } from "../move/write-blocks.ts";
import type { Message } from "../protocol/messages.ts";
import { refused } from "../protocol/refused-error.ts";
import type { SetAsideReply, TableRows } from "../protocol/replies.ts";
import { isFull } from "../storage/faults.ts";
import { requireRoom, spendReserve } from "../storage/reserve.ts";
import { STRAYS_ASIDE } from "./membership.ts";
import { ensureSchema, readMeta, writeMeta } from "../storage/schema.ts";
import { TableFault, existingTables } from "../storage/tables.ts";
import { type Membership, numbersOf } from "./membership.ts";
import { ProvenMember, addRows } from "./proven-member.ts";
import { dropRetired, putAway } from "./retired-rows.ts";
import { keepUnique } from "./unique.ts";

/** The end of an operation, as a member needs it to judge its copies. */
type Release = Pick<Message<"abandon">, "lost" | "layout" | "epoch">;

export class ReleasingMember extends ProvenMember {
  /** The attempt whose rows were made live in this life; 0 for none. */
  protected promotedInLife = 0;

  /**
   * Lets go of a completed operation: capture, staging and records end. Adopts the final layout.
   * The rows of a member that has retired are put out of the way, where that is possible: in a full
   * database they stay where they are.
   */
  finish(request: Message<"finish">): SetAsideReply {
    const { operation, epoch, layout } = request;
    const names = this.moving?.operation === operation ? this.#names() : this.declared();
    return this.#end(
      request,
      (membership) => ({ ...membership, epoch, layout }),
      () => {
        const { membership } = this;
        if (membership.serving || !membership.retired) return;
        try {
          this.sql.transaction(() => {
            requireRoom(this.sql);
            putAway(this.sql, names);
          });
        } catch (error) {
          if (!isFull(error)) throw error;
          return;
        }
        this.put({ membership: { ...membership, retired: false } });
      },
    );
  }

  /**
   * Lets go of an operation that was cancelled or failed; what a target of a swap received is
   * deleted, but for what came from sources that have lost their storage.
   */
  abandon(request: Message<"abandon">): SetAsideReply {
    const { epoch, layout } = request;
    return this.#end(request, (membership, moving) => {
      if (moving?.isTarget && this.ownsNothing) this.deleteAll();
      return { ...membership, epoch: Math.max(membership.epoch, epoch), layout };
    });
  }

  /**
   * Drops what a retired member kept. What was written to its tables since then stays: nobody knows
   * whose it is. Refused while it serves or takes part in a move.
   */
  empty(operation: number): void {
    ensureSchema(this.sql);
    this.change(() => {
      const membership = this.membership;
      if (!this.ownsNothing) return;
      // A newer operation may have given this object rows again; what was put aside before it is of
      // no use in any case. One that has not begun here has left all as it was.
      const isAsLeft = membership.retired && membership.retiredBy === operation && !this.moving;
      if (membership.operation > operation && !isAsLeft) {
        if (!this.moving) dropRetired(this.sql);
        return;
      }
      if (this.moving) {
        throw refused(
          "moving",
          `${this.self} has not heard yet that operation ${operation} is over`,
        );
      }
      // An older library, or a full database, has left the rows where they were.
      if (membership.retired) this.deleteAll();
      dropRetired(this.sql);
      this.clearDirectory();
      this.put({ membership: { ...membership, retired: false } });
    });
  }

  /** Adopts a newer layout in which this object plays no part of a running move. */
  adopt(epoch: number, layout: Layout): void {
    this.change(() => {
      const membership = this.membership;
      if (membership.epoch >= epoch || this.moving || membership.trouble) return;
      if (ownsSamePart(this.self, membership.layout, layout))
        this.serve({ ...membership, epoch, layout });
      else this.unproven(epoch);
    });
  }

  /**
   * Serves again, as a repair has shown it. Idempotent. Foreign keys are off. @throws RefusedError
   * when nothing is to be repaired here: the member knows more than the repair.
   */
  mend(request: Message<"mend">): SetAsideReply {
    const { epoch, layout, endedUpTo, goesOn, known: planned, lost = [], suspectSince } = request;
    const { membership: before } = this;
    const message = `mend ${epoch} ${endedUpTo}`;
    if (planned !== null && !this.isStill(planned)) {
      const isMended = before.epoch === epoch && before.ended === endedUpTo && !before.trouble;
      if (isMended && layout !== null && sameLayout(before.layout, layout))
        return { setAside: notedAside(this.sql, message) };
      throw refused(
        "invalid",
        `${this.self} is no longer as the repair was planned by: plan it again`,
      );
    }
    const isNewer = (this.moving?.operation ?? before.operation) > endedUpTo;
    if (before.epoch > epoch || (layout !== null && isNewer))
      throw refused(
        "invalid",
        `${this.self} has gone on to epoch ${before.epoch} and operation ${before.operation}: plan the repair again`,
      );
    ensureSchema(this.sql);
    let setAside: readonly TableRows[] = [];
    this.change(() => {
      spendReserve(this.sql);
      if (suspectSince !== undefined) suspectDirectory(this.sql, suspectSince);
      const { trouble: _, token: __, tokenOf: ___, goesOn: ____, ...membership } = before;
      if (layout === null) {
        const { trouble: _____, ...known } = before;
        // A cutover that it has missed is activated first: until then nothing is served.
        return this.moving && known.epoch < epoch
          ? this.put({ membership: known })
          : this.serve(known);
      }
      const copies = this.#forgetMove({ lost, layout, epoch });
      removeCapture(this.sql);
      const { sql, self } = this;
      const { partitioners } = this.options;
      const rows = { sql, self, partitioners, tables: this.presentTables() };
      setAside = addRows(copies, setStraysAside(rows, layout, epoch));
      if (!layout.members.includes(this.self)) this.clearDirectory();
      this.serve({
        ...membership,
        operation: endedUpTo,
        ended: endedUpTo,
        ...(goesOn !== undefined && { goesOn: { operation: goesOn, endedUpTo } }),
        epoch,
        layout,
        retired: false,
      });
      if (this.membership.serving) removeWriteBlocks(this.sql);
      // Rows that may stand on it now came by no operation: the next may not clear them.
      else this.put({ membership: { ...this.membership, retired: false } });
      noteAside(this.sql, message, setAside);
    });
    return { setAside };
  }

  /**
   * An earlier operation whose end was never heard of here has ended all the same, or the root
   * would not have begun another. Gives what was set aside of it.
   */
  protected forgetOlder(release: Release): readonly TableRows[] {
    const older = this.moving;
    if (!older) return [];
    this.undoPromotion(older);
    const setAside = addRows(this.#keepLostCopies(older, release), this.#straysAside());
    if (older.isTarget && this.ownsNothing) this.deleteAll();
    this.#forgetMove();
    removeCapture(this.sql);
    return setAside;
  }

  /**
   * Forgets the part in a move, and what it has staged and promoted. What stands in the live tables
   * stays, and what came from lost sources is set aside.
   */
  #forgetMove(release?: Release): readonly TableRows[] {
    const { moving } = this;
    if (!moving) return [];
    this.undoPromotion(moving);
    // In a swap they stand in the live tables, among rows that are not this member's.
    const isStaged = moving.mode === "shift";
    const lost = release && isStaged ? this.#keepLostCopies(moving, release) : [];
    const setAside = addRows(lost, this.#straysAside());
    if (moving.isTarget) dropStaging(this.sql, this.planAfterCutover(moving.operation));
    this.forgetMoving();
    return setAside;
  }

  /** Sets aside what came from sources that have lost their storage, and is not live here. */
  #keepLostCopies(
    { isTarget, operation, from, mode }: Moving,
    { lost = [], layout, epoch }: Release,
  ): readonly TableRows[] {
    if (!isTarget || lost.length === 0) return [];
    // A target of a swap that serves has the rows of its own.
    if (mode === "swap" && !this.ownsNothing) return [];
    const plan = this.planAfterCutover(operation);
    const own = ownSince(from, layout, this.self);
    return setLostCopiesAside(this.sql, { plan, lost, own }, epoch);
  }

  /** Answers for no id until the directory is trusted again. Rule "entered-again". */
  suspectDirectory(since: number): void {
    ensureSchema(this.sql);
    this.sql.transaction(() => suspectDirectory(this.sql, since));
  }

  trustDirectory(since: number): void {
    ensureSchema(this.sql);
    this.sql.transaction(() => trustDirectory(this.sql, since));
  }

  protected deleteAll(): void {
    deleteAllRows(this.sql, existingTables(this.sql, this.#names()));
    this.clearDirectory();
  }

  protected clearDirectory(): void {
    for (const table of ["directory", "granted", "freed"])
      this.sql.run(`DELETE FROM shardctl_${table}`);
    forgetSuspicion(this.sql);
  }

  protected serve(membership: Membership): void {
    const wasServing = this.membership.serving;
    const serving = membership.layout.members.includes(this.self) && !membership.trouble;
    const { retiredBy, ...known } = membership;
    const retired = serving ? false : wasServing || membership.retired;
    const by = wasServing ? membership.operation : retiredBy;
    const left = { serving, retired, ...(retired && by !== undefined && { retiredBy: by }) };
    this.put({ membership: this.noteKeys({ ...known, ...left }) });
    if (serving) setWriteBlock(this.sql, null);
    else this.block("notMember");
    // On a member that retires they do no harm behind its write blocks until the operation ends.
    const { layout } = membership;
    if (serving && hasKeyedDirectory(layout)) keepUnique(this.sql, this.presentTables(), layout);
    else if (this.moving === undefined) keepUnique(this.sql, [], null);
    if (serving || this.moving === undefined) this.keepKeyTriggers(serving ? layout : null);
  }

  /**
   * Takes back what was promoted under an attempt that is given up. Call in the transaction that
   * lifts or replaces its fence.
   */
  protected undoPromotion(moving: Moving): void {
    const { operation, promotion } = moving;
    if (!promotion) return;
    undoPromotion(this.sql, this.planAfterCutover(operation), promotion.incoming);
    this.put({ moving: { ...moving, promotion: null } });
    if (promotion.attempt === this.promotedInLife || !this.#mayHaveRewritten()) return;
    if (this.ownsNothing) deleteAllRows(this.sql, existingTables(this.sql, this.#names()));
    else this.#setStraysAside(this.membership);
  }

  /**
   * Behind a commit: sets aside what has left this member and is here still, since a constructor
   * has written it, or changed the keys by which the engine knows what left. Rule
   * "nothing-left-behind". Call inside a transaction, with foreign keys off.
   */
  protected setLeftBehindAside(membership: Pick<Membership, "layout" | "epoch">): void {
    if (!this.#mayHaveRewritten() || !membership.layout.members.includes(this.self)) return;
    this.#setStraysAside(membership);
  }

  /** Sets aside the rows that are not this member's, to be told with the end of the operation. */
  #setStraysAside({ layout, epoch }: Pick<Membership, "layout" | "epoch">): void {
    const { sql, self } = this;
    const { partitioners } = this.options;
    try {
      const rows = { sql, self, partitioners, tables: this.presentTables() };
      const found = sql.transaction(() => setStraysAside(rows, layout, epoch));
      if (found.length === 0) return;
      writeMeta(sql, STRAYS_ASIDE, addRows(this.#straysAside(), found));
    } catch (error) {
      // Without room, or with tables that cannot move, they stay: neither an undo nor an
      // activation may fail over it.
      if (!isFull(error) && !(error instanceof TableFault)) throw error;
    }
  }

  #straysAside(): readonly TableRows[] {
    return readMeta<readonly TableRows[]>(this.sql, STRAYS_ASIDE) ?? [];
  }

  /** True when a constructor of this life may have changed rows of the running move, or tables. */
  #mayHaveRewritten(): boolean {
    if (this.startedWithWrites) return true;
    const frozen = this.frozen();
    return changedTables(frozen, definitionsOf(this.sql, frozen.tables)).length > 0;
  }

  /** The declared tables, and those of the running move. */
  #names(): string[] {
    const moved = this.moving ? this.frozen().tables.map(({ name }) => name) : [];
    return [...new Set([...this.declared(), ...moved])];
  }

  #end(
    { operation, token, epoch, layout, lost }: Message<"finish" | "abandon">,
    next: (membership: Membership, moving: Moving | undefined) => Membership,
    beforeEnd: () => void = () => undefined,
  ): SetAsideReply {
    let setAside: readonly TableRows[] = [];
    ensureSchema(this.sql);
    const { membership: before, moving: part, self } = this;
    const message = `end ${operation} ${token}`;
    if (before.goesOn?.operation === operation) {
      const { goesOn: _, ...known } = before;
      this.change(() => this.put({ membership: known }));
    }
    if (before.ended === operation) return { setAside: notedAside(this.sql, message) };
    if (before.ended >= operation || before.operation > operation) return { setAside };
    // A member out of step waits for its repair, and keeps what it knew of itself until then.
    if (before.trouble && part?.operation !== operation) return { setAside };
    // Each cutover was acknowledged here: one that is not known was forgotten.
    if (!before.trouble && !ownsSamePart(self, before.layout, layout)) throw this.unproven(epoch);
    this.change(() => {
      const membership = this.membership;
      spendReserve(this.sql);
      const ended = { layout, epoch, ...(lost && { lost }) };
      if (this.moving !== undefined && this.moving.operation < operation)
        setAside = this.forgetOlder(ended);
      const moving = this.moving?.operation === operation ? this.moving : undefined;
      if (moving) {
        this.undoPromotion(moving);
        setAside = addRows(this.#keepLostCopies(moving, ended), this.#straysAside());
      }
      if (moving?.isTarget) dropStaging(this.sql, this.planAfterCutover(operation));
      removeCapture(this.sql);
      // A member out of step keeps what it knew of itself: a repair needs it.
      const known = membership.trouble ? membership : next(membership, moving);
      const { goesOn: _, ...kept } = known;
      const after = { ...kept, ...numbersOf({ operation, token }), ended: operation };
      this.forgetMoving();
      this.serve(after);
      if (this.membership.serving) removeWriteBlocks(this.sql);
      beforeEnd();
      noteAside(this.sql, message, setAside);
    });
    return { setAside };
  }
}
