/**
 * A runtime in Node whose objects know only what the first access told them: by its id an object
 * has no name, by another jurisdiction it is another object. The real runtime on one machine gives
 * names where Cloudflare does not, and knows no jurisdictions.
 *
 * Everything is durable at once. An alarm fires by itself, at least once, and again when its
 * handler throws.
 */
import { createHash, randomUUID } from "node:crypto";

import type { Envelope, ProtocolReply } from "../../../src/model/wire/protocol.ts";
import type { ObjectNamespace } from "../../../src/shards/platform/home.ts";
import type { SimStorage } from "../../sim/storage.ts";
import { openStorage } from "./node-storage.ts";

/** Methods required of an instance of the user's class. */
export interface FakeInstance {
  shardctl(envelope: Envelope): Promise<ProtocolReply<unknown>>;
  alarm(): Promise<void>;
}

/**
 * Makes an instance; `exported` is what `ctx.exports` has: the namespace without a jurisdiction.
 */
export type FakeClass<Instance extends FakeInstance> = (
  ctx: DurableObjectState,
  exported: FakeNamespace<Instance>,
) => Instance;

const ALARM_RETRY_MS = 20;
const ALARM_TRIES_MAX = 6;

export class FakeId {
  declare readonly name?: string;
  declare readonly jurisdiction?: string;
  readonly #hex: string;

  constructor(hex: string, name?: string, jurisdiction?: string) {
    this.#hex = hex;
    if (name !== undefined) this.name = name;
    if (jurisdiction !== undefined) this.jurisdiction = jurisdiction;
  }

  toString(): string {
    return this.#hex;
  }

  equals(other: { toString(): string }): boolean {
    return this.#hex === other.toString();
  }
}

export class FakeNamespace<Instance extends FakeInstance> implements ObjectNamespace {
  readonly #runtime: FakeRuntime<Instance>;
  readonly #jurisdiction: string | undefined;

  constructor(runtime: FakeRuntime<Instance>, jurisdiction?: string) {
    this.#runtime = runtime;
    this.#jurisdiction = jurisdiction;
  }

  idFromName(name: string): FakeId {
    this.#runtime.hashes++;
    const hex = createHash("sha256")
      .update(`${this.#jurisdiction ?? ""}/${name}`)
      .digest("hex");
    const isKept = new TextEncoder().encode(name).length <= 1_024;
    return new FakeId(hex, isKept ? name : undefined, this.#jurisdiction);
  }

  /** The same object, without its name. */
  idFromString(hex: string): FakeId {
    return new FakeId(hex, undefined, this.#jurisdiction);
  }

  newUniqueId(): FakeId {
    return new FakeId(
      createHash("sha256").update(randomUUID()).digest("hex"),
      undefined,
      this.#jurisdiction,
    );
  }

  jurisdiction(jurisdiction: string): FakeNamespace<Instance> {
    if (this.#jurisdiction !== undefined)
      throw new Error("This namespace has a jurisdiction already");
    return new FakeNamespace(this.#runtime, jurisdiction);
  }

  get(id: unknown): { shardctl(envelope: Envelope): Promise<ProtocolReply<unknown>> } {
    return {
      shardctl: async (envelope) =>
        structuredClone(
          await this.#runtime.instance(id as FakeId).shardctl(structuredClone(envelope)),
        ),
    };
  }

  getByName(name: string): { shardctl(envelope: Envelope): Promise<ProtocolReply<unknown>> } {
    return this.get(this.idFromName(name));
  }
}

interface FakeObject<Instance> {
  readonly id: FakeId;
  readonly instance: Instance;
}

export class FakeRuntime<Instance extends FakeInstance> {
  readonly #make: FakeClass<Instance>;
  readonly #living = new Map<string, FakeObject<Instance>>();
  /** Every storage that was ever opened, by id. */
  readonly storages = new Map<string, FakeStorage>();
  /** The jurisdiction of every object that was ever opened. */
  readonly jurisdictions = new Map<string, string | undefined>();
  /** How often a name was made an id. */
  hashes = 0;

  constructor(make: FakeClass<Instance>) {
    this.#make = make;
  }

  namespace(): FakeNamespace<Instance> {
    return new FakeNamespace(this);
  }

  /** The living instance, started by this access if there is none. */
  instance(id: FakeId): Instance {
    const hex = id.toString();
    const living = this.#living.get(hex);
    if (living) return living.instance;
    const storage = this.storages.get(hex) ?? new FakeStorage(() => this.#fire(id));
    this.storages.set(hex, storage);
    this.jurisdictions.set(hex, id.jurisdiction);
    const ctx = {
      id,
      storage: storage.open(),
      blockConcurrencyWhile: (work: () => Promise<unknown>) => work(),
    };
    const instance = this.#make(ctx as unknown as DurableObjectState, this.namespace());
    this.#living.set(hex, { id, instance });
    return instance;
  }

  /** Ends the object's life: what it had in memory is gone. */
  evict(id: FakeId): void {
    this.#living.delete(id.toString());
  }

  /** Wakes the object by an alarm that carries no name, as those that were set long ago do. */
  async fireOldAlarm(id: FakeId): Promise<void> {
    await this.instance(new FakeId(id.toString(), undefined, id.jurisdiction)).alarm();
  }

  /** No alarm fires any more. */
  close(): void {
    for (const storage of this.storages.values()) storage.close();
  }

  #fire(id: FakeId): Promise<void> {
    return this.instance(id).alarm();
  }
}

/**
 * The storage of one object: it outlives its instances, each of which has a `ctx.storage` of its
 * own.
 */
export class FakeStorage {
  readonly database: SimStorage = openStorage();
  /** The alarm as the runtime has it. */
  alarm: number | null = null;
  /** Every time that an alarm was set: when, and to when. */
  readonly set: { readonly now: number; readonly at: number; readonly options: unknown }[] = [];
  /** False holds alarms back. */
  isTicking = true;
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #fire: () => Promise<void>;

  constructor(fire: () => Promise<void>) {
    this.#fire = fire;
  }

  open(): FakeCtxStorage {
    return new FakeCtxStorage(this);
  }

  arm(at: number | null): void {
    clearTimeout(this.#timer);
    this.alarm = at;
    if (at === null || !this.isTicking) return;
    this.#timer = setTimeout(() => void this.#ring(1), Math.max(0, at - Date.now()));
  }

  close(): void {
    this.isTicking = false;
    clearTimeout(this.#timer);
  }

  async #ring(tries: number): Promise<void> {
    this.alarm = null;
    try {
      await this.#fire();
    } catch {
      if (tries < ALARM_TRIES_MAX && this.alarm === null && this.isTicking)
        this.#timer = setTimeout(() => void this.#ring(tries + 1), ALARM_RETRY_MS);
    }
  }
}

/** `ctx.storage`, with its methods on the prototype as the runtime has them. */
class FakeCtxStorage {
  readonly #storage: FakeStorage;
  readonly sql: SimStorage["sql"];

  constructor(storage: FakeStorage) {
    this.#storage = storage;
    this.sql = storage.database.sql;
  }

  transactionSync<Value>(closure: () => Value): Value {
    return this.#storage.database.transactionSync(closure);
  }

  async transaction<Value>(closure: (txn: FakeCtxStorage) => Promise<Value>): Promise<Value> {
    const before = this.#storage.alarm;
    try {
      return await closure(new FakeCtxStorage(this.#storage));
    } catch (error) {
      this.#storage.arm(before);
      throw error;
    }
  }

  async getAlarm(): Promise<number | null> {
    return this.#storage.alarm;
  }

  async setAlarm(time: number | Date, options?: unknown): Promise<void> {
    const at = Number(time);
    if (!(at > 0)) throw new TypeError("setAlarm() cannot be called with an alarm time <= 0");
    this.#storage.set.push({ now: Date.now(), at, options });
    this.#storage.arm(at);
  }

  async deleteAlarm(): Promise<void> {
    this.#storage.arm(null);
  }

  async deleteAll(): Promise<void> {
    const names = this.sql
      .exec<{ name: string }>(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
      )
      .toArray();
    for (const { name } of names) this.sql.exec(`DROP TABLE "${name}"`);
    this.#storage.arm(null);
  }
}
