/**
 * One Durable Object: its storage outlives it, its host does not. Starts with the version of the
 * class that is deployed, holds events back while its constructor waits, keeps its messages until
 * what it wrote is durable, and crashes when told to.
 */
import { createHash } from "node:crypto";
import type { Envelope, ProtocolReply } from "../../src/model/wire/protocol.ts";
import { stageName } from "../../src/shards/move/move-plan.ts";
import { Host } from "../../src/shards/host/host.ts";
import { peersOf } from "../support/peers-of.ts";
import { createMemberRouter } from "../../src/shards/host/member-router.ts";
import { Router } from "../../src/shards/router.ts";
import {
  type RunAlone,
  type Runtime,
  type Sleep,
  quoteName,
  textOf,
} from "../../src/shards/storage/storage.ts";
import { DISK_IS_FULL, SimStorage, type Snapshot } from "./storage.ts";
import { Store, type StorePorts } from "./store.ts";
import { type Answer, type Surroundings, Unreachable } from "./surroundings.ts";
import {
  DeployedFlaw,
  FIRST_VERSION,
  LOCAL_TABLES,
  type StoreVersion,
  tablesOf,
} from "./versions.ts";

const ALARM_RETRY_MS = 2_000;
/** After which the first tables of a new object are there, with those of the engine. */
const FIRST_TABLES_PAGES = 28;

/** One life of an object, from its constructor to its crash. */
interface Running {
  readonly host: Host;
  readonly store: Store;
  /** Events that arrived while the constructor waits; null once it is over. */
  waiting: ((running: Running) => void)[] | null;
}

export class SimObject {
  /** True when its class could not start for want of room, the last time that it tried. */
  hasFailedFull = false;
  /** True while its database has a limit. */
  isLimited = false;
  readonly name: string;
  readonly storage: SimStorage;
  readonly #world: Surroundings;
  /** Grows with every crash: what belongs to an older life is never resumed. */
  #life = 0;
  #running: Running | null = null;
  /** The version that this life runs, and the next one begins with until it starts. */
  version: StoreVersion = FIRST_VERSION;
  #gate: (() => void)[] = [];
  /** Notes to be made as soon as the writes so far are durable. */
  #committed: (() => void)[] = [];
  /** Deliveries held back while some code runs alone; null while none does. */
  #held: (() => void)[] | null = null;
  #answers = new Set<Answer>();
  #alarmRuns: number | null = null;

  constructor(world: Surroundings, name: string) {
    this.#world = world;
    this.name = name;
    this.storage = new SimStorage({
      changed: () => this.#flushSoon(),
      flushNow: () => this.#flush(),
      settled: () => this.#after("setAlarm", 1, () => undefined),
      turn: () => world.options.scheduler.steps,
      full: () => world.strikeFull(name),
      broken: () => {
        const life = this.#life;
        // Code that runs in this turn runs to its end, and writes nothing more. Callers are told
        // SQLite's message, as the runtime tells them.
        world.options.scheduler.at(0, () => {
          if (life === this.#life) this.crash(DISK_IS_FULL, ALARM_RETRY_MS);
        });
      },
    });
    const limit = world.nextLimits.shift();
    if (limit !== undefined) this.fillUp(limit.pages, limit.liftedAfterMs);
  }

  /**
   * Lets the database grow by so many pages only, once it has its first tables, for a while or for
   * ever.
   */
  fillUp(pages: number, liftedAfterMs: number | null): void {
    const most = Math.max(this.storage.pages, FIRST_TABLES_PAGES) + pages;
    this.#world.trace(() => `${this.name} is nearly FULL: it may have ${most} pages`);
    this.storage.limit(most);
    this.isLimited = true;
    if (liftedAfterMs === null) return;
    this.#world.options.scheduler.at(liftedAfterMs, () => {
      this.storage.limit(null);
      this.isLimited = false;
      if (this.hasFailedFull) this.start();
    });
  }

  /** Starts it without an event of its own. */
  start(): void {
    this.#whenStarted(() => undefined);
  }

  /** Read from its database. */
  isFenced(): boolean {
    if (this.storage.peek("SELECT 1 FROM sqlite_master WHERE name = 'shardctl_meta'").length === 0)
      return false;
    const query =
      "SELECT 1 FROM shardctl_meta WHERE key = 'moving' AND json_extract(value, '$.fence') > 0";
    return this.storage.peek(query).length > 0;
  }

  /** Read from its database. */
  holds(id: string): boolean {
    if (this.storage.peek("SELECT 1 FROM sqlite_master WHERE name = 'items'").length === 0)
      return false;
    return this.storage.peek("SELECT 1 FROM items WHERE id = ?", id).length > 0;
  }

  /** Items that are live here before their cutover. */
  promotedIds(): string[] {
    if (this.promotion() === null) return [];
    const staged = quoteName(stageName("items"));
    return this.storage
      .peek(`SELECT id FROM items WHERE id IN (SELECT id FROM ${staged}) ORDER BY id`)
      .map((row) => textOf(row["id"]));
  }

  /** The attempt whose rows are live here already, before it is decided; null for none. */
  promotion(): number | null {
    if (this.storage.peek("SELECT 1 FROM sqlite_master WHERE name = 'shardctl_meta'").length === 0)
      return null;
    const query =
      "SELECT json_extract(value, '$.promotion.attempt') AS attempt FROM shardctl_meta WHERE key = 'moving'";
    const attempt = this.storage.peek(query)[0]?.["attempt"] ?? null;
    return attempt === null ? null : Number(attempt);
  }

  /**
   * Rule "marked-while-running": what is sent while a call runs names this object as being below
   * it.
   */
  #checkMark({ store }: Running, { chain, request }: Envelope): void {
    if (store.relays === 0 || chain === "many" || chain?.includes(this.name)) return;
    const { kind } = request as { readonly kind: string };
    this.#world.violate(`${this.name} sends ${kind} while a call runs, and does not say so`);
  }

  /** True while its alarm handler runs. */
  get isInAlarm(): boolean {
    return this.#alarmRuns !== null;
  }

  /** Brings a request to the object, starting it when it does not run. */
  deliver(from: string, envelope: Envelope, answer: Answer): void {
    const life = this.#life;
    this.#world.trace(() => `${this.name} ← ${from}: ${describeRequest(envelope)}`);
    // A source is asked too, but has nothing that could be replaced.
    if (takesRows(envelope))
      this.#world.promoting = { name: this.name, times: this.#world.promoting.times + 1 };
    this.#answers.add(answer);
    if (kindOf(envelope) === "start" && this.#world.isMisdeclared) {
      answer.reject(
        new Unreachable("nobody starts an operation while a version with another shard key runs"),
      );
      return;
    }
    const end = (settle: () => void): void => {
      if (life !== this.#life) return;
      this.#afterFlush(() => {
        this.#answers.delete(answer);
        settle();
      });
    };
    this.#whenStarted(({ host }) => {
      const promoted = kindOf(envelope) === "receive" ? this.promotion() : null;
      host.handle(envelope).then(
        (reply) => {
          if (promoted !== null && reply.ok && this.promotion() === promoted)
            this.#world.violate(
              `${this.name} took rows although it has promoted attempt ${promoted}`,
            );
          this.#world.trace(
            () => `${this.name} → ${from}: ${kindOf(envelope)} ${describeReply(reply)}`,
          );
          end(() => answer.resolve(structuredClone(reply)));
          return undefined;
        },
        (error: unknown) => {
          const message = error instanceof Error ? error.message : String(error);
          this.#world.trace(() => `${this.name} → ${from}: ${kindOf(envelope)} THROWS ${message}`);
          // Only the message crosses the wire, not the class.
          end(() => answer.reject(new Error(message)));
        },
      );
    });
    this.#maybeCrash("deliver");
  }

  /**
   * A write that bypasses the router and admission: by the object's own code. Durable when the
   * promise resolves.
   */
  stray<Value>(work: (store: Store) => Value): Promise<Value> {
    return new Promise((resolve, reject) => {
      const answer: Answer = { resolve: () => undefined, reject };
      this.#answers.add(answer);
      this.#whenStarted(({ store }) => {
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
    });
  }

  /** `retryAlarmMs`: when an alarm whose handler ran is tried again. */
  crash(why: string, retryAlarmMs = 0): void {
    const { scheduler, random } = this.#world.options;
    this.#world.trace(
      () =>
        `${this.name} CRASHES (${why})${this.storage.isDirty ? ", unflushed writes are gone" : ""}`,
    );
    this.#life++;
    this.#running = null;
    this.#gate = [];
    this.#committed = [];
    this.#held = null;
    this.storage.discard();
    for (const answer of this.#answers) {
      scheduler.at(random.whole(`crash/${this.name}/reject`, 1, 20), () =>
        answer.reject(new Unreachable(`${this.name} crashed: ${why}`)),
      );
    }
    this.#answers = new Set();
    if (this.#alarmRuns !== null)
      this.storage.restoreAlarm(retryAlarmMs > 0 ? scheduler.now + retryAlarmMs : this.#alarmRuns);
    this.#alarmRuns = null;
    this.#armAlarm();
  }

  /** Goes back to an earlier time, or, with null, loses everything. */
  restore(snapshot: Snapshot | null): void {
    this.crash(snapshot === null ? "its storage is lost" : "it is restored");
    this.storage.restore(snapshot);
    this.#armAlarm();
  }

  /**
   * Runs `work` in the object's life, which begins with it if need be. Never, when its constructor
   * throws: then everything asked of it fails.
   */
  #whenStarted(work: (running: Running) => void): void {
    this.#unlessAlone(() => this.#begin(work));
  }

  #begin(work: (running: Running) => void): void {
    let running = this.#running;
    if (running === null) {
      try {
        this.#running = running = this.#start();
        this.hasFailedFull = false;
      } catch (error) {
        this.#failStart(error);
        return;
      }
    }
    if (running.waiting === null) work(running);
    else running.waiting.push(work);
  }

  /** @throws what the class's constructor throws. */
  #start(): Running {
    const {
      partitioners,
      store: storeOptions,
      isHostFirst,
      namespace,
      createHost = newHost,
    } = this.#world.options;
    const version = (this.version = this.#world.deployment.versionOf(this.name));
    const runtime: Runtime = {
      now: () => this.#world.options.scheduler.now,
      // A turn later is not at once: others may come between.
      sleep: (delayMs, signal) =>
        this.#after("sleep", Math.max(delayMs, this.#yieldMs()), () => undefined, signal),
      digest: (content) => {
        const bytes = typeof content === "string" ? content : new Uint8Array(content);
        return this.#after("digest", 1, () => createHash("sha256").update(bytes).digest("hex"));
      },
    };
    const send = (member: string, envelope: Envelope): Promise<ProtocolReply<unknown>> =>
      this.#send(member, envelope);
    const peers = peersOf((member, envelope) => {
      this.#checkMark(running, envelope);
      return send(member, envelope);
    });
    const unknownPeers = peersOf(send);
    const ports: StorePorts = {
      storage: this.storage,
      runtime,
      where: () => ({ member: this.name, epoch: running.host.member.membership.epoch }),
      // Its answer may never leave.
      ran: (call, rows) => {
        const ranOn = ports.where();
        this.#committed.push(() => this.#world.fanOuts.ran(call, ranOn, rows));
      },
      router: (isOwn) =>
        isOwn && running.host.platform.peers !== null
          ? createMemberRouter(running.host, running.host.platform.peers)
          : new Router(unknownPeers, namespace, runtime, { partitioners }),
    };
    const identify = (name: string): "mine" | "other" => (name === this.name ? "mine" : "other");
    const alone: RunAlone = (work) => this.#runAlone(work);
    const platform = {
      self: this.name,
      identify,
      idOf: String,
      storage: this.storage,
      runtime,
      alone,
      peers,
    };
    const options = { tables: tablesOf(version), localTables: LOCAL_TABLES, partitioners };
    const store = new Store(ports, storeOptions, version);
    const early = isHostFirst ? createHost(platform, store, options) : undefined;
    // As ShardHost does, and ShardedObject for a host that is made while the constructor waits.
    const begunEarly = early && beginStart(early);
    const starting = store.start();
    const host = early ?? createHost(platform, store, options);
    const isBegun = begunEarly ?? beginStart(host);
    const kept = isBegun && starting === null ? keepWriteBlocks(host) : undefined;
    const started = starting ?? kept;
    const running: Running = { host, store, waiting: started ? [] : null };
    if (started) this.#endStart(running, started);
    return running;
  }

  #endStart(running: Running, starting: Promise<void>): void {
    const life = this.#life;
    starting.then(
      async () => {
        if (life !== this.#life) return undefined;
        await keepWriteBlocks(running.host);
        if (life !== this.#life) return undefined;
        const { waiting } = running;
        running.waiting = null;
        for (const work of waiting ?? []) work(running);
        return undefined;
      },
      (error: unknown) => {
        if (life === this.#life) this.#failStart(error);
      },
    );
  }

  /** The constructor threw. What it wrote before stands or not: both happen. */
  #failStart(error: unknown): void {
    const message = error instanceof Error ? error.message : String(error);
    this.hasFailedFull = message.includes(DISK_IS_FULL);
    if (this.hasFailedFull) this.#world.failedStarts.push(this.#world.options.scheduler.now);
    if (!(error instanceof DeployedFlaw) && !this.hasFailedFull && !this.#isOwnersFlaw(message))
      this.#world.violateOnce(`${this.name} does not start: ${message}`);
    if (this.#world.options.random.chance(`start/${this.name}/keeps`, 0.5) && !this.#flush())
      return;
    this.crash(`does not start: ${message}`, ALARM_RETRY_MS);
  }

  /**
   * A class that migrates before its host is made does so with foreign keys in force, also where
   * the parents of rows are still on their way: docs/migrations.md tells its owner not to.
   */
  #isOwnersFlaw(message: string): boolean {
    if (this.#world.options.isHostFirst || !message.includes("FOREIGN KEY")) return false;
    if (this.storage.peek("SELECT 1 FROM sqlite_master WHERE name = 'shardctl_meta'").length === 0)
      return false;
    const query =
      "SELECT 1 FROM shardctl_meta WHERE key = 'moving' AND json_extract(value, '$.mode') = 'swap' AND json_extract(value, '$.isTarget')";
    return this.storage.peek(query).length > 0;
  }

  #send(member: string, envelope: Envelope): Promise<ProtocolReply<unknown>> {
    const life = this.#life;
    // The envelope is sent as it is now, not as it becomes while the gate is closed.
    const body = structuredClone(envelope);
    return new Promise((resolve, reject) => {
      const resume = (settle: () => void): void => {
        if (life !== this.#life) return;
        this.#unlessAlone(() => {
          settle();
          this.#maybeCrash("reply");
        });
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
  #after<Value>(
    label: string,
    delayMs: number,
    value: () => Value,
    signal?: AbortSignal,
  ): Promise<Value> {
    const life = this.#life;
    return new Promise((resolve) => {
      const callOff = this.#world.options.scheduler.at(delayMs, () => {
        if (life !== this.#life) return;
        this.#unlessAlone(() => {
          resolve(value());
          this.#maybeCrash(label);
        });
      });
      signal?.addEventListener("abort", () => {
        callOff();
        resolve(value());
      });
    });
  }

  /** The input gate: delivers nothing while some code runs alone. */
  #unlessAlone(deliver: () => void): void {
    if (this.#held === null) deliver();
    else this.#held.push(() => this.#unlessAlone(deliver));
  }

  #runAlone<Value>(work: (sleep: Sleep) => Promise<Value>): Promise<Value> {
    const life = this.#life;
    const { scheduler } = this.#world.options;
    const inLife = (delayMs: number, run: () => void): void => {
      scheduler.at(delayMs, () => {
        if (life === this.#life) run();
      });
    };
    const sleep: Sleep = (delayMs) =>
      new Promise((resolve) => {
        inLife(Math.max(delayMs, this.#yieldMs()), () => {
          resolve();
          this.#maybeCrash("alone");
        });
      });
    return new Promise((resolve) => {
      const run = (): void => {
        this.#held = [];
        work(sleep).then(
          (value) => {
            if (life !== this.#life) return undefined;
            const held = this.#held ?? [];
            this.#held = null;
            resolve(value);
            for (const deliver of held) deliver();
            return undefined;
          },
          (error: unknown) => {
            if (life === this.#life) this.crash(`its code that ran alone threw: ${String(error)}`);
          },
        );
      };
      inLife(0, () => this.#unlessAlone(run));
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
    const isSlow =
      this.#world.isFaulty && random.chance(`flush/${this.name}/slow`, faults.slowFlush);
    const delayMs = isSlow
      ? random.whole(`flush/${this.name}/slowMs`, 5, 60)
      : random.whole(`flush/${this.name}/ms`, 0, 2);
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
    for (const note of this.#committed.splice(0)) note();
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
    scheduler.at(Math.max(0, time - scheduler.now) + random.whole(`alarm/${this.name}`, 0, 5), () =>
      this.#fireAlarm(),
    );
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
    this.#whenStarted(({ host }) => {
      host.onAlarm().then(
        () => {
          // The runtime takes the handler for done only when its writes are durable.
          if (life === this.#life) this.#afterFlush(end);
          return undefined;
        },
        (error: unknown) => {
          if (life !== this.#life) return;
          if (!String(error).includes(DISK_IS_FULL))
            this.#world.violate(`the alarm of ${this.name} threw: ${String(error)}`);
          this.storage.restoreAlarm(scheduler.now + ALARM_RETRY_MS);
          end();
        },
      );
    });
    this.#maybeCrash("alarm");
  }

  #maybeCrash(where: string): boolean {
    if (
      !this.#world.strikes("crash", `crash/${this.name}/${where}`, this.#world.options.faults.crash)
    )
      return false;
    // After the step, with all that it still runs before it waits again: between two steps nothing
    // of an object runs.
    if (where === "flush") this.crash(where);
    else this.#world.options.scheduler.at(0, () => this.crash(`after ${where}`));
    return true;
  }
}

function kindOf(envelope: Envelope): string {
  return String((envelope.request as { kind?: unknown }).kind);
}

/**
 * True for a promotion, or for the check that takes its place in a swap, of rows that are to become
 * live.
 */
function takesRows(envelope: Envelope): boolean {
  const { kind, incoming } = envelope.request as {
    readonly kind: string;
    readonly incoming?: readonly unknown[];
  };
  return (
    (kind === "promote" || kind === "rehearse") && incoming !== undefined && incoming.length > 0
  );
}

export function describeRequest(envelope: Envelope): string {
  const text = JSON.stringify(envelope.request, (_, value: unknown) =>
    value instanceof Object && "ranges" in value ? "…layout…" : value,
  );
  return text.length > 260 ? `${text.slice(0, 260)}…` : text;
}

function describeReply(reply: ProtocolReply<unknown>): string {
  const text = reply.ok
    ? JSON.stringify(reply.value)
    : `REFUSED ${reply.failure.kind}: ${reply.failure.message}`;
  return text === undefined ? "done" : text.length > 200 ? `${text.slice(0, 200)}…` : text;
}

function newHost(...parts: ConstructorParameters<typeof Host>): Host {
  return new Host(...parts);
}

/**
 * As ShardHost does: what fails here must not keep the object from starting, and is done again by
 * its first message.
 */
function keepWriteBlocks({ member }: Host): Promise<void> | undefined {
  try {
    return member.keepWriteBlocks();
  } catch {
    return undefined;
  }
}

/**
 * As ShardHost does; the library before knows no start, and does nothing that a newer schema would
 * have to be known for.
 */
function beginStart({ member, newerSchema }: Host): boolean {
  return "beginStart" in member && newerSchema === null && member.beginStart();
}
