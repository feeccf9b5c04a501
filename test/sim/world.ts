/**
 * The world: objects with their storage, and the network between them. Owns every fault.
 *
 * | what                          | how                                                                                   |
 * |-------------------------------|---------------------------------------------------------------------------------------|
 * | durability                    | an object's writes are flushed a moment later, together; a crash before discards them |
 * | output gate                   | a message leaves its object only after the writes before it are flushed               |
 * | crash                         | after any step of an object, before or after its flush: memory is gone, calls fail    |
 * | network                       | delays and reorders all; loses requests and replies; brings requests late, or twice   |
 * | alarm                         | at least once: a handler that did not end runs again                                  |
 *
 * Calls of the user's methods are never brought twice: that would be the client's own second call,
 * not the engine's.
 */
import type { Envelope } from "../../src/model/wire/protocol.ts";
import type { MessageKind } from "../../src/shards/protocol/messages.ts";
import type { Peers } from "../../src/shards/protocol/peers.ts";
import { peersOf } from "../support/peers-of.ts";
import { Deployment } from "./deployment.ts";
import { FanOuts } from "./fan-outs.ts";
import { Setbacks } from "./setbacks.ts";
import { SimObject, describeRequest } from "./object.ts";
import { type Answer, type Surroundings, Unreachable, type WorldOptions } from "./surroundings.ts";
import type { StoreVersion } from "./versions.ts";

/** Messages of one kind that the network loses for a while. */
interface CutOff {
  readonly kind: MessageKind;
  /** Null for any object. */
  readonly from: string | null;
  readonly to: string | null;
  /** By the virtual clock. */
  readonly until: number;
}

/** Calls of the user's methods: never doubled. */
const NOT_DOUBLED = new Set(["call"]);
/** Requests that routers send, also within a method. */
const NEVER_SILENT = new Set(["call", "admit", "dismiss", "query", "locate", "layout"]);

/** Where requests come twice at all: how often a page does while its target makes rows live. */
const PAGE_AGAIN = 0.5;

export class World implements Surroundings {
  readonly options: WorldOptions;
  readonly objects = new Map<string, SimObject>();
  /** Which version of the class each object runs. */
  readonly deployment: Deployment;
  readonly nextLimits: { readonly pages: number; readonly liftedAfterMs: number | null }[] = [];
  /** Objects that went back, or lost everything. */
  readonly setbacks: Setbacks;
  /** Calls to all members that change rows. */
  readonly fanOuts: FanOuts;
  /** Events that must never happen, in order. */
  readonly violations: string[] = [];
  /** Operations that somebody asked to cancel. */
  readonly cancels = new Set<number>();
  isFaulty = true;
  promoting: { readonly name: string; readonly times: number } = { name: "", times: 0 };
  /** Messages that do not arrive, until this is taken away. */
  cutOff: CutOff | null = null;
  /** How often a root has asked what runs: the moment before a fence. */
  looks = 0;
  /** The last page of rows that was sent to each object. */
  readonly #pages = new Map<string, { readonly from: string; readonly body: Envelope }>();
  /** When statements found no room, by object. */
  readonly fullAt = new Map<string, number[]>();
  readonly failedStarts: number[] = [];
  /** How often each kind of fault struck. */
  readonly struck: Record<string, number> = {};

  constructor(options: WorldOptions) {
    this.options = options;
    this.setbacks = new Setbacks(this);
    this.fanOuts = new FanOuts(() => options.scheduler.steps);
    this.deployment = new Deployment(options.versions, options.random);
  }

  object(name: string): SimObject {
    let found = this.objects.get(name);
    if (!found) this.objects.set(name, (found = new SimObject(this, name)));
    return found;
  }

  get isMisdeclared(): boolean {
    return (
      this.deployment.isMisdeclared ||
      [...this.objects.values()].some(({ version }) => isMisdeclared(version))
    );
  }

  /** True for a run without any fault. */
  get isCalm(): boolean {
    const { faults, versions } = this.options;
    const isUndisturbed = this.struck["full"] === undefined && this.setbacks.all.length === 0;
    return (
      Object.values(faults).every((rate) => rate === 0) && versions.length === 1 && isUndisturbed
    );
  }

  /** True while a fence stands on any object, or on the one that is named. */
  isFenced(name?: string): boolean {
    return [...this.objects.values()].some(
      (object) => (name === undefined || object.name === name) && object.isFenced(),
    );
  }

  /** Peers of a client: nothing gates what it sends, and it does not crash. */
  clientPeers(name: string): Peers {
    return peersOf(
      (member, envelope) =>
        new Promise((resolve, reject) => {
          this.transmit(name, member, envelope, { resolve, reject });
        }),
    );
  }

  /** Carries a request over the network, and its reply back. */
  transmit(from: string, to: string, envelope: Envelope, answer: Answer): void {
    const kind = String((envelope.request as { kind?: unknown }).kind);
    const label = `net/${from}>${to}/${kind}`;
    const { faults } = this.options;
    const body = structuredClone(envelope);
    const target = this.object(to);
    const isCutOff = this.isFaulty && this.#isCutOff(from, to, kind);
    if (isCutOff) this.strike("lost");
    if (isCutOff || this.strikes("lost", label, faults.lostRequest)) {
      this.trace(() => `${from} → ${to}: ${describeRequest(envelope)} LOST`);
      this.later(label, () => answer.reject(new Unreachable(`network: request to ${to} was lost`)));
      return;
    }
    if (
      this.objects.has(from) &&
      !NEVER_SILENT.has(kind) &&
      this.strikes("silent", label, faults.silent)
    ) {
      // Of the engine's own messages only: a router has no time limit of its own.
      this.trace(() => `${from} → ${to}: ${describeRequest(envelope)} will NEVER be answered`);
      this.later(label, () => target.deliver(from, body, IGNORE));
      return;
    }
    if (this.strikes("late", label, faults.lateRequest)) {
      const delayMs = this.options.random.whole(`${label}/late`, 50, 6_000);
      this.trace(() => `${from} → ${to}: ${describeRequest(envelope)} is ${delayMs} ms LATE`);
      this.later(label, () =>
        answer.reject(new Unreachable(`network: request to ${to} timed out`)),
      );
      this.options.scheduler.at(delayMs, () => target.deliver(from, body, IGNORE));
      return;
    }
    if (!NOT_DOUBLED.has(kind) && this.strikes("doubled", label, faults.doubled)) {
      const delayMs = this.options.random.whole(`${label}/again`, 1, 4_000);
      this.trace(
        () => `${from} → ${to}: ${describeRequest(envelope)} comes AGAIN after ${delayMs} ms`,
      );
      this.options.scheduler.at(delayMs, () => target.deliver(from, structuredClone(body), IGNORE));
    }
    if (kind === "mend") this.setbacks.mend(to);
    if (kind === "hold") this.looks++;
    if (kind === "receive") this.#pages.set(to, { from, body });
    if (kind === "promote") this.#repeatPage(label, to);
    this.later(label, () => target.deliver(from, body, this.#replyOver(label, to, answer)));
  }

  /**
   * Brings the last page again when its target is just making rows live: it must take none by then.
   */
  #repeatPage(label: string, to: string): void {
    const page = this.#pages.get(to);
    const probability = this.options.faults.doubled > 0 ? PAGE_AGAIN : 0;
    if (!page || !this.strikes("doubled", `${label}/page`, probability)) return;
    const delayMs = this.options.random.whole(`${label}/page/again`, 1, 20);
    this.trace(() => `the last page for ${to} comes AGAIN after ${delayMs} ms`);
    this.options.scheduler.at(delayMs, () =>
      this.object(to).deliver(page.from, structuredClone(page.body), IGNORE),
    );
  }

  #isCutOff(from: string, to: string, kind: string): boolean {
    const { cutOff } = this;
    if (cutOff === null || this.options.scheduler.now >= cutOff.until) return false;
    return cutOff.kind === kind && (cutOff.from ?? from) === from && (cutOff.to ?? to) === to;
  }

  /** Schedules after the network's delay. */
  later(label: string, run: () => void): void {
    this.options.scheduler.at(this.#delayMs(label), run);
  }

  /** Counts what struck. */
  strike(fault: string): void {
    this.struck[fault] = (this.struck[fault] ?? 0) + 1;
  }

  strikeFull(name: string): void {
    this.strike("full");
    this.fullAt.set(name, [...(this.fullAt.get(name) ?? []), this.options.scheduler.now]);
  }

  strikes(fault: string, label: string, probability: number): boolean {
    if (!this.isFaulty || !this.options.random.chance(`${label}/${fault}`, probability))
      return false;
    this.strike(fault);
    return true;
  }

  /** For what would be said again and again. */
  violateOnce(message: string): void {
    if (!this.violations.includes(message)) this.violate(message);
  }

  violate(message: string): void {
    this.trace(() => `VIOLATION: ${message}`);
    this.violations.push(message);
  }

  trace(line: () => string): void {
    this.options.trace?.(
      `${String(this.options.scheduler.now - 1_000_000_000).padStart(8)} ms  ${line()}`,
    );
  }

  close(): void {
    this.options.scheduler.clear();
    for (const object of this.objects.values()) object.storage.close();
  }

  #replyOver(label: string, to: string, answer: Answer): Answer {
    const lose = (): boolean => {
      if (!this.strikes("lostReply", label, this.options.faults.lostReply)) return false;
      this.trace(() => `reply of ${to} is LOST`);
      this.later(label, () => answer.reject(new Unreachable(`network: reply of ${to} was lost`)));
      return true;
    };
    return {
      resolve: (reply) => {
        if (!lose()) this.later(label, () => answer.resolve(reply));
      },
      reject: (error) => {
        if (!lose()) this.later(label, () => answer.reject(error));
      },
    };
  }

  #delayMs(label: string): number {
    const { random, faults } = this.options;
    const slow = this.isFaulty && random.chance(`${label}/slow`, faults.slow);
    return slow ? random.whole(`${label}/slowMs`, 30, 1_500) : random.whole(`${label}/ms`, 1, 8);
  }
}

function isMisdeclared(version: StoreVersion): boolean {
  return version.changes.includes("otherKey");
}

const IGNORE: Answer = { resolve: () => undefined, reject: () => undefined };
