/** Sizes over time: kept, bounded, and of use whatever clocks and members do. */
import { beforeEach, describe, expect, it } from "vitest";

import { DAILY_DAYS, HOURLY_DAYS, MEMBERS_MAX, SizesStore } from "../../src/history/sizes-store.ts";
import type { LiveNamespace, MemberStatus } from "../../src/model/live.ts";
import { size } from "../support/sample.ts";
import { openNodeSql } from "../support/node-sql.ts";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const START = Date.UTC(2026, 9, 1);

let sql: SqlStorage;
let writes: number;
let now: number;

beforeEach(() => {
  const inner = openNodeSql();
  writes = 0;
  now = START;
  const exec = (query: string, ...bindings: unknown[]): unknown => {
    // Tables without a rowid and without another index: a statement here writes a row.
    if (/^\s*(?:INSERT|DELETE)\b/.test(query)) writes++;
    return inner.exec(query, ...bindings);
  };
  sql = { exec } as unknown as SqlStorage;
});

const open = (): SizesStore => new SizesStore(sql, () => now);

function live(sizes: Readonly<Record<string, number>>, epoch = 1, name = "orders"): LiveNamespace {
  const members = Object.entries(sizes).map(([member, storage]) => ({ name: member, storage }));
  return { name, object: "ORDERS", epoch, members } as unknown as LiveNamespace;
}

const REF = { name: "orders", object: "ORDERS" };

describe("sizes of a namespace", () => {
  it("are kept once an hour, of the fullest member and of all, over lives", () => {
    for (let minute = 0; minute < 180; minute++) {
      open().note(live({ a: 100 + minute, b: 50 }));
      now += 60_000;
    }
    expect(open().history(REF).points).toEqual(
      [0, 60, 120].map((minute) => ({
        at: START + minute * 60_000,
        bytes: 100 + minute,
        total: 150 + minute,
        epoch: 1,
      })),
    );
  });

  it("are kept hourly for a month and daily for a year, and no longer", () => {
    const store = open();
    const days = DAILY_DAYS + 10;
    for (let hour = 0; hour < days * 24; hour += size(1, 6)) {
      now = START + hour * HOUR;
      store.note(live({ a: hour }));
    }
    const { points } = store.history(REF);
    const hourly = points.filter(({ at }) => at > now - (HOURLY_DAYS - 1) * DAY);
    expect(hourly.length).toBeGreaterThanOrEqual((HOURLY_DAYS - 1) * size(24, 4) - 1);
    expect(points[0]?.at).toBe(START + (days - DAILY_DAYS) * DAY);
    const times = points.map(({ at }) => at);
    expect(times).toEqual([...new Set(times)].toSorted((left, right) => left - right));
    expect(points.every(({ at, bytes }) => bytes === (at - START) / HOUR)).toBe(true);
  });

  it("write fewer than ten million rows a month for 10,000 namespaces", () => {
    const store = open();
    // From the second month on old hours go, too.
    const noteFor = (days: number): void => {
      for (let minute = 0; minute < days * 24 * 60; minute += 20) {
        store.note(live({ a: minute, b: 1 }));
        now += 20 * 60_000;
      }
    };
    noteFor(HOURLY_DAYS + 2);
    writes = 0;
    noteFor(30);
    expect(writes * 10_000).toBeLessThan(10_000_000);
    expect(writes).toBeGreaterThan(30 * 24);
  });

  it("name the fullest members of the day, each with its own past", () => {
    const store = open();
    const of = (day: number): Record<string, number> =>
      Object.fromEntries(
        Array.from({ length: MEMBERS_MAX + 10 }, (_, index) => [`m${index}`, 1_000 * index + day]),
      );
    for (let day = 0; day < 3; day++) {
      store.note(live(of(day)));
      now += DAY;
    }
    const { members } = store.history(REF);
    expect(members).toHaveLength(MEMBERS_MAX);
    expect(members[0]).toEqual({
      name: `m${MEMBERS_MAX + 9}`,
      points: [0, 1, 2].map((day) => ({
        at: START + day * DAY,
        bytes: 1_000 * (MEMBERS_MAX + 9) + day,
      })),
    });
  });

  it("of an hour that could not be read are missing, and those of a silent member its last known", () => {
    const store = open();
    store.note(live({}));
    expect(store.history(REF).points).toEqual([]);
    const silent = { name: "a", storage: 70, healthy: false, saidAt: START - DAY };
    store.note({ ...live({ b: 20 }), members: [silent as unknown as MemberStatus] });
    expect(store.history(REF).points).toMatchObject([{ bytes: 70 }]);
  });

  it("go with the namespace, and leave others alone", () => {
    const store = open();
    store.note(live({ a: 5 }));
    store.note(live({ a: 7 }, 1, "carts"));
    store.forget(REF);
    expect(store.history(REF)).toEqual({ points: [], members: [] });
    expect(store.history({ name: "carts", object: "ORDERS" }).points).toHaveLength(1);
    expect(store.fullest(9).map(({ name }) => name)).toEqual(["carts"]);
  });
});

describe("a clock that jumps", () => {
  it("ahead leaves no point behind for long, and forecasts nothing from the future", () => {
    const store = open();
    const noteDays = (days: number): void => {
      for (let hour = 0; hour < days * 24; hour++) {
        store.note(live({ a: 1_000 + Math.floor((now - START) / HOUR) }));
        now += HOUR;
      }
    };
    noteDays(3);
    const before = now;
    now += 400 * DAY;
    store.note(live({ a: 2_000_000 }));
    now = before;
    noteDays(3);
    expect(store.history(REF).points.filter(({ at }) => at > now)).toEqual([]);
    expect(store.forecast(REF, 10_000)).toMatchObject({
      kind: "full",
      fromDays: expect.closeTo((10_000 - 1_000 - 144) / 24, -1),
    });
  });

  it("back counts the hours that it repeats once", () => {
    const store = open();
    for (let hour = 0; hour < 30; hour++) {
      store.note(live({ a: 1_000 + hour }));
      now += HOUR;
    }
    now -= 10 * HOUR;
    store.note(live({ a: 5 }));
    const { points } = store.history(REF);
    expect(points).toHaveLength(30);
    expect(points.some(({ bytes }) => bytes === 5)).toBe(false);
  });
});

it("a rekey in the middle of the history, and a member that was emptied, begin a new forecast", () => {
  const store = open();
  const noteDays = (days: number, sizeAt: (hour: number) => number, epoch: number): void => {
    for (let hour = 0; hour < days * 24; hour++) {
      store.note(live({ a: sizeAt(hour) }, epoch));
      now += HOUR;
    }
  };
  noteDays(10, (hour) => 1_000 + 30 * hour, 1);
  noteDays(0.5, () => 4_000, 2);
  expect(store.forecast(REF, 10_000)).toEqual({ kind: "unknown" });
  noteDays(4, (hour) => 4_000 + 10 * hour, 2);
  expect(store.forecast(REF, 10_000)).toMatchObject({
    kind: "full",
    fromDays: expect.closeTo(21, -1),
  });
  noteDays(3, (hour) => 100 + hour, 2);
  expect(store.forecast(REF, 10_000)).toMatchObject({
    kind: "full",
    fromDays: expect.closeTo((10_000 - 172) / 24, -2),
  });
});

it("the fullest of all namespaces are known after a restart, and newer once they are seen", () => {
  const store = open();
  for (const [name, bytes] of Object.entries({ a: 10, b: 30, c: 20 }))
    store.note(live({ m: bytes }, 1, name));
  expect(store.fullest(2)).toEqual([
    { name: "b", object: "ORDERS", bytes: 30 },
    { name: "c", object: "ORDERS", bytes: 20 },
  ]);
  const restarted = open();
  expect(restarted.fullest(2)).toEqual(store.fullest(2));
  restarted.note(live({ m: 40 }, 1, "a"));
  expect(restarted.fullest(1)).toMatchObject([{ name: "a", bytes: 40 }]);
});
