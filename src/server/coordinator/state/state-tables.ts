/**
 * The tables of the coordinator that an export carries, with their columns, and those that it
 * leaves out, with the reason. A test compares both with the tables that there are.
 *
 * Never exported: secrets (none is stored), ids and keys of rows (none is stored but the split
 * points of plans and manifests).
 */
export type ColumnKind = "text" | "int" | "json";

export interface Column {
  readonly kind: ColumnKind;
  readonly isNullable: boolean;
}

export interface StateTable {
  readonly columns: Readonly<Record<string, Column>>;
  /** The primary key, in the order of its index. */
  readonly key: readonly string[];
  /** SQL that is true of the rows that are exported. */
  readonly condition: string;
}

const text: Column = { kind: "text", isNullable: false };
const int: Column = { kind: "int", isNullable: false };
const json: Column = { kind: "json", isNullable: false };
const textOrNull: Column = { kind: "text", isNullable: true };
const jsonOrNull: Column = { kind: "json", isNullable: true };

const ALL = "true";

/** Plans that something else in the file speaks of. */
const NEEDED_PLANS = "SELECT fingerprint FROM reviews UNION SELECT fingerprint FROM applied";

/**
 * By name, in the order in which they are read: what points at other rows comes before them, so
 * that a row that is new meanwhile does not point at one that was read before.
 */
export const STATE_TABLES = {
  reviews: table(
    {
      environment: text,
      pull: int,
      fingerprint: text,
      place: int,
      counts: int,
      headSha: text,
      runUrl: textOrNull,
      requestedBy: text,
      reviewedAt: int,
      release: jsonOrNull,
    },
    ["environment", "pull", "fingerprint"],
  ),
  reviewFigures: table({ environment: text, pull: int, fingerprint: text, figures: json }, [
    "environment",
    "pull",
    "fingerprint",
  ]),
  orders: table({ environment: text, pull: int, fingerprint: text }, [
    "environment",
    "pull",
    "fingerprint",
  ]),
  applied: table({ environment: text, fingerprint: text }, ["environment"]),
  plans: table(
    { fingerprint: text, environment: text, storedAt: int },
    ["fingerprint"],
    `fingerprint IN (${NEEDED_PLANS})`,
  ),
  runs: table(
    {
      id: text,
      fingerprint: text,
      environment: text,
      state: text,
      startedAt: int,
      cancelRequested: int,
      faults: int,
    },
    ["id"],
  ),
  leases: table({ environment: text, token: int }, ["environment"]),
  namespaces: table({ environment: text, name: text, object: text }, [
    "environment",
    "name",
    "object",
  ]),
  claims: table({ environment: text, name: text, object: text }, ["environment", "name", "object"]),
  registries: table(
    {
      object: text,
      name: text,
      epoch: int,
      members: json,
      at: int,
      repairs: int,
      repair: jsonOrNull,
    },
    ["object", "name"],
  ),
  reconcileDocuments: table(
    { kind: text, id: text, body: json },
    ["kind", "id"],
    "kind IN ('pause', 'resumed', 'environment')",
  ),
  reconciledNames: table({ environment: text, name: text, object: text, body: json }, [
    "environment",
    "name",
    "object",
  ]),
  watchedOperations: table(
    {
      environment: text,
      object: text,
      name: text,
      id: int,
      startedAt: int,
      state: textOrNull,
      step: textOrNull,
    },
    ["environment", "object", "name"],
  ),
  alerts: table({ environment: text, body: json }, ["environment"]),
  pulls: table({ number: int, headSha: text, posted: textOrNull, plannedAt: int }, ["number"]),
  once: table(
    { kind: text, id: text, claim: text, expiresAt: int },
    ["kind", "id"],
    "kind = 'token'",
  ),
  events: table(
    { id: int, at: int, environment: text, kind: text, namespace: textOrNull, body: json },
    ["id"],
  ),
} as const satisfies Readonly<Record<string, StateTable>>;

export type StateTableName = keyof typeof STATE_TABLES;

/** Bodies of plans and runs, in pieces of text: beside the tables above, and read last. */
export const DOCUMENTS = "documents";
export const DOCUMENT_COLUMNS = { kind: text, id: text, piece: int, text } as const;
export const DOCUMENT_KEY = ["kind", "id", "piece"] as const;
/** SQL that is true of the documents that are exported. */
export const DOCUMENT_CONDITION = `(kind IN ('run', 'action', 'shown', 'applied') OR (kind IN ('plan', 'desired') AND id IN (${NEEDED_PLANS})))`;

/** Tables that an export leaves out. */
export const LEFT_OUT: Readonly<Record<string, string>> = {
  counters: "counters of metrics begin at 0, as after every loss of a process",
  tasks: "the next scan of pull requests finds what is to be done",
  taskAttempts: "the same",
  sights: "the status page asks again",
  sizeHours: "sizes over time begin again: a forecast needs a day",
  sizeDays: "the same",
  listedNames: "follows reconciledNames by triggers",
  appliedPolicies:
    "whether another policy was applied since, the file cannot tell: a plan shows it as new",
  changedPolicies: "an import has every policy looked at",
  awaitedPolicies: "follows reconciledNames",
  postedFigures: "a release falls back to the reviewed counts",
  manifestBlobs: "contents of files that GitHub has",
  stateImports: "the import itself",
  stagedRows: "the same",
};

function table(
  columns: Readonly<Record<string, Column>>,
  key: readonly string[],
  condition = ALL,
): StateTable {
  return { columns, key, condition };
}

/** Every table of a file with its columns and its key. */
export function allTables(): ReadonlyMap<string, Pick<StateTable, "columns" | "key">> {
  return new Map<string, Pick<StateTable, "columns" | "key">>([
    ...Object.entries(STATE_TABLES),
    [DOCUMENTS, { columns: DOCUMENT_COLUMNS, key: DOCUMENT_KEY }],
  ]);
}
