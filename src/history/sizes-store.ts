/**
 * Stores the sizes of namespaces over time in the coordinator's SQLite: hourly for a month, daily
 * for a year, and daily those of a namespace's fullest members.
 *
 * | table     | row                             | written             |
 * |-----------|---------------------------------|---------------------|
 * | sizeHours | a namespace and a day           | once an hour        |
 * | sizeDays  | a namespace, with all its days  | once a day          |
 *
 * So 10,000 namespaces write 7.8 million rows a month. A namespace is its binding and its name,
 * whatever environments look at it.
 */
import { fullestMembers } from "../model/capacity.ts";
import { type Forecast, forecastFull } from "../model/forecast.ts";
import type { LiveNamespace, NamespaceRef } from "../model/live.ts";
import type { Fullness, SizeHistory } from "../model/size-history.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
export const HOURLY_DAYS = 31;
export const DAILY_DAYS = 365;
/** Members whose sizes are kept: the fullest of the day. */
export const MEMBERS_MAX = 20;

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS sizeHours (object TEXT, name TEXT, day INTEGER, body TEXT NOT NULL, PRIMARY KEY (object, name, day)) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS sizeDays (object TEXT, name TEXT, fullest INTEGER NOT NULL, body TEXT NOT NULL, PRIMARY KEY (object, name)) WITHOUT ROWID;
`;

/** Hour or day since the Unix epoch, bytes of the fullest member, bytes of all, epoch. */
type Entry = readonly [time: number, fullest: number, total: number, epoch: number];

interface Days {
  readonly days: readonly Entry[];
  /** Day and bytes, by the member's name. */
  readonly members: Readonly<Record<string, readonly (readonly [day: number, bytes: number])[]>>;
}

export class SizesStore {
  readonly #sql: SqlStorage;
  readonly #now: () => number;
  /** Bytes of each namespace when it was last seen, since they are asked for at each scrape. */
  #seen: Map<string, Fullness> | null = null;

  constructor(sql: SqlStorage, now: () => number = Date.now) {
    this.#sql = sql;
    this.#now = now;
    sql.exec(SCHEMA);
  }

  /**
   * Keeps the sizes of a look, one an hour. A member that does not answer counts as it last said.
   */
  note({ object, name, epoch, members }: LiveNamespace): void {
    const known = fullestMembers(members);
    const fullest = known[0]?.storage;
    if (fullest === undefined) return;
    const total = known.reduce((sum, { storage = 0 }) => sum + storage, 0);
    const now = this.#now();
    const hour = Math.floor(now / HOUR_MS);
    const day = Math.floor(now / DAY_MS);
    const ref = { object, name };
    this.#fullnesses().set(keyOf(ref), { object, name, bytes: fullest });
    const hours = this.#hours(ref, day);
    if (hours.some(([time]) => time === hour)) return;
    if (hours.length === 0)
      this.#noteDay(
        ref,
        [day, fullest, total, epoch],
        known.slice(0, MEMBERS_MAX).map((member) => [member.name, member.storage ?? 0]),
      );
    this.#sql.exec(
      "INSERT INTO sizeHours VALUES (?, ?, ?, ?) ON CONFLICT (object, name, day) DO UPDATE SET body = excluded.body",
      object,
      name,
      day,
      JSON.stringify([...hours, [hour, fullest, total, epoch]]),
    );
  }

  /** @param limit bytes at which a member is full. */
  forecast(ref: NamespaceRef, limit: number): Forecast {
    const { points } = this.history(ref);
    return forecastFull(points, limit, this.#now());
  }

  history(ref: NamespaceRef): SizeHistory {
    const hours = this.#sql
      .exec<{ body: string }>(
        "SELECT body FROM sizeHours WHERE object = ? AND name = ? ORDER BY day",
        ref.object,
        ref.name,
      )
      .toArray()
      .flatMap(({ body }) => JSON.parse(body) as Entry[]);
    const { days, members } = this.#days(ref);
    const firstHour = hours[0]?.[0] ?? Number.POSITIVE_INFINITY;
    const pointOf = ([time, bytes, total, epoch]: Entry, unitMs: number) => ({
      at: time * unitMs,
      bytes,
      total,
      epoch,
    });
    return {
      points: [
        ...days
          .filter(([day]) => (day * DAY_MS) / HOUR_MS < firstHour)
          .map((entry) => pointOf(entry, DAY_MS)),
        ...hours.map((entry) => pointOf(entry, HOUR_MS)),
      ],
      members: Object.entries(members).map(([name, sizes]) => ({
        name,
        points: sizes.map(([day, bytes]) => ({ at: day * DAY_MS, bytes })),
      })),
    };
  }

  /** The namespaces with the fullest members, as last seen, at most `count`. */
  fullest(count: number): readonly Fullness[] {
    return [...this.#fullnesses().values()]
      .toSorted((left, right) => right.bytes - left.bytes)
      .slice(0, count);
  }

  forget({ object, name }: NamespaceRef): void {
    this.#sql.exec("DELETE FROM sizeHours WHERE object = ? AND name = ?", object, name);
    this.#sql.exec("DELETE FROM sizeDays WHERE object = ? AND name = ?", object, name);
    this.#seen?.delete(keyOf({ object, name }));
  }

  /** Drops what is too old, and what a clock that was ahead has written. */
  #noteDay(
    { object, name }: NamespaceRef,
    entry: Entry,
    members: readonly (readonly [name: string, bytes: number])[],
  ): void {
    const [today, fullest] = entry;
    const isKept = (day: number): boolean => day > today - DAILY_DAYS && day < today;
    const before = this.#days({ object, name });
    const body: Days = {
      days: [...before.days.filter(([day]) => isKept(day)), entry],
      members: Object.fromEntries(
        members.map(([member, bytes]) => [
          member,
          [
            ...(Object.hasOwn(before.members, member) ? (before.members[member] ?? []) : []).filter(
              ([day]) => isKept(day),
            ),
            [today, bytes] as const,
          ],
        ]),
      ),
    };
    this.#sql.exec(
      "DELETE FROM sizeHours WHERE object = ? AND name = ? AND (day <= ? OR day > ?)",
      object,
      name,
      today - HOURLY_DAYS,
      today,
    );
    this.#sql.exec(
      "INSERT INTO sizeDays VALUES (?, ?, ?, ?) ON CONFLICT (object, name) DO UPDATE SET fullest = excluded.fullest, body = excluded.body",
      object,
      name,
      fullest,
      JSON.stringify(body),
    );
  }

  #hours({ object, name }: NamespaceRef, day: number): readonly Entry[] {
    const [row] = this.#sql
      .exec<{ body: string }>(
        "SELECT body FROM sizeHours WHERE object = ? AND name = ? AND day = ?",
        object,
        name,
        day,
      )
      .toArray();
    return row === undefined ? [] : (JSON.parse(row.body) as Entry[]);
  }

  #days({ object, name }: NamespaceRef): Days {
    const [row] = this.#sql
      .exec<{ body: string }>(
        "SELECT body FROM sizeDays WHERE object = ? AND name = ?",
        object,
        name,
      )
      .toArray();
    return row === undefined ? { days: [], members: {} } : (JSON.parse(row.body) as Days);
  }

  #fullnesses(): Map<string, Fullness> {
    this.#seen ??= new Map(
      this.#sql
        .exec<{ object: string; name: string; fullest: number }>(
          "SELECT object, name, fullest FROM sizeDays",
        )
        .toArray()
        .map(({ object, name, fullest }) => [
          keyOf({ object, name }),
          { object, name, bytes: fullest },
        ]),
    );
    return this.#seen;
  }
}

function keyOf({ object, name }: NamespaceRef): string {
  return JSON.stringify([object, name]);
}
