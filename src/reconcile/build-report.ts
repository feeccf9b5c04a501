/**
 * The drift report: what reconciliation found, as `GET /v1/drift` gives it and as alerts are made
 * from.
 */
import { sha256Hex, canonicalJson } from "../model/canonical.ts";
import { compareText } from "../model/compare-text.ts";
import {
  type Drift,
  DRIFT_KINDS,
  type DriftReport,
  type NamespaceCondition,
  type Pause,
} from "../model/drift.ts";
import { newEnvironmentState } from "./environment-state.ts";
import type { NamespaceState, TrackedDrift } from "./namespace-state.ts";
import type { ReconcileStore } from "./ports.ts";

/**
 * Drifts sorted by kind, then namespace; conditions of the namespaces that a manifest declares, by
 * name.
 */
export async function buildReport(
  environment: string,
  store: ReconcileStore,
  paused: Pause | null,
): Promise<DriftReport> {
  const state = store.readEnvironment() ?? newEnvironmentState(environment);
  const tracked: TrackedDrift[] = [...state.drifts];
  const conditions: NamespaceCondition[] = [];
  for (const namespace of store.all()) {
    tracked.push(...namespace.faults, ...namespace.differences);
    if (namespace.spec !== null) conditions.push(conditionUnder(namespace, state.commit));
  }
  const drifts = sortDrifts(tracked);
  return {
    environment,
    commit: state.commit,
    checkedAt: state.checkedAt,
    isComplete: state.outcome === "complete",
    fingerprint: await fingerprintDrifts(drifts),
    drifts,
    conditions,
    paused,
  };
}

/** As a report lists them: by kind, then namespace. */
export function sortDrifts(tracked: readonly TrackedDrift[]): Drift[] {
  return tracked.map(({ pass: _pass, ...drift }): Drift => drift).toSorted(compareDrifts);
}

/** @param drifts sorted. */
export function fingerprintDrifts(drifts: readonly Drift[]): Promise<string> {
  const open = drifts
    .filter(({ state }) => state === "open")
    .map(({ kind, namespace, reason }) => ({ kind, namespace, reason }));
  return sha256Hex(canonicalJson(open));
}

/** Carries a spec's condition over to every commit that leaves the spec unchanged. */
function conditionUnder(
  { condition, specDigest, observedDigest }: NamespaceState,
  commit: string | null,
): NamespaceCondition {
  return specDigest === observedDigest ? { ...condition, observedCommit: commit } : condition;
}

function compareDrifts(left: Drift, right: Drift): number {
  return (
    DRIFT_KINDS.indexOf(left.kind) - DRIFT_KINDS.indexOf(right.kind) ||
    compareText(left.namespace ?? "", right.namespace ?? "") ||
    compareText(left.reason, right.reason)
  );
}
