/** Why a run must not start its next change now: everything is paused, or the namespace's windows have closed since the run began. */
import type { FindHold } from "../../apply/advance-run.ts";
import type { Guard } from "../../core/plan.ts";
import type { DesiredState, NamespaceSpec } from "../../core/spec.ts";
import { isAnyWindowOpen } from "../windows.ts";

export interface HoldQuestion {
  readonly pausedBy: string | null;
  readonly overrides: readonly Guard[];
  /** What the run's plan was made from; read only when somebody asks. */
  readonly desired: () => DesiredState | null;
  readonly now: number;
}

/** Makes the question that a step asks before each start. */
export function findHold({ pausedBy, overrides, desired, now }: HoldQuestion): FindHold {
  let specs: ReadonlyMap<string, NamespaceSpec> | null = null;
  return ({ namespace }) => {
    if (pausedBy !== null) return `everything is paused by ${pausedBy}`;
    if (overrides.includes("window")) return null;
    specs ??= new Map(desired()?.namespaces.map((spec) => [spec.name, spec]));
    const { windows } = specs.get(namespace)?.policy ?? { windows: [] };
    return isAnyWindowOpen(windows, now) ? null : "its window has closed";
  };
}
