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
 * Calls of the user's methods are never brought twice: that would be the client's own second call, not the engine's.
 */
import { createHash } from "node:crypto";
import type { Partitioners } from "../../src/core/partitioners.ts";
import type { Envelope, ProtocolReply } from "../../src/core/protocol.ts";
import { Host } from "../../src/shards/host/host.ts";
import type { Peers, Runtime } from "../../src/shards/storage/storage.ts";
import type { Random } from "./random.ts";
import type { FaultRates } from "./scenario.ts";
import type { Scheduler } from "./scheduler.ts";
import { SimStorage } from "./storage.ts";
import { STORE_TABLES, Store, type StoreOptions } from "./store.ts";

/** There is no answer: the call may have run, may still run, or not. */
export class Unreachable extends Error {}

export interface WorldOptions {
  readonly namespace: string;
  readonly random: Random;
  readonly scheduler: Scheduler;
  readonly faults: FaultRates;
  readonly partitioners: Partitioners;
  readonly store: StoreOptions;
  readonly trace: ((line: string) => void) | null;
  /** Builds the host of an object each time that it starts; by default from this version of the library. */
  readonly createHost?: (...parts: ConstructorParameters<typeof Host>) => Host;
}

/** How an answer, or its absence, gets back to who asked. */
interface Answer {
  resolve(reply: ProtocolReply<unknown>): void;
  reject(error: Error): void;
}

const ALARM_RETRY_MS = 2_000;
/** Calls of the user's methods: never doubled. */
const NOT_DOUBLED = new Set(["call"]);

export class World {
  readonly options: WorldOptions;
  readonly objects = new Map<string, SimObject>();
  /** What must never happen, in order. */
  readonly violations: string[] = [];
  /** Operations that somebody asked to cancel. */
  readonly cancels = new Set<number>();
  /** False once the faults have stopped. */
  isFaulty = true;
  /** The object that was last asked to try its promotion, and how often one was. */
  rehearsed: { readonly name: string; readonly times: number } = { name: "", times: 0 };
  /** How often each kind of fault struck. */
  readonly struck: Record<string, number> = {};

  constructor(options: WorldOptions) {
    this.options = options;
  }

  object(name: string): SimObject {
    let found = this.objects.get(name);
    if (!found) this.objects.set(name, (found = new SimObject(this, name)));
    return found;
  }

  /** True while a fence stands on any object, or on the one that is named. */
  isFenced(name?: string): boolean {
    return [...this.objects.values()].some((object) => (name === undefined || object.name === name) && object.isFenced());
  }

  /** Peers of a client: nothing gates what it sends, and it does not crash. */
  clientPeers(name: string): Peers {
    return {
      send: (member, envelope) =>
        new Promise((resolve, reject) => {
          this.transmit(name, member, envelope as Envelope, { resolve, reject });
        }),
    };
  }

  /** Carries a request over the network, and its reply back. */
  transmit(from: string, to: string, envelope: Envelope, answer: Answer): void {
    const kind = String((envelope.request as { kind?: unknown }).kind);
    const label = `net/${from}>${to}/${kind}`;
    const { faults } = this.options;
    const body = structuredClone(envelope);
    const target = this.object(to);
    if (this.strikes("lost", label, faults.lostRequest)) {
      this.trace(() => `${from} → ${to}: ${describe(envelope)} LOST`);
      this.later(label, () => answer.reject(new Unreachable(`network: request to ${to} was lost`)));
      return;
    }
    if (this.objects.has(from) && this.strikes("silent", label, faults.silent)) {
      // Between objects only: a client's call has no time limit of its own.
      this.trace(() => `${from} → ${to}: ${describe(envelope)} will NEVER be answered`);
      this.later(label, () => target.deliver(from, body, IGNORE));
      return;
    }
    if (this.strikes("late", label, faults.lateRequest)) {
      const delayMs = this.options.random.whole(`${label}/late`, 50, 6_000);
      this.trace(() => `${from} → ${to}: ${describe(envelope)} is ${delayMs} ms LATE`);
      this.later(label, () => answer.reject(new Unreachable(`network: request to ${to} timed out`)));
      this.options.scheduler.at(delayMs, () => target.deliver(from, body, IGNORE));
      return;
    }
    if (!NOT_DOUBLED.has(kind) && this.strikes("doubled", label, faults.doubled)) {
      const delayMs = this.options.random.whole(`${label}/again`, 1, 4_000);
      this.trace(() => `${from} → ${to}: ${describe(envelope)} comes AGAIN after ${delayMs} ms`);
      this.options.scheduler.at(delayMs, () => target.deliver(from, structuredClone(body), IGNORE));
    }
    this.later(label, () => target.deliver(from, body, this.#replyOver(label, to, answer)));
  }

  /** Schedules after the network's delay. */
  later(label: string, run: () => void): void {
    this.options.scheduler.at(this.#delayMs(label), run);
  }

  strikes(fault: string, label: string, probability: number): boolean {
    if (!this.isFaulty || !this.options.random.chance(`${label}/${fault}`, probability)) return false;
    this.struck[fault] = (this.struck[fault] ?? 0) + 1;
    return true;
  }

  violate(message: string): void {
    this.trace(() => `VIOLATION: ${message}`);
    this.violations.push(message);
  }

  trace(line: () => string): void {
    this.options.trace?.(`${String(this.options.scheduler.now - 1_000_000_000).padStart(8)} ms  ${line()}`);
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

/** As ShardHost does, with the start that it ends when the constructor has ended. */
export function newHost(...parts: ConstructorParameters<typeof Host>): Host {
  const host = new Host(...parts);
  if (host.newerSchema === null && host.member.beginStart()) host.member.keepGuards();
  return host;
}

const IGNORE: Answer = { resolve: () => undefined, reject: () => undefined };

/** One Durable Object: its storage outlives it, its host does not. */
export class SimObject {
  readonly name: string;
  readonly storage: SimStorage;
  readonly #world: World;
  /** Grows with every crash: what belongs to an older life is never resumed. */
  #life = 0;
  #host: Host | null = null;
  #store: Store | null = null;
  #gate: (() => void)[] = [];
  #answers = new Set<Answer>();
  #alarmRuns: number | null = null;

  constructor(world: World, name: string) {
    this.#world = world;
    this.name = name;
    this.storage = new SimStorage({
      changed: () => this.#flushSoon(),
      flushNow: () => this.#flush(),
      settled: () => this.#after("setAlarm", 1, () => undefined),
      turn: () => world.options.scheduler.steps,
    });
  }

  /** Read from its database. */
  isFenced(): boolean {
    if (this.storage.peek("SELECT 1 FROM sqlite_master WHERE name = 'shardctl_meta'").length === 0) return false;
    const query = "SELECT 1 FROM shardctl_meta WHERE key = 'moving' AND json_extract(value, '$.fence') > 0";
    return this.storage.peek(query).length > 0;
  }

  /** True while its alarm handler runs. */
  get isInAlarm(): boolean {
    return this.#alarmRuns !== null;
  }

  /** Brings a request to the object, starting it when it does not run. */
  deliver(from: string, envelope: Envelope, answer: Answer): void {
    const life = this.#life;
    this.#world.trace(() => `${this.name} ← ${from}: ${describe(envelope)}`);
    // A source rehearses too, but has nothing that could be replaced.
    if (takesRows(envelope)) this.#world.rehearsed = { name: this.name, times: this.#world.rehearsed.times + 1 };
    this.#answers.add(answer);
    const end = (settle: () => void): void => {
      if (life !== this.#life) return;
      this.#afterFlush(() => {
        this.#answers.delete(answer);
        settle();
      });
    };
    this.#boot()
      .host.handle(envelope)
      .then(
        (reply) => {
          this.#world.trace(() => `${this.name} → ${from}: ${kindOf(envelope)} ${describeReply(reply)}`);
          end(() => answer.resolve(structuredClone(reply)));
          return undefined;
        },
        (error: unknown) => {
          const message = error instanceof Error ? error.message : String(error);
          this.#world.trace(() => `${this.name} → ${from}: ${kindOf(envelope)} THROWS ${message}`);
          // What crosses the wire is the message, not the class.
          end(() => answer.reject(new Error(message)));
        },
      );
    this.#maybeCrash("deliver");
  }

  /** A write that bypasses the router and admission: by the object's own code. Durable when the promise resolves. */
  stray<Value>(work: (store: Store) => Value): Promise<Value> {
    const { store } = this.#boot();
    return new Promise((resolve, reject) => {
      const answer: Answer = { resolve: () => undefined, reject };
      this.#answers.add(answer);
      let value: Value;
      try {
        value = work(store);
      } catch (error) {
        this.#answers.delete(answer);
        reject(error);
        return;
      }
      this.#afterFlush(() => {
        this.#answers.delete(answer);
        resolve(value);
      });
    });
  }

  crash(why: string): void {
    const { scheduler, random } = this.#world.options;
    this.#world.trace(() => `${this.name} CRASHES (${why})${this.storage.isDirty ? ", unflushed writes are gone" : ""}`);
    this.#life++;
    this.#host = null;
    this.#store = null;
    this.#gate = [];
    this.storage.discard();
    for (const answer of this.#answers) {
      scheduler.at(random.whole(`crash/${this.name}/reject`, 1, 20), () =>
        answer.reject(new Unreachable(`${this.name} crashed`)),
      );
    }
    this.#answers = new Set();
    if (this.#alarmRuns !== null) this.storage.restoreAlarm(this.#alarmRuns);
    this.#alarmRuns = null;
    this.#armAlarm();
  }

  #boot(): { host: Host; store: Store } {
    if (this.#host && this.#store) return { host: this.#host, store: this.#store };
    const { partitioners, store: storeOptions, createHost = newHost } = this.#world.options;
    const runtime: Runtime = {
      now: () => this.#world.options.scheduler.now,
      // A turn later is not at once: others may come between.
      sleep: (delayMs, signal) => this.#after("sleep", Math.max(delayMs, this.#yieldMs()), () => undefined, signal),
      digest: (content) => {
        const bytes = typeof content === "string" ? content : new Uint8Array(content);
        return this.#after("digest", 1, () => createHash("sha256").update(bytes).digest("hex"));
      },
    };
    this.#store = new Store(this.storage, runtime, storeOptions);
    const identify = (name: string) => (name === this.name ? ("mine" as const) : ("other" as const));
    const peers: Peers = { send: (member, envelope) => this.#send(member, envelope as Envelope) };
    const platform = { self: this.name, identify, idOf: String, storage: this.storage, runtime, peers };
    this.#host = createHost(platform, this.#store, { tables: STORE_TABLES, partitioners });
    return { host: this.#host, store: this.#store };
  }

  #send(member: string, envelope: Envelope): Promise<ProtocolReply<unknown>> {
    const life = this.#life;
    // What is sent is what it is now, not what it becomes while the gate is closed.
    const body = structuredClone(envelope);
    return new Promise((resolve, reject) => {
      const resume = (settle: () => void): void => {
        if (life !== this.#life) return;
        settle();
        this.#maybeCrash("reply");
      };
      this.#afterFlush(() =>
        this.#world.transmit(this.name, member, body, {
          resolve: (reply) => resume(() => resolve(reply)),
          reject: (error) => resume(() => reject(error)),
        }),
      );
    });
  }

  /** A promise that resolves after a while, in this life only. */
  #after<Value>(label: string, delayMs: number, value: () => Value, signal?: AbortSignal): Promise<Value> {
    const life = this.#life;
    return new Promise((resolve) => {
      const callOff = this.#world.options.scheduler.at(delayMs, () => {
        if (life !== this.#life) return;
        resolve(value());
        this.#maybeCrash(label);
      });
      signal?.addEventListener("abort", () => {
        callOff();
        resolve(value());
      });
    });
  }

  /** The output gate. */
  #afterFlush(run: () => void): void {
    if (this.storage.isDirty) this.#gate.push(run);
    else run();
  }

  #yieldMs(): number {
    return this.#world.options.random.whole(`yield/${this.name}`, 0, 2);
  }

  #flushSoon(): void {
    const { scheduler, random, faults } = this.#world.options;
    const life = this.#life;
    const isSlow = this.#world.isFaulty && random.chance(`flush/${this.name}/slow`, faults.slowFlush);
    const delayMs = isSlow ? random.whole(`flush/${this.name}/slowMs`, 5, 60) : random.whole(`flush/${this.name}/ms`, 0, 2);
    scheduler.at(delayMs, () => {
      if (life !== this.#life) return;
      if (!this.#flush()) return;
      // A crash after the commit and before any message has left.
      if (this.#maybeCrash("flush")) return;
      this.#openGate();
    });
  }

  /** Makes the writes so far durable. False when that failed, and the object with it. */
  #flush(): boolean {
    try {
      this.storage.flush();
    } catch (error) {
      this.#world.violate(`${this.name} could not commit: ${String(error)}`);
      this.crash("failed commit");
      return false;
    }
    this.#armAlarm();
    return true;
  }

  #openGate(): void {
    const gate = this.#gate;
    this.#gate = [];
    for (const run of gate) run();
  }

  #armAlarm(): void {
    const time = this.storage.durableAlarm;
    if (time === null) return;
    const { scheduler, random } = this.#world.options;
    scheduler.at(Math.max(0, time - scheduler.now) + random.whole(`alarm/${this.name}`, 0, 5), () => this.#fireAlarm());
  }

  #fireAlarm(): void {
    const { scheduler } = this.#world.options;
    const due = this.storage.durableAlarm;
    if (this.#alarmRuns !== null || due === null || due > scheduler.now) return;
    const life = this.#life;
    this.#alarmRuns = this.storage.takeAlarm();
    this.#world.trace(() => `${this.name} alarm`);
    const end = (): void => {
      this.#alarmRuns = null;
      this.#armAlarm();
    };
    this.#boot()
      .host.onAlarm()
      .then(
        () => {
          // The runtime takes the handler for done only when its writes are durable.
          if (life === this.#life) this.#afterFlush(end);
          return undefined;
        },
        (error: unknown) => {
          if (life !== this.#life) return;
          this.#world.violate(`the alarm of ${this.name} threw: ${String(error)}`);
          this.storage.restoreAlarm(scheduler.now + ALARM_RETRY_MS);
          end();
        },
      );
    this.#maybeCrash("alarm");
  }

  #maybeCrash(where: string): boolean {
    if (!this.#world.strikes("crash", `crash/${this.name}/${where}`, this.#world.options.faults.crash)) return false;
    // After the step, with all that it still runs before it waits again: between two steps nothing of an object runs.
    if (where === "flush") this.crash(where);
    else this.#world.options.scheduler.at(0, () => this.crash(`after ${where}`));
    return true;
  }
}

function kindOf(envelope: Envelope): string {
  return String((envelope.request as { kind?: unknown }).kind);
}

/** True for a rehearsal of rows that are to become live. */
function takesRows(envelope: Envelope): boolean {
  return kindOf(envelope) === "rehearse" && (envelope.request as { incoming: readonly unknown[] }).incoming.length > 0;
}

function describe(envelope: Envelope): string {
  const text = JSON.stringify(envelope.request, (_, value: unknown) =>
    value instanceof Object && "ranges" in value ? "…layout…" : value,
  );
  return text.length > 260 ? `${text.slice(0, 260)}…` : text;
}

function describeReply(reply: ProtocolReply<unknown>): string {
  const text = reply.ok ? JSON.stringify(reply.value) : `REFUSED ${reply.failure.kind}: ${reply.failure.message}`;
  return text === undefined ? "done" : text.length > 200 ? `${text.slice(0, 200)}…` : text;
}
