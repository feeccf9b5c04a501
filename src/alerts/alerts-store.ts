/** Stores the alerts in the coordinator's SQLite, one row an environment. */
import { type AlertState, newAlertState } from "./alert-state.ts";

const SCHEMA =
  "CREATE TABLE IF NOT EXISTS alerts (environment TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID";

export class AlertsStore {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    sql.exec(SCHEMA);
  }

  read(environment: string): AlertState {
    const row = this.#sql
      .exec<{ body: string }>("SELECT body FROM alerts WHERE environment = ?", environment)
      .toArray()[0];
    return row ? (JSON.parse(row.body) as AlertState) : newAlertState(environment);
  }

  write(state: AlertState): void {
    this.#sql.exec(
      "INSERT INTO alerts VALUES (?, ?) ON CONFLICT (environment) DO UPDATE SET body = excluded.body",
      state.environment,
      JSON.stringify(state),
    );
  }

  /** Sorted by environment. */
  list(): AlertState[] {
    return this.#sql
      .exec<{ body: string }>("SELECT body FROM alerts ORDER BY environment")
      .toArray()
      .map(({ body }) => JSON.parse(body) as AlertState);
  }
}
