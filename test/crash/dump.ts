/**
 * The content of one object, seen from inside: its part in the namespace, the leftovers of
 * operations, and the rows of the user's tables.
 */
import { ASIDE_PREFIX } from "../../src/shards/storage/private-names.ts";
import { stateText } from "./accounts.ts";
import type { AlarmEntry } from "./alarm-log.ts";
import { VERSION, addedColumns } from "./version.ts";

export interface Dump {
  readonly member: string;
  /** The version of the class that it runs. */
  readonly version: number;
  /** Columns and indexes of the accounts' table, by name. */
  readonly schema: readonly string[];
  /**
   * Ids of accounts that lack what the versions' constructors fill in, or what was stored with
   * them.
   */
  readonly unfilled: readonly string[];
  /** Null when the object has no record of its membership: it was never told of an operation. */
  readonly membership: {
    readonly epoch: number;
    readonly serving: boolean;
    readonly layout: unknown;
  } | null;
  /** Names of the engine's triggers on the user's tables: guards and captures. */
  readonly triggers: readonly string[];
  /** Staging tables, and private tables of a move that have rows. */
  readonly leftovers: readonly string[];
  readonly isMoving: boolean;
  /** Running operations in its journal: only a root has any. */
  readonly running: readonly number[];
  readonly chores: readonly {
    readonly member: string;
    readonly kind: string;
    readonly operation: number;
  }[];
  /** Id → the state that `stateText` gives. */
  readonly accounts: readonly (readonly [string, string])[];
  /** Ids of accounts whose payload is not the one that their serial makes. */
  readonly damaged: readonly string[];
  /** Notes whose account is not on this object, as `account/serial`. */
  readonly strayNotes: readonly string[];
  /** Rows of the user's tables whose foreign key points at nothing, as `table → parent`. */
  readonly dangling: readonly string[];
  /** The log of writes by alarms on this object. */
  readonly alarms: readonly AlarmEntry[];
  /** Account → the calls to all members that its tally has met, in order. */
  readonly tallies: readonly (readonly [string, readonly number[]])[];
  /** Id → owner. */
  readonly directory: readonly (readonly [string, string])[];
  /**
   * The error answered to a write to the object that goes around the router; null when it was
   * carried out (and rolled back).
   */
  readonly strayWrite: string | null;
}

const MOVE_RECORDS = ["walk", "outgoing", "sent", "received", "captured", "origin", "dealt"];

/** The text that a payload must be, as SQL over the columns `serial` and `size`. */
export const PAYLOAD_SQL = "substr(replace(hex(zeroblob(size)), '00', serial || '.'), 1, size)";

export function dumpObject(member: string, storage: DurableObjectStorage): Dump {
  const { sql } = storage;
  const texts = (query: string): string[] =>
    sql
      .exec<{ text: string }>(query)
      .toArray()
      .map((row) => row.text);
  const pairs = (query: string): [string, string][] =>
    sql
      .exec<{ id: string; value: string }>(query)
      .toArray()
      .map((row) => [row.id, row.value]);
  const isKnown =
    texts("SELECT name AS text FROM sqlite_master WHERE name = 'shardctl_meta'").length > 0;
  const known = (query: string): string[] => (isKnown ? texts(query) : []);
  const [membership] = known("SELECT value AS text FROM shardctl_meta WHERE key = 'membership'");
  const schema = texts(
    `SELECT name AS text FROM (SELECT name FROM pragma_table_info('accounts') UNION ALL
      SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = 'accounts' AND sql IS NOT NULL) ORDER BY name`,
  );
  const isUnfilled = addedColumns(VERSION)
    .filter(({ column }) => schema.includes(column))
    .map(({ column, by }) => `${column} IS NOT iif(stated_by >= ${by}, 'by ' || stated, 'filled')`);
  return {
    member,
    version: VERSION,
    schema,
    unfilled:
      isUnfilled.length === 0
        ? []
        : texts(`SELECT id AS text FROM accounts WHERE ${isUnfilled.join(" OR ")} ORDER BY id`),
    membership: membership === undefined ? null : (JSON.parse(membership) as Dump["membership"]),
    triggers: texts(
      "SELECT name AS text FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'shardctl%' AND tbl_name NOT LIKE 'shardctl%' ORDER BY name",
    ),
    leftovers: [
      ...texts(
        "SELECT name AS text FROM sqlite_master WHERE type = 'table' AND name LIKE 'shardctl\\_stage\\_%' ESCAPE '\\' ORDER BY name",
      ),
      ...MOVE_RECORDS.flatMap((table) =>
        known(`SELECT 'rows in shardctl_${table}' AS text FROM shardctl_${table} LIMIT 1`),
      ),
    ],
    isMoving: known("SELECT key AS text FROM shardctl_meta WHERE key = 'moving'").length > 0,
    running: known(
      "SELECT id AS text FROM shardctl_operations WHERE state = 'running' ORDER BY id",
    ).map(Number),
    chores: isKnown
      ? sql
          .exec<{ member: string; kind: string; operation: number }>(
            "SELECT member, kind, operation FROM shardctl_chores ORDER BY member, kind",
          )
          .toArray()
      : [],
    accounts: readAccounts(sql),
    damaged: texts(
      `SELECT id AS text FROM accounts WHERE payload IS NOT ${PAYLOAD_SQL} ORDER BY id`,
    ),
    strayNotes: texts(
      "SELECT account || '/' || serial AS text FROM notes WHERE account NOT IN (SELECT id FROM accounts) ORDER BY 1",
    ),
    dangling: sql
      .exec<{ table: string; parent: string }>("PRAGMA foreign_key_check")
      .toArray()
      // Rows that a retired member has put away point at the empty table in their place.
      .filter(({ table }) => !table.startsWith("shardctl_"))
      .map(({ table, parent }) => `${table} → ${parent}`),
    // Their type is the one that the alarms write.
    alarms: sql
      .exec("SELECT event, id, times FROM alarm_log ORDER BY event, id")
      .toArray() as unknown as AlarmEntry[],
    tallies: pairs("SELECT account AS id, calls AS value FROM tallies ORDER BY id").map(
      ([id, calls]) => [id, calls.split(",").slice(0, -1).map(Number)],
    ),
    directory: isKnown
      ? pairs("SELECT id, owner AS value FROM shardctl_directory ORDER BY id")
      : [],
    strayWrite: tryStrayWrite(storage),
  };
}

/** Every account with the serials of its notes, as JSON. */
export const ACCOUNTS_SQL = accountsSql("accounts", "notes", "");

/** A row of `ACCOUNTS_SQL`. A type, since the runtime wants one that has an index. */
export type AccountRow = {
  readonly id: string;
  readonly amount: number;
  readonly serial: number;
  readonly notes: string;
};

/** The account's id, and the state that `stateText` gives. */
export function toState({ id, amount, serial, notes }: AccountRow): readonly [string, string] {
  return [id, stateText({ amount, serial, notes: JSON.parse(notes) as number[] })];
}

function accountsSql(accounts: string, notes: string, join: string): string {
  return `SELECT id, amount, serial, (SELECT json_group_array(n.serial) FROM (SELECT serial FROM ${notes} WHERE account = a.id ${join} ORDER BY serial) AS n) AS notes
       FROM ${accounts} AS a ORDER BY id`;
}

function readAccounts(sql: SqlStorage): (readonly [string, string])[] {
  return sql.exec<AccountRow>(ACCOUNTS_SQL).toArray().map(toState);
}

/** An account's id and the state in which a repair has set it aside. */
export type SetAside = readonly [string, string];

/**
 * The accounts that repairs have set aside on this object, each with the notes that went with it.
 */
export function dumpAside(sql: SqlStorage): readonly SetAside[] {
  const tables = sql
    .exec<{ name: string }>("SELECT name FROM sqlite_master WHERE type = 'table'")
    .toArray();
  const names = new Set(tables.map(({ name }) => name));
  const [accounts, notes] = [`${ASIDE_PREFIX}accounts`, `${ASIDE_PREFIX}notes`];
  if (!names.has(accounts)) return [];
  const none = "(SELECT 0 AS account, 0 AS serial, 0 AS shardctl_epoch WHERE false)";
  const query = accountsSql(
    accounts,
    names.has(notes) ? notes : none,
    "AND shardctl_epoch = a.shardctl_epoch",
  );
  return sql.exec<AccountRow>(query).toArray().map(toState);
}

class Undo extends Error {}

/** Writes as code that knows nothing of shards would, and takes it back. */
function tryStrayWrite(storage: DurableObjectStorage): string | null {
  try {
    storage.transactionSync(() => {
      storage.sql.exec(
        "INSERT INTO accounts (id, region, grp, amount, serial, size, payload) VALUES ('~stray', '', 0, 0, 0, 0, '')",
      );
      throw new Undo();
    });
  } catch (error) {
    if (error instanceof Undo) return null;
    return error instanceof Error ? error.message : String(error);
  }
  return null;
}
