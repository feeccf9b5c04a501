/**
 * The simulator's command line.
 *
 *     node test/sim/main.ts --seeds 1000 --from 1     many seeds, one line for each that fails
 *     node test/sim/main.ts --seed 42                 one seed with its trace, shortened when it fails
 *     node test/sim/main.ts --only 32,127             some seeds, as with --seeds
 *     node test/sim/main.ts --with hasTwins           seeds whose scenario has something special, see FEATURES
 *     node test/sim/main.ts --mutants                 takes one rule after the other away, and shows that it is noticed; ends with 1 otherwise
 *     node test/sim/main.ts --mutant NAME --seed 42   one seed against one mutant
 */
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { SCALED, editSources } from "./edit-sources.ts";
import { FORMER_BUGS } from "./former-bugs.ts";
import { HAZARD_MUTANTS } from "./hazard-mutants.ts";
import { type Mutant, MUTANTS as WITHOUT_A_RULE } from "./mutants.ts";
import { FEATURES, createScenario } from "./scenario.ts";

const MUTANTS = [...WITHOUT_A_RULE, ...HAZARD_MUTANTS, ...FORMER_BUGS];
const SEEDS = 300;
/** Seeds that a mutant may survive at most: most are noticed by one of the first ten. */
const MUTANT_SEEDS = 2_000;

const { values } = parseArgs({
  options: {
    seeds: { type: "string" },
    from: { type: "string", default: "1" },
    only: { type: "string" },
    with: { type: "string" },
    seed: { type: "string" },
    mutants: { type: "boolean", default: false },
    mutant: { type: "string" },
    processes: { type: "string" },
    "stop-at-first": { type: "boolean", default: false },
    json: { type: "boolean", default: false },
    raw: { type: "boolean", default: false },
    cuts: { type: "string" },
  },
});

if (values.mutants) {
  const { runMutants } = await import("./run-mutants.ts");
  const names = values.mutant?.split(",") ?? MUTANTS.map(({ name }) => name);
  process.exitCode = await runMutants({
    mutants: names.map(findMutant),
    from: Number(values.from),
    seeds: Number(values.seeds ?? MUTANT_SEEDS),
    processes: Number(values.processes ?? availableParallelism()),
    isJson: values.json,
  });
} else {
  editSources([...SCALED, ...(values.mutant === undefined ? [] : findMutant(values.mutant).edits)]);
  // Only now: the engine is loaded with the edits.
  const { runMany, runOne } = await import("./report.ts");
  process.exitCode =
    values.seed !== undefined
      ? await runOne(Number(values.seed), {
          cuts: values.cuts,
          isRaw: values.raw,
          isJson: values.json,
        })
      : await runMany({
          seeds:
            values.only?.split(",").map(Number) ??
            seedsFrom(Number(values.from), Number(values.seeds ?? SEEDS), values.with),
          isJson: values.json,
          stopsAtFirst: values["stop-at-first"],
        });
}

function findMutant(name: string): Mutant {
  const mutant = MUTANTS.find((candidate) => candidate.name === name);
  if (mutant) return mutant;
  throw new Error(
    `No mutant '${name}'. There are: ${MUTANTS.map((candidate) => candidate.name).join(", ")}`,
  );
}

function seedsFrom(first: number, count: number, named: string | undefined): number[] {
  const feature = FEATURES.find((candidate) => candidate === named);
  if (named !== undefined && feature === undefined)
    throw new Error(`No '${named}'. There are: ${FEATURES.join(", ")}`);
  const seeds: number[] = [];
  for (let seed = first; seeds.length < count; seed++)
    if (feature === undefined || createScenario(seed)[feature]) seeds.push(seed);
  return seeds;
}
