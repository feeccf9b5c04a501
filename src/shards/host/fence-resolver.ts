/**
 * Asks the root what has become of the attempt whose fence stands here, when it is silent. The
 * fence is lifted by the root's answer for that attempt and by nothing else.
 */
import type { Admission } from "../member/admission.ts";
import type { Member } from "../member/member.ts";
import type { HostPlatform } from "../platform/host-platform.ts";
import type { ResolveReply } from "../protocol/replies.ts";

/** Fenced members ask the root again after this time. */
const RESOLVE_MS = 2_000;

/** The part of the host that is needed. */
interface FencedHost {
  readonly member: Member;
  readonly admission: Admission;
  readonly platform: HostPlatform;
  readonly namespace: string;
  writeRows<Value>(write: () => Value): Promise<Value>;
}

export class FenceResolver {
  readonly #host: FencedHost;
  /** When the root is to be asked; of that fence. */
  #resolving:
    | { readonly operation: number; readonly fence: number; readonly at: number }
    | undefined;

  constructor(host: FencedHost) {
    this.#host = host;
  }

  /** Asks, and lifts the fence of an attempt that is over. */
  async resolve(): Promise<void> {
    const { member } = this.#host;
    const { moving } = member;
    if (moving === undefined || this.due() === null) return;
    const { operation, fence: attempt } = moving;
    this.#resolving = { operation, fence: attempt, at: this.#nextAt() };
    let reply: ResolveReply;
    try {
      reply = await this.ask(operation, attempt, member.membership.epoch);
    } catch {
      return; // silence says nothing: the alarm asks again
    }
    if (reply.verdict === "pending") return;
    await this.#host.writeRows(() => member.unfence(operation, attempt));
    this.#host.admission.changed();
  }

  /**
   * Asks what has become of an attempt; also wakes the root's driver. `epoch`: the newest heard of.
   */
  ask(operation: number, attempt: number, epoch: number): Promise<ResolveReply> {
    const { member, namespace } = this.#host;
    return member.ask(namespace, {
      kind: "resolve",
      operation,
      attempt,
      epoch,
      asker: member.self,
    });
  }

  /**
   * When the root is to be asked about the fence; null without one. The root itself has its driver.
   */
  due(): number | null {
    const { moving, self } = this.#host.member;
    if (moving === undefined || moving.fence === 0 || this.#host.namespace === self) return null;
    const { operation, fence } = moving;
    // The same time however often it is asked for: or whoever sets alarms could put it off for
    // ever.
    if (this.#resolving?.operation !== operation || this.#resolving.fence !== fence)
      this.#resolving = { operation, fence, at: this.#nextAt() };
    return this.#resolving.at;
  }

  #nextAt(): number {
    return this.#host.platform.runtime.now() + RESOLVE_MS;
  }
}
