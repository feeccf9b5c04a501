import { describe, expect, it } from "vitest";

import { readOptions } from "./options.ts";

const KNOWN = ["moves", "pause", "nested", "layouts", "calls", "memory", "cost", "planner"];

describe("the options of the benchmark", () => {
  it("measure everything of this tree by default", () => {
    expect(readOptions([], KNOWN)).toMatchObject({
      runs: 5,
      rows: 100_000,
      only: null,
      pauseShards: [2, 16, 64],
      against: null,
    });
  });

  it("measure what the engine does when it is compared", () => {
    expect(readOptions(["--against", "HEAD~5"], KNOWN)).toMatchObject({
      against: "HEAD~5",
      only: ["moves", "pause", "calls", "cost"],
    });
    expect(
      readOptions(["--against", "main", "--only", "memory", "--pause-shards", "2"], KNOWN),
    ).toMatchObject({
      only: ["memory"],
      pauseShards: [2],
    });
  });

  it.each([
    {
      args: ["--against", "main", "--only", "moves,planner"],
      says: "'planner' measures none: choose of moves, pause, nested, looks, calls",
    },
    {
      args: ["--against", "main", "--markdown", "docs/benchmarks.md"],
      says: "figures of one commit",
    },
    { args: ["--only", "move"], says: "--only knows no 'move'" },
    { args: ["--runs", "0"], says: "--runs takes a whole number from 1 to 100, not '0'" },
    {
      args: ["--pause-shards", "2,many"],
      says: "--pause-shards takes a whole number from 1 to 1000, not 'many'",
    },
  ])("refuse $args", ({ args, says }) => {
    expect(() => readOptions(args, KNOWN)).toThrow(says);
  });
});
