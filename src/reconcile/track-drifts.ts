/**
 * From what a look found to drifts that people hear of, and to the report of them: a drift opens
 * when a look of a later pass agrees, and is gone when a look does not find it any more. What opens
 * and what goes away is an event; `GET /v1/drift` and alerts are made from the report.
 */
import { makeEvent, type NewEvent } from "../history/make-event.ts";
import { canonicalJson, sha256Hex } from "../model/canonical.ts";
import { compareText } from "../model/compare-text.ts";
import {
  type Drift,
  DRIFT_KINDS,
  type DriftReport,
  type NamespaceCondition,
  type Pause,
} from "../model/drift.ts";
import type { NamespaceRef } from "../model/live.ts";
import { isVisible, type VisibleNames } from "../model/token-scope.ts";
import { newEnvironmentState } from "./environment-state.ts";
import type { NamespaceState, TrackedDrift } from "./namespace-state.ts";
import type { ReconcileStore } from "./ports.ts";

/**
 * A fault, as one look sees it. The reason holds no counts, times or error texts: it is part of the
 * alert's fingerprint.
 */
export type FoundDrift = Pick<Drift, "kind" | "reason" | "detail" | "remedy"> & {
  readonly isHealing?: boolean;
  /** Shown and recorded, without an alert. */
  readonly isWarning?: boolean;
  /**
   * It is normal for so long, in milliseconds: it is shown at once, and opens when it is still
   * found after that.
   */
  readonly normalMs?: number;
};

export interface TrackContext {
  readonly environment: string;
  readonly namespace: string | null;
  readonly object: string | null;
  /** The pass of the look that found these. */
  readonly pass: number;
  readonly commit: string | null;
  readonly now: number;
  readonly record: (event: NewEvent) => void;
}

/**
 * The drifts after a look. A drift whose kind is open already opens at once, whatever its reason is
 * now.
 */
export function trackDrifts(
  before: readonly TrackedDrift[],
  found: readonly FoundDrift[],
  context: TrackContext,
): TrackedDrift[] {
  const drifts = found.map((one) => trackOne(before, one, context));
  for (const gone of before) {
    const stays = drifts.some(({ kind }) => kind === gone.kind);
    if (gone.state !== "watching" && !stays)
      context.record(driftEvent(context, `${gone.kind} is gone: ${gone.reason}`));
  }
  return drifts;
}

function trackOne(
  before: readonly TrackedDrift[],
  found: FoundDrift,
  context: TrackContext,
): TrackedDrift {
  const { isHealing = false, isWarning = false, normalMs = 0, ...facts } = found;
  const ofKind = before.filter(({ kind }) => kind === found.kind);
  const same = ofKind.find(({ reason }) => reason === found.reason);
  const wasOpen = ofKind.some(({ state }) => state !== "watching");
  const pass = same?.pass ?? context.pass;
  const firstSeenAt = same?.firstSeenAt ?? context.now;
  const isOpen = wasOpen || (pass < context.pass && context.now - firstSeenAt >= normalMs);
  if (isOpen && (!wasOpen || !same))
    context.record(driftEvent(context, `${found.kind}: ${found.reason}`));
  return {
    ...facts,
    ...(isWarning ? { isWarning } : {}),
    namespace: context.namespace,
    object: context.object,
    state: isHealing ? "healing" : isOpen ? (isWarning ? "warning" : "open") : "watching",
    firstSeenAt,
    lastSeenAt: context.now,
    pass,
  };
}

/** True when a drift was seen once and the next pass has to say whether it stays. */
export function isWatching(drifts: readonly TrackedDrift[]): boolean {
  return drifts.some(({ state }) => state === "watching");
}

function driftEvent(
  { environment, namespace, commit, now }: TrackContext,
  summary: string,
): NewEvent {
  return makeEvent({
    at: now,
    environment,
    kind: "drift",
    namespace,
    summary,
    actor: "shardctl",
    commit,
  });
}

/**
 * Drifts sorted by kind, then namespace; conditions of the namespaces that a manifest declares, by
 * name. Of what its reader may not see there is nothing in it, nor in its fingerprint.
 */
export async function buildReport(
  environment: string,
  store: ReconcileStore,
  paused: Pause | null,
  visible: VisibleNames | null = null,
): Promise<DriftReport> {
  const state = store.readEnvironment() ?? newEnvironmentState(environment);
  const isShown = (ref: NamespaceRef | null): boolean => isVisible(visible, environment, ref);
  const tracked: TrackedDrift[] = isShown(null) ? [...state.drifts] : [];
  const conditions: NamespaceCondition[] = [];
  for (const namespace of store.all()) {
    if (!isShown(namespace)) continue;
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
  return tracked
    .map(({ pass: _pass, isWarning: _isWarning, ...drift }): Drift => drift)
    .toSorted(compareDrifts);
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
