/**
 * Tells the root now and then which epoch a member acts by, and in which operation it takes part: a
 * root that was restored, or has lost its storage, hears so of what it has forgotten, also when no
 * caller knows it.
 *
 * Beside a routed call, which does not wait for it: a namespace that nobody calls sends nothing.
 */
import type { Member } from "../member/member.ts";
import type { LayoutReply, ResolveReply } from "../protocol/replies.ts";
import type { HostPlatform } from "../platform/host-platform.ts";

/** Milliseconds between two words of a member to its root, which may go back in any moment. */
const TELL_MS = 60_000;
/** Pause after a root that has not answered. */
const AGAIN_MS = 10_000;

/** The part of the host that the herald needs. */
interface HeraldHost {
  readonly member: Member;
  readonly platform: HostPlatform;
  readonly namespace: string;
  layout(): Promise<LayoutReply>;
  askResolve(operation: number, attempt: number): Promise<ResolveReply>;
}

export class Herald {
  readonly #host: HeraldHost;
  #dueAt = 0;

  constructor(host: HeraldHost) {
    this.#host = host;
  }

  /** Call for each routed call; `epoch` is the one that it was routed by. */
  tell(epoch: number): void {
    const { member, platform, namespace } = this.#host;
    const { membership, moving, self } = member;
    const now = platform.runtime.now();
    // A member that has to catch up asks the root anyway.
    if (now < this.#dueAt || namespace === self || !membership.serving || epoch > membership.epoch)
      return;
    this.#dueAt = now + TELL_MS;
    const told = moving ? this.#host.askResolve(moving.operation, 0) : this.#host.layout();
    // Refused or not: the root has been told.
    void told.catch(() => {
      this.#dueAt = now + AGAIN_MS;
    });
  }
}
