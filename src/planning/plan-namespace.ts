/**
 * Compares the declared state of one namespace with the live one, and gives a change, "in sync", or
 * the reason why neither can be said.
 *
 * | the namespace                                      | gives                                             |
 * |----------------------------------------------------|---------------------------------------------------|
 * | was not read, or is blocked already                | that block: see `decide-namespace.ts`             |
 * | asks for what cannot be done                       | block unsupported                                 |
 * | needs no change                                    | in sync                                           |
 * | needs a change whose rows could not be counted     | block unhealthyMember or unreadable               |
 * | is skewed, and levelling would gain too little     | in sync, notice skewRemains                       |
 * | needs a change                                     | change, with notices; guards are checked later    |
 *
 * Nothing is ever concluded from a member that did not answer.
 */
import type { Layout } from "../model/layout/layout.ts";
import type { Distribution, LiveNamespace, LiveResult } from "../model/live.ts";
import type { Block, Change, InSync, Notice } from "../model/plan.ts";
import { type Result, failure, success } from "../model/result.ts";
import { isWorthwhile } from "../model/layout/skew.ts";
import type { NamespaceSpec } from "../model/spec.ts";
import { frozenLayout } from "./basis.ts";
import { blockOf, unhealthyBlock } from "./check-safety.ts";
import { type Decision, liveSkew } from "./decide-change.ts";
import type { Decided, LiveEntry } from "./decide-namespace.ts";
import { changeNotices, inSyncNotices, remainingSkewNotice } from "./notices.ts";
import { operationPolicy } from "./operation-policy.ts";
import { projectChange } from "./project-change.ts";
import { targetLayout } from "./target-layout.ts";

export interface NamespaceInput {
  readonly spec: NamespaceSpec;
  readonly entry: LiveEntry | undefined;
  /** True takes decisions about skew from the basis alone: see `build-plan.ts`. */
  readonly holdsSkew: boolean;
}

export type NamespaceOutcome = { readonly notices: readonly Notice[] } & (
  | { readonly kind: "change"; readonly change: Change; readonly live: LiveNamespace }
  | { readonly kind: "inSync"; readonly inSync: InSync; readonly live: LiveNamespace }
  | { readonly kind: "blocked"; readonly block: Block; readonly live: LiveNamespace | null }
);

/** Plans one namespace by the table above. */
export function planNamespace({ spec, entry, holdsSkew }: NamespaceInput): NamespaceOutcome {
  if (!entry?.decided) return blocked(spec, null, "unreadable", "was not read: plan again");
  const { decided, distribution } = entry;
  if (decided.kind === "blocked") return { ...decided, notices: [] };
  const { live } = decided;
  const decision = holdsSkew ? holdSkew(decided) : decided.decision;
  if (!decision) return inSync(live, inSyncNotices(live));
  const counts = requireCounts(spec, decided, distribution);
  if (!counts.ok) return { kind: "blocked", block: counts.failure, live, notices: [] };
  return planChange(spec, { ...decided, decision, distribution: counts.value, holdsSkew });
}

/** Of skew under a basis that is held the basis's word counts, not today's rows. */
function holdSkew({ decision, frozen }: Decided): Decision | null {
  if (decision?.cause === "declared") return decision;
  return frozen?.kind === "rebalance"
    ? { kind: "rebalance", cause: "skew", reason: frozen.reason }
    : null;
}

/** The counts that the change needs; null when it needs none. */
function requireCounts(
  spec: NamespaceSpec,
  { live, request }: Decided,
  counted: LiveResult<Distribution> | null,
): Result<Distribution | null, Block> {
  if (!request) return success(null);
  if (counted?.ok) return success(counted.value);
  const unhealthy = unhealthyBlock(live);
  if (unhealthy) return failure(unhealthy);
  const refusal = counted?.failure ?? null;
  const why = refusal?.message ?? "the counts are missing";
  // A fault is the tables' own no: it will be the same the next time.
  const wayOut =
    refusal?.reason === "fault"
      ? "correct spec.shardKey, or the tables of the class"
      : "plan again";
  const message = `the rows could not be counted by ${request.shardKey} (${why}): ${wayOut}`;
  return failure({
    ...blockOf("unreadable", spec.name, message),
    ...(refusal?.counted !== undefined && { counted: refusal.counted }),
  });
}

interface Planned extends Omit<Decided, "kind" | "request"> {
  readonly decision: Decision;
  readonly distribution: Distribution | null;
  readonly holdsSkew: boolean;
}

function planChange(spec: NamespaceSpec, planned: Planned): NamespaceOutcome {
  const { live, decision, distribution } = planned;
  const frozen = frozenLayout(planned.frozen, decision.kind);
  if (frozen) {
    const change = describeChange(spec, planned, frozen);
    const stillHelps =
      decision.cause === "declared" ||
      planned.holdsSkew ||
      isWorthwhile(change.skewBefore, change.skewAfter);
    if (stillHelps)
      return {
        kind: "change",
        change,
        live,
        notices: changeNotices(spec, live, change, distribution),
      };
  }
  // Which rows a custom partitioner gives to whom is not the planner's to choose.
  if (decision.cause === "skew" && live.layout.kind === "custom")
    return inSync(live, [remainingSkewNotice(spec, live), ...inSyncNotices(live)]);
  const to = targetLayout({ spec, ...planned });
  if (!to.ok) return blocked(spec, live, "unsupported", to.failure);
  const change = describeChange(spec, planned, to.value);
  if (decision.cause === "skew" && !isWorthwhile(change.skewBefore, change.skewAfter)) {
    return inSync(live, [remainingSkewNotice(spec, live), ...inSyncNotices(live)]);
  }
  return { kind: "change", change, live, notices: changeNotices(spec, live, change, distribution) };
}

function describeChange(
  spec: NamespaceSpec,
  { live, decision, distribution }: Planned,
  to: Layout,
): Change {
  return {
    kind: decision.kind,
    namespace: spec.name,
    object: spec.object,
    epoch: live.epoch,
    from: live.layout,
    to,
    reason: decision.reason,
    ...projectChange(live, to, distribution),
    ...(spec.policy.storageBytesMax !== undefined && { bytesMax: spec.policy.storageBytesMax }),
    staysBehind: live.undeclaredTables.toSorted(),
    policy: operationPolicy(spec.policy, { kind: decision.kind, from: live.layout, to }),
    dependsOn: spec.dependsOn,
    source: spec.source,
  };
}

function inSync(live: LiveNamespace, notices: readonly Notice[]): NamespaceOutcome {
  const { name: namespace, object, layout, epoch, members } = live;
  const rows = members.reduce((sum, member) => sum + member.rows, 0);
  const bytes = members.reduce((sum, member) => sum + member.bytes, 0);
  return {
    kind: "inSync",
    inSync: {
      namespace,
      object,
      strategy: layout.kind,
      members: layout.members.length,
      rows,
      bytes,
      skew: liveSkew(live),
      epoch,
    },
    live,
    notices,
  };
}

function blocked(
  spec: NamespaceSpec,
  live: LiveNamespace | null,
  guard: Block["guard"],
  message: string,
): NamespaceOutcome {
  return { kind: "blocked", block: blockOf(guard, spec.name, message), live, notices: [] };
}
