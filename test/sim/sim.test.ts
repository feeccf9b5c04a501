/** The simulator in short: seeds that must pass, seeds that once did not, and mutants that must be noticed. All in processes of their own. */
import { describe, expect, it } from "vitest";
import { MUTANTS } from "./mutants.ts";
import { REGRESSIONS } from "./regressions.ts";
import { runSeeds, tryMutant } from "./run-mutants.ts";

/** Generous: the seeds take half a minute on an idle machine. */
const TIMEOUT_MS = 600_000;

describe.concurrent("the engine under simulated faults", () => {
  it.for([
    { from: 1, seeds: 150 },
    { from: 151, seeds: 150 },
  ])("loses nothing in $seeds runs from seed $from", { timeout: TIMEOUT_MS }, async ({ from, seeds }) => {
    const summary = await runSeeds(["--seeds", String(seeds), "--from", String(from)]);
    expect(summary.failed).toEqual([]);
    expect(summary.seeds).toBe(seeds);
    // Runs in which nothing happens prove nothing.
    expect(summary.epochs).toBeGreaterThan(seeds);
    expect(Object.keys(summary.faults)).toEqual(["crash", "doubled", "late", "lost", "lostReply", "silent"]);
  });

  it.for(REGRESSIONS.filter(({ seed }) => seed > 300))(
    "still passes seed $seed: $reason",
    { timeout: TIMEOUT_MS },
    async ({ seed }) => {
      const summary = await runSeeds(["--seeds", "1", "--from", String(seed)]);
      expect(summary.failed).toEqual([]);
    },
  );
});

describe("the simulator", () => {
  it.for(["skip-the-last-drain", "forget-a-captured-delete", "ignore-sequence-numbers", "unverified-copy"])(
    "notices the mutant %s",
    { timeout: TIMEOUT_MS },
    async (name) => {
      const mutant = MUTANTS.find((candidate) => candidate.name === name);
      if (!mutant) throw new Error(`No mutant '${name}'`);
      const report = await tryMutant(mutant, 1, 40);
      expect(report.caught).not.toBeNull();
    },
  );
});
