/**
 * The words for layouts and changes that every form of output shares. Nothing here is escaped: each
 * form does that its own way.
 */
import { formatCount, formatQuantity } from "../model/figures.ts";
import type { Layout } from "../model/layout/layout.ts";
import type { OperationKind, OperationStatus } from "../model/operation.ts";
import type { Change, Plan, Skew } from "../model/plan.ts";

export const SYMBOLS: Readonly<Record<OperationKind, string>> = {
  shard: "+",
  rebalance: "~",
  rekey: "-/+",
  unshard: "-",
};

/** "hash(data.customer.id) × 8", "custom byRegion v2(data.region) × 4", "unsharded". */
export function describeLayout(layout: Layout): string {
  if (layout.kind === "none") return "unsharded";
  const name =
    layout.kind === "custom"
      ? `custom ${layout.partitioner.name} v${layout.partitioner.version}`
      : layout.kind;
  return `${name}(${layout.shardKey}) × ${formatCount(layout.members.length)}`;
}

/**
 * Describes a change in a few words: "8 → 12 shards", "data.userId → data.tenantId × 8", "4 → 1".
 */
export function describeChange({
  kind,
  from,
  to,
  reason,
}: Pick<Change, "kind" | "from" | "to" | "reason">): string {
  const counts = `${formatCount(from.members.length)} → ${formatCount(to.members.length)}`;
  switch (kind) {
    case "shard":
      return describeLayout(to);
    case "unshard":
      return counts;
    case "rebalance":
      return from.members.length === to.members.length ? reason : `${counts} shards`;
    case "rekey":
      return describeRekey(from, to);
  }
}

function describeRekey(from: Layout, to: Layout): string {
  const sameShape =
    from.kind !== "none" && to.kind === from.kind && from.members.length === to.members.length;
  if (sameShape && from.shardKey !== to.shardKey) {
    return `${from.shardKey} → ${to.shardKey} × ${formatCount(to.members.length)}`;
  }
  return `${describeLayout(from)} → ${describeLayout(to)}`;
}

/** "1.04", "1.31 → 1.05", and "" where there is nothing to compare. */
export function describeSkew({
  kind,
  skewBefore,
  skewAfter,
}: Pick<Change, "kind" | "skewBefore" | "skewAfter">): string {
  switch (kind) {
    case "shard":
      return formatSkew(skewAfter);
    case "rebalance":
    case "rekey":
      return `${formatSkew(skewBefore)} → ${formatSkew(skewAfter)}`;
    case "unshard":
      return "";
  }
}

export function formatSkew(skew: Skew): string {
  return skew.toFixed(2);
}

/** Namespaces whose skew after the plan is above their policy. */
export function skewedNamespaces(plan: Plan): ReadonlySet<string> {
  const blocked = plan.blocks.flatMap(({ guard, namespace }) =>
    guard === "skew" && namespace !== null ? [namespace] : [],
  );
  const remaining = plan.notices.flatMap(({ kind, namespace }) =>
    kind === "skewRemains" ? [namespace] : [],
  );
  return new Set([...blocked, ...remaining]);
}

/** "3, not shown: they are keys of rows", for a range layout; null for other layouts. */
export function describeSplitPoints(layout: Layout): string | null {
  if (layout.kind !== "range") return null;
  return `${formatCount(layout.ranges.length - 1)}, not shown: they are keys of rows`;
}

/**
 * "250 of 1,000 rows copied", "250 of about 667 rows copied" while the number is an estimate, and
 * "680 rows copied, about 667 expected": rows that are written during the copy are copied again,
 * and an estimate can be too low.
 */
export function describeRows(
  operation: Pick<OperationStatus, "mode" | "step" | "rowsTotal">,
  rows: number,
  done: string,
): string {
  const { mode, step, rowsTotal } = operation;
  const about = mode === "shift" && (step === "prepare" || step === "copy") ? "about " : "";
  return rows > rowsTotal
    ? `${formatQuantity(rows, "row")}${done}, ${about}${formatCount(rowsTotal)} expected`
    : `${formatCount(rows)} of ${about}${formatQuantity(rowsTotal, "row")}${done}`;
}

/**
 * Share of the operation that is done, 0 … 1: copying is one half, verifying the other, and the
 * rest takes no rows.
 */
export function operationProgress(
  operation: Pick<OperationStatus, "state" | "rowsTotal" | "rowsCopied" | "rowsVerified">,
): number {
  if (operation.state === "completed") return 1;
  if (operation.rowsTotal === 0) return 0;
  const half = (rows: number): number => Math.min(1, rows / operation.rowsTotal) / 2;
  return half(operation.rowsCopied) + half(operation.rowsVerified);
}
