/**
 * Stores the counters of the metrics in the coordinator's SQLite: they outlive restarts, as
 * counters should. Each label has few values: names of namespaces are not labels. Above the bound
 * no new series is begun.
 */
export const SERIES_MAX = 2000;

const SCHEMA =
  "CREATE TABLE IF NOT EXISTS counters (name TEXT, labels TEXT, value REAL NOT NULL, PRIMARY KEY (name, labels)) WITHOUT ROWID";

export type Labels = Readonly<Record<string, string>>;

export interface Counter {
  readonly labels: Labels;
  readonly value: number;
}

export class CountersStore {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    sql.exec(SCHEMA);
  }

  add(name: string, labels: Labels, amount: number): void {
    if (!this.#hasRoom(name, labels)) return;
    this.#sql.exec(
      "INSERT INTO counters VALUES (?, ?, ?) ON CONFLICT (name, labels) DO UPDATE SET value = value + excluded.value",
      name,
      JSON.stringify(labels),
      amount,
    );
  }

  set(name: string, labels: Labels, value: number): void {
    if (!this.#hasRoom(name, labels)) return;
    this.#sql.exec(
      "INSERT INTO counters VALUES (?, ?, ?) ON CONFLICT (name, labels) DO UPDATE SET value = excluded.value",
      name,
      JSON.stringify(labels),
      value,
    );
  }

  /** Sorted by labels. */
  list(name: string): Counter[] {
    return this.#sql
      .exec<{ labels: string; value: number }>(
        "SELECT labels, value FROM counters WHERE name = ? ORDER BY labels",
        name,
      )
      .toArray()
      .map(({ labels, value }) => ({ labels: JSON.parse(labels) as Labels, value }));
  }

  #hasRoom(name: string, labels: Labels): boolean {
    const known = this.#sql
      .exec("SELECT 1 FROM counters WHERE name = ? AND labels = ?", name, JSON.stringify(labels))
      .toArray();
    return (
      known.length > 0 ||
      this.#sql.exec<{ series: number }>("SELECT count(*) AS series FROM counters").one().series <
        SERIES_MAX
    );
  }
}
