/**
 * Makes a plan of many namespaces and prints what it took, as JSON. A program of its own, in two
 * runs: the peak memory of a process is its own, and what making the input leaves behind would
 * count as the planner's.
 *
 *     node test/programs/bench/measure-planner.ts write FILE 10000     what the manifests say and what the live side answers
 *     node --expose-gc test/programs/bench/measure-planner.ts plan FILE
 *
 * Of 100 namespaces 60 are in sync, 15 are to be sharded, 15 rebalanced, 5 rekeyed and 5 unsharded.
 * Each has 64 keys with 1,000 rows.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { deserialize, serialize } from "node:v8";

import { gatherLive } from "../../../src/runs/gather-live.ts";
import { unshardedLayout } from "../../../src/model/layout/layout.ts";
import { type PlanInput, buildPlan } from "../../../src/planning/build-plan.ts";
import type { NamespaceSpec } from "../../../src/model/spec.ts";
import { createMemoryAccess } from "../../support/live/memory.ts";
import type { MemoryNamespace } from "../../support/live/memory-rows.ts";
import { COUNTED_AT, desired, hashOf, spec } from "../../support/state.ts";

export interface PlannerMeasurement {
  readonly planMs: number;
  /**
   * Resident before planning: Node, the code, what the manifests say and what the live side
   * answered.
   */
  readonly inputBytes: number;
  /** Most that the process held while planning, its input included. */
  readonly peakBytes: number;
  readonly changes: number;
}

const GROUPS = 64;
const ROWS_PER_GROUP = 1_000;

const rows = Array.from({ length: GROUPS }, (_, group) => ({
  keys: { id: `row-${group}`, "data.country": `c${group}` },
  rows: ROWS_PER_GROUP,
}));
const [mode, file = "", count = "10000"] = process.argv.slice(2);
if (mode === "write") writeFileSync(file, serialize(await makeInput(Number(count))));
else console.log(JSON.stringify(await measurePlan(deserialize(readFileSync(file)) as PlanInput)));

async function makeInput(namespaces: number): Promise<PlanInput> {
  const cases = Array.from({ length: namespaces }, (_, index) =>
    caseOf(`namespace-${String(index).padStart(5, "0")}`, index % 100),
  );
  const wanted = desired(...cases.map((one) => one.spec));
  const access = createMemoryAccess({
    namespaces: cases.map((one) => one.live),
    now: () => COUNTED_AT,
  });
  return { desired: wanted, live: await gatherLive(access, wanted, []) };
}

async function measurePlan(input: PlanInput): Promise<PlannerMeasurement> {
  globalThis.gc?.(); // the file's bytes are no part of the input
  const inputBytes = resetPeakMemory();
  const startedAt = performance.now();
  const plan = await buildPlan(input);
  return {
    planMs: performance.now() - startedAt,
    inputBytes,
    peakBytes: readMemory("VmHWM"),
    changes: plan.changes.length,
  };
}

function caseOf(
  name: string,
  share: number,
): { readonly spec: NamespaceSpec; readonly live: MemoryNamespace } {
  const on = (layout: MemoryNamespace["layout"]): MemoryNamespace => ({
    name,
    object: "ORDERS",
    layout,
    epoch: 3,
    rows,
  });
  if (share < 60) return { spec: spec(name), live: on(hashOf(name, 8)) };
  if (share < 75) return { spec: spec(name), live: on(unshardedLayout(name, 0)) };
  if (share < 90) return { spec: spec(name, { count: 12 }), live: on(hashOf(name, 8)) };
  if (share < 95)
    return { spec: spec(name, { shardKey: "data.country" }), live: on(hashOf(name, 8)) };
  return { spec: spec(name, { strategy: "none" }), live: on(hashOf(name, 8)) };
}

/** Forgets the peak so far, and gives what is resident now. */
function resetPeakMemory(): number {
  writeFileSync("/proc/self/clear_refs", "5");
  return readMemory("VmRSS");
}

function readMemory(field: "VmRSS" | "VmHWM"): number {
  const kilobytes = new RegExp(`^${field}:\\s+(\\d+) kB$`, "m").exec(
    readFileSync("/proc/self/status", "utf8"),
  )?.[1];
  if (kilobytes === undefined) throw new Error(`/proc/self/status does not say ${field}`);
  return Number(kilobytes) * 1024;
}
