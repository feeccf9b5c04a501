/**
 * Why a change of a run must not start, or its operation go on, now: everything is paused, or the
 * namespace's windows have closed.
 */
import type { FindHold } from "./advance-run.ts";
import { WINDOW_CLOSED } from "./hold-operation.ts";
import type { Guard } from "../model/plan.ts";
import type { DesiredState, NamespaceSpec } from "../model/spec.ts";
import { isAnyWindowOpen } from "./windows.ts";

export interface HoldQuestion {
  readonly pausedBy: string | null;
  readonly overrides: readonly Guard[];
  /** The desired state that the run's plan was made from; read only when somebody asks. */
  readonly desired: () => DesiredState | null;
  /**
   * The spec that is merged by now, where it is known: it may have another window, and release what
   * the plan's windows would hold.
   */
  readonly declared: (namespace: string) => NamespaceSpec | null;
  readonly now: number;
}

/** Makes the question that a step asks before each start, and of each operation. */
export function findHold({ pausedBy, overrides, desired, declared, now }: HoldQuestion): FindHold {
  let specs: ReadonlyMap<string, NamespaceSpec> | null = null;
  return ({ namespace }) => {
    if (pausedBy !== null) return `everything is paused by ${pausedBy}`;
    if (overrides.includes("window")) return null;
    specs ??= new Map(desired()?.namespaces.map((spec) => [spec.name, spec]));
    const { windows } = specs.get(namespace)?.policy ?? { windows: [] };
    if (isAnyWindowOpen(windows, now)) return null;
    const merged = declared(namespace)?.policy.windows;
    return merged !== undefined && isAnyWindowOpen(merged, now) ? null : WINDOW_CLOSED;
  };
}
