/**
 * Admission: which routed calls a member runs, and when.
 *
 * | the call's epoch is | the member                                                          |
 * |---------------------|---------------------------------------------------------------------|
 * | its own             | checks that it owns the key, waits while fenced, runs               |
 * | older               | refuses: the router refreshes the layout and retries                |
 * | newer               | catches up with the root, then decides again                        |
 *
 * A fence does not refuse: calls wait, in memory, until the root has spoken. So do they under a
 * hold, the first phase of a fence, which ends by itself: see `hold.ts`. Nothing here writes.
 */
import type { Key } from "../../model/layout/key.ts";
import { createOwnerLookup } from "../../model/layout/owner-lookup.ts";
import type { Partitioners } from "../../model/layout/partitioners.ts";
import { type ProtocolFailure, refusal } from "../../model/wire/protocol-failure.ts";
import type { Chain } from "../../model/wire/protocol.ts";
import { type Result, failure, success } from "../../model/result.ts";
import { type Hold, holdStands, isOlder, waitsUntil } from "./hold.ts";
import type { Member } from "./member.ts";
import type { RunningState } from "../protocol/replies.ts";
import { RefusedError, refused } from "../protocol/refused-error.ts";
import { RunningCalls } from "./running-calls.ts";
import { explainWrongKey } from "./wrong-key.ts";

/**
 * How long a call waits behind a fence, or for an epoch to arrive, before its caller is told to
 * retry.
 */
const WAIT_MS_MAX = 30_000;
const CATCH_UP_PAUSE_MS = 25;
/** Calls that wait at the same time; beyond, callers are told to retry. */
const WAITING_MAX = 1_000;

/** A call as it comes to a member. */
export interface Arrival {
  /** The epoch that it was routed by. */
  readonly epoch: number;
  readonly keys: readonly Key[];
  readonly method?: string;
  /** True for a call that waits for its caller once it is admitted. */
  readonly isTicket?: boolean;
  /** The members that wait for it. */
  readonly chain?: Chain | undefined;
  /** True for what ends in the turn in which it begins: nobody finds it running. */
  readonly endsAtOnce?: boolean;
}

export class Admission {
  readonly running: RunningCalls;
  readonly #member: Member;
  readonly #partitioners: Partitioners;
  readonly #catchUp: (epoch: number) => Promise<void>;
  #lookup: { readonly epoch: number; readonly owner: (key: Key) => string } | undefined;
  #keyColumn: { readonly epoch: number; readonly text: string | undefined } | undefined;
  #hold: Hold | undefined;
  #waiting: (() => void)[] = [];
  /** Calls that wait behind a fence or a hold. */
  #waitingCalls = 0;
  #refusedWriteAt: number | undefined;

  constructor(
    member: Member,
    partitioners: Partitioners,
    catchUp: (epoch: number) => Promise<void>,
  ) {
    this.running = new RunningCalls(member.self);
    this.#member = member;
    this.#partitioners = partitioners;
    this.#catchUp = catchUp;
  }

  /** Runs `work` when this member may serve the call, under the epoch that it was admitted by. */
  async run<Value>(
    arrival: Arrival,
    work: () => Value | Promise<Value>,
  ): Promise<Result<Value, ProtocolFailure>> {
    const { epoch, keys, chain = [], method = "", isTicket = false } = arrival;
    const { runtime } = this.#member;
    const arrivedAt = runtime.now();
    const deadline = arrivedAt + WAIT_MS_MAX;
    for (;;) {
      const verdict = this.#judge(epoch, keys);
      if (typeof verdict === "object") return failure(verdict);
      const now = runtime.now();
      const heldUntil = verdict === "run" ? this.#heldUntil(arrival, arrivedAt) : null;
      if (verdict === "run" && heldUntil === null) break;
      if (now >= deadline)
        return failure(
          retryLater(`${this.#member.self} waited ${WAIT_MS_MAX} ms for a move to end`),
        );
      if (verdict === "catchUp") {
        try {
          await this.#catchUp(epoch);
        } catch {
          // The root did not answer: this call has not run, so its caller is told to retry when the
          // time is up.
        }
        if (this.#member.membership.epoch < epoch) await runtime.sleep(CATCH_UP_PAUSE_MS);
      } else {
        if (this.#waitingCalls >= WAITING_MAX)
          return failure(
            retryLater(
              `${this.#member.self} is being moved, and ${WAITING_MAX} calls wait for it already`,
            ),
          );
        this.#waitingCalls++;
        await this.#change(Math.min(deadline, heldUntil ?? deadline) - now);
        this.#waitingCalls--;
      }
    }
    // In the turn of the verdict: a fence is put up only in a turn in which nothing runs.
    const call = this.running.start(method, chain, runtime.now(), isTicket);
    try {
      return success(await work());
    } finally {
      this.running.end(call, runtime.now());
      this.changed();
    }
  }

  /**
   * True when this object serves the key now and nothing holds it: typed calls then run in place.
   */
  servesNow(keys: readonly Key[]): boolean {
    return this.#judge(this.#member.membership.epoch, keys) === "run";
  }

  /** Catches up with a newer epoch that a message was sent by, if that can be done now. */
  async arrive(epoch: number): Promise<void> {
    if (epoch <= this.#member.membership.epoch) return;
    try {
      await this.#catchUp(epoch);
    } catch {
      // The root did not answer: whoever asked is refused, and retries.
    }
  }

  /**
   * Requires, for work that must not wait, that this object serves at this epoch and nothing holds
   * it. @throws RefusedError
   */
  requireNow(epoch: number): void {
    const verdict = this.#judge(epoch, []);
    if (verdict === "run") return;
    throw new RefusedError(
      typeof verdict === "object"
        ? verdict
        : retryLater(`${this.#member.self} is fenced, or has yet to reach epoch ${epoch}`),
    );
  }

  /**
   * The answer to the caller for an error of its method: a row refused for its key has an owner.
   */
  explain(error: unknown): unknown {
    const wrongKey = explainWrongKey(error, (key) => this.#owner(key));
    if (wrongKey !== null) this.#refusedWriteAt = this.#member.runtime.now();
    return wrongKey ?? error;
  }

  /**
   * When a call was last refused for the key of a row that it wrote, in milliseconds since the Unix
   * epoch. Kept in memory alone: a refusal writes nothing.
   */
  get refusedWriteAt(): number | undefined {
    return this.#refusedWriteAt;
  }

  /** The owner of a key by the layout that this object serves by. */
  ownerOf(key: Key): string {
    return this.#owner(key);
  }

  /**
   * Keeps new calls waiting, other than those that a held member waits for, and lets running ones
   * end. Answers once nothing runs (under a hold of long calls: no long one), or after `waitMs`
   * with what still does: the hold goes on either way. @throws RefusedError when a newer attempt
   * holds this member.
   */
  async hold(hold: Hold, waitMs: number): Promise<RunningState> {
    const { runtime } = this.#member;
    if (isOlder(hold, this.#hold))
      throw refused(
        "moving",
        `Attempt ${hold.attempt} of operation ${hold.operation} is over on ${this.#member.self}`,
      );
    this.#hold = hold;
    this.running.noteHold(hold.until);
    this.changed();
    const deadline = runtime.now() + waitMs;
    while (this.running.runsLong(hold.fromMs, runtime.now()) && runtime.now() < deadline)
      await this.#change(deadline - runtime.now());
    return this.state();
  }

  state(): RunningState {
    return { ...this.running.state(this.#member.runtime.now()), waiting: this.#waitingCalls };
  }

  /** Wakes every waiting call: the fence, the epoch or the number of running calls has changed. */
  changed(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const wake of waiting) wake();
  }

  #judge(epoch: number, keys: readonly Key[]): "run" | "wait" | "catchUp" | ProtocolFailure {
    const { membership, moving, self } = this.#member;
    const { trouble } = membership;
    if (trouble) return refusal(trouble.kind, trouble.message);
    if (epoch > membership.epoch) return "catchUp";
    if (epoch < membership.epoch) {
      const message = `${self} is at epoch ${membership.epoch}, the call was routed by epoch ${epoch}`;
      return { ...refusal("staleEpoch", message), epoch: membership.epoch };
    }
    if (!membership.serving)
      return refusal(
        "notMember",
        `${self} owns no part of '${membership.namespace}' at epoch ${epoch}`,
      );
    const textColumn = keys.some(isNumber) ? this.#textColumn() : undefined;
    if (textColumn !== undefined)
      return refusal("invalid", `${self}: column ${textColumn} is TEXT: pass the key as text`);
    if (keys.some((key) => this.#owner(key) !== self))
      return refusal("notOwner", `${self} does not own the key at epoch ${epoch}`);
    const isFenced = moving !== undefined && moving.fence !== 0;
    return isFenced ? "wait" : "run";
  }

  /** Until when a hold keeps this call waiting; null when none does. */
  #heldUntil(
    { chain = [], method = "", endsAtOnce = false }: Arrival,
    arrivedAt: number,
  ): number | null {
    const { moving, runtime } = this.#member;
    const hold = this.#hold;
    const now = runtime.now();
    if (hold === undefined || endsAtOnce || !holdStands(hold, moving, now)) return null;
    const until = waitsUntil(hold, {
      chain,
      usualMs: this.running.usualMs(method, now),
      arrivedAt,
    });
    return until !== null && until > now ? until : null;
  }

  #owner(key: Key): string {
    const { membership, self } = this.#member;
    if (membership.layout.kind === "roundRobin") return self; // the directory has decided
    if (this.#lookup?.epoch !== membership.epoch) {
      this.#lookup = {
        epoch: membership.epoch,
        owner: createOwnerLookup(membership.layout, this.#partitioners),
      };
    }
    return this.#lookup.owner(key);
  }

  /**
   * The column of the shard key that turns a number into text as it stores it: rows would stand
   * under another key than the call's.
   */
  #textColumn(): string | undefined {
    const { membership } = this.#member;
    const { layout, epoch } = membership;
    if (layout.kind === "none" || layout.kind === "roundRobin") return undefined;
    if (this.#keyColumn?.epoch !== epoch)
      this.#keyColumn = { epoch, text: this.#member.textKeyColumn(layout.shardKey) };
    return this.#keyColumn.text;
  }

  #change(waitMs: number): Promise<void> {
    return new Promise((resolve) => {
      const woken = new AbortController();
      const wake = (): void => {
        woken.abort();
        resolve();
      };
      this.#waiting.push(wake);
      void this.#member.runtime.sleep(Math.max(1, waitMs), woken.signal).then(resolve, resolve);
    });
  }
}

function isNumber({ type }: Key): boolean {
  return type === "integer" || type === "real";
}

function retryLater(message: string): ProtocolFailure {
  return refusal("moving", `${message}: retry`);
}
