import { describe, expect, it } from "vitest";

import { findStartProblem } from "../../../src/model/wire/check-start.ts";
import { type Key, toKey } from "../../../src/model/layout/key.ts";
import { type Layout, unshardedLayout } from "../../../src/model/layout/layout.ts";
import { DEFAULT_OPERATION_POLICY, type OperationPolicy } from "../../../src/model/operation.ts";

const base = { shardKey: "id", generation: 0, members: ["a", "b"] };
const hash = (...ranges: [number, string][]): Layout => ({
  ...base,
  kind: "hash",
  ranges: ranges.map(([end, member]) => ({ end, member })),
});
const range = (...ranges: [Key | null, string][]): Layout => ({
  ...base,
  kind: "range",
  ranges: ranges.map(([end, member]) => ({ end, member })),
});
const good = hash([8192, "a"], [16_384, "b"]);

describe("findStartProblem", () => {
  it.each<[string, Layout, string | null]>([
    ["hash", good, null],
    ["a member without slots", hash([16_384, "a"]), null],
    ["range", range([toKey("m"), "a"], [null, "b"]), null],
    ["unsharded", unshardedLayout("a", 1), null],
    ["roundRobin", { ...base, kind: "roundRobin" }, null],
    [
      "no members",
      { ...base, kind: "roundRobin", members: [] },
      "The target layout has no members",
    ],
    [
      "a member twice",
      { ...base, kind: "roundRobin", members: ["a", "a"] },
      "The names of the target members must be unique",
    ],
    [
      "a member without a name",
      { ...base, kind: "roundRobin", members: [""] },
      "A target member has no name",
    ],
    [
      "two roots",
      { kind: "none", generation: 0, members: ["a", "b"] },
      "An unsharded layout has one member, not 2",
    ],
    [
      "slots that end early",
      hash([8192, "a"], [16_000, "b"]),
      "The last slot range must end at 16384, not at 16000",
    ],
    ["no slots", hash(), "The last slot range must end at 16384, not at 0"],
    [
      "slots out of order",
      hash([8192, "a"], [8192, "b"]),
      "Slot ranges must end at ascending slots: 8192 follows 8192",
    ],
    [
      "half a slot",
      hash([0.5, "a"], [16_384, "b"]),
      "Slot ranges must end at ascending slots: 0.5 follows 0",
    ],
    [
      "a stranger",
      hash([16_384, "c"]),
      "A range belongs to c, which is no member of the target layout",
    ],
    ["no key ranges", range(), "A range layout needs at least one range"],
    ["keys that end", range([toKey("m"), "a"]), "The end of key range 1 of 1 must be null"],
    [
      "keys that end early",
      range([null, "a"], [null, "b"]),
      "The end of key range 1 of 2 must not be null",
    ],
    [
      "keys out of order",
      range([toKey("m"), "a"], [toKey("b"), "b"], [null, "a"]),
      "Key ranges must end at ascending keys: the end of range 2 is not above that of range 1",
    ],
  ])("layout: %s", (_, to, problem) => {
    expect(findStartProblem({ to, policy: DEFAULT_OPERATION_POLICY })).toBe(problem);
  });

  it.each<[Partial<OperationPolicy>, string | null]>([
    [{ rowsPerSecondMax: 1, waveRowsMax: 1, retainHours: 0 }, null],
    [{ waveRowsMax: 0 }, "waveRowsMax must be a whole number from 1 on, not 0"],
    [{ waveRowsMax: Number.NaN }, "waveRowsMax must be a whole number from 1 on, not NaN"],
    [{ waveRowsMax: 1.5 }, "waveRowsMax must be a whole number from 1 on, not 1.5"],
    [{ retainHours: -1 }, "retainHours must be a number from 0 on, not -1"],
    [{ retainHours: Infinity }, "retainHours must be a number from 0 on, not Infinity"],
    [{ rowsPerSecondMax: 0 }, "rowsPerSecondMax must be null or a number from 1 on, not 0"],
    [
      { rowsPerSecondMax: Number.NaN },
      "rowsPerSecondMax must be null or a number from 1 on, not NaN",
    ],
  ])("policy: %j", (policy, problem) => {
    expect(findStartProblem({ to: good, policy: { ...DEFAULT_OPERATION_POLICY, ...policy } })).toBe(
      problem,
    );
  });
});
