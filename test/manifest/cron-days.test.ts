/** The day fields of cron expressions, compared with the library's own search. */
import { Cron } from "croner";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import { canEverStart } from "../../src/manifest/cron-days.ts";

/** By the library's search through four centuries; null when it refuses the expression. */
function searched(expression: string): boolean | null {
  try {
    const cron = new Cron(expression, { paused: true, mode: "5-part", timezone: "UTC" });
    return cron.nextRun(new Date(Date.UTC(2024, 0, 1))) !== null;
  } catch {
    return null;
  }
}

describe("a cron expression", () => {
  it.each([
    "0 0 30 2 *",
    "0 0 31 2,4,6,9,11 *",
    "0 0 31 feb,apr-apr,jun *",
    "0 0 30-31 2 ?",
    "0 0 31W 2 *",
    "0 0 30 2 +1",
    "0 0 29 2 +1#1",
    "0 0 8-28 * +MON#1",
    "0 0 1-20 * +FRI#L",
  ])("that no date ever fits is known by its fields: %s", (expression) => {
    expect(canEverStart(expression)).toBe(false);
    expect(searched(expression)).toBe(false);
  });

  it.each([
    "0 2 * * 1-5",
    "0 0 29 2 *",
    "0 0 29 2 +MON#5",
    "0 0 * 2 1#5",
    "0 0 30 2 1",
    "0 0 L 2 *",
    "0 0 30W 4 *",
    "0 0 ? * MON#1",
    "0 0 1,15 */3 *",
    "0 0 31 1-2 *",
    "0 0 22-31 * +FRI#L",
    "*/5 * * * *",
  ])("that some date fits is kept: %s", (expression) => {
    expect(canEverStart(expression)).toBe(true);
    expect(searched(expression)).toBe(true);
  });

  it("of any days and months is judged as the library's search judges it", () => {
    const number = (most: number): fc.Arbitrary<string> =>
      fc.integer({ min: 1, max: most }).map(String);
    const days = fc.oneof(
      fc.array(number(31), { minLength: 1, maxLength: 2 }).map((list) => list.join(",")),
      fc.tuple(number(31), number(31)).map(([from, to]) => `${from}-${to}`),
      fc.tuple(number(31), number(9)).map(([from, step]) => `${from}/${step}`),
      number(31).map((day) => `${day}W`),
      fc.constantFrom("*", "?", "L", "*/7"),
    );
    const months = fc.oneof(number(12), fc.constantFrom("feb", "2,4", "*/2", "*"));
    const weekdays = fc.constantFrom("*", "?", "1", "+1", "+FRI#5", "2#1", "+3#1,4#2", "MON-WED");
    const judged = fc.check(
      fc.property(days, months, weekdays, (day, month, weekday) => {
        const expression = `0 0 ${day} ${month} ${weekday}`;
        const found = searched(expression);
        const isSearchOnly = weekday.startsWith("+") && day.endsWith("W");
        return found === null || canEverStart(expression) === (isSearchOnly ? null : found);
      }),
      { numRuns: 300 },
    );
    expect(judged.counterexample).toBeNull();
  });
});
