/**
 * The simulator's command line.
 *
 *     node test/sim/main.ts --seeds 1000 --from 1     many seeds, one line for each that fails
 *     node test/sim/main.ts --seed 42                 one seed with its trace, shortened when it fails
 *     node test/sim/main.ts --mutants                 takes one rule after the other away, and shows that it is noticed
 */
import { parseArgs } from "node:util";
import { SCALED, editSources } from "./edit-sources.ts";
import { MUTANTS } from "./mutants.ts";

const SEEDS = 300;
/** Seeds that a mutant may survive at most: most are noticed by one of the first ten. */
const MUTANT_SEEDS = 2_000;

const { values } = parseArgs({
  options: {
    seeds: { type: "string" },
    from: { type: "string", default: "1" },
    seed: { type: "string" },
    mutants: { type: "boolean", default: false },
    mutant: { type: "string" },
    "stop-at-first": { type: "boolean", default: false },
    json: { type: "boolean", default: false },
    raw: { type: "boolean", default: false },
    cuts: { type: "string" },
  },
});

if (values.mutants) {
  const { runMutants } = await import("./run-mutants.ts");
  const only = values.mutant === undefined ? [] : values.mutant.split(",");
  process.exitCode = await runMutants({
    from: Number(values.from),
    seeds: Number(values.seeds ?? MUTANT_SEEDS),
    isJson: values.json,
    only,
  });
} else {
  const mutant = MUTANTS.find(({ name }) => name === values.mutant);
  if (values.mutant !== undefined && !mutant)
    throw new Error(`No mutant '${values.mutant}'. There are: ${MUTANTS.map(({ name }) => name).join(", ")}`);
  editSources([...SCALED, ...(mutant?.edits ?? [])]);
  // Only now: the engine is loaded with the edits.
  const { runMany, runOne } = await import("./report.ts");
  process.exitCode =
    values.seed !== undefined
      ? await runOne(Number(values.seed), { cuts: values.cuts, isRaw: values.raw, isJson: values.json })
      : await runMany({
          from: Number(values.from),
          count: Number(values.seeds ?? SEEDS),
          isJson: values.json,
          stopsAtFirst: values["stop-at-first"],
        });
}
