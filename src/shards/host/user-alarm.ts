/**
 * The user's own alarm. An object has one alarm and the engine needs it, so that of the user is
 * kept beside and both are served by it.
 *
 * | the object           | the runtime's alarm is | the user's alarm is                                                          |
 * |----------------------|------------------------|------------------------------------------------------------------------------|
 * | was never sharded    | the user's             | that: nothing is stored, and the runtime itself tries a failed handler again |
 * | has a private schema | the engine's           | a document in `shardctl_meta`; the engine's is never set later than it       |
 *
 * `adopt` leads from the first to the second. Semantics as the runtime's: at least once, null while
 * the handler runs, and a handler that throws is tried again, six times, from two seconds on and
 * doubling. A failure is logged; it never keeps the engine from its own work.
 */
import { dropMeta, ensureSchema, hasSchema, readMeta, writeMeta } from "../storage/schema.ts";
import type { HostStorage, Runtime, Sql } from "../storage/storage.ts";

interface StoredAlarm {
  readonly at: number;
  readonly failures: number;
  /**
   * Another for each time that it was set: the same time set again by the handler is another alarm.
   */
  readonly turn?: number;
}

const RETRIES_MAX = 6;
const RETRY_MS_MIN = 2_000;
const KEY = "userAlarm";

export class UserAlarm {
  readonly #sql: Sql;
  readonly #storage: HostStorage;
  readonly #runtime: Runtime;
  /** True once this life of the object keeps the alarm beside, before anything is stored. */
  #isKept = false;
  #adoption: Promise<void> | undefined;
  /** The alarm whose handler runs. */
  #running: StoredAlarm | "theRuntimes" | undefined;
  #turn = 0;
  #hasWarned = false;

  /** `storage` has the runtime's alarm. */
  constructor(sql: Sql, storage: HostStorage, runtime: Runtime) {
    this.#sql = sql;
    this.#storage = storage;
    this.#runtime = runtime;
  }

  /** False while the runtime's alarm is the user's. */
  get isKept(): boolean {
    return this.#isKept || hasSchema(this.#sql);
  }

  /**
   * When the user's alarm is due, in milliseconds since the Unix epoch; null when none is set, as
   * while its handler runs.
   */
  get(): number | null {
    const alarm = this.#read();
    return alarm === undefined || this.#runs(alarm) ? null : alarm.at;
  }

  /**
   * Sets it, replacing another. Stored in this turn: a transaction that is rolled back takes it
   * along.
   */
  set(at: number): void {
    this.#isKept = true;
    ensureSchema(this.#sql);
    this.#turn = Math.max(this.#turn, this.#read()?.turn ?? 0) + 1;
    writeMeta(this.#sql, KEY, { at, failures: 0, turn: this.#turn } satisfies StoredAlarm);
  }

  clear(): void {
    this.#turn++;
    if (hasSchema(this.#sql)) dropMeta(this.#sql, KEY);
  }

  /**
   * Before the engine takes the runtime's alarm: keeps beside what the user has set there. Once for
   * each life of the object.
   */
  adopt(): Promise<void> {
    return (this.#adoption ??= this.#adopt());
  }

  /**
   * Nothing is stored any more, and the engine needs no alarm: the runtime's is the user's again.
   */
  release(): void {
    this.#isKept = false;
    this.#adoption = undefined;
  }

  /**
   * An alarm that the engine did not set, found in the place of its own: it is the user's, unless
   * the user has set another since.
   */
  keepFound(at: number): void {
    if (this.#read() === undefined) this.set(at);
  }

  /**
   * Runs the handler when the alarm is due.
   *
   * @throws what the handler throws, if nothing is kept beside: the runtime then tries again.
   */
  async run(handler: (() => unknown) | undefined): Promise<void> {
    if (this.#running !== undefined) return;
    const alarm = this.isKept ? this.#read() : ("theRuntimes" as const);
    if (alarm === undefined || (alarm !== "theRuntimes" && alarm.at > this.#runtime.now())) return;
    if (!handler) this.#warn();
    this.#running = alarm;
    try {
      await handler?.();
      this.#end();
    } catch (error) {
      if (!this.isKept) throw error;
      console.error("shardctl: the object's own alarm handler failed", error);
      this.#end((alarm === "theRuntimes" ? 0 : alarm.failures) + 1);
    } finally {
      this.#running = undefined;
    }
  }

  async #adopt(): Promise<void> {
    const wasStored = hasSchema(this.#sql);
    // From here on the user's alarm is kept beside: what is set while we wait must not be lost.
    this.#isKept = true;
    if (wasStored) return;
    const before = this.#turn;
    const found = await this.#storage.getAlarm();
    if (this.#turn !== before) return;
    if (found !== null) return this.set(found);
    // Of a handler that runs just now the alarm counts until it has ended.
    if (this.#running !== "theRuntimes") return;
    this.set(this.#runtime.now());
    this.#running = this.#read();
  }

  /**
   * The record stays until the handler has ended, so that a crash runs it again; one that the
   * handler has set, or deleted, wins.
   */
  #end(failures = 0): void {
    const running = this.#running;
    if (!this.isKept || running === undefined) return;
    const stored = this.#read();
    const isUntouched =
      running === "theRuntimes" ? stored === undefined : stored !== undefined && this.#runs(stored);
    if (!isUntouched) return;
    if (failures === 0 || failures > RETRIES_MAX) return this.clear();
    this.set(this.#runtime.now() + RETRY_MS_MIN * 2 ** (failures - 1));
    writeMeta(this.#sql, KEY, { ...this.#read(), failures });
  }

  #runs(alarm: StoredAlarm): boolean {
    const running = this.#running;
    return typeof running === "object" && running.at === alarm.at && running.turn === alarm.turn;
  }

  #warn(): void {
    if (this.#hasWarned) return;
    this.#hasWarned = true;
    console.warn(
      "shardctl: the object's own alarm was due, and shards.onAlarm() was given no handler: nothing ran for it but the rest of alarm(). Give the handler: shards.onAlarm(() => …)",
    );
  }

  #read(): StoredAlarm | undefined {
    return hasSchema(this.#sql) ? readMeta<StoredAlarm>(this.#sql, KEY) : undefined;
  }
}
