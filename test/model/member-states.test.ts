/** Facts that members report about themselves: one version or several, and how full they are. */
import { describe, expect, it } from "vitest";
import type { MemberStatus } from "../../src/model/live.ts";
import { describeMix, endedFull } from "../../src/model/member-states.ts";
import { hashOf, runningOperation, world } from "../support/state.ts";

const operation = (changes: Parameters<typeof runningOperation>[2]) =>
  runningOperation(world("orders"), hashOf("orders", 2), changes);

function member(name: string, facts: Partial<MemberStatus> = {}): MemberStatus {
  return { name, healthy: true, error: null, rows: 1, bytes: 1, responseMs: 1, ...facts };
}

describe("describeMix", () => {
  it.each<[string, MemberStatus[], string | null]>([
    ["nobody says anything: protocol 1, or a fake", [member("a"), member("b")], null],
    ["all run one", [member("a", { library: "0.2.0" }), member("b", { library: "0.2.0" })], null],
    [
      "one is older and says so",
      [
        member("a", { library: "0.2.0" }),
        member("b", { library: "0.1.0" }),
        member("c", { library: "0.2.0" }),
      ],
      "a, c run 0.2.0, b runs 0.1.0",
    ],
    [
      "one answers and says nothing",
      [member("a", { library: "0.2.0" }), member("b")],
      "a runs 0.2.0, b runs an older version",
    ],
    [
      "one is silent and never said anything",
      [member("a", { library: "0.2.0" }), member("b", { healthy: false })],
      null,
    ],
    [
      "one is silent, and was older when it was last heard of",
      [member("a", { library: "0.2.0" }), member("b", { healthy: false, library: "0.1.0" })],
      "b runs 0.1.0, a runs 0.2.0",
    ],
    [
      "tables differ",
      [member("a", { library: "1", schema: "aa" }), member("b", { library: "1", schema: "bb" })],
      "a has tables aa, b has tables bb",
    ],
  ])("%s", (_, members, expected) => {
    expect(describeMix(members)).toBe(expected);
  });

  it("names few of many", () => {
    const old = Array.from({ length: 8 }, (_, index) => member(`m${index}`, { library: "1" }));
    expect(describeMix([...old, member("x", { library: "2" })])).toBe(
      "m0, m1, m2 and 5 more run 1, x runs 2",
    );
  });
});

describe("room", () => {
  it("is what ended the newest operation, until there is another", () => {
    const fault = { kind: "storageFull", message: "a has no room left" } as const;
    expect(endedFull({ operation: operation({ state: "failed", fault }) })).toBe(true);
    expect(endedFull({ operation: operation({ state: "running", fault: null }) })).toBe(false);
    expect(
      endedFull({
        operation: operation({ state: "failed", fault: { ...fault, kind: "mismatch" } }),
      }),
    ).toBe(false);
    expect(endedFull({ operation: null })).toBe(false);
  });
});
