/** Forecasts over sizes that grow, stand, jump, fall and are told by a wrong clock. */
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import { describeForecast, forecastFull, type SizePoint } from "../../src/model/forecast.ts";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const NOW = Date.UTC(2026, 10, 30);
const LIMIT = 10_000;

/** Points of the last `days`, one an hour; `bytesAt` by the days that have passed since then. */
function grown(days: number, bytesAt: (day: number) => number, epoch = 1): SizePoint[] {
  return Array.from({ length: days * 24 + 1 }, (_, hour) => ({
    at: NOW - days * DAY + hour * HOUR,
    bytes: bytesAt(hour / 24),
    epoch,
  }));
}

/** Noise that is the same each time. */
const noise = (day: number): number => 40 * Math.sin(day * 997);

describe("an object that grows", () => {
  it("by 100 bytes a day from 5,000 is full 50 days later", () => {
    const points = grown(30, (day) => 2_000 + 100 * day);
    const forecast = forecastFull(points, LIMIT, NOW);
    expect(forecast).toEqual({
      kind: "full",
      fromDays: expect.closeTo(50, 0),
      toDays: expect.closeTo(50, 0),
    });
    expect(describeForecast(forecast)).toBe("full in 51 days");
  });

  it("in a noisy way has its day in an interval that is small and contains it", () => {
    const forecast = forecastFull(
      grown(30, (day) => 2_000 + 100 * day + noise(day)),
      LIMIT,
      NOW,
    );
    if (forecast.kind !== "full" || forecast.toDays === null) throw new Error("no interval");
    expect(forecast.fromDays).toBeLessThan(51);
    expect(forecast.toDays).toBeGreaterThan(49);
    expect(forecast.toDays - forecast.fromDays).toBeLessThan(8);
  });

  it("is not taken for faster by a burst, nor by a tenth of wrong sizes", () => {
    const wrong = grown(30, (day) => 2_000 + 100 * day).map((point, index) =>
      index % 10 === 5 ? { ...point, bytes: point.bytes * 1.05 } : point,
    );
    expect(forecastFull(wrong, LIMIT, NOW)).toMatchObject({
      kind: "full",
      fromDays: expect.closeTo(49, -1),
    });
  });

  it("finds the slope of any line, whatever the order of the points", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 20, max: 500 }),
        fc.integer({ min: 2, max: 60 }),
        (perDay, span) => {
          const full = 1_000_000;
          const points = grown(span, (day) => full - 100 * perDay - (span - day) * perDay);
          const forecast = forecastFull(points.toReversed(), full, NOW);
          expect(forecast).toMatchObject({ kind: "full", fromDays: expect.closeTo(100, -1) });
        },
      ),
    );
  });

  it("is full now at the limit", () => {
    const forecast = forecastFull(
      grown(3, () => LIMIT),
      LIMIT,
      NOW,
    );
    expect(describeForecast(forecast)).toBe("full now");
  });
});

describe("an object that does not", () => {
  it.each([
    ["stands", () => 5_000],
    ["shrinks", (day: number) => 5_000 - day],
    ["grows by a byte a day", (day: number) => 5_000 + day],
  ])("%s is not full within two years", (_, bytesAt) => {
    expect(describeForecast(forecastFull(grown(30, bytesAt), LIMIT, NOW))).toBe(
      "not full within two years",
    );
  });

  it("goes up and down has only an earliest day, or none", () => {
    const forecast = forecastFull(
      grown(30, (day) => 6_000 + 4 * day + 300 * Math.sin(day)),
      LIMIT,
      NOW,
    );
    expect(forecast.kind === "full" ? forecast.toDays : null).toBeNull();
  });
});

describe("the part of the history that counts", () => {
  it("begins where the layout was changed, though the size is the same", () => {
    const before = grown(30, (day) => 2_000 + 150 * day).slice(0, -48);
    const after = grown(2, () => 5_800, 2);
    expect(forecastFull([...before, ...after], LIMIT, NOW)).toEqual({ kind: "steady" });
  });

  it("begins where the object was emptied and filled again", () => {
    const points = grown(30, (day) => (day < 20 ? 300 * day : 1_000 + 200 * (day - 20)));
    expect(forecastFull(points, LIMIT, NOW)).toMatchObject({
      kind: "full",
      fromDays: expect.closeTo(35, 0),
    });
  });

  it("is too short for a day, after it", () => {
    const before = grown(30, (day) => 2_000 + 100 * day).slice(0, -12);
    const after = grown(1, () => 5_000, 2).slice(-12);
    expect(forecastFull([...before, ...after], LIMIT, NOW)).toEqual({ kind: "unknown" });
    expect(describeForecast({ kind: "unknown" })).toBeNull();
    expect(forecastFull([], LIMIT, NOW)).toEqual({ kind: "unknown" });
  });

  it("leaves out points of a clock that was ahead, or that stand at one time", () => {
    const points = grown(30, (day) => 2_000 + 100 * day);
    const ahead = points.map((point) => ({ ...point, at: point.at + 400 * DAY, bytes: 1 }));
    expect(forecastFull([...points, ...ahead], LIMIT, NOW)).toEqual(
      forecastFull(points, LIMIT, NOW),
    );
    const same = Array.from({ length: 50 }, () => ({ at: NOW, bytes: 1, epoch: 1 }));
    expect(forecastFull(same, LIMIT, NOW)).toEqual({ kind: "unknown" });
  });
});

it.each([
  [19.2, 23.4, "full in 19 to 24 days"],
  [0.3, 0.9, "full in 0 to 1 day"],
  [60.8, null, "full in 60 days at the earliest"],
  [11.2, 11.6, "full in 12 days"],
])("%d to %s is '%s'", (fromDays, toDays, text) => {
  expect(describeForecast({ kind: "full", fromDays, toDays })).toBe(text);
});
