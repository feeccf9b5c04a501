/**
 * The user's class of the simulation: items sharded by `id` or by `grp`, and notes that follow them. Every value of `v` is one that a
 * careless copy would change; `intact` says whether it is still the one that its tag stands for.
 */
import type { TableSpec } from "../../src/shards/storage/tables.ts";
import { RIVALS } from "./scenario.ts";
import type { HostStorage, Runtime, SqlRow } from "../../src/shards/storage/storage.ts";

export interface StoreOptions {
  readonly hasUniqueIndex: boolean;
  readonly hasForeignKey: boolean;
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

export const STORE_TABLES: readonly TableSpec[] = [{ name: "items" }, { name: "notes", follows: "items", by: "item" }];

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
  readonly #options: StoreOptions;

  constructor(storage: HostStorage, runtime: Runtime, options: StoreOptions) {
    this.#storage = storage;
    this.#runtime = runtime;
    this.#options = options;
    const { sql } = storage;
    if (storage.sql.exec("SELECT 1 FROM sqlite_master WHERE name = 'notes'").toArray().length > 0) return;
    sql.exec(
      "CREATE TABLE IF NOT EXISTS items (id TEXT PRIMARY KEY, grp TEXT, n INTEGER NOT NULL, tag INTEGER NOT NULL, v, code TEXT NOT NULL)",
    );
    if (options.hasUniqueIndex) sql.exec("CREATE UNIQUE INDEX IF NOT EXISTS items_by_code ON items (code)");
    const reference = options.hasForeignKey ? "REFERENCES items (id) ON DELETE CASCADE" : "";
    sql.exec(
      `CREATE TABLE IF NOT EXISTS notes (item TEXT NOT NULL ${reference}, seq INTEGER NOT NULL, body TEXT NOT NULL, PRIMARY KEY (item, seq)) WITHOUT ROWID`,
    );
  }

  put(id: string, grp: string, n: number, tag: number): void {
    const value = VALUES[tag % VALUES.length] ?? "NULL";
    this.#storage.sql.exec(
      `INSERT INTO items (id, grp, n, tag, v, code) VALUES (?1, ?2, ?3, ?4, ${value}, ?5)
       ON CONFLICT (id) DO UPDATE SET grp = excluded.grp, n = excluded.n, tag = excluded.tag, v = excluded.v, code = excluded.code`,
      id,
      grp,
      n,
      tag,
      RIVALS.includes(id) ? `rival/${tag % 2}` : `${id}/${tag % 3}`,
    );
  }

  putMany(rows: readonly { readonly id: string; readonly grp: string; readonly n: number; readonly tag: number }[]): void {
    this.#storage.transactionSync(() => {
      for (const { id, grp, n, tag } of rows) this.put(id, grp, n, tag);
    });
  }

  /** A call that is still running when a fence comes. */
  async slowPut(id: string, grp: string, n: number, tag: number, delayMs: number): Promise<void> {
    await this.#runtime.sleep(delayMs);
    this.put(id, grp, n, tag);
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

  remove(id: string): boolean {
    return this.#storage.transactionSync(() => {
      // With a foreign key the notes are left to its cascade.
      if (!this.#options.hasForeignKey) this.#storage.sql.exec("DELETE FROM notes WHERE item = ?", id);
      return this.#storage.sql.exec("DELETE FROM items WHERE id = ? RETURNING id", id).toArray().length > 0;
    });
  }

  note(id: string, seq: number, body: string): boolean {
    if (!this.get(id)) return false;
    this.#storage.sql.exec("INSERT OR REPLACE INTO notes (item, seq, body) VALUES (?, ?, ?)", id, seq, body);
    return true;
  }

  /** Changes the group, when this member owns the old and the new key: then both are in `items`. */
  regroup(items: readonly { readonly id: string; readonly grp: string }[]): void {
    const [first, second] = items;
    if (first && second) this.#storage.sql.exec("UPDATE items SET grp = ? WHERE id = ?", second.grp, first.id);
  }
}

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
