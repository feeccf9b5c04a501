/**
 * Makes a plan of many namespaces and prints what it took, as JSON. A program of its own: the peak memory of a process cannot be reset.
 *
 *     node --expose-gc test/bench/measure-planner.ts 10000
 *
 * The live side is in memory before the clock starts: what a plan costs beyond reading it. Of 100 namespaces 60 are in sync, 15 are to be sharded, 15 rebalanced, 5 rekeyed and 5 unsharded. Each has 64 keys with 1,000 rows.
 */
import { readFileSync, writeFileSync } from "node:fs";

import { gatherLive } from "../../src/apply/gather-live.ts";
import { unshardedLayout } from "../../src/core/layout.ts";
import { buildPlan } from "../../src/core/planning/build-plan.ts";
import type { NamespaceSpec } from "../../src/core/spec.ts";
import { createMemoryAccess } from "../../src/live/memory.ts";
import type { MemoryNamespace } from "../../src/live/memory-rows.ts";
import { COUNTED_AT, desired, hashOf, spec } from "../support/state.ts";

export interface PlannerMeasurement {
  readonly planMs: number;
  /** Resident before planning: Node, the code, what the manifests say and what the live side answered. */
  readonly inputBytes: number;
  /** Most that the process held while planning, its input included. */
  readonly peakBytes: number;
  readonly changes: number;
}

const GROUPS = 64;
const ROWS_PER_GROUP = 1_000;

const count = Number(process.argv[2] ?? 10_000);
const rows = Array.from({ length: GROUPS }, (_, group) => ({
  keys: { id: `row-${group}`, "data.country": `c${group}` },
  rows: ROWS_PER_GROUP,
}));
const cases = Array.from({ length: count }, (_, index) => caseOf(`namespace-${String(index).padStart(5, "0")}`, index % 100));
const wanted = desired(...cases.map((one) => one.spec));
const access = createMemoryAccess({ namespaces: cases.map((one) => one.live), now: () => COUNTED_AT });
const live = await gatherLive(access, wanted, []);
// What making the input left behind is not the planner's.
globalThis.gc?.();
const inputBytes = resetPeakMemory();

const startedAt = performance.now();
const plan = await buildPlan({ desired: wanted, live });
const measurement: PlannerMeasurement = {
  planMs: performance.now() - startedAt,
  inputBytes,
  peakBytes: readMemory("VmHWM"),
  changes: plan.changes.length,
};
console.log(JSON.stringify(measurement));

function caseOf(name: string, share: number): { readonly spec: NamespaceSpec; readonly live: MemoryNamespace } {
  const on = (layout: MemoryNamespace["layout"]): MemoryNamespace => ({ name, object: "ORDERS", layout, epoch: 3, rows });
  if (share < 60) return { spec: spec(name), live: on(hashOf(name, 8)) };
  if (share < 75) return { spec: spec(name), live: on(unshardedLayout(name, 0)) };
  if (share < 90) return { spec: spec(name, { count: 12 }), live: on(hashOf(name, 8)) };
  if (share < 95) return { spec: spec(name, { shardKey: "data.country" }), live: on(hashOf(name, 8)) };
  return { spec: spec(name, { strategy: "none" }), live: on(hashOf(name, 8)) };
}

/** Forgets the peak so far, and gives what is resident now. */
function resetPeakMemory(): number {
  writeFileSync("/proc/self/clear_refs", "5");
  return readMemory("VmRSS");
}

function readMemory(field: "VmRSS" | "VmHWM"): number {
  const kilobytes = new RegExp(`^${field}:\\s+(\\d+) kB$`, "m").exec(readFileSync("/proc/self/status", "utf8"))?.[1];
  if (kilobytes === undefined) throw new Error(`/proc/self/status does not say ${field}`);
  return Number(kilobytes) * 1024;
}
