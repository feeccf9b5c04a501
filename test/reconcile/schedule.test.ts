/** The schedule of looks: spread, bounded, and later after each failure. */
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import {
  AUDIT_MS_MAX,
  auditIntervalMs,
  CHECK_MS_MAX,
  checkIntervalMs,
  nextTurn,
  retryDelayMs,
} from "../../src/reconcile/schedule.ts";

const MINUTE = 60_000;

describe("a retry", () => {
  it("waits twice as long after each failure, and half an hour at most", () => {
    const middle = (failures: number): number => retryDelayMs(failures, () => 0.5);
    expect([1, 2, 3, 4].map(middle)).toEqual([30_000, 60_000, 120_000, 240_000]);
    expect(middle(1000)).toBe(30 * MINUTE);
  });

  it("of many namespaces does not come at one moment", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 100 }),
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        (failures, die) => {
          const middle = retryDelayMs(failures, () => 0.5);
          const delay = retryDelayMs(failures, () => die);
          expect(delay).toBeGreaterThanOrEqual(middle / 2);
          expect(delay).toBeLessThanOrEqual(middle * 1.5);
        },
      ),
    );
    expect(retryDelayMs(3, () => 0)).not.toBe(retryDelayMs(3, () => 0.9));
  });
});

describe("turns", () => {
  it("of one name are an interval apart, and lie ahead whatever the clock says", () => {
    fc.assert(
      fc.property(
        fc.string(),
        fc.integer({ min: 1, max: 10_000 }),
        fc.integer({ min: 0, max: 2 ** 45 }),
        (name, count, now) => {
          const intervalMs = checkIntervalMs(count);
          const turn = nextTurn(name, intervalMs, now);
          expect(turn).toBeGreaterThan(now);
          expect(turn - now).toBeLessThanOrEqual(intervalMs);
          expect(nextTurn(name, intervalMs, turn)).toBe(turn + intervalMs);
        },
      ),
    );
  });

  it("come every minute for a few, once an hour for 10,000, and audits once a day at least", () => {
    expect([1, 160].map(checkIntervalMs)).toEqual([MINUTE, MINUTE]);
    expect([10_000, 1_000_000].map(checkIntervalMs)).toEqual([CHECK_MS_MAX, CHECK_MS_MAX]);
    expect([1, 10_000, 1_000_000].map(auditIntervalMs)).toEqual([
      60 * MINUTE,
      AUDIT_MS_MAX,
      AUDIT_MS_MAX,
    ]);
  });
});
