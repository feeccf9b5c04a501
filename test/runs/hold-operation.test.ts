import { describe, expect, it } from "vitest";

import { comparePolicies } from "../../src/model/policy.ts";
import { DEFAULT_POLICY, type Policy, type Window } from "../../src/model/spec.ts";
import { findHold, WINDOW_CLOSED } from "../../src/runs/hold-operation.ts";
import { shardChange } from "../cli/support/states.ts";
import { applied, spec } from "../support/state.ts";

const NIGHT: Window = { start: "0 2 * * *", durationMs: 3_600_000, timezone: "UTC" };
const AT_NOON = Date.UTC(2026, 2, 2, 12);

/** Asks at noon, about a run whose plan was guarded by the night's window. */
function holdOf(followed: Partial<Policy>, changed: Partial<Policy> | null): string | null {
  const held = { ...DEFAULT_POLICY, windows: [NIGHT] };
  const declared = spec("orders", { policy: changed ?? {} });
  const find = findHold({
    pausedBy: null,
    overrides: [],
    guarded: () => spec("orders", { policy: held }),
    changed: () => (changed ? comparePolicies([declared], applied({ orders: held })) : []),
    declared: () => spec("orders", { policy: followed }),
    now: AT_NOON,
  });
  return find(shardChange());
}

describe("a run whose window has closed", () => {
  it("is let go on by windows that a later merge has opened", () => {
    expect(holdOf({ windows: [NIGHT] }, null)).toBe(WINDOW_CLOSED);
    expect(holdOf({}, null)).toBeNull();
  });

  it("is not let go on by the windows that its own plan has opened", () => {
    expect(holdOf({}, { windows: [] })).toBe(WINDOW_CLOSED);
    expect(holdOf({}, { windows: [NIGHT], maxSkew: 3 })).toBeNull();
  });
});
