/**
 * A namespace at rest: is its registry what operations have made of it, does its audit find
 * anything, and does it need a change?
 */
import { formatQuantity } from "../../model/figures.ts";
import type { LiveNamespace } from "../../model/live.ts";
import { runIdOf } from "../../model/run-operation.ts";
import type { NamespaceSpec } from "../../model/spec.ts";
import { checkSafety } from "../../planning/check-safety.ts";
import { withFloors } from "../../model/policy.ts";
import { isEven, liveRows } from "../../planning/decide-change.ts";
import { isNothing } from "../../model/what-lives.ts";
import type { NamespaceOutcome } from "../../planning/plan-namespace.ts";
import {
  type AuditFinding,
  declaredSpec,
  digestLayout,
  guardedSpec,
  type NamespaceState,
  type PendingChange,
} from "../namespace-state.ts";
import { AUDIT_MS_MAX, auditIntervalMs, checkIntervalMs, nextTurn } from "../schedule.ts";
import type { FoundDrift } from "../track-drifts.ts";
import { attemptsOf, isAuditedSince, noteHealSight } from "../heal-attempts.ts";
import { auditNamespace } from "./audit.ts";
import {
  auditFaults,
  findForgedRegistry,
  forgedFault,
  memberFaults,
  relapseFaults,
  remainingSkewFault,
  unmanagedFault,
} from "./find-faults.ts";
import { planFrom, type WantedChange } from "./inspect.ts";
import { lookAtPolicy } from "./look-at-policy.ts";
import {
  type ConditionChange,
  dueAfter,
  type LookContext,
  rest,
  track,
  trackDifferences,
} from "./note-look.ts";

/** An audit that found something, or could not be made, is repeated after so long. */
const AUDIT_AGAIN_MS = 3_600_000;

/** Null: there is nothing to keep. */
export async function settleAtRest(
  before: NamespaceState,
  live: LiveNamespace,
  context: LookContext,
): Promise<NamespaceState | null> {
  const layoutDigest = await digestLayout(live.layout);
  const repairs = context.ports.registries.read(before)?.repairs ?? 0;
  const forged = findForgedRegistry(live, layoutDigest, before, repairs);
  const audited = await auditIfDue(
    { ...before, auditDueAt: auditTurn(before, live, layoutDigest, context) },
    live,
    context,
  );
  if (forged !== null) return holdForged(audited, live, forged, context);
  const state: NamespaceState = {
    ...audited,
    registry: { epoch: live.epoch, layoutDigest, specDigest: audited.specDigest, repairs },
  };
  return state.spec === null
    ? noteUnmanaged(state, live, context)
    : planSpec(state, state.spec, live, context);
}

/**
 * A new layout is audited now, and so are members that have refused a write for its key: who writes
 * wrong keys may have done so before. A namespace that is met for the first time has its turn.
 */
function auditTurn(
  state: NamespaceState,
  live: LiveNamespace,
  layoutDigest: string,
  context: LookContext,
): number {
  const { name, registry, auditDueAt } = state;
  const now = context.ports.now();
  if (registry === null) return nextTurn(name, auditIntervalMs(context.managed), now);
  const isSameLayout = registry.epoch === live.epoch && registry.layoutDigest === layoutDigest;
  return isSameLayout && !hasRefusedSince(state, live, now) ? auditDueAt : 0;
}

/** True of a write that was refused after the last audit, once that is an hour old. */
function hasRefusedSince({ audit }: NamespaceState, live: LiveNamespace, now: number): boolean {
  const auditedAt = audit?.at ?? 0;
  if (now - auditedAt < AUDIT_AGAIN_MS) return false;
  return live.members.some(({ refusedWriteAt = 0 }) => refusedWriteAt > auditedAt);
}

async function auditIfDue(
  state: NamespaceState,
  live: LiveNamespace,
  context: LookContext,
): Promise<NamespaceState> {
  const { ports, managed, spend } = context;
  const now = ports.now();
  const isDue = state.auditDueAt <= now || state.auditDueAt > now + AUDIT_MS_MAX + AUDIT_AGAIN_MS;
  // An unmanaged namespace is reported and left alone; a member that does not answer can not be
  // counted.
  if (!isDue || state.spec === null || live.members.some(({ healthy }) => !healthy)) return state;
  if (!context.takeAudit())
    return { ...state, auditDueAt: nextTurn(state.name, checkIntervalMs(managed), now) };
  const { retainHours } = state.spec.policy;
  const audit = await auditNamespace(state, live, {
    liveAccess: ports.liveAccess,
    retainHours,
    before: state.audit,
    now,
    spend,
  });
  if (audit === null) return { ...state, auditDueAt: now + AUDIT_AGAIN_MS };
  // A second look, an hour later, says whether a heal of misplaced rows has lasted.
  if (isClean(audit) && attemptsOf(state.heals, "misplaced") !== null)
    return { ...state, audit, auditDueAt: now + AUDIT_AGAIN_MS };
  if (isClean(audit))
    return { ...state, audit, auditDueAt: nextTurn(state.name, auditIntervalMs(managed), now) };
  // The next pass must confirm an audit's finding before it is reported.
  const isNews = state.audit === null || isClean(state.audit);
  return { ...state, audit, auditDueAt: isNews ? 0 : now + AUDIT_AGAIN_MS };
}

function isClean({ misplacedRows, orphans }: AuditFinding): boolean {
  return misplacedRows === 0 && orphans.length === 0;
}

function holdForged(
  state: NamespaceState,
  live: LiveNamespace,
  what: string,
  context: LookContext,
): NamespaceState {
  const held = { ...state, pending: null };
  const faults = track(
    held,
    [
      ...memberFaults(live, state),
      forgedFault(what),
      ...relapseFaults(state),
      ...auditFaults(state.audit, false),
    ],
    context,
  );
  const message = `The registry was changed by hand: it ${what}. Nothing is applied here.`;
  return rest(
    { ...held, faults },
    { type: "Stalled", reason: "RegistryChanged", message },
    context,
  );
}

function noteUnmanaged(
  state: NamespaceState,
  live: LiveNamespace,
  context: LookContext,
): NamespaceState | null {
  const isGone = isNothing(live);
  const faults = track(state, isGone ? [] : [unmanagedFault(live)], context);
  const differences = trackDifferences(state, [], context);
  if (isGone) return null;
  const message = "No manifest declares it";
  return rest(
    { ...state, faults, differences, pending: null, audit: null },
    { type: "Ready", reason: "Unmanaged", message },
    context,
  );
}

async function planSpec(
  before: NamespaceState,
  spec: NamespaceSpec,
  live: LiveNamespace,
  context: LookContext,
): Promise<NamespaceState> {
  const { outcome, wanted } = await planFrom(spec, live, before, context);
  const state = noteHeals(before, outcome, wanted, live, context);
  const { selfHeal } = spec.policy;
  const isSilenced = selfHeal === "off";
  const common = [
    ...memberFaults(live, state),
    ...relapseFaults(state),
    ...auditFaults(state.audit, selfHeal === "apply")
      .filter(({ kind }) => kind === "orphan" || !isSilenced)
      .map((fault) => ({ ...fault, isHealing: isUnjudged(fault, state) })),
  ];
  switch (outcome.kind) {
    case "blocked": {
      const { guard, message } = outcome.block;
      const faults = track(state, [...common, ...blockedFault(guard, message)], context);
      const blocked = { ...state, faults, pending: null };
      return rest(
        blocked,
        {
          type: "Stalled",
          reason: guard === "unsupported" ? "Unsupported" : "Unreadable",
          message,
        },
        context,
      );
    }
    case "change": {
      const sight = wanted?.cause === "declared" ? {} : noteShape(state, spec, live, context);
      const faults = track(state, common, context);
      return notePending({ ...state, ...sight, faults }, spec, live, wanted, context);
    }
    case "inSync": {
      const skew = isSilenced ? [] : remainingSkewFault(outcome.notices, spec.policy.maxSkew);
      const faults = track(state, [...common, ...skew], context);
      const synced: NamespaceState = {
        ...state,
        ...noteShape(state, spec, live, context),
        faults,
        approval: null,
        awaited: [],
      };
      // Misplaced rows are moved once two audits agree.
      const isConfirmed = faults.some(
        ({ kind, state: seen }) => kind === "misplaced" && seen !== "watching",
      );
      if (wanted && selfHeal === "apply" && isConfirmed)
        return notePending(synced, spec, live, wanted, context);
      const policy = await lookAtPolicy(state, context);
      const differences = trackDifferences(state, policy.found, context);
      const { awaited } = policy;
      return rest(
        { ...synced, awaited, differences, pending: null, attempts: null },
        readiness(synced, live, policy.why),
        context,
      );
    }
  }
}

/** True of misplaced rows that were healed since their audit: the next one says what is left. */
function isUnjudged({ kind }: FoundDrift, { audit, heals }: NamespaceState): boolean {
  return kind === "misplaced" && audit !== null && !isAuditedSince(heals, audit);
}

/** Of a namespace that is as its manifest wants it, however its rows lie. */
function noteShape(
  state: NamespaceState,
  spec: NamespaceSpec,
  live: LiveNamespace,
  { ports }: LookContext,
): Required<Pick<NamespaceState, "syncedDigest" | "isEven">> {
  const declared = declaredSpec(state, spec);
  const policy = withFloors(declared.policy, ports.policies.floors);
  return { syncedDigest: state.shapeDigest, isEven: isEven({ ...declared, policy }, live) };
}

function noteHeals(
  state: NamespaceState,
  outcome: NamespaceOutcome,
  wanted: WantedChange | null,
  live: LiveNamespace,
  { ports }: LookContext,
): NamespaceState {
  if (outcome.kind === "blocked" || !state.heals?.length) return state;
  const isCounted = live.members.every(({ healthy }) => healthy);
  const cause = wanted?.cause === "misplaced" ? null : (wanted?.cause ?? null);
  const sight = { cause, isCounted, audit: state.audit, now: ports.now() };
  return { ...state, heals: noteHealSight(state.heals, sight) };
}

/** In sync is not always well. */
function readiness(
  { faults, heals = [] }: NamespaceState,
  live: LiveNamespace,
  whyHeld: string | null,
): ConditionChange {
  const fault =
    faults.find(({ kind }) => kind === "unhealthy") ??
    faults.find(({ kind }) => kind === "misplaced");
  if (!fault) {
    const counted = `${formatQuantity(live.layout.members.length, "member")}, ${formatQuantity(liveRows(live), "row")}, epoch ${live.epoch}`;
    const relapsed = heals.find((one) => one.relapsed > 0);
    const proof = relapsed ? `; healed ${relapsed.started} times, not for an hour yet` : "";
    return whyHeld !== null
      ? {
          type: "Ready",
          reason: "PolicyHeld",
          message: `As declared: ${counted}. Another policy is declared, and not applied: ${whyHeld}`,
        }
      : { type: "Ready", reason: "InSync", message: `As declared: ${counted}${proof}` };
  }
  const type = fault.state === "open" ? "Stalled" : "Reconciling";
  const reason = fault.kind === "unhealthy" ? "Unhealthy" : "Misplaced";
  return {
    type,
    reason,
    message: `As declared, but ${fault.reason}${fault.detail ? ` (${fault.detail})` : ""}`,
  };
}

async function notePending(
  state: NamespaceState,
  spec: NamespaceSpec,
  live: LiveNamespace,
  wanted: WantedChange | null,
  context: LookContext,
): Promise<NamespaceState> {
  if (wanted === null) throw new Error(`The change of '${state.name}' has no cause`);
  const { cause, change } = wanted;
  // `decide` asks window and suspend by the clock and the manifest of its own moment.
  const blocks = checkSafety({
    changes: [
      {
        change,
        spec: guardedSpec(state, spec),
        declared: declaredSpec(state, spec).policy,
        live,
        windowOpen: true,
      },
    ],
    managed: { namespaces: 0, rows: 0 },
    unmanaged: 0,
  }).filter(({ guard }) => guard !== "suspend");
  const pending: PendingChange = {
    cause,
    kind: change.kind,
    reason: change.reason,
    epoch: change.epoch,
    fromDigest: await digestLayout(change.from),
    toDigest: await digestLayout(change.to),
    rowsMoved: change.rowsMoved,
    bytesMoved: change.bytesMoved,
    blocks,
    lookedAt: context.ports.now(),
    stranger: findStranger(live, context),
  };
  return { ...state, pending, dueAt: dueAfter(state, context) };
}

/**
 * The run that made live what it is, when it is not known here: of another Worker, or started after
 * the moment to which the storage was restored. What is declared may then be older than what is
 * live.
 */
function findStranger({ operation }: LiveNamespace, { ports }: LookContext): string | null {
  const id = operation === null ? null : runIdOf(operation.correlationId);
  return id === null || ports.runs.find(id) !== null ? null : id;
}

function blockedFault(guard: string, message: string): FoundDrift[] {
  if (guard === "unhealthyMember") return [];
  if (guard === "unsupported") {
    const reason = "the manifest asks for what cannot be done";
    return [
      {
        kind: "spec",
        reason,
        detail: message,
        remedy: "Correct the manifest, or the class; the detail says what.",
      },
    ];
  }
  const reason = "its rows could not be counted";
  return [
    {
      kind: "unreadable",
      reason,
      detail: message,
      remedy: "The next tick asks again; see the logs of the object.",
    },
  ];
}
