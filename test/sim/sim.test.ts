/**
 * The simulator in short: seeds that must pass, seeds that once did not, and mutants that must be
 * noticed, a share of each. All in processes of their own.
 */
import { describe, expect, it } from "vitest";
import { FORMER_BUGS } from "./former-bugs.ts";
import { HAZARD_MUTANTS } from "./hazard-mutants.ts";
import { MUTANTS } from "./mutants.ts";
import { sample } from "../support/sample.ts";
import { REGRESSIONS } from "./regressions.ts";
import { runSeeds } from "./run-mutants.ts";

/** Generous: the seeds take half a minute on an idle machine. */
const TIMEOUT_MS = 600_000;
/** Noticed by one of the first seeds: these rules show everywhere. */
const NOTICED_SOON = [
  "skip-the-last-drain",
  "forget-a-captured-delete",
  "copy-ends-early",
  "unverified-copy",
];
const SOON = 40;

describe("the engine under simulated faults", () => {
  const groups = [1, 51, 101, 151, 201, 251].map((from) => ({ from, seeds: 50 }));
  it.for(sample(groups, 1))(
    "loses nothing in $seeds runs from seed $from",
    { timeout: TIMEOUT_MS },
    async ({ from, seeds }) => {
      const summary = await runSeeds(["--seeds", String(seeds), "--from", String(from)]);
      expect(summary.failed).toEqual([]);
      expect(summary.seeds).toBe(seeds);
      // Runs in which nothing happens prove nothing.
      expect(summary.epochs).toBeGreaterThan(seeds);
      expect(Object.keys(summary.faults)).toEqual([
        "crash",
        "deploy",
        "doubled",
        "full",
        "late",
        "lost",
        "lostReply",
        "restore",
        "silent",
        "storage",
      ]);
    },
  );

  const pinned = [...new Set(REGRESSIONS.map(({ seed }) => seed))];
  it("passes seeds that once did not", { timeout: TIMEOUT_MS }, async () => {
    const seeds = sample(pinned, Math.ceil(pinned.length / 5));
    const summary = await runSeeds(["--only", seeds.join(",")]);
    expect(summary.failed).toEqual([]);
    expect(summary.seeds).toBe(seeds.length);
  });
});

describe("the simulator", () => {
  it.for(sample(NOTICED_SOON, 2))(
    "notices the mutant %s soon",
    { timeout: TIMEOUT_MS },
    async (mutant) => {
      const summary = await runSeeds([
        "--mutant",
        mutant,
        "--stop-at-first",
        "--seeds",
        String(SOON),
      ]);
      expect(summary.failed).toHaveLength(1);
    },
  );

  it("has a name of its own for every mutant", () => {
    const names = [...MUTANTS, ...HAZARD_MUTANTS, ...FORMER_BUGS].map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    expect(names).toEqual(expect.arrayContaining(REGRESSIONS.map(({ mutant }) => mutant)));
  });
});
