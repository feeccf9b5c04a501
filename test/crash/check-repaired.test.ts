/** The checker of repaired namespaces sees each thing that may be wrong. */
import { describe, expect, it } from "vitest";

import { checkAside, checkLive } from "./check-repaired.ts";

describe("checkLive", () => {
  const possible = new Map([
    ["a", ["1 by 1 notes 1"]],
    ["b", ["none", "1 by 2 notes "]],
    ["c", ["none"]],
  ]);

  it.each([
    { what: "all is right", rows: [["a", "1 by 1 notes 1"]], problem: [] },
    {
      what: "one is missing",
      rows: [],
      problem: ['a query finds a as "none", expected "1 by 1 notes 1"'],
    },
    {
      what: "one is older",
      rows: [["a", "0 by 1 notes 1"]],
      problem: ['a query finds a as "0 by 1 notes 1", expected "1 by 1 notes 1"'],
    },
    {
      what: "one is there twice",
      rows: [
        ["a", "1 by 1 notes 1"],
        ["a", "1 by 1 notes 1"],
      ],
      problem: ["a query finds a twice"],
    },
    {
      what: "one is set aside and live",
      rows: [
        ["a", "1 by 1 notes 1"],
        ["x", "0 by 1 notes "],
      ],
      problem: ["a query finds x, which must not be live"],
    },
    {
      what: "one is back",
      rows: [
        ["a", "1 by 1 notes 1"],
        ["c", "0 by 1 notes "],
      ],
      problem: ['a query finds c as "0 by 1 notes ", expected "none"'],
    },
  ] as const)("says so when $what", ({ rows, problem }) => {
    expect(checkLive(rows, possible)).toEqual(problem);
  });
});

describe("checkAside", () => {
  const rows = (...texts: readonly string[]) =>
    new Map([["m", texts.map((text) => [text, "0 by 1 notes 1"] as const)]]);
  const counted = (count: number) => [
    { member: "m", table: "accounts", rows: count },
    { member: "m", table: "notes", rows: 9 },
    { member: "other", table: "accounts", rows: 0 },
  ];

  it.each([
    { what: "all is right", found: rows("a"), count: counted(1), problem: [] },
    { what: "no answer told the count", found: rows("a"), count: null, problem: [] },
    {
      what: "one is missing",
      found: rows(),
      count: counted(0),
      problem: ['m must have set aside a "0 by 1 notes 1"'],
    },
    {
      what: "one is too many",
      found: rows("a", "b"),
      count: counted(2),
      problem: ['m has set aside b "0 by 1 notes 1", which nobody expected'],
    },
    {
      what: "the count is wrong",
      found: rows("a"),
      count: counted(3),
      problem: ["m has set aside 1 accounts, its repairs have counted 3"],
    },
  ])("says so when $what", ({ found, count, problem }) => {
    expect(checkAside(found, rows("a"), count)).toEqual(problem);
  });
});
