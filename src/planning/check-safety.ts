/**
 * Guards: reasons not to apply a plan, each with the number, the limit and the way out.
 *
 * | guard             | concerns                                                    | limit                          |
 * |-------------------|-------------------------------------------------------------|--------------------------------|
 * | unhealthyMember   | a change of a namespace with a member that does not answer  | none may be                    |
 * | targetTooLarge    | any change: each target and source, at its fullest          | policy.storageBytesMax (see check-capacity.ts) |
 * | object            | the first change of a name that lives behind another binding | none may (see find-elsewhere.ts) |
 * | missingKey        | shard, rekey                                                | policy.onMissingKey            |
 * | skew              | shard, rekey; a rebalance that makes it worse               | policy.maxSkew (see skew.ts)   |
 * | budget            | rows moved by one change                                    | policy.budget.rows             |
 * | bulkChange        | changes, or rows moved, of everything managed               | 30 %, from 10 namespaces up    |
 * | emptyManifests    | nothing declared while something is live                    |                                |
 * | window, suspend   | any change                                                  | policy.windows, policy.suspend |
 *
 * `unreadable`, `unsupported`, `outOfStep` and `operationRunning` leave no change to guard:
 * `plan-namespace.ts` reports them.
 */
import { compareText } from "../model/compare-text.ts";
import { formatCount, formatQuantity, formatShare, formatWindow } from "../model/figures.ts";
import type { LiveNamespace } from "../model/live.ts";
import { type Block, type Change, GUARDS, type Guard, type Plan } from "../model/plan.ts";
import { toleratedSkew } from "../model/layout/skew.ts";
import type { NamespaceSpec, Policy } from "../model/spec.ts";
import { findCapacityFault } from "./check-capacity.ts";

const BULK_SHARE_MAX = 0.3;
const BULK_NAMESPACES_MIN = 10;

const NEVER_OVERRIDABLE: ReadonlySet<Guard> = new Set<Guard>([
  "unreadable",
  "unsupported",
  "outOfStep",
  "operationRunning",
  "unhealthyMember",
  "tooLargeToUnshard",
]);

/**
 * Guards that stand for now only: the same plan may be free of them in a moment, so no fingerprint
 * has them.
 */
const NOT_NOW: ReadonlySet<Guard> = new Set<Guard>([
  "unreadable",
  "outOfStep",
  "operationRunning",
  "unhealthyMember",
  "window",
  "suspend",
]);

/** True when a block of this guard says that the change should not be made as it is. */
export function isNotSo(guard: Guard): boolean {
  return !NOT_NOW.has(guard);
}

/** Guards that `checkSafety` judges anew for each change before it starts, and for the whole. */
const JUDGED_AT_START: ReadonlySet<Guard> = new Set<Guard>([
  "unhealthyMember",
  "targetTooLarge",
  "tooLargeToUnshard",
  "missingKey",
  "skew",
  "budget",
  "bulkChange",
  "window",
  "suspend",
]);

/** True when what a plan says of this guard is replaced by a current reading. */
export function isJudgedAtStart(guard: Guard): boolean {
  return JUDGED_AT_START.has(guard);
}

/**
 * A block; whether it can be overridden follows from the guard, but for `targetTooLarge`. The
 * message must not hold row values.
 */
export function blockOf(guard: Guard, namespace: string | null, message: string): Block {
  return { guard, namespace, message, overridable: !NEVER_OVERRIDABLE.has(guard) };
}

interface ChangeUnderGuard {
  readonly change: Change;
  /** With the policy that the guards judge by. */
  readonly spec: NamespaceSpec;
  /** The policy of the manifest, where the guards judge by a stricter one. */
  readonly declared?: Policy;
  readonly live: LiveNamespace;
  /** False outside the spec's windows. */
  readonly windowOpen: boolean;
  /** Where else the name lives; absent or null when nowhere, or when that was judged before. */
  readonly elsewhere?: string | null;
}

export interface WholePlan {
  readonly changes: readonly { readonly change: Pick<Change, "rowsMoved"> }[];
  /** Declared namespaces, and the rows of those that could be read. */
  readonly managed: { readonly namespaces: number; readonly rows: number };
  /** Live namespaces that no manifest declares. */
  readonly unmanaged: number;
}

export interface SafetyInput extends WholePlan {
  readonly changes: readonly ChangeUnderGuard[];
}

/** Every guard that blocks the changes, in the order of `GUARDS`, then by namespace. */
export function checkSafety(input: SafetyInput): Block[] {
  return sortBlocks([...input.changes.flatMap(checkChange), ...checkWhole(input)]);
}

/** The blocks that the overrides leave standing. */
export function standingBlocks(plan: Pick<Plan, "blocks">, overrides: readonly Guard[]): Block[] {
  return plan.blocks.filter((block) => !block.overridable || !overrides.includes(block.guard));
}

/** Sorted as they are reported. */
export function sortBlocks(blocks: readonly Block[]): Block[] {
  return blocks.toSorted(
    (left, right) =>
      GUARDS.indexOf(left.guard) - GUARDS.indexOf(right.guard) ||
      compareText(left.namespace ?? "", right.namespace ?? ""),
  );
}

function checkChange(guarded: ChangeUnderGuard): Block[] {
  const { change } = guarded;
  const found: [Guard, string | null][] = [
    ["object", guarded.elsewhere ?? null],
    ["missingKey", missingKeyMessage(guarded)],
    ["skew", skewMessage(guarded)],
    ["budget", budgetMessage(guarded)],
    ["window", windowMessage(guarded)],
    ["suspend", suspendMessage(guarded)],
  ];
  const unhealthy = unhealthyBlock(guarded.live);
  const blocks = found.flatMap(([guard, message]) =>
    message === null ? [] : [blockOf(guard, change.namespace, message)],
  );
  if (unhealthy) blocks.unshift(unhealthy);
  const tooLarge = findCapacityFault(change, guarded.live, guarded.spec.policy);
  if (tooLarge === null) return blocks;
  const { message, overridable } = tooLarge;
  return [
    ...blocks,
    { guard: "targetTooLarge", namespace: change.namespace, message, overridable },
  ];
}

/** The block of a namespace whose rows are not known; null when all its members answer. */
export function unhealthyBlock(live: LiveNamespace): Block | null {
  const message = unhealthyMessage(live);
  if (message === null) return null;
  const counted = countedSoFar(live);
  return {
    ...blockOf("unhealthyMember", live.name, message),
    ...(counted !== null && { counted }),
  };
}

/** Rows so far, when all members that do not answer are still counting; null otherwise. */
function countedSoFar({ members }: LiveNamespace): number | null {
  const counts = members.filter(({ healthy }) => !healthy).map(({ counting }) => counting ?? null);
  return counts.length === 0 || counts.includes(null)
    ? null
    : counts.reduce<number>((sum, count) => sum + (count ?? 0), 0);
}

/** Describes the members that do not answer, or are still counting; null when all answer. */
export function unhealthyMessage(live: LiveNamespace): string | null {
  const unhealthy = live.members.filter((member) => !member.healthy);
  const [first] = unhealthy;
  if (!first) return null;
  const counted = countedSoFar(live);
  if (counted !== null)
    return `${unhealthy.length} of ${formatQuantity(live.members.length, "member")} ${unhealthy.length === 1 ? "is" : "are"} still counting (${formatQuantity(counted, "row")} so far), and serving meanwhile: plan again in a while`;
  return `${unhealthy.length} of ${formatQuantity(live.members.length, "member")} did not answer (${first.name}: ${first.error ?? "no reason given"}): plan again when it answers`;
}

function suspendMessage(guarded: ChangeUnderGuard): string | null {
  if (!guarded.spec.policy.suspend) return null;
  return `policy.suspend is true${notYet(guarded, "suspend", "false")}: set it to false, or apply with --override suspend`;
}

/** Says that the manifest has another value, which does not hold. */
function notYet(
  { spec, declared = spec.policy }: ChangeUnderGuard,
  field: "maxSkew" | "suspend" | "onMissingKey" | "budgetRows",
  said: string,
): string {
  if (declared[field] === spec.policy[field]) return "";
  return ` (the manifest's ${said} does not hold for this plan)`;
}

function missingKeyMessage(guarded: ChangeUnderGuard): string | null {
  const { change, spec } = guarded;
  const concerned = change.kind === "shard" || change.kind === "rekey";
  if (!concerned || change.missingKeys === 0 || spec.policy.onMissingKey === "allow") return null;
  return (
    `${formatShare(change.missingKeys, change.rowsTotal)} of the rows (${formatCount(change.missingKeys)}) have no ${spec.shardKey}; ` +
    `policy.onMissingKey is reject${notYet(guarded, "onMissingKey", "allow")}: give them a key, set it to allow, or apply with --override missingKey`
  );
}

function skewMessage(guarded: ChangeUnderGuard): string | null {
  const { change, spec, declared = spec.policy } = guarded;
  if (change.kind === "unshard" || !isSkewed(change, spec.policy.maxSkew)) return null;
  if (change.kind === "rebalance" && change.skewAfter <= change.skewBefore) return null;
  return (
    `skew ${change.skewAfter.toFixed(2)} after the change is above policy.maxSkew ${spec.policy.maxSkew}${notYet(guarded, "maxSkew", String(declared.maxSkew))}: ` +
    "raise policy.maxSkew, choose another key, or apply with --override skew"
  );
}

/**
 * True when the members after the change would be more uneven than the policy, or chance with so
 * few rows, allows.
 */
export function isSkewed(
  change: Pick<Change, "skewAfter" | "rowsTotal" | "to">,
  maxSkew: number,
): boolean {
  return change.skewAfter > toleratedSkew(maxSkew, change.rowsTotal, change.to.members.length);
}

function budgetMessage(guarded: ChangeUnderGuard): string | null {
  const { change, spec, declared = spec.policy } = guarded;
  const said = declared.budgetRows === null ? "no limit" : formatCount(declared.budgetRows);
  const limit = spec.policy.budgetRows;
  if (limit === null || change.rowsMoved <= limit) return null;
  return (
    `${formatQuantity(change.rowsMoved, "row")} would move, policy.budget.rows is ${formatCount(limit)}${notYet(guarded, "budgetRows", said)}: ` +
    "raise the budget, or apply with --override budget"
  );
}

function windowMessage({ spec, windowOpen }: ChangeUnderGuard): string | null {
  if (windowOpen) return null;
  const { windows, within = [] } = spec.policy;
  const lists = [windows, ...within].map((list) => list.map(formatWindow).join("; "));
  return `outside policy.windows (${lists.join(" and ")}): apply inside a window, or with --override window`;
}

/**
 * Rows that must be managed for so many to move in one plan of so many namespaces; 0 where it does
 * not matter.
 */
export function rowsNeeded(rowsMoved: number, namespaces: number): number {
  return namespaces < BULK_NAMESPACES_MIN ? 0 : rowsMoved / BULK_SHARE_MAX;
}

/** The guards that concern a plan as a whole. */
export function checkWhole({ changes, managed, unmanaged }: WholePlan): Block[] {
  if (managed.namespaces === 0 && unmanaged > 0) {
    return [
      blockOf(
        "emptyManifests",
        null,
        `no manifest declares a namespace, but ${formatQuantity(unmanaged, "namespace is", "namespaces are")} live: check the path and the environment, or apply with --override emptyManifests`,
      ),
    ];
  }
  if (managed.namespaces < BULK_NAMESPACES_MIN) return [];
  const rowsMoved = changes.reduce((sum, { change }) => sum + change.rowsMoved, 0);
  const tooMany = changes.length > managed.namespaces * BULK_SHARE_MAX;
  const tooMuch = rowsMoved > managed.rows * BULK_SHARE_MAX;
  if (!tooMany && !tooMuch) return [];
  const what = tooMany
    ? `${formatCount(changes.length)} of ${formatCount(managed.namespaces)} namespaces (${formatShare(changes.length, managed.namespaces)}) would change`
    : `${formatCount(rowsMoved)} of ${formatCount(managed.rows)} rows (${formatShare(rowsMoved, managed.rows)}) would move`;
  return [
    blockOf(
      "bulkChange",
      null,
      `${what}, the limit for one plan is ${BULK_SHARE_MAX * 100} %: change fewer at a time, or apply with --override bulkChange`,
    ),
  ];
}
