/**
 * Does nothing that a member cannot prove from what it has stored: an object that was restored to
 * an earlier time, or asked by a root that was, serves nothing until it is repaired.
 */
import type { Layout } from "../../model/layout/layout.ts";
import { ownsSamePart } from "../../model/layout/own-part.ts";
import { receivedPages } from "../move/recopy.ts";
import { missesPages, wentBack } from "../move/receive.ts";
import { setWriteBlock } from "../move/write-blocks.ts";
import { ownSince } from "../../model/layout/moves.ts";
import { countLostCopies } from "../move/lost-copies.ts";
import { undoPromotion } from "../move/promote.ts";
import {
  type FoundStrays,
  type MemberRows,
  findStraysAtOnce,
  findStraysInSlices,
} from "../move/stray-rows.ts";
import type { Moving } from "../move/moving.ts";
import type { Message } from "../protocol/messages.ts";
import type { PageFloor } from "../protocol/terms.ts";
import type {
  KnownState,
  TableRows,
  TestifiedMove,
  Testimony,
  Trouble,
} from "../protocol/replies.ts";
import { type RefusedError, refused } from "../protocol/refused-error.ts";
import { EngineFault } from "../storage/faults.ts";
import { spendReserve } from "../storage/reserve.ts";
import { ensureSchema } from "../storage/schema.ts";
import { suspicionOf } from "./directory-suspicion.ts";
import { REPAIR } from "./evidence.ts";
import { BlockingMember } from "./blocking-member.ts";
import { type Membership, heardEnd } from "./membership.ts";

export class ProvenMember extends BlockingMember {
  /**
   * Begins no part that does not follow from what this member knows of itself. Rule
   * "one-history". @throws RefusedError
   */
  protected requireInStep({ operation, epoch, from }: Message<"prepare">): void {
    const { membership, self } = this;
    if (this.moving?.operation === operation || membership.ended === operation) return;
    if (membership.operation > operation) {
      throw refused(
        "registryLost",
        `${self} has seen operation ${membership.operation}, and ${operation} begins only now`,
      );
    }
    const isSource = from.members.includes(self);
    const isNext = isSource
      ? membership.serving &&
        membership.epoch <= epoch &&
        ownsSamePart(self, membership.layout, from)
      : !membership.serving;
    if (isNext) return;
    const known = `${self} ${membership.serving ? "serves" : "owns nothing"} at epoch ${membership.epoch}`;
    throw this.fall(
      "outOfStep",
      `${known}, operation ${operation} has it ${isSource ? "serve" : "own nothing"} at epoch ${epoch}`,
      epoch,
    );
  }

  /**
   * Serves nothing from here on, until it is repaired: this member cannot prove what it owns. Gives
   * the refusal to be thrown.
   */
  fall(
    kind: Trouble["kind"],
    reason: string,
    epoch: number,
    by: string | null = null,
  ): RefusedError {
    const known = this.membership.trouble;
    if (known) return refused(known.kind, known.message);
    const message = `${reason}. It serves and writes nothing: ${REPAIR}`;
    ensureSchema(this.sql);
    this.change(() => {
      spendReserve(this.sql);
      this.put({
        membership: {
          ...this.membership,
          serving: false,
          trouble: { kind, message, since: this.runtime.now(), epoch, by },
        },
      });
      // Admission refuses by the record; write blocks are for what is no routed call.
      if (this.hasRoomForWriteBlocks()) this.block("notMember");
      else setWriteBlock(this.sql, "notMember");
    });
    this.arm();
    return refused(kind, message);
  }

  /**
   * After everything was deleted: keeps what this member knew of itself, and serves nothing where
   * rows were its own; a root has lost its registry, unless the namespace is unsharded. False for
   * an object that had no part in any operation.
   */
  loseStorage(before: Membership | null, isRegistryKept: boolean): boolean {
    this.forgetCaches();
    if (before === null) return false;
    const { serving, retired: _, ...known } = before;
    const isRoot = before.namespace === this.self;
    ensureSchema(this.sql);
    this.change(() =>
      this.put({ membership: { ...known, serving: isRegistryKept, retired: false } }),
    );
    if (!isRegistryKept && (isRoot || serving))
      this.fall(
        isRoot ? "registryLost" : "outOfStep",
        `The storage of ${this.self} was deleted (deleteAll)`,
        before.epoch,
      );
    return true;
  }

  /** Falls at an epoch that this member may not go to by itself. */
  protected unproven(epoch: number): RefusedError {
    const reason = `${this.self} is at epoch ${this.membership.epoch}, and owns another part at epoch ${epoch}, for which it has no record of an operation`;
    return this.fall("outOfStep", reason, epoch);
  }

  /** @throws EngineFault when the operation does not run here, or this attempt is over. */
  requireAttempt(operation: number, attempt: number): void {
    const { moving } = this.planAfterCutover(operation);
    if (attempt < moving.fenceFloor || attempt < moving.fence)
      throw new EngineFault(
        "cancelled",
        `Fence attempt ${attempt} of operation ${operation} is over on ${this.self}`,
      );
  }

  /**
   * Refuses a slice of an earlier round: it would send what the targets have forgotten since.
   * @throws RefusedError
   */
  requireRound(operation: number, round = 0): void {
    const now = this.planAfterCutover(operation).moving.rounds?.source ?? 0;
    if (round === now) return;
    throw refused(
      "moving",
      `${this.self} has prepared operation ${operation} in round ${now}, not ${round}`,
    );
  }

  /**
   * Takes no part in a wave without those before it, each of which was acknowledged here: a member
   * that was restored has forgotten some. @throws RefusedError
   */
  requireCaughtUp({
    operation,
    registryEpoch = 0,
  }: Pick<Message<"fence" | "promote">, "operation" | "registryEpoch">): void {
    const { membership, moving, self } = this;
    const epochFrom = moving?.operation === operation ? moving.epochFrom : undefined;
    if (epochFrom === undefined || registryEpoch <= epochFrom || membership.epoch >= registryEpoch)
      return;
    throw this.fall(
      "outOfStep",
      `${self} is at epoch ${membership.epoch}, and has acknowledged ${registryEpoch}`,
      registryEpoch,
    );
  }

  /**
   * The same of the activation of a wave: those before it have been acknowledged. @throws
   * RefusedError
   */
  protected requireWavesBefore(operation: number, epoch: number): void {
    this.requireCaughtUp({ operation, registryEpoch: epoch - 1 });
  }

  /**
   * Refuses to act on rows that are not all here, or more than all: a target that was restored has
   * forgotten pages whose sources take them for stored, a source has forgotten that it has sent
   * them. `isAll`: behind a fence, where nothing more is sent. @throws EngineFault
   */
  requirePages(floors: readonly PageFloor[] = [], isAll = false): void {
    const received = receivedPages(this.sql);
    const lost = floors.find(
      ({ source, target, sequence }) =>
        target === this.self && (received.get(source) ?? 0) < sequence,
    );
    const ahead = floors.find(
      ({ source, target, sequence }) =>
        target === this.self && (received.get(source) ?? 0) > sequence,
    );
    if (ahead && isAll)
      throw wentBack(
        ahead.source,
        `${this.self} has page ${received.get(ahead.source) ?? 0} of it, of ${ahead.sequence}`,
      );
    if (!lost) return;
    throw missesPages(this.self, lost.source, received.get(lost.source) ?? 0, lost.sequence);
  }

  /**
   * The same as `testify`, in slices between which the object serves, where no promotion is to be
   * taken back for it. @throws RefusedError when its part changes meanwhile.
   */
  async testifyInSlices(request: Omit<Message<"testify">, "kind">): Promise<Testimony> {
    const { layout, sampleMax = 0 } = request;
    if (layout === null || this.moving?.promotion) return this.testify(request);
    const { isStored, membership } = this;
    const { epoch, operation } = membership;
    const steps = findStraysInSlices(this.#presentRows(), layout, sampleMax);
    for (;;) {
      const step = steps.next();
      if (step.done === true) return this.testify(request, step.value);
      await this.runtime.sleep(0);
      if (!this.isStill({ isStored, epoch, operation }) || this.moving?.promotion)
        throw refused(
          "moving",
          `${this.self} has another part than when it began to look for rows: ask again`,
        );
    }
  }

  /**
   * Tells a repair what this object knows of itself; `lost` names sources that have lost their
   * storage. @param found the rows that are not its own, where they were looked for.
   */
  testify(
    { layout, sampleMax, lost = [] }: Omit<Message<"testify">, "kind">,
    found?: FoundStrays,
  ): Testimony {
    const { membership, moving, isStored } = this;
    const { epoch, operation, trouble = null } = membership;
    const suspectSince = suspicionOf(this.sql)?.since;
    const told =
      layout === null
        ? { strays: [] }
        : this.#withoutPromotion(() => this.#tellStrays(layout, lost, { sampleMax, found }));
    return {
      isStored,
      epoch,
      layout: membership.layout,
      operation,
      ended: heardEnd(membership),
      trouble,
      ...(suspectSince !== undefined && { suspectSince }),
      moving: moving ? testifiedMove(moving) : null,
      ...told,
    };
  }

  #presentRows(): MemberRows {
    const { sql, self } = this;
    const { partitioners } = this.options;
    return { sql, self, partitioners, tables: this.presentTables() };
  }

  /** The rows that a repair to this layout sets aside here. */
  #tellStrays(
    layout: Layout,
    lost: readonly string[],
    {
      sampleMax,
      found,
    }: { readonly sampleMax: number | undefined; readonly found: FoundStrays | undefined },
  ): Pick<Testimony, "strays" | "samples"> {
    const { strays, samples } =
      found ?? findStraysAtOnce(this.#presentRows(), layout, sampleMax ?? 0);
    return {
      strays: addRows(strays, this.#countLostCopies(this.moving, lost, layout)),
      ...(sampleMax !== undefined && { samples }),
    };
  }

  /**
   * Reads what stands here once the running promotion is taken back, as a repair does first; it
   * stays. Foreign keys are off where there is one.
   */
  #withoutPromotion<Value>(read: () => Value): Value {
    const { moving, sql } = this;
    if (!moving?.promotion) return read();
    const plan = this.planAfterCutover(moving.operation);
    return sql.rolledBack(() => {
      undoPromotion(sql, plan, moving.promotion?.incoming ?? []);
      return read();
    });
  }

  /** Copies that came from lost sources to this target of a shift, and are not live here. */
  #countLostCopies(
    moving: Moving | undefined,
    lost: readonly string[],
    layout: Layout,
  ): TableRows[] {
    if (!moving?.isTarget || moving.mode === "swap" || lost.length === 0) return [];
    const plan = this.planAfterCutover(moving.operation);
    return countLostCopies(this.sql, { plan, lost, own: ownSince(moving.from, layout, this.self) });
  }

  /** True while nothing has changed since the member testified so. */
  protected isStill({ isStored, epoch, operation }: KnownState): boolean {
    const { membership } = this;
    return (
      this.isStored === isStored && membership.epoch === epoch && membership.operation === operation
    );
  }
}

/** Adds up the rows of each table. */
export function addRows(...counts: readonly (readonly TableRows[])[]): TableRows[] {
  const sums = new Map<string, number>();
  for (const { table, rows } of counts.flat()) sums.set(table, (sums.get(table) ?? 0) + rows);
  return Array.from(sums, ([table, rows]) => ({ table, rows }));
}

function testifiedMove({
  operation,
  token,
  mode,
  from,
  epochFrom,
  to,
  promotion,
  rehearsed,
}: Moving): TestifiedMove {
  return {
    operation,
    ...(token === undefined ? {} : { token }),
    mode,
    from,
    ...(epochFrom === undefined ? {} : { epochFrom }),
    to,
    promoted: promotion?.attempt ?? rehearsed ?? null,
  };
}
