/**
 * Foreign keys, while the engine writes.
 *
 * Rows of a move arrive page by page: a child may come before its parent, a parent may leave before a child that stays behind, and
 * cascades would undo what was just moved. The source has enforced its keys, so the engine writes with enforcement off, and a check before
 * cutover finds what would dangle on a target. The setting works only outside a transaction, hence at the start of a turn.
 */
import { EngineFault } from "./faults.ts";
import { type Runtime, type Sql, quoteName } from "./storage.ts";
import type { Table } from "./tables.ts";

/** Turns that are waited for while a transaction of others is open. */
const TRIES_MAX = 1_000;

export class ForeignKeys {
  readonly #sql: Sql;
  readonly #runtime: Runtime;
  #writers = 0;
  #isOff = false;

  constructor(sql: Sql, runtime: Runtime) {
    this.#sql = sql;
    this.#runtime = runtime;
  }

  /** True while the user's writes would not be checked, nor cascade: calls wait. Who turned enforcement off tells when it is on again. */
  get isOff(): boolean {
    return this.#isOff;
  }

  /** Runs `write`, in one turn, with enforcement off, and puts it on again before it returns. A database without foreign keys is spared. */
  async off<Value>(write: () => Value): Promise<Value> {
    if (!this.#exist()) return write();
    this.#writers++;
    try {
      await this.#set(false);
      return write();
    } finally {
      this.#writers--;
      await this.#restore();
    }
  }

  async #restore(): Promise<void> {
    await this.#runtime.sleep(0); // the transaction of this turn must end first
    if (this.#writers === 0) await this.#set(true);
  }

  async #set(isOn: boolean): Promise<void> {
    for (let tries = 0; tries < TRIES_MAX; tries++) {
      // Another engine write has begun: it needs them off, and will put them on.
      if (isOn && this.#writers > 0) return;
      this.#sql.run(`PRAGMA foreign_keys = ${isOn ? "ON" : "OFF"}`);
      const now = this.#sql.first<{ foreign_keys: number }>("PRAGMA foreign_keys")?.foreign_keys === 1;
      this.#isOff = !now;
      if (now === isOn) return;
      await this.#runtime.sleep(0);
    }
    throw new Error(`Foreign keys could not be turned ${isOn ? "on" : "off"}: a transaction is always open`);
  }

  #exist(): boolean {
    return this.#sql.first("SELECT 1 AS found FROM sqlite_master WHERE type = 'table' AND sql LIKE '%REFERENCES%'") !== undefined;
  }
}

/** Refuses rows that point at rows which are not here. Reads the whole tables that have foreign keys. @throws EngineFault */
export function checkForeignKeys(sql: Sql, tables: readonly Table[], self: string): void {
  for (const { name } of tables) {
    const [first, ...more] = sql.rows<{ parent: string }>(`PRAGMA foreign_key_check(${quoteName(name)})`);
    if (!first) continue;
    throw new EngineFault(
      "schema",
      `${more.length + 1} rows of '${name}' point at rows of '${first.parent}' that would not be with them on ${self}: declare '${first.parent}' so that it moves along, give both the same shard key, or drop the foreign key. Nothing was changed`,
    );
  }
}
