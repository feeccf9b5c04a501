/**
 * Decides the outcome of one pending change. Pure: the first row that applies decides.
 *
 * | the change                                                  | verdict                | drift                  |
 * |-------------------------------------------------------------|------------------------|------------------------|
 * | somebody's run is about it                                  | hold InRun             |                        |
 * | nobody reviewed it, and it is not for us to heal            | hold NotReviewed       | spec                   |
 * | somebody applied it, and the run ended without it           | hold LeftUndone        |                        |
 * | a run that nobody here knows made live so                   | hold RunUnknown        | spec                   |
 * | live was changed, or is uneven; selfHeal is alert, or off   | hold Drifted           | spec, skew; off: none  |
 * | the reviews could not be looked up                          | hold ReviewUnknown     |                        |
 * | it is the workflow's to apply, and no apply job has asked    | hold AwaitsWorkflow    | after an hour: spec    |
 * | a drift that was seen once                                  | hold Confirming        | spec, skew             |
 * | a guard blocks it                                           | hold Blocked           | spec, skew, misplaced  |
 * | its counts have moved since they were shown                 | hold CountsMoved       | spec, skew             |
 * | heals of this kind have not lasted, three and more          | hold HealingDoesNotLast | stalled               |
 * | a heal of this kind has not lasted, a moment ago            | hold BackingOff        | healing                |
 * | failed too often                                            | hold RetriesExhausted  | stalled                |
 * | failed a moment ago                                         | hold BackingOff        | as it was              |
 * | everything is paused; the manifests are not valid           | hold Paused, ManifestsInvalid | unless reviewed |
 * | policy.suspend                                              | hold Suspended         | unless reviewed        |
 * | no window is open                                           | hold WindowClosed      | unless reviewed        |
 * | another run has the environment                             | hold Locked            | unless reviewed        |
 * | a namespace it depends on is not ready, nor in this batch   | hold DependencyPending | unless reviewed        |
 * | else                                                        | apply                  | healing                |
 */
import type { Applies } from "../github/settings.ts";
import type { ConditionType } from "../model/drift.ts";
import type { Block, Change } from "../model/plan.ts";
import type { NamespaceSpec } from "../model/spec.ts";
import { assertNever } from "../model/result.ts";
import { explainMoved } from "../model/count-moved.ts";
import { findLateJob } from "./awaited-jobs.ts";
import { attemptsOf, hasRelapsedOften, healedKind, nextHealAt } from "./heal-attempts.ts";
import { type NamespaceState, type PendingChange, RUN_FAILURES_MAX } from "./namespace-state.ts";

/** Why a change may be made at all. */
export type Approval =
  /**
   * Exactly this change was shown in a pull request that is merged, or is what a run of one left
   * unfinished.
   */
  | {
      readonly kind: "reviewed";
      readonly pull: number;
      /** All pull requests that have shown it, this one first. */
      readonly pulls: readonly number[];
      /** True when an apply job has asked for it, or its run has begun. */
      readonly isOrdered: boolean;
      /** As it was shown; null for what a run left unfinished: that is planned anew. */
      readonly change: Change | null;
      /** Guards that its plan has shown against it, and that no current reading can lift. */
      readonly blocks: readonly Block[];
    }
  /** Drift that policy.selfHeal lets us mend. */
  | { readonly kind: "heals" }
  /** A run that somebody started without a repository has ended before it. */
  | { readonly kind: "leftUndone" }
  | { readonly kind: "none" }
  | { readonly kind: "unknown"; readonly message: string };

/** A namespace with a change to decide about. */
export interface Case {
  readonly state: NamespaceState;
  readonly spec: NamespaceSpec;
  readonly pending: PendingChange;
  readonly approval: Approval;
  /** Guards that stand, after overrides, the ones on the whole plan among them. */
  readonly blocks: readonly Block[];
  /** After overrides, as is `isWindowOpen`. */
  readonly isSuspended: boolean;
  readonly isWindowOpen: boolean;
  readonly verdict: Verdict;
}

/** For what should not have happened: it is that namespace's, and the others go on. */
export const INTERNAL_ERROR = {
  kind: "hold",
  type: "Stalled",
  reason: "InternalError",
  message: "This namespace failed unexpectedly; the Worker's log has it",
  nextTryAt: null,
} as const;

export interface Circumstances {
  readonly now: number;
  readonly applies: Applies;
  readonly pausedBy: string | null;
  readonly manifestsProblem: string | null;
  /** The run that has to end first, and whether it is about this very namespace. */
  readonly rival: string | null;
  readonly isInRival: boolean;
}

export const AWAITS_WORKFLOW = "AwaitsWorkflow";
export const HEALING_DOES_NOT_LAST = "HealingDoesNotLast";

/** A case that nobody has judged yet: where that fails, it stays so. */
export function openCase(state: NamespaceState, spec: NamespaceSpec, pending: PendingChange): Case {
  return {
    state,
    spec,
    pending,
    approval: { kind: "none" },
    blocks: [],
    isSuspended: spec.policy.suspend,
    isWindowOpen: false,
    verdict: INTERNAL_ERROR,
  };
}

export type Verdict =
  | { readonly kind: "apply" }
  | {
      readonly kind: "hold";
      readonly type: ConditionType;
      readonly reason: string;
      readonly message: string;
      readonly nextTryAt: number | null;
      /** Since when, where that is not since its type and reason are these. */
      readonly since?: number;
    };

/** Judges by the table, but for what it depends on. */
export function judgeCase(one: Case, circumstances: Circumstances): Verdict {
  if (circumstances.isInRival && circumstances.rival !== null)
    return hold(
      "Reconciling",
      "InRun",
      `${changeText(one.pending)}: run ${circumstances.rival} is about it`,
    );
  return (
    judgeRight(one, circumstances) ??
    judgeHeals(one, circumstances) ??
    judgeAttempts(one, circumstances) ??
    judgeMoment(one, circumstances) ?? { kind: "apply" }
  );
}

function judgeRight(
  { state, spec, pending, approval, blocks }: Case,
  { applies, now }: Circumstances,
): Verdict | null {
  switch (approval.kind) {
    case "unknown":
      return hold(
        "Reconciling",
        "ReviewUnknown",
        `${changeText(pending)}: its review could not be looked up: ${approval.message}`,
      );
    case "leftUndone":
      return hold(
        "Stalled",
        "LeftUndone",
        `${changeText(pending)} was asked for, but the run ended without it, cancelled or failed: apply again, or apply what is live`,
      );
    case "none":
      if (isNew(state, pending))
        return hold(
          "Stalled",
          "NotReviewed",
          `${changeText(pending)} is merged, but no plan that was reviewed shows it`,
        );
      if (isMadeByStranger(pending))
        return hold(
          "Stalled",
          "RunUnknown",
          `${changeText(pending)} would undo run ${pending.stranger ?? ""}, which is not known here: the coordinator's storage was restored, or another Worker applies here, too`,
        );
      return hold(
        "Stalled",
        "Drifted",
        `${changeText(pending)}; policy.selfHeal is ${spec.policy.selfHeal}${heldText(state)}, so it is left to you`,
      );
    case "heals":
    case "reviewed":
      if (approval.kind === "reviewed" && applies === "workflow" && !approval.isOrdered)
        return awaitWorkflow(state, pending, approval.pull, now);
      if (approval.kind === "heals" && !isConfirmed(state, pending))
        return hold(
          "Reconciling",
          "Confirming",
          `${changeText(pending)}: seen once, corrected when the next check confirms it`,
        );
      if (blocks.length > 0)
        return hold(
          "Stalled",
          "Blocked",
          `${changeText(pending)} is blocked: ${blocks.map((block) => `${block.guard}: ${block.message}`).join("; ")}`,
        );
      return judgeCounts(pending, approval);
    default:
      return assertNever(approval);
  }
}

/** Says why another word than the manifest's holds. */
function heldText({ held, spec }: NamespaceState): string {
  if (!held || held.declared.selfHeal === spec?.policy.selfHeal) return "";
  const why = held.isApplied ? "is more than this Worker allows" : "is not applied";
  return ` (the manifest's ${held.declared.selfHeal} ${why})`;
}

/** @param state knows which jobs are waited for, and since when. */
function awaitWorkflow(
  { awaited = [] }: NamespaceState,
  pending: PendingChange,
  pull: number,
  now: number,
): Verdict {
  const late = findLateJob(awaited, now);
  const what = `${changeText(pending)} waits for the apply job of pull request #${late?.pull ?? pull}`;
  if (late !== null)
    return hold("Stalled", AWAITS_WORKFLOW, `${what}, and none has come for an hour`);
  const held = hold(
    "Reconciling",
    AWAITS_WORKFLOW,
    `${what}: this Worker leaves it to the workflow`,
  );
  return { ...held, since: awaited[0]?.since ?? now };
}

function judgeCounts(pending: PendingChange, approval: Approval): Verdict | null {
  if (approval.kind !== "reviewed" || approval.change === null) return null;
  const { change } = approval;
  const { rowsMoved, bytesMoved = change.bytesMoved } = pending;
  const moved = explainMoved(change, { rowsMoved, bytesMoved });
  return moved === null
    ? null
    : hold(
        "Stalled",
        "CountsMoved",
        `${changeText(pending)} is not what was reviewed: ${moved}; read the plan again and release it`,
      );
}

/** A heal that did not last waits, longer each time; what was reviewed does not. */
function judgeHeals({ state, pending, approval }: Case, { now }: Circumstances): Verdict | null {
  const attempts = attemptsOf(state.heals, healedKind(pending.cause));
  const nextAt = approval.kind === "heals" ? nextHealAt(attempts, now) : null;
  if (attempts === null || nextAt === null) return null;
  const failed =
    state.attempts === null ? "" : ` The last run failed: ${state.attempts.lastError}.`;
  if (hasRelapsedOften(attempts))
    return hold(
      "Stalled",
      HEALING_DOES_NOT_LAST,
      `${changeText(pending)}: healing does not last, ${attempts.started} heals have not kept it as declared for an hour.${failed} Stop what changes it, or change the manifest; until then it is tried less and less often`,
      nextAt,
    );
  const heals = attempts.started === 1 ? "the last heal has" : `${attempts.started} heals have`;
  return hold(
    "Reconciling",
    "BackingOff",
    `${changeText(pending)}: ${heals} not lasted.${failed}`,
    nextAt,
  );
}

function judgeAttempts({ state: { attempts } }: Case, { now }: Circumstances): Verdict | null {
  if (attempts === null || attempts.failures === 0) return null;
  // A time further ahead than any delay was written by a clock that was wrong.
  const waits = attempts.nextTryAt > now && attempts.nextTryAt - now <= NEXT_TRY_MS_MAX;
  if (!waits) return null;
  if (attempts.failures < RUN_FAILURES_MAX)
    return hold(
      "Reconciling",
      "BackingOff",
      `Failed ${attempts.failures} times in a row: ${attempts.lastError}`,
      attempts.nextTryAt,
    );
  return hold(
    "Stalled",
    "RetriesExhausted",
    `Given up after ${attempts.failures} failures in a row: ${attempts.lastError}. Tried again when the manifests or the epoch change, or much later.`,
    attempts.nextTryAt,
  );
}

/** Longer than any delay between tries. */
const NEXT_TRY_MS_MAX = 25 * 3_600_000;

function judgeMoment(
  { spec, pending, isSuspended, isWindowOpen }: Case,
  { pausedBy, manifestsProblem, rival }: Circumstances,
): Verdict | null {
  const what = changeText(pending);
  if (pausedBy !== null)
    return hold("Reconciling", "Paused", `${what} waits: everything is paused by ${pausedBy}`);
  if (manifestsProblem !== null)
    return hold(
      "Reconciling",
      "ManifestsInvalid",
      `${what} waits: ${manifestsProblem}, so nothing is applied`,
    );
  if (isSuspended) return hold("Reconciling", "Suspended", `${what} waits: policy.suspend is true`);
  if (!isWindowOpen) {
    const starts = spec.policy.windows
      .map(({ start, timezone }) => `"${start}" ${timezone}`)
      .join(", ");
    return hold(
      "Reconciling",
      "WindowClosed",
      `${what} waits for a window (they start at ${starts})`,
    );
  }
  return rival === null
    ? null
    : hold("Reconciling", "Locked", `${what} waits for run ${rival} to end`);
}

/**
 * A drift is mended when a look of another pass has seen it before; misplaced rows were confirmed
 * by their audits.
 */
function isConfirmed({ differences, pass }: NamespaceState, { cause }: PendingChange): boolean {
  const kind = cause === "skew" ? "skew" : "spec";
  return (
    cause === "misplaced" || differences.some((drift) => drift.kind === kind && drift.pass < pass)
  );
}

export function holdForDependency(pending: PendingChange, dependency: string): Verdict {
  return hold(
    "Reconciling",
    "DependencyPending",
    `${changeText(pending)} waits for '${dependency}', which is not ready`,
  );
}

/** Healing it would undo what somebody has applied, and may have been reviewed. */
export function isMadeByStranger({ cause, stranger }: PendingChange): boolean {
  return cause === "declared" && stranger !== null;
}

/** The manifest asks for it and live was never as it asks now. */
export function isNew(state: NamespaceState, pending: PendingChange): boolean {
  return pending.cause === "declared" && state.syncedDigest !== state.shapeDigest;
}

function changeText({ kind, reason }: PendingChange): string {
  return `${kind} (${reason})`;
}

function hold(
  type: ConditionType,
  reason: string,
  message: string,
  nextTryAt: number | null = null,
): Extract<Verdict, { kind: "hold" }> {
  return { kind: "hold", type, reason, message, nextTryAt };
}
