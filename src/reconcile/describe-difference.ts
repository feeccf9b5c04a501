/**
 * Describes the drift that people see while a pending change is not made: why not, and what to do
 * about it. The last column of the table in judge.ts.
 */
import { attemptsOf, healedKind } from "./heal-attempts.ts";
import {
  AWAITS_WORKFLOW,
  type Case,
  HEALING_DOES_NOT_LAST,
  isMadeByStranger,
  isNew,
  type Verdict,
} from "./judge.ts";
import { guardedSpec, type NamespaceState, RUN_FAILURES_MAX } from "./namespace-state.ts";
import type { FoundDrift } from "./track-drifts.ts";

/** The drift that people see while the change is not made; null when there is none to speak of. */
export function describeDifference(one: Case): FoundDrift | null {
  const { state, spec, pending, approval, verdict } = one;
  const isReviewed = approval.kind === "reviewed";
  // Looks tell of heals that do not last: see `relapseFaults`.
  const isHealedAgain = isBetweenHeals(one);
  if (verdict.kind === "hold" && verdict.reason === "RetriesExhausted" && !isHealedAgain) {
    return {
      kind: "stalled",
      reason: `applying was given up after ${RUN_FAILURES_MAX} failures in a row`,
      detail: state.attempts?.lastError ?? null,
      remedy: `\`shardctl history ${state.name}\` shows the operations. The rows are where they were; it is tried again when the cause changes.`,
    };
  }
  const isBlocked = findObjection(verdict) !== null;
  if (verdict.kind === "hold" && verdict.reason === "InRun") return null;
  if (isForgotten(verdict)) return { ...specDrift(one), remedy: remedyFor(one) };
  // A change that is on its way, or waits for its moment, is no drift.
  if (isReviewed && !isBlocked) return null;
  if (approval.kind === "unknown" || approval.kind === "leftUndone") return null;
  if (spec.policy.selfHeal === "off" && !isNew(state, pending)) return null;
  const isHealing = verdict.kind === "apply" || isHealedAgain;
  // The audit has reported these already: see `faultsUnder`.
  if (pending.cause === "misplaced") return null;
  const found = pending.cause === "skew" ? skewDrift(one) : specDrift(one);
  return { ...found, isHealing, remedy: remedyFor(one) };
}

/** The faults of the last look, with misplaced rows as their heal stands now. */
export function faultsUnder(one: Case): NamespaceState["faults"] {
  const { state, pending, verdict } = one;
  if (pending.cause !== "misplaced") return state.faults;
  const isHealing = verdict.kind === "apply" || isBetweenHeals(one);
  return state.faults.map((fault) =>
    fault.kind === "misplaced" && fault.state !== "watching"
      ? { ...fault, state: isHealing ? "healing" : "open" }
      : fault,
  );
}

/** True for a drift that was healed before, and is again when the wait is over. */
function isBetweenHeals({ state, pending, approval, verdict }: Case): boolean {
  if (approval.kind !== "heals" || verdict.kind !== "hold") return false;
  const attempts = attemptsOf(state.heals, healedKind(pending.cause));
  return attempts !== null && BETWEEN_HEALS.has(verdict.reason);
}

const BETWEEN_HEALS = new Set([HEALING_DOES_NOT_LAST, "BackingOff", "RetriesExhausted"]);

function skewDrift({ state, spec, pending }: Case): Omit<FoundDrift, "remedy"> {
  // A lower one that is declared only counts for the change that its plan shows.
  const { maxSkew } = guardedSpec(state, spec).policy;
  return {
    kind: "skew",
    reason: `more uneven than policy.maxSkew ${maxSkew} allows`,
    detail: pending.reason,
  };
}

/** Why a person is asked before it is made, though it was reviewed; null when none is. */
function findObjection(verdict: Verdict): string | null {
  if (verdict.kind !== "hold") return null;
  return verdict.reason === "Blocked" || verdict.reason === "CountsMoved" ? verdict.message : null;
}

/** True for a reviewed change whose apply job should have come long ago. */
function isForgotten(verdict: Verdict): boolean {
  return (
    verdict.kind === "hold" && verdict.type === "Stalled" && verdict.reason === AWAITS_WORKFLOW
  );
}

function specDrift(one: Case): Omit<FoundDrift, "remedy"> {
  const { pending } = one;
  return {
    kind: "spec",
    reason: `${pending.kind}: ${pending.reason} (${whyLeft(one)})`,
    detail: null,
  };
}

function whyLeft({ state, pending, blocks, verdict }: Case): string {
  if (isForgotten(verdict)) return "merged, no apply job has come";
  if (!isNew(state, pending)) return "live was changed";
  const guards = [...new Set(blocks.map(({ guard }) => guard))].join(", ");
  if (guards !== "") return `blocked by ${guards}`;
  return findObjection(verdict) === null
    ? "merged, but not reviewed"
    : "its counts have moved since the review";
}

function remedyFor({ state, pending, approval, spec, verdict }: Case): string {
  const objection = findObjection(verdict);
  if (objection !== null) return `${objection}.`;
  if (isForgotten(verdict))
    return 'Rerun the apply workflow, or run `shardctl apply`, or set github.apply to "worker".';
  if (approval.kind === "heals") {
    return verdict.kind === "apply"
      ? "It is being corrected."
      : `shardctl will correct it: ${verdict.message}.`;
  }
  if (isNew(state, pending))
    return "Open a pull request that touches its manifest, to have the plan shown and reviewed; or `shardctl apply` by hand.";
  if (isMadeByStranger(pending))
    return "If newer manifests produced what is live, apply those again, even if nothing changes (docs/operations.md: a coordinator that was restored). If the old ones are right, `shardctl plan` shows what would be undone, and `shardctl apply` does it.";
  const healing = `Or set policy.selfHeal to apply (it is ${spec.policy.selfHeal}).`;
  return `\`shardctl plan\` shows what would be done, \`shardctl apply\` does it. ${healing}`;
}
