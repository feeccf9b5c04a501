/**
 * Tells the root once in each life of a member which epoch it acts by: a root that was restored, or
 * has lost its storage, hears so of what it has forgotten, also when no caller knows it.
 *
 * Beside the first routed call, which does not wait for it. A root that does not answer is told
 * again by a later call.
 */
import type { Member } from "../member/member.ts";
import type { LayoutReply } from "../protocol/messages.ts";
import type { HostPlatform } from "../platform/host-platform.ts";

/** Pause after a root has not answered. */
const AGAIN_MS = 10_000;

/** The part of the host that the herald needs. */
interface HeraldHost {
  readonly member: Member;
  readonly platform: HostPlatform;
  readonly namespace: string;
  layout(): Promise<LayoutReply>;
}

export class Herald {
  readonly #host: HeraldHost;
  /** When the root is to be told next; Infinity once it has answered. */
  #dueAt = 0;

  constructor(host: HeraldHost) {
    this.#host = host;
  }

  /** `epoch`: the one that the call was routed by. */
  tell(epoch: number): void {
    if (this.#dueAt === Infinity) return;
    const { member, platform } = this.#host;
    const now = platform.runtime.now();
    // What is being moved tells the root often enough, and so does who has to catch up.
    if (now < this.#dueAt || !member.membership.serving || member.moving !== undefined) return;
    if (epoch > member.membership.epoch) return;
    this.#dueAt = Infinity;
    if (this.#host.namespace === member.self) return;
    // Refused or not: the root has been told.
    void this.#host.layout().catch(() => {
      this.#dueAt = now + AGAIN_MS;
    });
  }
}
