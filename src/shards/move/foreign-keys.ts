/**
 * Foreign keys, while the engine writes.
 *
 * Rows of a move arrive page by page: a child may come before its parent, a parent may leave before
 * a child that stays behind, and cascades would undo what was just moved. The source has enforced
 * its keys, so the engine writes with enforcement off, and a check before cutover finds what would
 * dangle on a target. The setting works only outside a transaction, hence at the start of a turn,
 * and is put back in a later one: between the two the object delivers nothing, so that no code of
 * the user ever runs without enforcement.
 */
import { NOTHING_CHANGED } from "../../model/operation.ts";
import type { MoveRange } from "../../model/layout/move-range.ts";
import { EngineFault } from "../storage/faults.ts";
import { countLate, isChecked } from "./late-rows.ts";
import type { MovePlan, MoveTable } from "./move-plan.ts";
import { withinRange } from "./position.ts";
import { pointsNowhere, referencesOf } from "./references.ts";
import { type RunAlone, type Sleep, type Sql, quoteName } from "../storage/storage.ts";

/** Turns that are waited for while a transaction of others is open. */
const TRIES_MAX = 1_000;

export class ForeignKeys {
  readonly #sql: Sql;
  readonly #alone: RunAlone;
  /** Writes of the next turn with enforcement off. Each gives the way to tell how it ended. */
  readonly #writes: (() => () => void)[] = [];
  #isWriting = false;
  #isOffForStart = false;

  constructor(sql: Sql, alone: RunAlone) {
    this.#sql = sql;
    this.#alone = alone;
  }

  /**
   * Runs `write` in a turn with enforcement off, which is on again before anybody hears of it. Rule
   * "foreign-keys-in-force": nothing else of the object runs meanwhile. A database without foreign
   * keys is spared.
   */
  async off<Value>(write: () => Value): Promise<Value> {
    const written = this.#sql.inOneTurn(() => (this.#exist() ? null : { value: write() }));
    if (written) return written.value;
    return new Promise((resolve, reject) => {
      this.#writes.push(() => {
        try {
          const value = write();
          return () => resolve(value);
        } catch (error) {
          return () => reject(error);
        }
      });
      if (!this.#isWriting) void this.#writeAll();
    });
  }

  /**
   * Turns enforcement off for the migrations of a constructor, on an object whose rows are still on
   * their way: a child may stand here before its parent. Where a transaction is open already,
   * nothing changes.
   */
  openForStart(): void {
    if (!this.#exist()) return;
    this.#sql.run("PRAGMA foreign_keys = OFF");
    this.#isOffForStart = !this.#areOn();
  }

  /** Ends what `openForStart` has begun; undefined when there is nothing to wait for. */
  endStart(): Promise<void> | undefined {
    if (!this.#isOffForStart) return undefined;
    this.#isOffForStart = false;
    return this.#alone((sleep) => this.#set(true, sleep));
  }

  /** Writes all that comes while a turn is prepared in that turn, and the rest in one more. */
  async #writeAll(): Promise<void> {
    this.#isWriting = true;
    while (this.#writes.length > 0) {
      let ends: (() => void)[] = [];
      await this.#alone(async (sleep) => {
        await this.#set(false, sleep);
        ends = this.#writes.splice(0).map((write) => this.#sql.inOneTurn(write));
        await sleep(0); // the transaction of this turn must end first
        await this.#set(true, sleep);
      });
      for (const end of ends) end();
    }
    this.#isWriting = false;
  }

  /** @throws Error after too many tries: the object then begins anew, with enforcement on. */
  async #set(isOn: boolean, sleep: Sleep): Promise<void> {
    for (let tries = 0; tries < TRIES_MAX; tries++) {
      this.#sql.run(`PRAGMA foreign_keys = ${isOn ? "ON" : "OFF"}`);
      if (this.#areOn() === isOn) return;
      await sleep(0);
    }
    throw new Error(
      `Foreign keys could not be turned ${isOn ? "on" : "off"}: a transaction is always open`,
    );
  }

  #areOn(): boolean {
    return this.#sql.first<{ foreign_keys: number }>("PRAGMA foreign_keys")?.foreign_keys === 1;
  }

  #exist(): boolean {
    const query =
      "SELECT 1 AS found FROM sqlite_master WHERE type = 'table' AND sql LIKE '%REFERENCES%'";
    return this.#sql.fromDefinitions("any foreign key", () => this.#sql.first(query) !== undefined);
  }
}

/**
 * Refuses rows that came with a move and point at rows which are not here. Call when they are live.
 *
 * A target of a swap has no other rows, so its tables are read whole, before the fence; under it,
 * only what has come since (`late-rows.ts`). In a shift only the rows of `incoming` are read:
 * making rows live takes none away, so rows that were here before point at what they pointed at.
 * @throws EngineFault
 */
export function checkForeignKeys(
  sql: Sql,
  plan: MovePlan,
  incoming: readonly MoveRange[],
  self: string,
): void {
  const isShift = plan.moving.mode === "shift";
  const isLate = !isShift && isChecked(sql, plan.moving);
  for (const moveTable of plan.tables) {
    const { table, store } = moveTable;
    const dangling = isLate
      ? danglingLate(sql, moveTable)
      : isShift
        ? danglingStaged(sql, table.name, store, incoming)
        : danglingRows(sql, table.name);
    const [first] = dangling;
    if (!first) continue;
    const { parent } = first;
    const count = dangling.reduce((total, { rows }) => total + rows, 0);
    throw new EngineFault(
      "schema",
      `${count} rows of '${table.name}' point at rows of '${parent}' that would not be with them on ${self}: declare '${parent}' so that it moves along, give both the same shard key, or drop the foreign key. ${NOTHING_CHANGED}`,
    );
  }
}

interface Dangling {
  readonly parent: string;
  readonly rows: number;
}

function danglingRows(sql: Sql, table: string): Dangling[] {
  const counts = new Map<string, number>();
  for (const { parent } of sql.stream<{ parent: string }>(
    `PRAGMA foreign_key_check(${quoteName(table)})`,
  ))
    counts.set(parent, (counts.get(parent) ?? 0) + 1);
  return [...counts].map(([parent, rows]) => ({ parent, rows }));
}

/** The same for rows that have come since the whole table was read. */
function danglingLate(sql: Sql, table: MoveTable): Dangling[] {
  return referencesOf(sql, table.table.name).flatMap((reference) => {
    const rows = countLate(sql, table, reference);
    return rows > 0 ? [{ parent: reference.parent, rows }] : [];
  });
}

/** The same for the staged rows of some ranges, by an index of the parent for each. */
function danglingStaged(
  sql: Sql,
  table: string,
  store: string,
  incoming: readonly MoveRange[],
): Dangling[] {
  return referencesOf(sql, table).flatMap((reference) => {
    const rows = incoming.reduce((total, range) => {
      const within = withinRange(range);
      const query = `SELECT count(*) AS n FROM ${quoteName(store)} AS s WHERE ${within.sql} AND ${pointsNowhere(reference, "s")}`;
      return total + (sql.first<{ n: number }>(query, ...within.bindings)?.n ?? 0);
    }, 0);
    return rows > 0 ? [{ parent: reference.parent, rows }] : [];
  });
}
