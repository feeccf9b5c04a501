/** A plan of 10,000 namespaces over the in-memory live side, each time in a process of its own. */
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

import type { BenchContext } from "../benchmark.ts";
import type { Figure } from "../report.ts";
import type { PlannerMeasurement } from "../measure-planner.ts";

const NAMESPACES = 10_000;
const SECONDS_MAX = 2;
const MEGABYTES_MAX = 300;
const MEGABYTE = 1024 * 1024;
const CHILD = fileURLToPath(new URL("../measure-planner.ts", import.meta.url).href);

export async function benchPlanner({ runs, say }: BenchContext): Promise<Figure[]> {
  const found: PlannerMeasurement[] = [];
  for (let run = 0; run < runs; run++) {
    found.push(await measureOnce());
    say(`planner, run ${run + 1} of ${runs}`);
  }
  const [first] = found;
  if (!first) throw new Error("The planner was not measured");
  const megabytes = (work: (one: PlannerMeasurement) => number): number[] => found.map((one) => work(one) / MEGABYTE);
  const name = `plan of ${NAMESPACES.toLocaleString("en-US")} namespaces`;
  return [
    {
      name: `${name}, ${first.changes.toLocaleString("en-US")} changes`,
      unit: "s",
      values: found.map((one) => one.planMs / 1000),
      reference: null,
      goal: { of: "value", is: "atMost", limit: SECONDS_MAX },
    },
    {
      name: `${name}, peak memory of the process`,
      unit: "MB",
      values: megabytes((one) => one.peakBytes),
      reference: { name: "before it: Node, the code and the input", values: megabytes((one) => one.inputBytes) },
      goal: { of: "value", is: "atMost", limit: MEGABYTES_MAX },
    },
  ];
}

async function measureOnce(): Promise<PlannerMeasurement> {
  const child = spawn(process.execPath, ["--expose-gc", CHILD, String(NAMESPACES)], { stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (output += text));
  const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
  if (code !== 0) throw new Error(`The planner's process ended with exit code ${code}`);
  return JSON.parse(output) as PlannerMeasurement;
}
