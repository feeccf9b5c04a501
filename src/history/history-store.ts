/**
 * The history in the coordinator's SQLite: one row an event, found by environment, namespace or
 * kind through an index and a page at a time by id. It is bounded by count and by age; what is
 * older goes. All methods are synchronous: an event is durable with what it tells of.
 */
import type { NewEvent } from "./make-event.ts";
import type { EventKind, HistoryEvent } from "../model/event.ts";
import { jsonPages } from "../model/json-pages.ts";
import type { VisibleNames } from "../model/token-scope.ts";
import { shorten } from "../render/printable.ts";

export const EVENTS_MAX = 200_000;
export const EVENT_AGE_MAX_MS = 400 * 24 * 60 * 60 * 1000;
/** Characters: a reason can hold many names. */
const SUMMARY_LENGTH_MAX = 1000;
/** Old events are taken out once in so many new ones. */
const FORGET_EVERY = 100;

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS events (id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, environment TEXT NOT NULL, kind TEXT NOT NULL,
    namespace TEXT, body TEXT NOT NULL);
  CREATE INDEX IF NOT EXISTS eventsByTime ON events (at);
  CREATE INDEX IF NOT EXISTS eventsByEnvironment ON events (environment);
  CREATE INDEX IF NOT EXISTS eventsByNamespace ON events (environment, namespace);
  CREATE INDEX IF NOT EXISTS eventsByKind ON events (environment, kind);
`;

export interface EventFilter {
  readonly environment: string | null;
  readonly namespace: string | null;
  readonly kind: EventKind | null;
  /** Only older events. */
  readonly before: number | null;
  /** Only newer events, oldest first. */
  readonly after: number | null;
  readonly limit: number;
  /** Limits them to those that their reader may see; null or absent for all. */
  readonly visible?: VisibleNames | null;
}

/** SQL with a value for each `?`. */
type Condition = readonly [sql: string, ...values: SqlStorageValue[]];

/**
 * Events of an environment as a whole may tell of any of its namespaces: they are left out. An
 * event has a name without its binding: one that may be another namespace's is left out too. Names
 * are bound in parts: a value is at most 2 MB.
 */
function isShown({ names, declared }: VisibleNames): Condition | null {
  if (names === null) return null;
  const refs = declared.flatMap(({ environment, name, isShared }) =>
    isShared ? [] : [[environment, name]],
  );
  const ofNames = jsonPages(names);
  const ofRefs = jsonPages(refs);
  const parts = [
    ...ofNames.map(() => "namespace IN (SELECT value FROM json_each(?))"),
    ...ofRefs.map(
      () =>
        "(environment, namespace) IN (SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(?))",
    ),
  ];
  return [parts.length === 0 ? "FALSE" : `(${parts.join(" OR ")})`, ...ofNames, ...ofRefs];
}

type EventBody = Omit<HistoryEvent, "id" | "at" | "environment" | "kind" | "namespace">;

/** An event as it is stored. */
export interface EventRow extends Record<string, SqlStorageValue> {
  readonly id: number;
  readonly at: number;
  readonly environment: string;
  readonly kind: string;
  readonly namespace: string | null;
  readonly body: string;
}

export class HistoryStore {
  readonly #sql: SqlStorage;
  /** Events that are stored; null until they are counted, and after somebody else has written. */
  #stored: number | null = null;
  #newest: number | null = null;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    sql.exec(SCHEMA);
  }

  put({ at, environment, kind, namespace, ...rest }: NewEvent): void {
    const body: EventBody = { ...rest, summary: shorten(rest.summary, SUMMARY_LENGTH_MAX) };
    const { id } = this.#sql
      .exec<{ id: number }>(
        "INSERT INTO events (at, environment, kind, namespace, body) VALUES (?, ?, ?, ?, ?) RETURNING id",
        at,
        environment,
        kind,
        namespace,
        JSON.stringify(body),
      )
      .one();
    // An import writes by itself, and leaves numbers out.
    const isNext = this.#stored !== null && this.#newest === id - 1;
    this.#stored = isNext ? (this.#stored ?? 0) + 1 : null;
    this.#newest = id;
    if (id % FORGET_EVERY === 0) this.#forgetOld(id);
  }

  /** Newest first; with `after` oldest first. */
  list({
    environment,
    namespace,
    kind,
    before,
    after,
    limit,
    visible = null,
  }: EventFilter): HistoryEvent[] {
    const environments = visible?.environments ?? null;
    const all: (Condition | null)[] = [
      environment === null ? null : ["environment = ?", environment],
      namespace === null ? null : ["namespace = ?", namespace],
      kind === null ? null : ["kind = ?", kind],
      before === null ? null : ["id < ?", before],
      after === null ? null : ["id > ?", after],
      environments === null
        ? null
        : ["environment IN (SELECT value FROM json_each(?))", JSON.stringify(environments)],
      visible === null ? null : isShown(visible),
    ];
    const given = all.flatMap((condition) => (condition === null ? [] : [condition]));
    const where = given.length === 0 ? "" : `WHERE ${given.map(([sql]) => sql).join(" AND ")}`;
    return this.#sql
      .exec<EventRow>(
        `SELECT id, at, environment, kind, namespace, body FROM events ${where} ORDER BY id ${after === null ? "DESC" : "ASC"} LIMIT ?`,
        ...given.flatMap(([, ...values]) => values),
        limit,
      )
      .toArray()
      .map(({ body, kind: stored, ...row }) => ({
        ...row,
        kind: stored as EventKind,
        ...(JSON.parse(body) as EventBody),
      }));
  }

  /**
   * The age is counted from the earliest of the last events: one clock that was ahead must not take
   * the whole history away.
   */
  #forgetOld(newest: number): void {
    const { now } = this.#sql
      .exec<{ now: number }>(
        "SELECT min(at) AS now FROM events WHERE id > ?",
        newest - FORGET_EVERY,
      )
      .one();
    const outdated = this.#sql
      .exec("DELETE FROM events WHERE at < ? RETURNING id", now - EVENT_AGE_MAX_MS)
      .toArray().length;
    // Numbers tell nothing of how many there are.
    const stored = this.#stored === null ? this.#count() : this.#stored - outdated;
    if (stored > EVENTS_MAX)
      this.#sql.exec(
        "DELETE FROM events WHERE id IN (SELECT id FROM events ORDER BY id LIMIT ?)",
        stored - EVENTS_MAX,
      );
    this.#stored = Math.min(stored, EVENTS_MAX);
  }

  #count(): number {
    return this.#sql.exec<{ count: number }>("SELECT count(*) AS count FROM events").one().count;
  }
}
