/**
 * Runs the migration steps of a class, each once per object and in one transaction with its record.
 *
 * | a step is                                    | then                                                  |
 * |----------------------------------------------|-------------------------------------------------------|
 * | given, and has never run here                | `up` and `backfill` run, and it is recorded           |
 * | given and recorded                           | nothing                                               |
 * | recorded, and no longer given                | it is withdrawn: a deploy was rolled back             |
 * | withdrawn, and given again                   | `backfill` runs, and it is recorded as before         |
 *
 * The engine compares the recorded ids of all members: rows change hands only between members with
 * the same steps, so that a step never misses rows that were on their way when it ran. A withdrawn
 * step does not count there, as its backfill has to run again.
 */

/**
 * One step from a schema to the next. What has run on any object must not change any more: add a
 * step instead.
 */
export interface Migration {
  /** Unique in the list, and for ever. */
  readonly id: string;
  /** Changes the schema. Runs once per object. Synchronous: it is part of a transaction. */
  up(sql: SqlStorage): void;
  /**
   * Fills in what rows lack. Runs after `up`, in the same transaction, and once more when a
   * rollback had withdrawn the step and it is given again: rows that the older version wrote lack
   * the value. Must be repeatable: `UPDATE … WHERE status IS NULL`.
   */
  backfill?(sql: SqlStorage): void;
}

/** A step that has run on this object. */
export interface MigrationRecord {
  readonly id: string;
  /** Milliseconds since the Unix epoch; rises from step to step. */
  readonly at: number;
  readonly isWithdrawn: boolean;
}

export interface MigrationPlan {
  /** Given steps that have something to run, in order. */
  readonly runs: readonly { readonly id: string; readonly isAgain: boolean }[];
  /** Ids of steps that are no longer given. */
  readonly withdrawals: readonly string[];
}

/**
 * Runs what the object lacks. One or two reads when it lacks nothing. A step that throws is rolled
 * back; the steps before it stay. `beforeUp` is called in the transaction of each step that changes
 * the schema.
 *
 * @throws Error that names the step, with the step's own error as its cause.
 */
export function runMigrations(
  storage: Pick<DurableObjectStorage, "sql" | "transactionSync">,
  steps: readonly Migration[],
  now: () => number,
  beforeUp: () => void = () => undefined,
): void {
  const records = readRecords(storage.sql);
  const { runs, withdrawals } = planMigrations(
    steps.map(({ id }) => id),
    records,
  );
  if (withdrawals.length > 0) storage.transactionSync(() => withdraw(storage.sql, withdrawals));
  const byId = new Map(steps.map((step) => [step.id, step]));
  let at = Math.max(-1, ...records.map((record) => record.at));
  for (const { id, isAgain } of runs) {
    const step = byId.get(id);
    if (!step) continue;
    at = Math.max(now(), at + 1);
    storage.transactionSync(() => {
      if (!isAgain) beforeUp();
      runStep(storage.sql, step, isAgain);
      if (isAgain) putBack(storage.sql, id);
      else keepRecord(storage.sql, id, at);
    });
  }
}

/**
 * Plans the steps for an object with these records. @throws Error when the list cannot be
 * followed on this object.
 */
export function planMigrations(
  ids: readonly string[],
  records: readonly MigrationRecord[],
): MigrationPlan {
  refuseBadIds(ids);
  const known = new Map(records.map((found) => [found.id, found]));
  let before: { readonly id: string; readonly at: number } | undefined;
  let unknown: string | undefined;
  for (const id of ids) {
    const found = known.get(id);
    if (!found) {
      unknown ??= id;
      continue;
    }
    if (unknown !== undefined)
      throw new Error(
        `Migration '${unknown}' stands before '${id}', which has already run on this object: new steps go to the end of the list`,
      );
    if (before && found.at < before.at)
      throw new Error(
        `Migration '${before.id}' stands before '${id}', but '${id}' has run first on this object: keep the order of steps that have run`,
      );
    before = found;
  }
  const given = new Set(ids);
  return {
    runs: ids.flatMap((id) => {
      const found = known.get(id);
      return found && !found.isWithdrawn ? [] : [{ id, isAgain: found !== undefined }];
    }),
    withdrawals: records
      .filter(({ id, isWithdrawn }) => !isWithdrawn && !given.has(id))
      .map(({ id }) => id),
  };
}

function refuseBadIds(ids: readonly string[]): void {
  if (ids.includes(""))
    throw new Error("A migration has an empty id: give each step a name of its own");
  const twice = ids.find((id, index) => ids.indexOf(id) !== index);
  if (twice !== undefined)
    throw new Error(`Two migrations have the id '${twice}': give each step a name of its own`);
}

function runStep(sql: SqlStorage, step: Migration, isAgain: boolean): void {
  try {
    if (!isAgain) refusePromise(step.up(sql));
    refusePromise(step.backfill?.(sql));
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new Error(`Migration '${step.id}' failed: ${message}`, { cause: error });
  }
}

/**
 * The type allows an `async` function, whose statements after its first `await` would run outside
 * of the transaction.
 */
function refusePromise(returned: unknown): void {
  if (typeof returned !== "object" || returned === null || !("then" in returned)) return;
  // Its failure is not to be reported by the runtime as well.
  void Promise.resolve(returned as PromiseLike<unknown>).catch(() => undefined);
  throw new Error(
    "it is asynchronous: a step is one transaction, so write it without async and await",
  );
}

function readRecords(sql: SqlStorage): MigrationRecord[] {
  const exists =
    sql
      .exec("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'shardctl_migrations'")
      .toArray().length > 0;
  if (!exists) return [];
  return sql
    .exec<{ id: string; at: number; withdrawn: number }>(
      `SELECT id, at, 0 AS withdrawn FROM shardctl_migrations
        UNION ALL SELECT id, at, 1 AS withdrawn FROM shardctl_migrations_withdrawn ORDER BY at`,
    )
    .toArray()
    .map(({ id, at, withdrawn }) => ({ id, at, isWithdrawn: withdrawn === 1 }));
}

function keepRecord(sql: SqlStorage, id: string, at: number): void {
  for (const name of ["shardctl_migrations", "shardctl_migrations_withdrawn"])
    sql.exec(
      `CREATE TABLE IF NOT EXISTS ${name} (id TEXT PRIMARY KEY, at INTEGER NOT NULL) WITHOUT ROWID`,
    );
  sql.exec("INSERT INTO shardctl_migrations (id, at) VALUES (?, ?)", id, at);
}

function withdraw(sql: SqlStorage, ids: readonly string[]): void {
  for (const id of ids) moveRecord(sql, id, "shardctl_migrations", "shardctl_migrations_withdrawn");
}

function putBack(sql: SqlStorage, id: string): void {
  moveRecord(sql, id, "shardctl_migrations_withdrawn", "shardctl_migrations");
}

function moveRecord(sql: SqlStorage, id: string, from: string, to: string): void {
  sql.exec(`INSERT INTO ${to} (id, at) SELECT id, at FROM ${from} WHERE id = ?`, id);
  sql.exec(`DELETE FROM ${from} WHERE id = ?`, id);
}
