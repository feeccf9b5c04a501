/**
 * The user's class of the simulation: items sharded by `id` or by `grp`, and notes that follow
 * them. Every value of `v` is one that a careless copy would change; `intact` says whether it is
 * still the one that its tag stands for.
 */
import type { HostStorage, Runtime, SqlRow } from "../../src/shards/storage/storage.ts";
import type { Router } from "../../src/shards/router.ts";
import { routeItem } from "./route-item.ts";
import { RIVALS } from "./scenario.ts";
import {
  DeployedFlaw,
  type SchemaOptions,
  type StoreVersion,
  createTables,
  migrate,
} from "./versions.ts";

/** The parts of its object that the class can use. */
export interface StorePorts {
  readonly storage: HostStorage;
  readonly runtime: Runtime;
  /**
   * Reports the rows that a call to all members has changed here: passed on once they are durable.
   */
  ran(call: string, rows: readonly Raised[]): void;
  /** The object, and the epoch that it acts by. */
  where(): RanOn;
  /**
   * A router to the own namespace: the host's, or one that the class has made for itself and that
   * the engine does not know.
   */
  router(isOwn: boolean): Router;
}

/**
 * An object that has run a call, and the epoch that the call was routed by; of a write past the
 * router the object's own.
 */
export interface RanOn {
  readonly member: string;
  readonly epoch: number;
}

/** One of several puts that are made by one call: each owner calls the next. */
export interface Hop {
  readonly id: string;
  readonly grp: string;
  readonly n: number;
  readonly tag: number;
}

/** An item with its notes, as a client sees it. */
export interface View {
  readonly id: string;
  readonly grp: string;
  readonly n: number;
  readonly tag: number;
  /** `seq:body` in order, joined by commas. */
  readonly notes: string;
  readonly intact: boolean;
}

/** An item that a call to all members has changed, as it is afterwards. */
export type Raised = Pick<View, "id" | "grp" | "n">;

const VALUES = [
  "9007199254740993",
  "1.0",
  "x'00FF'",
  "char(97, 0, 98)",
  "-9223372036854775808",
  "9e999",
  "NULL",
  "0.1 + 0.2",
  "char(128512)",
  "'plain'",
];

const IS_INTACT = `CASE tag % ${VALUES.length} ${VALUES.map((value, index) => `WHEN ${index} THEN v IS ${value} AND typeof(v) = typeof(${value})`).join(" ")} END`;
const SELECT = `SELECT id, grp, n, tag, ${IS_INTACT} AS intact,
  coalesce((SELECT group_concat(seq || ':' || body, ',') FROM (SELECT seq, body FROM notes WHERE item = items.id ORDER BY seq)), '') AS notes FROM items`;

export class Store {
  readonly #storage: HostStorage;
  readonly #runtime: Runtime;
  readonly #ports: StorePorts;
  readonly #options: SchemaOptions;
  readonly #version: StoreVersion;
  /** Calls that run and call others. */
  relays = 0;

  constructor(ports: StorePorts, options: SchemaOptions, version: StoreVersion) {
    this.#ports = ports;
    this.#storage = ports.storage;
    this.#runtime = ports.runtime;
    this.#options = options;
    this.#version = version;
  }

  /**
   * The rest of the class's constructor, apart so that the host can be made before it or after it.
   * Gives what it waits for, with all events held back; null when it is over at once. @throws what
   * a migration throws, and `DeployedFlaw` for a version that is meant to.
   */
  start(): Promise<void> | null {
    const isNew =
      this.#storage.sql.exec("SELECT 1 FROM sqlite_master WHERE name = 'notes'").toArray()
        .length === 0;
    if (isNew) createTables(this.#storage.sql, this.#options);
    if (this.#version.startMs > 0)
      return this.#runtime.sleep(this.#version.startMs).then(() => this.#migrate());
    this.#migrate();
    return null;
  }

  #migrate(): void {
    if (this.#version.changes.length > 0) migrate(this.#storage, this.#version, this.#options);
    if (this.#version.throws) throw new DeployedFlaw("this version does not start");
  }

  put(id: string, grp: string, n: number, tag: number): void {
    const value = VALUES[tag % VALUES.length] ?? "NULL";
    const { changes } = this.#version;
    const [columns, values] = changes.includes("column")
      ? [", extra, extra_tag", ", 'put ' || CAST(?4 AS INTEGER), ?4"]
      : ["", ""];
    const stamped = changes.includes("stamp") ? 1 : 0;
    const extra = columns === "" ? "" : ", extra = excluded.extra, extra_tag = excluded.extra_tag";
    this.#storage.sql.exec(
      `INSERT INTO items (id, grp, n, tag, v, code, stamped${columns}) VALUES (?1, ?2, ?3, ?4, ${value}, ?5, ${stamped}${values})
       ON CONFLICT (id) DO UPDATE SET grp = excluded.grp, n = excluded.n, tag = excluded.tag, v = excluded.v, code = excluded.code,
         stamped = max(stamped, excluded.stamped)${extra}`,
      id,
      grp,
      n,
      tag,
      RIVALS.includes(id) ? `rival/${tag % 2}` : `${id}/${tag % 3}`,
    );
    if (changes.includes("table"))
      this.#storage.sql.exec("INSERT OR REPLACE INTO labels (item, text) VALUES (?, 'put')", id);
  }

  putMany(
    rows: readonly {
      readonly id: string;
      readonly grp: string;
      readonly n: number;
      readonly tag: number;
    }[],
  ): void {
    this.#storage.transactionSync(() => {
      for (const { id, grp, n, tag } of rows) this.put(id, grp, n, tag);
    });
  }

  /** A call that is still running when a fence comes. */
  async slowPut(id: string, grp: string, n: number, tag: number, delayMs: number): Promise<void> {
    await this.#runtime.sleep(delayMs);
    this.put(id, grp, n, tag);
  }

  /**
   * Puts the first item, and has the owner of the next put the rest, while this call runs. With
   * `isBack` the last one calls itself. Returns where each item was put.
   */
  async relay(
    first: Hop,
    hops: readonly Hop[],
    isOwn: boolean,
    isBack: boolean,
    delayMs: number,
  ): Promise<readonly RanOn[]> {
    this.relays++;
    try {
      return await this.#relay(first, hops, isOwn, isBack, delayMs);
    } finally {
      this.relays--;
    }
  }

  async #relay(
    first: Hop,
    hops: readonly Hop[],
    isOwn: boolean,
    isBack: boolean,
    delayMs: number,
  ): Promise<readonly RanOn[]> {
    if (delayMs > 0) await this.#runtime.sleep(delayMs);
    // Last of all, so that a fence which did not wait for this call would be in its way.
    this.put(first.id, first.grp, first.n, first.tag);
    const here = this.#ports.where();
    const [next, ...rest] = hops;
    const router = this.#ports.router(isOwn);
    if (next !== undefined) {
      const args = [next, rest, isOwn, isBack, delayMs];
      const call = { ...next, deal: true, method: "relay", args, isNew: true };
      return [here, ...((await routeItem(router, call)) as readonly RanOn[])];
    }
    if (isBack) {
      await routeItem(router, {
        ...first,
        deal: false,
        method: "get",
        args: [first.id],
        isNew: false,
      });
    }
    return [here];
  }

  get(id: string): View | null {
    const row = this.#storage.sql.exec<SqlRow>(`${SELECT} WHERE id = ?`, id).toArray()[0];
    return row ? viewOf(row) : null;
  }

  list(): View[] {
    return this.#storage.sql.exec<SqlRow>(`${SELECT} ORDER BY id`).toArray().map(viewOf);
  }

  increment(id: string, by: number): number | null {
    const found = this.get(id);
    if (!found) return null;
    this.#storage.sql.exec("UPDATE items SET n = ? WHERE id = ?", found.n + by, id);
    return found.n + by;
  }

  /** Adds to every item, as a part of the named call to all members. */
  async raiseAll(call: string, by: number, delayMs: number): Promise<Raised[]> {
    if (delayMs > 0) await this.#runtime.sleep(delayMs);
    const raised = this.#storage.sql
      .exec<SqlRow & Raised>("UPDATE items SET n = n + ? RETURNING id, grp, n", by)
      .toArray();
    this.#ports.ran(call, raised);
    return raised;
  }

  remove(id: string): boolean {
    return this.#storage.transactionSync(() => {
      // With a foreign key the notes are left to its cascade.
      if (!this.#options.hasForeignKey)
        this.#storage.sql.exec("DELETE FROM notes WHERE item = ?", id);
      return (
        this.#storage.sql.exec("DELETE FROM items WHERE id = ? RETURNING id", id).toArray().length >
        0
      );
    });
  }

  /**
   * As a timer of the class may do. @throws Error, having done nothing, when the item is not here.
   */
  sweep(id: string): { readonly isOrphanStored: boolean; readonly notesLeft: number } {
    const { sql } = this.#storage;
    return this.#storage.transactionSync(() => {
      if (!this.remove(id)) throw new Error(NOT_HERE);
      const notesLeft = sql.exec("SELECT 1 FROM notes WHERE item = ?", id).toArray().length;
      let isOrphanStored = true;
      try {
        sql.exec("INSERT INTO notes (item, seq, body) VALUES ('nobody', 0, '')");
      } catch (error) {
        if (!String(error).includes("FOREIGN KEY constraint failed")) throw error;
        isOrphanStored = false;
      }
      return { isOrphanStored, notesLeft };
    });
  }

  /** As a timer of the class may do: false when the item is not here. */
  pin(id: string): boolean {
    if (!this.get(id)) return false;
    this.#storage.sql.exec("INSERT OR IGNORE INTO pins (item) VALUES (?)", id);
    return true;
  }

  /** Leaves a pin whose item is gone: it is looked for in the end. */
  unpin(id: string): void {
    this.#storage.sql.exec(
      "DELETE FROM pins WHERE item = ? AND item IN (SELECT id FROM items)",
      id,
    );
  }

  note(id: string, seq: number, body: string): boolean {
    if (!this.get(id)) return false;
    this.#storage.sql.exec(
      "INSERT OR REPLACE INTO notes (item, seq, body) VALUES (?, ?, ?)",
      id,
      seq,
      body,
    );
    return true;
  }

  /** Changes the group, when this member owns the old and the new key: then both are in `items`. */
  regroup(items: readonly { readonly id: string; readonly grp: string }[]): void {
    const [first, second] = items;
    if (first && second)
      this.#storage.sql.exec("UPDATE items SET grp = ? WHERE id = ?", second.grp, first.id);
  }
}

/** The error of `sweep` for an item that is elsewhere. */
export const NOT_HERE = "the item is not here";

/** The query of a cross-shard read: what `list` gives. */
export const LIST_QUERY = SELECT;

export function viewOf(row: Readonly<Record<string, unknown>>): View {
  return {
    id: String(row["id"]),
    grp: String(row["grp"]),
    n: Number(row["n"]),
    tag: Number(row["tag"]),
    notes: String(row["notes"]),
    intact: Number(row["intact"]) === 1,
  };
}
