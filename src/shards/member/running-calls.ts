/**
 * The routed calls that run on a member: how many, for how long, and the mark for whatever is sent
 * while they run.
 *
 * Rule "marked-while-running": without the runtime's help nobody can tell which of the running
 * calls sends a message, so that all of them are below it. Marking too much lets a call run that
 * could have waited; marking too little makes a fence wait for a call that waits for it, which
 * costs the attempt.
 */
import type { Chain } from "../../model/wire/protocol.ts";
import type { RunningState } from "../protocol/replies.ts";
import type { Peers } from "../protocol/peers.ts";

/** Members that a mark names. */
const CHAIN_MEMBERS_MAX = 64;
/** How long it is remembered what a method has taken, and of how many. */
const REMEMBERED_MS = 600_000;
const METHODS_MAX = 200;
/**
 * How far a shorter call brings what is remembered of its method down to itself: one that was slow
 * by chance makes no long method of it.
 */
const FORGOTTEN_SHARE = 0.1;

export interface RunningCall {
  readonly method: string;
  readonly chain: Chain;
  readonly startedAt: number;
  /** True for one that waits for its caller before it runs: that says nothing of its method. */
  readonly isTicket: boolean;
}

export class RunningCalls {
  readonly #self: string;
  /** In the order in which they began. */
  readonly #calls = new Set<RunningCall>();
  /** How many of the running calls have this member below them. */
  readonly #below = new Map<string, number>();
  /** How many have more below them than is named. */
  #unnamed = 0;
  /** How long calls of a method take, those forgotten first that ended first. */
  readonly #taken = new Map<string, { readonly ms: number; readonly endedAt: number }>();
  #heldUntil = 0;
  #chain: Chain | undefined;

  constructor(self: string) {
    this.#self = self;
  }

  get count(): number {
    return this.#calls.size;
  }

  start(method: string, chain: Chain, now: number, isTicket = false): RunningCall {
    const call = { method, chain, startedAt: now, isTicket };
    this.#calls.add(call);
    this.#count(chain, 1);
    return call;
  }

  end(call: RunningCall, now: number): void {
    if (!this.#calls.delete(call)) return;
    this.#count(call.chain, -1);
    // A call that ran under a hold may have waited for a held call, so its duration says nothing of
    // its method.
    if (call.startedAt >= this.#heldUntil && !call.isTicket)
      this.#remember(call.method, now - call.startedAt, now);
  }

  /** A hold stands here until then, if nothing ends it before. */
  noteHold(until: number): void {
    this.#heldUntil = Math.max(this.#heldUntil, until);
  }

  /**
   * The longest that a call of this method has taken of late, the less the more shorter ones have
   * followed it; 0 when none is known.
   */
  usualMs(method: string, now: number): number {
    const taken = this.#taken.get(method);
    return taken !== undefined && now - taken.endedAt <= REMEMBERED_MS ? taken.ms : 0;
  }

  /** The members below what is sent now; undefined while nothing runs. */
  chain(): Chain | undefined {
    if (this.#calls.size === 0) return undefined;
    this.#chain ??= this.#name();
    return this.#chain;
  }

  /** True while a call runs that has taken as long as this already, or whose method does. */
  runsLong(fromMs: number, now: number): boolean {
    if (fromMs === 0) return this.#calls.size > 0;
    if (this.#oldestMs(now) >= fromMs) return true;
    return [...this.#calls].some(({ method }) => this.usualMs(method, now) >= fromMs);
  }

  #oldestMs(now: number): number {
    const [oldest] = this.#calls;
    return oldest === undefined ? 0 : Math.max(0, now - oldest.startedAt);
  }

  state(now: number): Omit<RunningState, "waiting"> {
    const oldestMs = this.#oldestMs(now);
    return {
      runs: this.#calls.size,
      oldestMs,
      longestMs: Math.max(
        oldestMs,
        ...[...this.#taken.keys()].map((method) => this.usualMs(method, now)),
      ),
    };
  }

  #name(): Chain {
    return chainOf(this.#self, this.#unnamed > 0 ? "many" : [...this.#below.keys()]);
  }

  #remember(method: string, ms: number, now: number): void {
    const usualMs = this.usualMs(method, now);
    const takenMs = ms >= usualMs ? ms : Math.floor(usualMs + (ms - usualMs) * FORGOTTEN_SHARE);
    this.#taken.delete(method);
    if (takenMs === 0) return;
    this.#taken.set(method, { ms: takenMs, endedAt: now });
    const [first] = this.#taken.keys();
    if (this.#taken.size > METHODS_MAX && first !== undefined) this.#taken.delete(first);
  }

  #count(chain: Chain, by: 1 | -1): void {
    this.#chain = undefined;
    if (chain === "many") this.#unnamed += by;
    else {
      for (const member of new Set(chain)) {
        const calls = (this.#below.get(member) ?? 0) + by;
        if (calls === 0) this.#below.delete(member);
        else this.#below.set(member, calls);
      }
    }
  }
}

/** The members below a call of this member's that came with a chain. */
export function chainOf(self: string, chain: Chain): Chain {
  if (chain === "many") return chain;
  const names = [...new Set([self, ...chain])];
  return names.length > CHAIN_MEMBERS_MAX ? "many" : names;
}

/** Marks whatever is sent with the members below it. */
export function markingPeers(peers: Peers, chain: () => Chain | undefined): Peers {
  return {
    send: (member, envelope) => {
      const below = chain();
      return peers.send(member, below === undefined ? envelope : { ...envelope, chain: below });
    },
  };
}
