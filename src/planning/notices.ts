/**
 * Notices: what a reader of the plan should know about a namespace although it neither changes nor
 * blocks anything.
 */
import { compareKeys } from "../model/layout/key.ts";
import { formatCount, formatQuantity, formatShare } from "../model/figures.ts";
import type { Distribution, LiveNamespace } from "../model/live.ts";
import type { Change, Notice } from "../model/plan.ts";
import { loosenedFields, manifestField, type PolicyFloors } from "../model/policy.ts";
import type { NamespaceSpec } from "../model/spec.ts";
import { isSkewed, unhealthyMessage } from "./check-safety.ts";
import { liveSkew } from "./decide-change.ts";
import { countSlots } from "./target-layout.ts";

/** Notices of a change, in the order in which they are shown. */
export function changeNotices(
  spec: NamespaceSpec,
  live: LiveNamespace,
  change: Change,
  distribution: Distribution | null,
): Notice[] {
  const found: [Notice["kind"], string | null][] = [
    ["staysBehind", staysBehindMessage(live)],
    ["skewRemains", skewRemainsMessage(spec, change)],
    [
      "largeKey",
      isSkewed(change, spec.policy.maxSkew) ? largeKeyMessage(change, distribution) : null,
    ],
    ["estimate", estimateMessage(change)],
  ];
  return found.flatMap(([kind, message]) =>
    message === null ? [] : [{ kind, namespace: spec.name, message }],
  );
}

/** Notices of a namespace that does not change. */
export function inSyncNotices(live: LiveNamespace): Notice[] {
  const message = unhealthyMessage(live);
  return message === null ? [] : [{ kind: "unhealthy", namespace: live.name, message }];
}

/** The skew is above policy, and no layout of this strategy would be clearly better. */
export function remainingSkewNotice(spec: NamespaceSpec, live: LiveNamespace): Notice {
  const why = {
    hash: "its fullest slots cannot be split: choose a key with more values",
    range: spec.splitPoints
      ? "the manifest declares the split points: change them"
      : "its fullest keys cannot be split: choose a key with more values",
    custom: "the partitioner decides: register a better version",
    roundRobin: "it is even to the row already",
    none: "it has one member",
  }[live.layout.kind];
  return {
    kind: "skewRemains",
    namespace: spec.name,
    message: `skew ${liveSkew(live).toFixed(2)} is above policy.maxSkew ${spec.policy.maxSkew}, but a rebalance would not help: ${why}, or raise policy.maxSkew`,
  };
}

/** The manifest may only be stricter than the owner. */
export function floorsNotice({ name, policy }: NamespaceSpec, floors: PolicyFloors): Notice[] {
  const loosened = loosenedFields(policy, floors);
  if (loosened.length === 0) return [];
  const what = loosened.map((field) => `policy.${manifestField(field)}`).join(", ");
  return [
    {
      kind: "floors",
      namespace: name,
      message: `${what} ${loosened.length === 1 ? "is" : "are"} looser than the guards of this Worker, which hold`,
    },
  ];
}

function staysBehindMessage(live: LiveNamespace): string | null {
  const tables = live.undeclaredTables.toSorted();
  if (tables.length === 0) return null;
  return `${formatQuantity(tables.length, "table stays", "tables stay")} where ${tables.length === 1 ? "it is" : "they are"}, because the class declares no table spec: ${tables.join(", ")}`;
}

function skewRemainsMessage(spec: NamespaceSpec, change: Change): string | null {
  // A shard or rekey above policy is blocked by a guard, and so is a rebalance that makes it worse.
  if (
    change.kind !== "rebalance" ||
    change.skewAfter > change.skewBefore ||
    !isSkewed(change, spec.policy.maxSkew)
  )
    return null;
  return `skew ${change.skewAfter.toFixed(2)} after the change is still above policy.maxSkew ${spec.policy.maxSkew}: choose another key, or raise policy.maxSkew`;
}

function largeKeyMessage(change: Change, distribution: Distribution | null): string | null {
  const average = change.rowsTotal / change.to.members.length;
  const heaviest = distribution ? heaviestPart(change, distribution) : null;
  if (!heaviest || heaviest.rows <= average) return null;
  return (
    `one ${heaviest.part} holds ${formatCount(heaviest.rows)} rows (${formatShare(heaviest.rows, change.rowsTotal)}), ` +
    `more than the average of ${formatCount(average)} a member, and cannot be split`
  );
}

function heaviestPart(
  change: Change,
  distribution: Distribution,
): { readonly part: string; readonly rows: number } | null {
  switch (change.to.kind) {
    case "hash": {
      let heaviest = { slot: 0, rows: 0 };
      for (const [slot, rows] of countSlots(distribution))
        if (rows > heaviest.rows) heaviest = { slot, rows };
      return { part: `slot (${heaviest.slot})`, rows: heaviest.rows };
    }
    case "range": {
      const single = distribution.members
        .flatMap((member) => member.keys ?? [])
        .filter((bucket) => compareKeys(bucket.first, bucket.last) === 0);
      return { part: "key", rows: single.reduce((most, bucket) => Math.max(most, bucket.rows), 0) };
    }
    case "custom":
    case "roundRobin":
    case "none":
      return null;
  }
}

function estimateMessage({ estimate }: Change): string | null {
  if (!estimate) return null;
  const read =
    estimate.sampledEvery > 1
      ? `every ${formatCount(estimate.sampledEvery)}th row was read`
      : "split points cut counted key ranges in two";
  return `counts are estimates: ${read}, the fullest member may differ by ± ${formatShare(estimate.error, 1)}`;
}
