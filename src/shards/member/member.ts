/**
 * A member's part in operations, other than moving rows: take the part, hold the fence, change the
 * epoch. What it knows of itself meanwhile is `MemberState`, what refuses the user's writes
 * `BlockingMember`, what it must prove `ProvenMember`, how it lets go `ReleasingMember`.
 *
 * Every call names its operation, and where it matters the attempt. Rule "operation-numbers": what
 * is older than what this object has seen is refused, so that a late call of an earlier operation
 * cannot undo a later one. Every call may arrive twice.
 */
import { hasKeyedDirectory } from "../../model/layout/directory.ts";
import type { Layout } from "../../model/layout/layout.ts";
import type { MoveRange } from "../../model/layout/move-range.ts";
import { ownSince } from "../../model/layout/moves.ts";
import { NOTHING_CHANGED } from "../../model/operation.ts";
import { capturedKey, keepCapture } from "../move/capture.ts";
import { EngineFault, isFull } from "../storage/faults.ts";
import { setWriteBlock, spoilFence } from "../move/write-blocks.ts";
import { type Membership, clearMoveRecords, numbersOf } from "./membership.ts";
import { type Moving, isCheckedFor } from "../move/moving.ts";
import { ReleasingMember } from "./releasing-member.ts";
import type { Activation, Message } from "../protocol/messages.ts";
import type { PrepareReply, RecopyReply, TableCount, TableRows } from "../protocol/replies.ts";
import { type MovePlan, forgetLost, movedDirectories } from "../move/move-plan.ts";
import { refused } from "../protocol/refused-error.ts";
import { quoteName } from "../storage/storage.ts";
import { ensureSchema } from "../storage/schema.ts";
import { drainSlice } from "../move/drain.ts";
import { type Table, checkPrimaryKey } from "../storage/tables.ts";
import {
  changedTables,
  definitionsOf,
  refuseOtherSpecs,
  specsText,
  stepsOf,
} from "../move/frozen-tables.ts";
import { keepReserve, requireRoom, spendReserve } from "../storage/reserve.ts";
import { sentFloors, takeAgain } from "../move/recopy.ts";
import { promoteRows } from "../move/promote.ts";
import { noteAside, notedAside } from "../move/lost-copies.ts";
import { createStaging, dropStaged } from "../move/staging.ts";
import { noteChecked } from "../move/late-rows.ts";
import { uniqueRules } from "../move/unique-rules.ts";
import { suspicionOf } from "./directory-suspicion.ts";
import { deleteMoved } from "./delete-moved.ts";
import { dropRetired } from "./retired-rows.ts";
import { checkIds, keepUnique } from "./unique.ts";

/** Rows of a table that are counted for a refusal. */
const ROWS_TOLD_MAX = 10_000;

/** Rows that were to be live before the commit are not: the member was restored in between. */
class NotPromoted extends Error {}

export class Member extends ReleasingMember {
  /** The attempt whose fence was put up in this life of the object. */
  #fencedInLife = 0;

  /**
   * The plan for a message of rows. Rule "no-late-rows": a target that serves takes no more rows of
   * a swap, and none of a shift between its promotion and the end of that attempt. By then every
   * source is drained: what still comes is late, or a stray write to a row that moves.
   */
  receivingPlan(operation: number): MovePlan {
    const plan = this.plan(operation);
    if (plan.moving.mode === "swap" && this.membership.serving) {
      throw new EngineFault(
        "cancelled",
        `${this.self} serves already: it takes no more rows of operation ${operation}`,
      );
    }
    const { fence, promotion, rehearsed } = plan.moving;
    if (promotion || (fence !== 0 && rehearsed === fence)) {
      throw refused(
        "moving",
        `${this.self} has promoted attempt ${fence} of operation ${operation}: it takes no rows before that is decided`,
      );
    }
    return plan;
  }

  /**
   * Takes part in an operation: a source begins to capture in the same transaction, a target clears
   * what a verified cutover left.
   */
  prepare(
    request: Message<"prepare">,
    bookmark?: string,
    counts: readonly TableCount[] = [],
  ): PrepareReply {
    const { operation } = request;
    this.requireInStep(request);
    // A swap makes another directory from the rows; a shift would carry on what this one lacks.
    if (request.mode === "shift" && this.moving === undefined && suspicionOf(this.sql))
      throw new EngineFault(
        "outOfStep",
        `The ids of all rows are being entered in the directory of ${this.self} again, after a repair. ${NOTHING_CHANGED}: start again when that has ended`,
      );
    ensureSchema(this.sql);
    const tables = this.tables();
    return this.change(() => {
      const membership = this.membership;
      if (membership.operation > operation || membership.ended >= operation) {
        throw new EngineFault(
          "cancelled",
          `Operation ${operation} is over: ${this.self} has seen operation ${membership.operation}`,
        );
      }
      const message = `prepare ${operation} ${request.token}`;
      const isBegun = this.moving?.operation === operation;
      const setAside = isBegun
        ? notedAside(this.sql, message)
        : this.#begin(request, tables, bookmark);
      if (!isBegun) noteAside(this.sql, message, setAside);
      return {
        counts,
        uniqueRules: uniqueRules(this.sql, tables),
        shapes: tables.map(({ name: table, columns, primaryKey }) => ({
          table,
          columns,
          primaryKey,
        })),
        steps: stepsOf(this.sql),
        ...(setAside.length > 0 && { setAside }),
        ...(this.moving?.bookmark === undefined ? {} : { bookmark: this.moving.bookmark }),
        changed: changedTables(this.frozen(), definitionsOf(this.sql, this.frozen().tables)),
      };
    });
  }

  /** Begins the part in an operation. Gives what was set aside of an older one. */
  #begin(
    request: Message<"prepare">,
    tables: readonly Table[],
    bookmark: string | undefined,
  ): readonly TableRows[] {
    const { membership } = this;
    const { operation, epoch, from, to, mode, lost } = request;
    const isSource = from.members.includes(this.self);
    const isTarget = to.members.includes(this.self);
    const setAside = this.forgetOlder({ layout: from, epoch, ...(lost && { lost }) });
    this.#keepReserve(request);
    requireRoom(this.sql);
    spoilFence(this.sql, 0);
    clearMoveRecords(this.sql);
    const fence = { fence: 0, fenceFloor: 1, promotion: null };
    const { allowMissingKey, rowsPerSecondMax } = request;
    const named = numbersOf(request);
    const moving = {
      ...named,
      epochFrom: epoch,
      ...(bookmark === undefined ? {} : { bookmark }),
      mode,
      isSource,
      isTarget,
      from,
      to,
      allowMissingKey,
      rowsPerSecondMax,
      ...fence,
    };
    // Epochs at which its part has not changed it need not have heard of.
    this.put({
      moving,
      membership: { ...membership, ...(isSource && { epoch, layout: from }), ...named },
    });
    if (hasKeyedDirectory(to)) checkIds(tables);
    if (isSource) this.#prepareSource([...tables, ...movedDirectories(moving)], to);
    if (isTarget && !membership.serving) this.#clearTarget(tables, membership);
    this.block(membership.serving ? null : "notMember");
    this.arm();
    this.freezeTables();
    // Needed when it serves: the activation is to change rows only.
    if (isTarget && mode === "shift" && !membership.serving) this.keepKeyTriggers(to);
    if (isTarget && mode === "shift") createStaging(this.sql, this.planAfterCutover(operation));
    return setAside;
  }

  /**
   * Prepares tables again that a deploy has changed: a source walks them from the start, a target
   * forgets what it has of them and takes no older page. Idempotent by its round. @throws
   * RefusedError `tablesChanged` when they have changed once more.
   */
  recopy({ operation, part, round, tables: names, floors }: Message<"recopy">): RecopyReply {
    return this.change(() => {
      const { moving } = this.planAfterCutover(operation);
      const rounds = moving.rounds ?? { source: 0, target: 0 };
      if (rounds[part] < round) {
        refuseOtherSpecs(this.frozen(), specsText(this.options.specs), this.self, operation);
        this.put({ moving: { ...moving, rounds: { ...rounds, [part]: round } } });
        if (part === "source") this.#walkAgain(moving, names);
        this.freezeTables();
        if (part === "target")
          takeAgain(
            this.sql,
            this.planAfterCutover(operation),
            names,
            floors,
            this.membership.serving,
          );
      }
      return { floors: sentFloors(this.sql, this.self) };
    });
  }

  /**
   * Puts up the fence of an attempt: the user's writes abort from here on. Rule "fence-attempts": a
   * late call of an attempt that is over, or older than the one that stands, changes nothing.
   */
  fence(operation: number, attempt: number): void {
    this.change(() => {
      const { moving } = this.plan(operation);
      this.requireAttempt(operation, attempt);
      this.requireUnspoiled(operation, attempt);
      if (moving.fence === attempt) return;
      this.#fencedInLife = attempt;
      this.undoPromotion(moving);
      this.#keepReserve(moving);
      this.put({ moving: { ...moving, fence: attempt, promotion: null } });
      // A member that does not serve yet refuses writes already.
      if (this.membership.serving) this.shut();
    });
  }

  /**
   * Makes the rows of a wave live, under the fence of this attempt. Rule "promoted-before-commit".
   * Idempotent. Foreign keys are off.
   * @throws EngineFault when the rows do not fit.
   */
  promote(operation: number, attempt: number, incoming: readonly MoveRange[]): void {
    this.change(() => {
      const plan = this.plan(operation);
      const { moving } = plan;
      if (moving.fence !== attempt)
        throw new EngineFault(
          "cancelled",
          `Fence attempt ${attempt} of operation ${operation} is over on ${this.self}`,
        );
      if (moving.promotion) return;
      this.#promoteInto(plan, incoming);
      this.promotedInLife = attempt;
      this.put({ moving: { ...moving, promotion: { attempt, incoming } } });
    });
  }

  /**
   * Notes that a rehearsal succeeded: under a fence of a root of protocol 1, this target takes no
   * more rows until it has promoted them or the fence is lifted. The target of a swap, which has no
   * fence, has only to look at what still comes.
   */
  noteRehearsal(operation: number, attempt?: number): void {
    const { moving } = this.plan(operation);
    if (moving.mode === "swap") {
      this.change(() => {
        noteChecked(this.sql, moving);
        // Never back to an earlier attempt, whose message came late.
        if (attempt !== undefined)
          this.put({ moving: { ...moving, rehearsed: Math.max(attempt, moving.rehearsed ?? 0) } });
        // Needed when it serves: the activation is to change rows only.
        if (hasKeyedDirectory(moving.to)) keepUnique(this.sql, this.tables(), moving.to);
        this.keepKeyTriggers(moving.to);
      });
    }
    if (moving.mode === "shift" && moving.fence !== 0)
      this.change(() => this.put({ moving: { ...moving, rehearsed: moving.fence } }));
  }

  /** Drains the log to its end; only under a fence does an empty log stay empty. */
  async drainToEnd(operation: number, attempt: number, budgetMs: number): Promise<boolean> {
    const { backlog } = await drainSlice(this, operation, budgetMs);
    return (
      backlog === 0 && this.plan(operation).moving.fence === attempt && !this.isSpoiled(attempt)
    );
  }

  /** Lifts the fence of an attempt, on the root's word that it is over. */
  unfence(operation: number, attempt: number): void {
    this.change(() => {
      const moving = this.moving;
      if (moving?.operation !== operation) return;
      const stands = moving.fence !== 0 && moving.fence <= attempt;
      // The library before knows no promotion, and lifts a fence without a look at it.
      const isOver = (moving.promotion?.attempt ?? Infinity) <= attempt;
      if (stands || isOver) spendReserve(this.sql);
      if (stands || isOver) this.undoPromotion(moving);
      const lifted = stands ? { fence: 0, promotion: null } : isOver ? { promotion: null } : {};
      this.put({
        moving: { ...moving, ...lifted, fenceFloor: Math.max(moving.fenceFloor, attempt + 1) },
      });
      if (stands && this.membership.serving) setWriteBlock(this.sql, null);
    });
  }

  /**
   * Acts by a committed epoch. A target's rows are live already; a source deletes exactly those
   * rows, and then changes its epoch. Rule "activate-in-one-transaction": the source's fence has
   * stood since before the cutover and ends here, after the deletion.
   */
  async activate(
    operation: number,
    { epoch, layout, incoming, outgoing, attempt }: Activation,
  ): Promise<void> {
    if (this.membership.epoch >= epoch) return;
    // A member that has seen a newer operation is told of an older one: that comes late.
    const isForgotten =
      this.moving?.operation !== operation && this.membership.operation < operation;
    if (this.membership.trouble || isForgotten)
      throw this.fall(
        "outOfStep",
        `${this.self} knows nothing of operation ${operation}, which has cut over`,
        epoch,
      );
    this.requireWavesBefore(operation, epoch);
    const plan = this.planAfterCutover(operation);
    const mayBeLate = plan.moving.fence !== this.#fencedInLife;
    for (const { target, range } of outgoing)
      await deleteMoved(this, plan, { target, range, mayBeLate }, (work) => this.change(work));
    try {
      await this.#cutOver(plan, {
        mayBeLate: mayBeLate && outgoing.length > 0,
        epoch,
        layout,
        incoming,
        outgoing,
        ...(attempt === undefined ? {} : { attempt }),
      });
    } catch (error) {
      if (error instanceof NotPromoted) throw this.fall("outOfStep", error.message, epoch);
      throw error;
    }
  }

  #cutOver(
    plan: MovePlan,
    { epoch, layout, incoming, attempt, mayBeLate }: Activation & { readonly mayBeLate: boolean },
  ): Promise<void> {
    const { operation } = plan.moving;
    return this.foreignKeys.off(() =>
      this.change(() => {
        const membership = this.membership;
        if (membership.epoch >= epoch) return;
        const { moving } = this.planAfterCutover(operation);
        spendReserve(this.sql);
        const isPromoted = incoming.length === 0 || Boolean(moving.promotion);
        if (attempt !== undefined && !(isPromoted && isCheckedFor(moving, attempt)))
          throw new NotPromoted(
            `${this.self} has not promoted attempt ${attempt} of operation ${operation}, which has cut over`,
          );
        if (!isPromoted) promoteRows(this.sql, plan, incoming, this.self);
        this.serve({ ...membership, epoch, layout });
        if (mayBeLate) this.setLeftBehindAside({ layout, epoch });
        const fenceFloor = Math.max(moving.fenceFloor, moving.fence + 1);
        this.put({ moving: { ...moving, fence: 0, promotion: null, fenceFloor } });
      }),
    );
  }

  /**
   * Gives the reserve of a running move to what the user writes: the log of a deletion needs room
   * before the deletion makes any.
   */
  makeRoom(): void {
    if (this.moving) this.change(() => spendReserve(this.sql));
  }

  /**
   * Only the rows of one wave need be held twice: where the storage is full, what was staged for
   * waves that are done is dropped. Their sources have all acknowledged, or there would be no next
   * wave. Not before: a deleted row is billed.
   */
  #promoteInto(plan: MovePlan, incoming: readonly MoveRange[]): void {
    const { from } = plan.moving;
    const { layout } = this.membership;
    try {
      promoteRows(this.sql, plan, incoming, this.self);
    } catch (error) {
      if (!isFull(error)) throw error;
      const done = ownSince(from, layout, this.self);
      if (done.length === 0 || dropStaged(this.sql, plan, done) === 0) throw error;
      promoteRows(this.sql, plan, incoming, this.self);
    }
  }

  #keepReserve({ from, to }: Pick<Moving, "from" | "to">): void {
    keepReserve(this.sql, JSON.stringify([from, to]).length);
  }

  #walkAgain(moving: Moving, names: readonly string[]): void {
    const tables = this.tables();
    this.#prepareSource([...tables, ...movedDirectories(moving)], moving.to);
    for (const table of tables) if (names.includes(table.name)) forgetLost(this.sql, moving, table);
    for (const table of names)
      for (const records of ["walk", "outgoing"])
        this.sql.run(`DELETE FROM shardctl_${records} WHERE table_name = ?`, table);
  }

  #prepareSource(tables: readonly Table[], to: Layout): void {
    for (const table of tables) checkPrimaryKey(this.sql, table);
    keepCapture(this.sql, tables, capturedKey(to));
  }

  #clearTarget(tables: readonly Table[], membership: Membership): void {
    const rows = tables
      .map(({ name }) =>
        this.sql.first<{ n: number }>(
          `SELECT count(*) AS n FROM (SELECT 1 FROM ${quoteName(name)} LIMIT ${ROWS_TOLD_MAX})`,
        ),
      )
      .reduce((total, found) => total + (found?.n ?? 0), 0);
    // Rows that were put away are not among them: they are what a verified cutover left, and may
    // go.
    if (rows > 0 && !membership.retired) {
      throw new EngineFault(
        "schema",
        `${this.self} already holds ${rows} rows${rows < ROWS_TOLD_MAX ? "" : " or more"} that no layout names: move or delete them, then start again`,
      );
    }
    this.deleteAll();
    dropRetired(this.sql);
    this.put({ membership: { ...this.membership, retired: false } });
  }
}
