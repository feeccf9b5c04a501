import { describe, expect, it } from "vitest";

import { isAnyWindowOpen } from "../../src/runs/windows.ts";

const HOUR_MS = 3_600_000;
/**
 * 02:00 to 04:00 on weekdays in Berlin: 01:00 to 03:00 UTC in winter, 00:00 to 02:00 UTC in summer.
 */
const night = { start: "0 2 * * 1-5", durationMs: 2 * HOUR_MS, timezone: "Europe/Berlin" };

describe("isAnyWindowOpen", () => {
  it.each([
    ["before it starts", "2026-03-02T00:59:59Z", false],
    ["at its start", "2026-03-02T01:00:00Z", true],
    ["in the middle", "2026-03-02T02:30:00Z", true],
    ["in its last second", "2026-03-02T02:59:59Z", true],
    ["at its end", "2026-03-02T03:00:00Z", false],
    ["on a Sunday", "2026-03-01T01:30:00Z", false],
    ["in summer, an hour earlier by UTC", "2026-07-06T00:30:00Z", true],
    ["in summer, when winter's would be open", "2026-07-06T02:30:00Z", false],
  ])("%s", (_name, time, open) => {
    expect(isAnyWindowOpen([night], Date.parse(time))).toBe(open);
  });

  it("is always open without windows, and while one of several is", () => {
    const noon = { start: "0 12 * * *", durationMs: HOUR_MS, timezone: "UTC" };
    expect(isAnyWindowOpen([], 0)).toBe(true);
    expect(isAnyWindowOpen([night, noon], Date.parse("2026-03-01T12:30:00Z"))).toBe(true);
    expect(isAnyWindowOpen([night, noon], Date.parse("2026-03-01T11:30:00Z"))).toBe(false);
  });
});
