/**
 * Counts the rows of an object, and the bytes of their values, in slices between which it serves:
 * looking at a large object holds no call up. A count that was long is kept with its age, so that
 * those who look often read no row.
 *
 * Writers go on meanwhile: a count is of no single moment. What it misses, or counts twice, was
 * written while it ran.
 */
import { isFull } from "../storage/faults.ts";
import { stillCounting } from "../protocol/refused-error.ts";
import type { TableCount } from "../protocol/replies.ts";
import { requireRoom } from "../storage/reserve.ts";
import { rowBytes } from "../storage/row-codec.ts";
import { sliceOrder } from "../storage/row-slices.ts";
import { hasSchema } from "../storage/schema.ts";
import { type Sql, quoteName } from "../storage/storage.ts";
import { type Table, type TableSpec, undeclaredTables } from "../storage/tables.ts";
import { FencePosts, type Span, distanceAfter } from "./fence-posts.ts";
import type { Member } from "./member.ts";
import { heardEnd } from "./membership.ts";
import { retiredTableOf } from "./retired-rows.ts";

/** Rows of one slice: some 10 ms, at most 50 on a slow machine. */
const SLICE_ROWS = 4_000;
/** A count of so many rows is kept: a smaller one costs little more than to read it back. */
const KEPT_ROWS_MIN = 10_000;
/** Longest wait for a count; it goes on without who has asked. */
const WAIT_MS_MAX = 20_000;
/** How long an ended count waits for those who were sent away from it. */
const AWAITED_MS_MAX = 10 * 60_000;
/** From such an age on, an older count is better than none: of who watches, and decides nothing. */
const WATCHED_AGE_MIN_MS = 3_600_000;
/** Bytes of room for a character that is stored: it may take three, and pages are not full. */
const POSTS_FACTOR = 4;
/** Bytes up to which an object without private tables has room for its count for sure. */
const SURE_ROOM_BYTES = 9_500_000_000;

/** The rows of one object. */
export interface Counted {
  /** When the count began, in milliseconds since the Unix epoch. */
  readonly countedAt: number;
  readonly tables: readonly TableCount[];
  /** Tables with rows that no table spec names. */
  readonly undeclared: readonly string[];
}

/** The tables that the class declares, and those that it keeps for itself. */
export interface DeclaredTables {
  readonly specs: readonly TableSpec[];
  readonly localTables: readonly string[];
}

/** A count as it is stored: it is of use as long as the object has the same part. */
interface Kept extends Counted {
  readonly part: string;
}

/** The fence posts of one table, as they are stored beside the count that has set them. */
interface KeptPosts {
  readonly part: string;
  readonly countedAt: number;
  readonly table: string;
  readonly after: readonly (string | null)[];
  readonly rows: readonly number[];
}

interface Sum {
  rows: number;
  bytes: number;
}

export class RowCounter {
  readonly #member: Member;
  readonly #declared: DeclaredTables;
  #running: Promise<Counted> | undefined;
  #rowsSoFar = 0;
  /** True once the running count has let others come between. */
  #isLong = false;
  /** True once somebody was sent away, to come back for the running count. */
  #isAwaited = false;
  /** A count that has ended since somebody was sent away, and when. */
  #awaited:
    | { readonly counted: Counted; readonly part: string; readonly endedAt: number }
    | undefined;

  constructor(member: Member, declared: DeclaredTables) {
    this.#member = member;
    this.#declared = declared;
  }

  /**
   * The kept count if it is younger than `maxAgeMs`, or else a new one, shared by all who ask
   * meanwhile. Where that takes long it continues: whoever asks for counts of an hour or more is
   * given the older one then. @throws RefusedError, retryable, for all others, with the rows so
   * far: who comes back for the count is given it, whatever age he asks for.
   */
  async count(maxAgeMs = 0): Promise<Counted> {
    const { runtime } = this.#member;
    const awaited = this.#takeAwaited();
    if (awaited) return awaited;
    const kept = maxAgeMs > 0 ? this.#read() : undefined;
    if (kept && runtime.now() - kept.countedAt <= maxAgeMs) return kept;
    const running = (this.#running ??= this.#begin());
    if (!this.#isLong) return running;
    const waited = new AbortController();
    const late = runtime.sleep(WAIT_MS_MAX, waited.signal).then((): Counted => {
      const { self } = this.#member;
      if (kept && maxAgeMs >= WATCHED_AGE_MIN_MS) return kept;
      this.#isAwaited = true;
      throw stillCounting(
        `${self} is still counting its rows (${this.#rowsSoFar} so far): ask again in a while`,
        this.#rowsSoFar,
      );
    });
    late.catch(() => undefined);
    try {
      return await Promise.race([running, late]);
    } finally {
      waited.abort("counted");
    }
  }

  /**
   * Where the kept count has found how many rows, by table; empty where none is kept. @param
   * countedAt when that count began: another one has other posts.
   */
  spans(countedAt: number): ReadonlyMap<string, readonly Span[]> {
    const { sql } = this.#member;
    if (!hasCounts(sql)) return new Map();
    const part = this.part();
    const kept = sql
      .rows<{ counted: string }>("SELECT counted FROM shardctl_counts WHERE id > 1 ORDER BY id")
      .map(({ counted }) => JSON.parse(counted) as KeptPosts)
      .filter((posts) => posts.part === part && posts.countedAt === countedAt);
    return new Map(
      kept.map(({ table, after, rows }) => [
        table,
        after.map((cursor, index) => ({ after: cursor, rows: rows[index] ?? 0 })),
      ]),
    );
  }

  /** The count that somebody was sent away from, once: the next who asks begins another. */
  #takeAwaited(): Counted | undefined {
    const awaited = this.#awaited;
    this.#awaited = undefined;
    if (!awaited || awaited.part !== this.part()) return undefined;
    const ageMs = this.#member.runtime.now() - awaited.endedAt;
    return ageMs <= AWAITED_MS_MAX ? awaited.counted : undefined;
  }

  #begin(): Promise<Counted> {
    this.#rowsSoFar = 0;
    this.#isLong = false;
    this.#isAwaited = false;
    const part = this.part();
    const running = this.#count()
      .then((counted) => {
        const endedAt = this.#member.runtime.now();
        if (this.#isAwaited) this.#awaited = { counted, part, endedAt };
        return counted;
      })
      .finally(() => {
        this.#running = undefined;
      });
    // The caller may have gone by then.
    running.catch(() => undefined);
    return running;
  }

  async #count(): Promise<Counted> {
    const { sql, runtime } = this.#member;
    const { specs, localTables } = this.#declared;
    const part = this.part();
    const countedAt = runtime.now();
    const tables: TableCount[] = [];
    const posts = new Map<string, FencePosts>();
    for (const table of this.#member.knownTables()) {
      const sum = { rows: 0, bytes: 0 };
      const set = new FencePosts();
      posts.set(table.name, set);
      await this.#addRows(table, sum, set);
      const retired = retiredTableOf(sql, table.name);
      if (retired) await this.#addRows({ ...table, ...retired }, sum, new FencePosts());
      tables.push({ table: table.name, ...sum });
    }
    const undeclared = undeclaredTables(sql, specs, localTables);
    const counted = { countedAt, tables, undeclared };
    if (this.#rowsSoFar >= KEPT_ROWS_MIN && part === this.part())
      this.#keep({ ...counted, part }, posts);
    return counted;
  }

  async #addRows(table: Table, sum: Sum, posts: FencePosts): Promise<void> {
    const { sql, runtime } = this.#member;
    const from: Place = { after: null, posts: 0 };
    for (;;) {
      const rows = sql.inOneTurn(() => addSlice(sql, table, from, { sum, posts }));
      this.#rowsSoFar += rows;
      if (rows < SLICE_ROWS) return;
      this.#isLong = true;
      // Messages that have come meanwhile are taken first.
      await runtime.sleep(0);
    }
  }

  /** The part of the object that a count is of, as one text. */
  part(): string {
    const { membership } = this.#member;
    const names = this.#declared.specs.map(({ name }) => name);
    return JSON.stringify([membership.epoch, heardEnd(membership), names]);
  }

  #read(): Counted | undefined {
    const { sql } = this.#member;
    if (!hasCounts(sql)) return undefined;
    const text = sql.first<{ counted: string }>(
      "SELECT counted FROM shardctl_counts WHERE id = 1",
    )?.counted;
    if (text === undefined) return undefined;
    const { part, ...counted } = JSON.parse(text) as Kept;
    return part === this.part() ? counted : undefined;
  }

  #keep(kept: Kept, posts: ReadonlyMap<string, FencePosts>): void {
    const { sql, membership } = this.#member;
    if (membership.trouble) return;
    const hasMeta = hasSchema(sql);
    // A statement that makes a table and finds no room would take the object with it.
    if (!hasMeta && (sql.databaseSize ?? 0) > SURE_ROOM_BYTES) return;
    const { part, countedAt } = kept;
    const texts = [
      JSON.stringify(kept),
      ...Array.from(posts, ([table, { spans }]) => {
        const after = spans.map((span) => span.after);
        const rows = spans.map((span) => span.rows);
        return JSON.stringify({ part, countedAt, table, after, rows } satisfies KeptPosts);
      }),
    ];
    const characters = texts.reduce((sum, text) => sum + text.length, 0);
    try {
      sql.transaction(() => {
        if (hasMeta) requireRoom(sql, POSTS_FACTOR * characters);
        // A table of its own: an object that was never sharded gets no other by being looked at.
        sql.run(
          "CREATE TABLE IF NOT EXISTS shardctl_counts (id INTEGER PRIMARY KEY, counted TEXT NOT NULL)",
        );
        sql.run("DELETE FROM shardctl_counts");
        texts.forEach((text, index) =>
          sql.run("INSERT INTO shardctl_counts (id, counted) VALUES (?, ?)", index + 1, text),
        );
      });
    } catch (error) {
      // A full object is counted each time.
      if (!isFull(error)) throw error;
    }
  }
}

function hasCounts(sql: Sql): boolean {
  const query = "SELECT 1 AS found FROM sqlite_master WHERE name = 'shardctl_counts'";
  return sql.first(query) !== undefined;
}

/** How far the count of a table has come. */
interface Place {
  after: string | null;
  posts: number;
}

/** Adds up the next rows of a table, from post to post. Gives their number. */
function addSlice(
  sql: Sql,
  table: Table,
  place: Place,
  { sum, posts }: { readonly sum: Sum; readonly posts: FencePosts },
): number {
  let rows = 0;
  while (rows < SLICE_ROWS) {
    const limit = Math.min(distanceAfter(place.posts), SLICE_ROWS - rows);
    const found = readRows(sql, table, place.after, limit);
    if (found.rows > 0) posts.add(place.after, found.rows);
    sum.rows += found.rows;
    sum.bytes += found.bytes;
    rows += found.rows;
    if (found.rows < limit) return rows;
    place.after = found.last;
    place.posts++;
  }
  return rows;
}

function readRows(
  sql: Sql,
  table: Table,
  after: string | null,
  limit: number,
): Sum & { last: string | null } {
  const isFirst = after === null;
  const query = sql.fromDefinitions(`slice of ${table.name} ${isFirst}`, () =>
    sliceSql(sql, table, isFirst),
  );
  const found = sql.first<{ n: number; bytes: number | null; last: string | null }>(
    query,
    ...(isFirst ? [limit] : [after, limit]),
  );
  return { rows: found?.n ?? 0, bytes: found?.bytes ?? 0, last: found?.last ?? null };
}

function sliceSql(sql: Sql, table: Table, isFirst: boolean): string {
  const { rowid, after, by, cursor } = sliceOrder(sql, table);
  const of = rowid === null ? cursor : `t.${rowid}`;
  const last = rowid === null ? "json_group_array(json(id)) -> '$[#-1]'" : "CAST(max(id) AS TEXT)";
  return `SELECT count(*) AS n, sum(bytes) AS bytes, ${last} AS last FROM (
    SELECT ${of} AS id, ${rowBytes(table.columns, "t")} AS bytes FROM ${quoteName(table.name)} AS t ${isFirst ? "" : `WHERE ${after}`}
    ORDER BY ${by} LIMIT ?${isFirst ? 1 : 2})`;
}
