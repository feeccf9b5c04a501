/** A plan of 10,000 namespaces over the in-memory live side, each time in a process of its own. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import type { BenchContext } from "../benchmark.ts";
import { makeTemporaryFolder, runProgram } from "../left-behind.ts";
import type { Figure } from "../report.ts";
import type { PlannerMeasurement } from "../measure-planner.ts";

const NAMESPACES = 10_000;
const SECONDS_MAX = 2;
const MEGABYTES_MAX = 300;
const MEGABYTE = 1024 * 1024;
const CHILD = fileURLToPath(new URL("../measure-planner.ts", import.meta.url).href);

/**
 * Node's default young generation is sized for speed: with this one, in MB, the process holds
 * little more than it must.
 */
const SMALL_YOUNG_GENERATION = "--max-semi-space-size=4";

export async function benchPlanner({ runs, say }: BenchContext): Promise<Figure[]> {
  const { folder, remove } = await makeTemporaryFolder();
  const usual: PlannerMeasurement[] = [];
  const small: PlannerMeasurement[] = [];
  try {
    const input = join(folder, "input");
    await runProgram(process.execPath, [CHILD, "write", input, String(NAMESPACES)]);
    for (let run = 0; run < runs; run++) {
      usual.push(await measureOnce(input));
      small.push(await measureOnce(input, SMALL_YOUNG_GENERATION));
      say(`planner, run ${run + 1} of ${runs}: ${Math.round(usual.at(-1)?.planMs ?? 0)} ms`);
    }
  } finally {
    await remove();
  }
  const name = `plan of ${NAMESPACES.toLocaleString("en-US")} namespaces`;
  return [
    {
      name: `${name}, ${(usual[0]?.changes ?? 0).toLocaleString("en-US")} changes`,
      unit: "s",
      values: usual.map((one) => one.planMs / 1000),
      reference: null,
      goal: { of: "value", is: "atMost", limit: SECONDS_MAX },
    },
    memoryFigure(`${name}, peak memory of the process`, usual),
    memoryFigure(`${name}, the same with ${SMALL_YOUNG_GENERATION}`, small),
  ];
}

function memoryFigure(name: string, found: readonly PlannerMeasurement[]): Figure {
  return {
    name,
    unit: "MB",
    values: found.map((one) => one.peakBytes / MEGABYTE),
    reference: {
      name: "before it: Node, the code and the input",
      values: found.map((one) => one.inputBytes / MEGABYTE),
    },
    goal: { of: "value", is: "atMost", limit: MEGABYTES_MAX },
  };
}

async function measureOnce(
  input: string,
  ...flags: readonly string[]
): Promise<PlannerMeasurement> {
  const { stdout } = await runProgram(process.execPath, [
    ...flags,
    "--expose-gc",
    CHILD,
    "plan",
    input,
  ]);
  return JSON.parse(stdout) as PlannerMeasurement;
}
