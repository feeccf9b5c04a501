/**
 * A Durable Object that speaks the control half of the protocol over an in-memory namespace, so
 * that the control half is tested on the real runtime without the engine. It starts as an unsharded
 * namespace with three rows; tests drive it by its other methods.
 */
import { DurableObject } from "cloudflare:workers";

import type { LiveFailure } from "../../src/model/live.ts";
import type { OperationFault } from "../../src/model/operation.ts";
import type { ControlRequest, Envelope, ProtocolReply } from "../../src/model/wire/protocol.ts";
import { failure, success } from "../../src/model/result.ts";
import { createMemoryAccess, type MemoryAccess } from "./live/memory.ts";
import type { MemoryNamespace } from "./live/memory-rows.ts";

export interface FakeControls {
  /** Polls until an operation has completed. */
  setPace(pollsToComplete: number): Promise<void>;
  edit(change: Partial<MemoryNamespace>): Promise<void>;
  failNext(fault: OperationFault): Promise<void>;
  breakCalls(reason: LiveFailure, times: number): Promise<void>;
  /** How long every answer takes, in milliseconds. */
  setDelay(delayMs: number): Promise<void>;
  /** Verbs asked of this object so far. */
  verbs(): Promise<string[]>;
  /** Questions that it has answered so far. */
  answered(): Promise<number>;
}

export class FakeNamespace extends DurableObject implements FakeControls {
  #access: MemoryAccess | null = null;
  #pace = 2;
  readonly #verbs: string[] = [];
  #answered = 0;
  #throwsLeft = 0;
  #delayMs = 0;

  async shardctl(envelope: Envelope): Promise<ProtocolReply<unknown>> {
    if ((envelope.request as { readonly kind: string }).kind === "count") return stranger(envelope);
    const request = envelope.request as ControlRequest;
    this.#verbs.push(request.kind);
    if (this.#throwsLeft > 0) {
      this.#throwsLeft--;
      throw new Error("the object fell over");
    }
    if (this.#delayMs > 0) await new Promise((resolve) => setTimeout(resolve, this.#delayMs));
    const answer = await this.#ask(request);
    this.#answered++;
    if (answer.ok) return success(answer.value);
    return failure({
      kind: answer.failure.reason ?? "invalid",
      message: answer.failure.message,
      retryable: false,
    });
  }

  async setPace(pollsToComplete: number): Promise<void> {
    this.#pace = pollsToComplete;
  }

  async edit(change: Partial<MemoryNamespace>): Promise<void> {
    this.#open().edit(this.#name, change);
  }

  async failNext(fault: OperationFault): Promise<void> {
    this.#open().failNext(this.#name, fault);
  }

  async breakCalls(reason: LiveFailure, times: number): Promise<void> {
    if (reason.kind === "unreachable") this.#throwsLeft = times;
    else this.#open().breakCalls(this.#name, reason, times);
  }

  async setDelay(delayMs: number): Promise<void> {
    this.#delayMs = delayMs;
  }

  async answered(): Promise<number> {
    return this.#answered;
  }

  async verbs(): Promise<string[]> {
    return this.#verbs;
  }

  get #name(): string {
    const { name } = this.ctx.id;
    if (name === undefined) throw new Error("Address this object by name");
    return name;
  }

  #open(): MemoryAccess {
    this.#access ??= createMemoryAccess({
      now: () => Date.now(),
      pollsToComplete: () => this.#pace,
      namespaces: [
        {
          name: this.#name,
          object: "ORDERS",
          epoch: 1,
          layout: { kind: "none", generation: 0, members: [this.#name] },
          rows: ["a", "b", "c"].map((id) => ({ keys: { id, "data.country": "DE" }, rows: 1 })),
        },
      ],
    });
    return this.#access;
  }

  #ask(
    request: ControlRequest,
  ): ReturnType<
    MemoryAccess["describe" | "distribute" | "history" | "start" | "ids" | "planRepair" | "repair"]
  > {
    const access = this.#open();
    const ref = { name: this.#name, object: "ORDERS" };
    switch (request.kind) {
      case "describe":
        return access.describe(ref);
      case "distribute":
        return access.distribute(ref, request.distribution);
      case "start":
        return access.start(ref, request.operation);
      case "operation":
        return access.operation(ref, request.id);
      case "history":
        return access.history(ref, request.limit);
      case "cancel":
        return access.cancel(ref, request.id);
      case "pause":
        return access.pause(ref, request.id, request);
      case "resume":
        return access.resume(ref, request.id);
      case "ids":
        return access.ids(ref);
      case "planRepair":
        return access.planRepair(ref, request.repair);
      case "repair":
        return access.repair(ref, request.repair, request.fingerprint, request.by);
    }
  }
}

/** No object but the root is part of the namespace here. */
function stranger({ namespace, member }: Envelope): ProtocolReply<never> {
  return failure({
    kind: "invalid",
    message: `${member} is part of namespace '${member}', the message is for '${namespace}'`,
    retryable: false,
  });
}
