/**
 * As a root: notices that the registry is behind what others know, as after a restore, and stops
 * serving then. Rule "one-history".
 *
 * Epochs and operations come from this registry and its journal alone. So whoever names a newer
 * epoch, or an operation that is not in the journal, has heard of it from an earlier life of this
 * object that is lost.
 */
import type { ProtocolFailure } from "../../model/wire/protocol-failure.ts";
import type { Member } from "../member/member.ts";
import type { MemberRequest, Message } from "../protocol/messages.ts";
import type { LayoutReply, ResolveReply } from "../protocol/replies.ts";
import type { RefusedError } from "../protocol/refused-error.ts";
import type { Root } from "../root/root.ts";

/** The part of the host that is watched. */
interface WatchedHost {
  readonly member: Member;
  readonly root: Root;
  readonly namespace: string;
}

export class RegistryWatch {
  readonly #host: WatchedHost;

  constructor(host: WatchedHost) {
    this.#host = host;
  }

  get #isRoot(): boolean {
    return this.#host.namespace === this.#host.member.self;
  }

  /**
   * Looks at what a member has refused: it may know more than the registry. @throws RefusedError
   */
  hearRefusal(member: string, request: MemberRequest, reason: ProtocolFailure): void {
    // A message that came late was of an older epoch than its addressee's: that is no news either.
    if (reason.epoch !== undefined) return throwIf(this.hearEpoch(reason.epoch, member));
    if (
      !this.#isRoot ||
      reason.kind !== "registryLost" ||
      !("operation" in request) ||
      request.kind === "start"
    )
      return;
    // A late word about an operation that is over is no news.
    const running = this.#host.root.journal.running();
    if (running?.id === request.operation && running.token === request.token)
      throw this.#lose(reason.message, 0, member);
  }

  /**
   * Of an epoch that somebody has heard of; `by` is a member, or null for a caller. Gives the
   * refusal of whoever is to be refused then, and null when all is well.
   */
  hearEpoch(epoch: number, by: string | null): RefusedError | null {
    if (!this.#isRoot) return null;
    const own = this.#host.root.journal.epoch();
    return epoch > own
      ? this.#lose(`${by ?? "a caller"} knows epoch ${epoch}, the registry is at ${own}`, epoch, by)
      : null;
  }

  /** The live layout. @throws RefusedError when who asks knows a newer one. */
  layout({ epoch: heard = 0, asker }: Message<"layout">): LayoutReply {
    throwIf(this.hearEpoch(heard, asker ?? null));
    const { layout, epoch } = this.#host.root.journal.registry();
    return { layout, epoch };
  }

  /**
   * Tells a fenced member what has become of the operation. Rule "durable-abort": "released" is
   * only ever read from the journal; a root that does not know the operation says nothing about it.
   */
  resolve({ operation, attempt, token, epoch = 0, asker }: Message<"resolve">): ResolveReply {
    const by = asker ?? null;
    const { journal } = this.#host.root;
    const record = journal.find(operation);
    const isKnown =
      record !== undefined &&
      (token === undefined || record.token === undefined || record.token === token);
    const isUnheard = !isKnown && (record !== undefined || operation >= journal.nextId());
    if (isUnheard)
      this.#lose(
        `${asker ?? "a member"} takes part in operation ${operation}, which is not in the journal`,
        0,
        by,
      );
    this.hearEpoch(epoch, by);
    if (!isKnown || this.#host.member.membership.trouble) return { verdict: "pending" };
    if (asker !== undefined) this.#host.root.tellAgain(record, asker);
    const isOver =
      record.state !== "running" || (record.step !== "activate" && record.attempt > attempt);
    return { verdict: isOver ? "released" : "pending" };
  }

  #lose(reason: string, epoch: number, by: string | null): RefusedError {
    const message = `The root of '${this.#host.namespace}' has lost its registry, as after a restore: ${reason}`;
    return this.#host.member.fall("registryLost", message, epoch, by);
  }
}

function throwIf(refusal: RefusedError | null): void {
  if (refusal) throw refusal;
}
