/**
 * Chooses the protocol that a message is sent by, so that old and new objects of a namespace speak
 * with each other during a rollout.
 *
 * | what the peer has shown          | a message is sent by                                                    |
 * |----------------------------------|-------------------------------------------------------------------------|
 * | nothing yet                      | the oldest that we speak: an old object refuses every other number      |
 * | what it speaks, in an answer     | the newest in common                                                    |
 * | it refuses that (rolled back)    | what the refusal names: nothing has run, so the message is sent again   |
 * | a message that needs a newer one | that one, untried: an old object refuses it, and it is not sent by less |
 *
 * Kept in memory only: what a peer speaks changes with every deploy, and asking again costs one
 * message.
 */
import { type ProtocolFailure, refusal } from "./protocol-failure.ts";
import { PROTOCOLS_SPOKEN, type ProtocolReply } from "./protocol.ts";
import { failure } from "../result.ts";

/**
 * Peers remembered; beyond, those that were met, or have changed, longest ago are forgotten first.
 */
const PEERS_MAX = 10_000;
/**
 * Times that one message is sent: a peer may be rolled back, and deployed again, between two of
 * them.
 */
const TRIES_MAX = 3;
/**
 * The words of a number's refusal, which are part of the protocol: an object that speaks protocol 1
 * alone has no kind for it.
 */
const NUMBER_REFUSED = /^Only protocols? (\d+)(?: and \d+)* (?:is|are) spoken here$/;

export class PeerProtocols {
  readonly #speaks: readonly number[];
  readonly #known = new Map<string, readonly number[]>();

  /** `speaks`: the protocols of this side, oldest first. */
  constructor(speaks: readonly number[] = PROTOCOLS_SPOKEN) {
    this.#speaks = speaks;
  }

  /** The newest protocol that the peer has shown to speak; null before its first answer. */
  newestOf(peer: string): number | null {
    return this.#known.get(peer)?.at(-1) ?? null;
  }

  /**
   * Sends one message and gives the answer. `least` is the oldest protocol that knows the message.
   *
   * A refusal of the number alone never comes back, unless there is none that both sides speak and
   * the message can be sent by: that is the refusal `protocol`, and nothing has run.
   */
  async exchange<Value>(
    peer: string,
    send: (protocol: number) => Promise<ProtocolReply<Value>>,
    least = 0,
  ): Promise<ProtocolReply<Value>> {
    let protocol = this.#choose(this.#known.get(peer), least) ?? this.#untried(least);
    for (let tries = 1; ; tries++) {
      const reply = await send(protocol);
      const spoken = spokenBy(reply);
      this.#remember(peer, spoken);
      if (!refusesNumber(reply)) return reply;
      const next = this.#choose(spoken, least);
      if (next === null || next === protocol || tries >= TRIES_MAX)
        return failure(this.#noneInCommon(peer, spoken, least));
      protocol = next;
    }
  }

  /**
   * The newest in common with a peer that is known; the oldest that the message can be sent by,
   * when it is not. Null when there is none.
   */
  #choose(spoken: readonly number[] | undefined, least: number): number | null {
    if (spoken === undefined) return this.#untried(least);
    return (
      this.#speaks.findLast((protocol) => protocol >= least && spoken.includes(protocol)) ?? null
    );
  }

  #untried(least: number): number {
    const found = this.#speaks.find((protocol) => protocol >= least);
    if (found === undefined) throw new Error(`No protocol from ${least} on is spoken here`);
    return found;
  }

  #remember(peer: string, spoken: readonly number[]): void {
    const known = this.#known.get(peer);
    // Nearly every answer says what the one before has said.
    if (known !== undefined && isSameList(known, spoken)) return;
    this.#known.delete(peer);
    this.#known.set(peer, spoken);
    const [oldest] = this.#known.keys();
    if (this.#known.size > PEERS_MAX && oldest !== undefined) this.#known.delete(oldest);
  }

  #noneInCommon(peer: string, spoken: readonly number[], least: number): ProtocolFailure {
    const needed = this.#speaks.filter((protocol) => protocol >= least);
    return refusal(
      "protocol",
      `${peer} speaks protocol ${spoken.join(" and ")}, this message needs ${needed.join(" or ")}: it can be sent once all objects run one version`,
    );
  }
}

/** The refusal of a message by its number alone, before anything else of it was looked at. */
export function refuseNumber(): ProtocolFailure {
  return refusal("protocol", `Only protocols ${PROTOCOLS_SPOKEN.join(" and ")} are spoken here`);
}

/**
 * Not by the kind: a member passes on that it could not speak with another one, and that is no
 * refusal of what it was sent.
 */
function refusesNumber(reply: ProtocolReply<unknown>): boolean {
  return !reply.ok && NUMBER_REFUSED.test(reply.failure.message);
}

function isSameList(left: readonly number[], right: readonly number[]): boolean {
  return left.length === right.length && left.every((each, index) => each === right[index]);
}

/** The versions that an answer shows of its sender. */
function spokenBy(reply: ProtocolReply<unknown>): readonly number[] {
  if (reply.speaks !== undefined) return reply.speaks;
  const named = reply.ok ? null : NUMBER_REFUSED.exec(reply.failure.message);
  return [Number(named?.[1] ?? 1)];
}
