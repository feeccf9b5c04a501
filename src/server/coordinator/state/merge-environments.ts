/**
 * Takes over what reconciliation and alerts know of each environment and its namespaces.
 *
 * | here                                       | then the file's                                       |
 * |--------------------------------------------|-------------------------------------------------------|
 * | nothing of the environment, or an older look | environment, namespaces and alerts take the place     |
 * | a newer look at the environment              | only what is not here is added                        |
 *
 * A namespace comes without what would let something start by itself: the run that is about it,
 * the review that a run has left unfinished, the pending change. The next look finds what is to be
 * done, and whether it is reviewed. Drifts that were told stay told.
 *
 * The manifests that an environment follows come from one side as a whole: see followed-specs.ts.
 */
import { canonicalJson } from "../../../model/canonical.ts";
import { AlertsStore } from "../../../alerts/alerts-store.ts";
import type { AlertState } from "../../../alerts/alert-state.ts";
import type { Pause } from "../../../model/drift.ts";
import type { EnvironmentState } from "../../../reconcile/environment-state.ts";
import type { NamespaceState, TrackedDrift } from "../../../reconcile/namespace-state.ts";
import { ReconcileDocuments, StateStore } from "../../../reconcile/state-store.ts";
import { FollowedSpecs } from "./followed-specs.ts";
import type { StagedRows } from "./staged-rows.ts";
import type { Tally } from "./tally.ts";

interface Document extends Record<string, unknown> {
  readonly kind: string;
  readonly id: string;
  readonly body: unknown;
}

export function mergeEnvironments(sql: SqlStorage, staged: StagedRows, tally: Tally): string[] {
  const documents = new ReconcileDocuments(sql);
  const notes: string[] = [];
  const newer = new Set<string>();
  for (const { kind, id, body } of staged.all<Document>("reconcileDocuments")) {
    if (kind !== "environment") continue;
    const isNewer = mergeEnvironment(documents, id, body as EnvironmentState, tally);
    if (isNewer) newer.add(id);
  }
  notes.push(...mergePause(documents, staged, tally));
  mergeNamespaces(sql, documents, staged, tally, newer);
  mergeAlerts(sql, staged, tally, newer);
  return notes;
}

/** True when the file's look is the newer one. */
function mergeEnvironment(
  documents: ReconcileDocuments,
  environment: string,
  theirs: EnvironmentState,
  tally: Tally,
): boolean {
  const ours = documents.read<EnvironmentState>("environment", environment);
  const isNewer = ours === null || (ours.checkedAt ?? 0) < (theirs.checkedAt ?? 0);
  tally.note("reconcileDocuments", isNewer ? (ours === null ? "added" : "replaced") : "kept");
  if (!isNewer) return false;
  const number = Math.max(ours?.pass.number ?? 0, theirs.pass.number);
  documents.write("environment", environment, {
    ...theirs,
    // The manifests are read again, whatever the branch is at.
    treeSha: null,
    silence: null,
    drifts: theirs.drifts.flatMap(asTold),
    pass: { ...theirs.pass, number, phase: null },
  } satisfies EnvironmentState);
  return true;
}

/** A switch that was turned off later stays off; one that nobody here has touched comes back. */
function mergePause(documents: ReconcileDocuments, staged: StagedRows, tally: Tally): string[] {
  const resumedAt = staged.find<{ readonly body: { readonly at: number } }>(
    "reconcileDocuments",
    "resumed",
    "",
  )?.body.at;
  if (resumedAt !== undefined) {
    const isNews = resumedAt > (documents.resumedAt() ?? 0);
    if (isNews) documents.write("resumed", "", { at: resumedAt });
    tally.note("reconcileDocuments", isNews ? "added" : "kept");
  }
  const pause = staged.find<{ readonly body: Pause }>("reconcileDocuments", "pause", "")?.body;
  if (pause === undefined) return [];
  const isNews = documents.pause() === null && (documents.resumedAt() ?? 0) < pause.at;
  tally.note("reconcileDocuments", isNews ? "added" : "kept");
  if (!isNews) return [];
  documents.setPause(pause, pause.at);
  return [
    `Everything is paused again, as it was at the export: by ${pause.by} (${pause.reason}). \`shardctl resume --all\` resumes it.`,
  ];
}

function mergeNamespaces(
  sql: SqlStorage,
  documents: ReconcileDocuments,
  staged: StagedRows,
  tally: Tally,
  newer: ReadonlySet<string>,
): void {
  const environments = new Map<string, Merging>();
  for (const row of staged.all<{ readonly environment: string; readonly body: NamespaceState }>(
    "reconciledNames",
  )) {
    const { environment, body } = row;
    const known = environments.get(environment);
    const { store, followed } = known ?? begin(environment);
    if (!known) environments.set(environment, { store, followed });
    const ours = store.read(body);
    // One that was never looked at here says nothing.
    const isOurs = ours !== null && ours.registry !== null && !newer.has(environment);
    const state = followed.apply(isOurs ? ours : withoutLeave(body), ours, body);
    // Another version may have written the fields in another order.
    const isSame = canonicalJson(state) === canonicalJson(ours);
    tally.note("reconciledNames", isSame ? "kept" : ours === null ? "added" : "replaced");
    if (!isSame) store.write([state]);
  }
  for (const { followed } of environments.values()) followed.end();

  function begin(environment: string): Merging {
    const store = new StateStore(sql, documents, environment);
    const theirs = staged.declared(environment);
    return { store, followed: new FollowedSpecs(store, theirs, newer.has(environment)) };
  }
}

interface Merging {
  readonly store: StateStore;
  readonly followed: FollowedSpecs;
}

/** As it is known, but for what would let something start. It is looked at in the next pass. */
function withoutLeave(state: NamespaceState): NamespaceState {
  return {
    ...state,
    run: null,
    approval: null,
    pending: null,
    attempts: null,
    progress: null,
    dueAt: 0,
    pass: 0,
    faults: state.faults.flatMap(asTold),
    differences: state.differences.flatMap(asTold),
  };
}

/** A drift that was seen once is seen anew; one that people heard of is not told again. */
function asTold(drift: TrackedDrift): TrackedDrift[] {
  if (drift.state === "watching") return [];
  return [{ ...drift, state: drift.state === "warning" ? "warning" : "open", pass: 0 }];
}

function mergeAlerts(
  sql: SqlStorage,
  staged: StagedRows,
  tally: Tally,
  newer: ReadonlySet<string>,
): void {
  const store = new AlertsStore(sql);
  for (const { environment, body } of staged.all<{
    readonly environment: string;
    readonly body: AlertState;
  }>("alerts")) {
    const isKnown = store.list().some((known) => known.environment === environment);
    const isTaken = !isKnown || newer.has(environment);
    tally.note("alerts", isTaken ? (isKnown ? "replaced" : "added") : "kept");
    if (isTaken) store.write(body);
  }
}
