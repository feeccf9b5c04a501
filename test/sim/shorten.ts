/**
 * Shortens a failing run: leaves out faults, operations and client calls as long as what is left
 * still fails.
 */
import { runSeed } from "./run-seed.ts";
import { type Cuts, type FaultName, NO_FAULTS, createScenario } from "./scenario.ts";

/** Runs that shortening may take. */
const RUNS_MAX = 150;

export async function shorten(seed: number, given: Cuts): Promise<Cuts> {
  let cuts = given;
  let runs = 0;
  const sought = new Set((await runSeed(seed, given)).violations.map(shapeOf));
  const tryCuts = async (candidate: Cuts): Promise<boolean> => {
    if (runs >= RUNS_MAX) return false;
    runs++;
    const { violations } = await runSeed(seed, candidate);
    // The same flaw: another one is another seed's business.
    if (!violations.some((violation) => sought.has(shapeOf(violation)))) return false;
    cuts = candidate;
    return true;
  };
  const scenario = createScenario(seed, given);
  for (const name of Object.keys(NO_FAULTS) as FaultName[]) {
    if (scenario.faults[name] > 0) await tryCuts({ ...cuts, faults: [...cuts.faults, name] });
  }
  await leaveOut(
    scenario.operators.flat().map((step) => step.index),
    (some) => tryCuts({ ...cuts, operations: [...cuts.operations, ...some] }),
  );
  for (const { index } of scenario.deploys.steps)
    await tryCuts({ ...cuts, deploys: [...(cuts.deploys ?? []), index] });
  for (const { index } of scenario.fullDisks)
    await tryCuts({ ...cuts, fullDisks: [...(cuts.fullDisks ?? []), index] });
  for (const { index } of scenario.restores)
    await tryCuts({ ...cuts, restores: [...(cuts.restores ?? []), index] });
  await leaveOut(
    scenario.clients.flat().map((step) => step.index),
    (some) => tryCuts({ ...cuts, steps: [...cuts.steps, ...some] }),
  );
  return cuts;
}

/** Returns a violation's text without names and numbers. */
function shapeOf(violation: string): string {
  const [head = ""] = violation.split("\n");
  return head.replace(/ with (\w+): .*/, " with $1").replaceAll(/\S*\d\S*/g, "#");
}

/** Tries halves, quarters, … down to single ones. */
async function leaveOut(
  all: readonly number[],
  tryWithout: (some: readonly number[]) => Promise<boolean>,
): Promise<void> {
  let left = all;
  for (let size = Math.max(1, Math.ceil(all.length / 2)); ; size = Math.ceil(size / 2)) {
    for (let start = 0; start < left.length;) {
      const some = left.slice(start, start + size);
      if (await tryWithout(some)) left = left.filter((index) => !some.includes(index));
      else start += size;
    }
    if (size === 1) return;
  }
}
