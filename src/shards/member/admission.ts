/**
 * Admission: which routed calls a member runs, and when.
 *
 * | the call's epoch is | the member                                                          |
 * |---------------------|---------------------------------------------------------------------|
 * | its own             | checks that it owns the key, waits while fenced, runs               |
 * | older               | refuses: the router refreshes the layout and retries                |
 * | newer               | catches up with the root, then decides again                        |
 *
 * A fence does not refuse: calls wait, in memory, until the root has spoken. Nothing here writes.
 */
import type { Key } from "../../core/key.ts";
import { createOwnerLookup } from "../../core/owner-lookup.ts";
import type { Partitioners } from "../../core/partitioners.ts";
import { type ProtocolFailure, refusal } from "../../core/protocol-failure.ts";
import { type Result, failure, success } from "../../core/result.ts";
import type { Member } from "./member.ts";
import { RefusedError } from "../protocol/refused-error.ts";

/** How long a call waits behind a fence, or for an epoch to arrive, before its caller is told to retry. */
const WAIT_MS_MAX = 30_000;
const CATCH_UP_PAUSE_MS = 25;

export class Admission {
  readonly #member: Member;
  readonly #partitioners: Partitioners;
  readonly #catchUp: (epoch: number) => Promise<void>;
  #lookup: { readonly epoch: number; readonly owner: (key: Key) => string } | undefined;
  #keyColumn: { readonly epoch: number; readonly text: string | undefined } | undefined;
  #active = 0;
  #held = false;
  #waiting: (() => void)[] = [];

  constructor(member: Member, partitioners: Partitioners, catchUp: (epoch: number) => Promise<void>) {
    this.#member = member;
    this.#partitioners = partitioners;
    this.#catchUp = catchUp;
  }

  /** Runs `work` when this member may serve the call, under the epoch that it was admitted by. */
  async run<Value>(
    epoch: number,
    keys: readonly Key[],
    work: () => Value | Promise<Value>,
  ): Promise<Result<Value, ProtocolFailure>> {
    const { runtime } = this.#member;
    const deadline = runtime.now() + WAIT_MS_MAX;
    for (;;) {
      const verdict = this.#judge(epoch, keys);
      if (verdict === "run") break;
      if (typeof verdict === "object") return failure(verdict);
      if (runtime.now() >= deadline)
        return failure(retryLater(`${this.#member.self} waited ${WAIT_MS_MAX} ms for a move to end`));
      if (verdict === "catchUp") {
        try {
          await this.#catchUp(epoch);
        } catch {
          // The root did not answer: this call has not run, so its caller is told to retry when the time is up.
        }
        if (this.#member.membership.epoch < epoch) await runtime.sleep(CATCH_UP_PAUSE_MS);
      } else {
        await this.#change(deadline - runtime.now());
      }
    }
    this.#active++;
    try {
      return success(await work());
    } finally {
      this.#active--;
      this.changed();
    }
  }

  /** True when this object serves the key now and nothing holds it: typed calls then run in place. */
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

  /** For what must not wait: see to it that this object serves at this epoch, and that nothing holds it. @throws RefusedError */
  requireNow(epoch: number): void {
    const verdict = this.#judge(epoch, []);
    if (verdict === "run") return;
    throw new RefusedError(
      typeof verdict === "object" ? verdict : retryLater(`${this.#member.self} is fenced, or has yet to reach epoch ${epoch}`),
    );
  }

  /** The owner of a key by the layout that this object serves by. */
  ownerOf(key: Key): string {
    return this.#owner(key);
  }

  /** Admits nothing more, and waits for running calls to end. False when they did not within `waitMs`: admission then goes on. */
  async hold(waitMs: number): Promise<boolean> {
    const { runtime } = this.#member;
    const deadline = runtime.now() + waitMs;
    this.#held = true;
    while (this.#active > 0) {
      if (runtime.now() >= deadline) {
        this.release();
        return false;
      }
      await this.#change(deadline - runtime.now());
    }
    return true;
  }

  /** Ends a hold. A stored fence still keeps calls waiting. */
  release(): void {
    this.#held = false;
    this.changed();
  }

  /** Wakes every waiting call: the fence, the epoch or the number of running calls has changed. */
  changed(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const wake of waiting) wake();
  }

  #judge(epoch: number, keys: readonly Key[]): "run" | "wait" | "catchUp" | ProtocolFailure {
    const { membership, moving, self, foreignKeys } = this.#member;
    if (epoch > membership.epoch) return "catchUp";
    if (epoch < membership.epoch) {
      return refusal("staleEpoch", `${self} is at epoch ${membership.epoch}, the call was routed by epoch ${epoch}`);
    }
    if (!membership.serving) return refusal("notMember", `${self} owns no part of '${membership.namespace}' at epoch ${epoch}`);
    const textColumn = keys.some(isNumber) ? this.#textColumn() : undefined;
    if (textColumn !== undefined) return refusal("invalid", `${self}: column ${textColumn} is TEXT: pass the key as text`);
    if (keys.some((key) => this.#owner(key) !== self))
      return refusal("notOwner", `${self} does not own the key at epoch ${epoch}`);
    const isFenced = moving !== undefined && moving.fence !== 0;
    return this.#held || isFenced || foreignKeys.isOff ? "wait" : "run";
  }

  #owner(key: Key): string {
    const { membership, self } = this.#member;
    if (membership.layout.kind === "roundRobin") return self; // the directory has decided
    if (this.#lookup?.epoch !== membership.epoch) {
      this.#lookup = { epoch: membership.epoch, owner: createOwnerLookup(membership.layout, this.#partitioners) };
    }
    return this.#lookup.owner(key);
  }

  /** The column of the shard key that turns a number into text as it stores it: rows would stand under another key than the call's. */
  #textColumn(): string | undefined {
    const { membership } = this.#member;
    const { layout, epoch } = membership;
    if (layout.kind === "none" || layout.kind === "roundRobin") return undefined;
    if (this.#keyColumn?.epoch !== epoch) this.#keyColumn = { epoch, text: this.#member.textKeyColumn(layout.shardKey) };
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
