/**
 * Finds the faults of a live namespace, whatever its manifest asks for. Pure.
 *
 * Reasons are stable while the cause is: members are named, but counts, times and error texts
 * belong in the detail.
 */
import { describeDisorder, remedyOf } from "../../model/disorder.ts";
import { formatQuantity } from "../../model/figures.ts";
import type { LiveFailure, LiveNamespace } from "../../model/live.ts";
import { describeMix, endedFull } from "../../model/member-states.ts";
import type { Notice } from "../../model/plan.ts";
import { describeRelapse, hasRelapsedOften } from "../heal-attempts.ts";
import type { AuditFinding, NamespaceState } from "../namespace-state.ts";
import type { FoundDrift } from "../track-drifts.ts";
import { capacityFault } from "./capacity-fault.ts";

/**
 * A running operation without progress for so long has stalled: longer than any backoff of its
 * driver.
 */
export const STALLED_MS = 15 * 60_000;

/** Two versions side by side are normal for so long: a rollout takes minutes. */
export const MIXED_MS = 15 * 60_000;

/** Names that a reason lists. */
const NAMES_MAX = 5;

export function unreadableFault(
  failure: LiveFailure,
  { name, object }: NamespaceState,
): FoundDrift {
  // A root that refuses even to be read for its own disorder has the same way out.
  if (failure.reason === "registryLost" || failure.reason === "outOfStep") {
    const disorder = { kind: failure.reason, members: [name], message: failure.message, since: 0 };
    return {
      kind: failure.reason,
      reason: describeDisorder(disorder),
      detail: failure.message,
      remedy: remedyOf(disorder, name),
    };
  }
  const [reason, remedy] = {
    unbound: [
      `the Worker has no Durable Object binding ${object}`,
      "Bind it and deploy, or correct spec.object.",
    ],
    notShardable: [
      `the class behind ${object} does not speak shardctl's protocol`,
      "Add ShardHost to the class and deploy.",
    ],
    unreachable: [
      "the namespace does not answer",
      `See the logs of the object; \`shardctl status ${name}\` asks again.`,
    ],
    refused: ["the namespace refuses to be read", `\`shardctl status ${name}\` says why.`],
  }[failure.kind] as [string, string];
  return { kind: "unreadable", reason, detail: failure.message, remedy };
}

/** All that is wrong with members as they are, whatever runs. @param known of earlier looks. */
export function memberFaults(
  live: LiveNamespace,
  known: Pick<NamespaceState, "faults" | "spec">,
): FoundDrift[] {
  return [
    ...unhealthyFault(live),
    ...capacityFault(live, known),
    ...storageFullFault(live),
    ...mixedVersionsFault(live),
  ];
}

/**
 * Members that do not answer. A deleted shard is one: it does not know its namespace any more. One
 * that is still counting its rows is none: it answers when it has counted.
 */
export function unhealthyFault({ name, members }: LiveNamespace): FoundDrift[] {
  const silent = members.filter(({ healthy, counting }) => !healthy && counting === undefined);
  const [first] = silent;
  if (!first) return [];
  return [
    {
      kind: "unhealthy",
      reason: `${listNames(silent.map((member) => member.name))} ${silent.length === 1 ? "does" : "do"} not answer`,
      detail: `${silent.length} of ${formatQuantity(members.length, "member")}; ${first.name}: ${first.error ?? "no reason given"}`,
      remedy: `\`shardctl status ${name}\` shows all. Restore a deleted shard by point-in-time recovery of its object.`,
    },
  ];
}

/**
 * An operation that ended for lack of room. Nothing was committed that cannot be activated: the
 * space is met before the cutover.
 */
export function storageFullFault(live: LiveNamespace): FoundDrift[] {
  if (!endedFull(live)) return [];
  return [
    {
      kind: "storageFull",
      reason: `operation ${live.operation?.id ?? ""} ended because a member has no room left`,
      detail: live.operation?.fault?.message ?? null,
      remedy:
        "Nothing was committed. Delete rows that are not needed or drop indexes on the member that is full; then shard, or raise spec.count while there is still room: rows that move are held twice for a while.",
    },
  ];
}

/**
 * Members that run different libraries or have different tables: normal while a deploy reaches them
 * one by one.
 */
export function mixedVersionsFault(live: LiveNamespace): FoundDrift[] {
  const { operation } = live;
  const wait = operation?.state === "running" ? (operation.waitsFor ?? null) : null;
  const mix = describeMix(live.members);
  if (mix === null && wait === null) return [];
  return [
    {
      kind: "mixedVersions",
      reason:
        wait === null
          ? "members run different versions, or have different tables"
          : `operation ${operation?.id ?? ""} (${operation?.kind ?? ""}) waits until all members run one version with the same tables`,
      detail: [mix, wait?.message ?? null].filter((part) => part !== null).join("; "),
      remedy: `It ends when a deploy has reached every object. If it does not, finish the deploy or roll it back everywhere, and check why a member's constructor did not change its tables; \`shardctl status ${live.name}\` shows each member's version.`,
      normalMs: MIXED_MS,
    },
  ];
}

/** An operation that has stalled. Reading it has already woken it. */
export function stalledFault(
  live: LiveNamespace,
  progress: NamespaceState["progress"],
  now: number,
): FoundDrift[] {
  const { operation } = live;
  // One that somebody has paused is not stalled.
  if (operation?.state !== "running" || operation.paused !== null || progress === null) return [];
  // It says what it waits for: see `mixedVersionsFault`.
  if (operation.waitsFor) return [];
  if (now - progress.since < STALLED_MS) return [];
  const minutes = Math.floor((now - progress.since) / 60_000);
  return [
    {
      kind: "stalled",
      reason: `operation ${operation.id} (${operation.kind}) has stalled in step ${operation.step}`,
      detail: `no progress for ${minutes} minutes${operation.lastError ? `; ${operation.lastError}` : ""}`,
      remedy: `It is woken at every tick, and resumes once the cause is gone; \`shardctl status ${live.name}\` shows it.`,
    },
  ];
}

/**
 * Returns a mark that identifies a state of an operation; equal marks mean that nothing has
 * happened.
 */
export function progressMark({ operation }: LiveNamespace): string | null {
  if (operation?.state !== "running") return null;
  const { id, step, wave, rowsCopied, rowsVerified, paused } = operation;
  return `${id}/${step}/${wave}/${rowsCopied}/${rowsVerified}${paused === null ? "" : "/paused"}`;
}

/**
 * Why the registry is not the one that operations have made of the last one, or null. One that went
 * back is lost, and nobody gets here: see `withKnownLoss`. What was noted before a repair says
 * nothing about what that has left.
 */
export function findForgedRegistry(
  live: LiveNamespace,
  layoutDigest: string,
  state: NamespaceState,
  repairs: number,
): string | null {
  const { registry } = state;
  const { epoch, operation } = live;
  if (registry === null || registry.specDigest !== state.specDigest || registry.repairs !== repairs)
    return null;
  if (epoch === registry.epoch) {
    return layoutDigest === registry.layoutDigest
      ? null
      : `holds another layout at epoch ${epoch} than before`;
  }
  const isCommitted = operation === null || operation.epoch >= epoch;
  return isCommitted ? null : `is at epoch ${epoch}, and no operation has committed it`;
}

export function forgedFault(what: string): FoundDrift {
  return {
    kind: "spec",
    reason: `the registry was changed by hand: it ${what}`,
    detail: null,
    remedy:
      "Nothing but an operation or a repair may write the registry. Restore it by point-in-time recovery of the root, then run `shardctl repair` to see whether its members agree. If the layout is the right one, change the namespace's manifest in a pull request: its plan starts from there and shows what would be done.",
  };
}

/**
 * Returns the drifts that the last audit found. `heals`: they heal by themselves, when windows and
 * budget allow.
 */
export function auditFaults(audit: AuditFinding | null, heals: boolean): FoundDrift[] {
  if (audit === null) return [];
  const { misplacedRows, moves, orphans } = audit;
  const found: FoundDrift[] = [];
  if (misplacedRows > 0) {
    found.push({
      kind: "misplaced",
      reason: "rows are on members that do not own them",
      detail: `${formatQuantity(misplacedRows, "row")} (${moves.join("; ")})`,
      remedy: heals
        ? "They are moved inside the windows and the budget, by a swap to a new generation."
        : "Callers with the key do not find them. Set policy.selfHeal to apply to have them moved, and write through the router only.",
    });
  }
  if (orphans.length > 0) {
    found.push({
      kind: "orphan",
      reason: `objects that no layout names hold rows: ${listNames(orphans.map(({ name }) => name))}`,
      detail: orphans.map(({ name, rows }) => `${name}: ${formatQuantity(rows, "row")}`).join("; "),
      remedy:
        "shardctl leaves them alone. Write the rows that you need through the namespace, then delete the objects.",
    });
  }
  return found;
}

/** Heals that do not last: said until one does, also while the next one waits, or runs. */
export function relapseFaults({ name, heals = [] }: NamespaceState): FoundDrift[] {
  return heals.filter(hasRelapsedOften).map((attempts) => ({
    kind: "stalled",
    reason: `healing does not last: drift ${attempts.kind} comes back each time`,
    ...describeRelapse(attempts, name),
  }));
}

/** A skew that no change of layout would help. */
export function remainingSkewFault(notices: readonly Notice[], maxSkew: number): FoundDrift[] {
  const notice = notices.find(({ kind }) => kind === "skewRemains");
  if (!notice) return [];
  const reason = `more uneven than policy.maxSkew ${maxSkew} allows, and a rebalance would not help`;
  return [
    {
      kind: "skew",
      reason,
      detail: notice.message,
      remedy: "Choose another shard key, or raise policy.maxSkew.",
    },
  ];
}

export function unmanagedFault({ name, object }: LiveNamespace): FoundDrift {
  return {
    kind: "unmanaged",
    reason: `live in ${object}, and no manifest declares it`,
    detail: null,
    remedy: `\`shardctl import ${name}\` writes its manifest; otherwise it is left alone.`,
  };
}

function listNames(names: readonly string[]): string {
  const hidden = names.length - NAMES_MAX;
  return hidden > 0
    ? `${names.slice(0, NAMES_MAX).join(", ")} and ${hidden} more`
    : names.join(", ");
}
