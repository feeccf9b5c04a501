/**
 * The user's own alarm. An object has one alarm and the host needs it, so that of the user is kept beside and both are served by it.
 *
 * Semantics as the runtime's: at least once, and a handler that throws is tried again, six times, from two seconds on and doubling. A
 * failure is logged; it never keeps the host from its own work.
 */
import { dropMeta, ensureSchema, hasSchema, readMeta, writeMeta } from "../storage/schema.ts";
import type { HostStorage, Runtime, Sql } from "../storage/storage.ts";

interface StoredAlarm {
  readonly at: number;
  readonly failures: number;
}

const RETRIES_MAX = 6;
const RETRY_MS_MIN = 2_000;
const KEY = "userAlarm";

export class UserAlarm {
  readonly #sql: Sql;
  readonly #storage: HostStorage;
  readonly #runtime: Runtime;

  constructor(sql: Sql, storage: HostStorage, runtime: Runtime) {
    this.#sql = sql;
    this.#storage = storage;
    this.#runtime = runtime;
  }

  /** When the user's alarm is due, in milliseconds since the Unix epoch; null when there is none. */
  get(): number | null {
    return this.#read()?.at ?? null;
  }

  /** Sets it, replacing another. */
  async set(at: number): Promise<void> {
    ensureSchema(this.#sql);
    writeMeta(this.#sql, KEY, { at, failures: 0 });
    const current = await this.#storage.getAlarm();
    if (current === null || current > at) await this.#storage.setAlarm(at);
  }

  clear(): void {
    if (hasSchema(this.#sql)) dropMeta(this.#sql, KEY);
  }

  /** Runs the handler when it is due. Returns when the alarm is due next, or null. */
  async run(handler: (() => unknown) | undefined): Promise<number | null> {
    const alarm = this.#read();
    if (!alarm || alarm.at > this.#runtime.now()) return alarm?.at ?? null;
    let again: StoredAlarm | undefined;
    try {
      await handler?.();
    } catch (error) {
      console.error("shardctl: the object's own alarm handler failed", error);
      const failures = alarm.failures + 1;
      if (failures <= RETRIES_MAX) again = { at: this.#runtime.now() + RETRY_MS_MIN * 2 ** (failures - 1), failures };
    }
    // The record stays until the handler has ended, so that a crash runs it again; one that the handler has set wins.
    const isUntouched = JSON.stringify(this.#read()) === JSON.stringify(alarm);
    if (isUntouched && again) writeMeta(this.#sql, KEY, again);
    else if (isUntouched) this.clear();
    return this.get();
  }

  #read(): StoredAlarm | undefined {
    return hasSchema(this.#sql) ? readMeta<StoredAlarm>(this.#sql, KEY) : undefined;
  }
}
