/** Declares what the coordinator answers about reconciliation, pauses, registries and repairs. */
import type { DriftReport, Pause } from "../model/drift.ts";
import type { NamespaceRef } from "../model/live.ts";
import type { RepairOutcome } from "../model/repair.ts";
import type { AppliedRepair, NamedRegistry } from "./registries-store.ts";

export interface ReconcileCalls {
  /**
   * Begins a pass of reconciliation, which alarms carry on.
   *
   * @param cron the expression of the event that asks for it, or null.
   */
  tick(cron: string | null): Promise<void>;
  /** Waits for a pass that began after this call. False when the time is over first. */
  reconcile(environment: string, waitMs: number): Promise<boolean>;
  listReconciled(): Promise<readonly string[]>;
  readDrift(environment: string): Promise<DriftReport>;
}

export interface PauseCalls {
  /** Null switches reconciliation on again. */
  setPause(pause: Pause | null, by: string): Promise<Pause | null>;
  /**
   * Why the Worker itself would hold an operation of the namespace now, and what resumes it; null
   * when it would not.
   */
  findOperationHold(ref: NamespaceRef): Promise<string | null>;
  /** Somebody has paused or resumed an operation: for the history, and the next tick looks. */
  notePause(ref: NamespaceRef, summary: string, by: string): Promise<void>;
}

export interface RegistryCalls {
  /** All registries as earlier looks have seen them: a root that knows less has lost its own. */
  listRegistries(): Promise<readonly NamedRegistry[]>;
  /**
   * Members that were seen live, and that a repair asks whatever the root still knows; empty when
   * none were.
   */
  listSeenMembers(ref: NamespaceRef): Promise<readonly string[]>;
  /** A repair was applied: for the history, and what it has left is believed from now on. */
  noteRepair(ref: NamespaceRef, repair: AppliedRepair, by: string): Promise<void>;
  /** The outcome of the newest repair of the namespace, if it was the one of this fingerprint. */
  findRepair(ref: NamespaceRef, fingerprint: string): Promise<RepairOutcome | null>;
}
