/**
 * The one judgement before anything starts: is each change still the planned one, do its guards
 * hold with current counts, and are those about what was shown?
 *
 * Every door goes through it: an apply by fingerprint, of a person or a workflow, a release, the
 * tick, a heal, and a run that starts a change later than it was accepted. A count is used while it
 * is young and the namespace still has as many rows; else the rows are counted again.
 */
import { ASKED_AGE_MAX_MS } from "../live/counts-age.ts";
import type { LiveReader } from "../live/port.ts";
import { runBounded } from "../model/run-bounded.ts";
import type { DistributionRequest, LiveNamespace } from "../model/live.ts";
import { type Block, type Change, type Guard, isEmptyPlan, type Plan } from "../model/plan.ts";
import { failure, type Result, success } from "../model/result.ts";
import type { NamespaceSpec } from "../model/spec.ts";
import { splitPointsOf } from "../model/strategies/range.ts";
import {
  checkSafety,
  checkWhole,
  isJudgedAtStart,
  rowsNeeded,
  sortBlocks,
  standingBlocks,
} from "../planning/check-safety.ts";
import { explainMoved, type ShownFigures } from "../model/count-moved.ts";
import { liveRows } from "../planning/decide-change.ts";
import { projectChange } from "../planning/project-change.ts";
import { type ChangeProblem, explainStale } from "./find-stale-changes.ts";
import { READS_MAX } from "./gather-live.ts";
import { areWindowsOpen } from "./windows.ts";

/** A count that is older says nothing about now. */
export const COUNT_AGE_MAX_MS = 10 * 60_000;

/** The terms by which a change is judged. */
export interface StartTerms {
  readonly spec: NamespaceSpec;
  readonly overrides: readonly Guard[];
  /** The counts that somebody has agreed to; null for a change whose counts nobody was to read. */
  readonly shown: ShownFigures | null;
  /** Milliseconds since the Unix epoch. */
  readonly now: number;
}

export type Judgement =
  /** It may start; its counts are current. */
  | { readonly kind: "may"; readonly change: Change }
  | { readonly kind: "not"; readonly problem: ChangeProblem }
  | { readonly kind: "blocked"; readonly change: Change; readonly blocks: readonly Block[] };

/** Judges one change. Reads only. */
export async function judgeChange(
  change: Change,
  liveAccess: LiveReader,
  terms: StartTerms,
): Promise<Judgement> {
  const { namespace, object } = change;
  const described = await liveAccess.describe({ name: namespace, object }, ASKED_AGE_MAX_MS);
  return described.ok
    ? judgeDescribed(change, described.value, liveAccess, terms)
    : not(namespace, "unreadable", described.failure.message);
}

/** The same for a registry that was read a moment ago. */
export async function judgeDescribed(
  change: Change,
  described: LiveNamespace,
  liveAccess: LiveReader,
  terms: StartTerms,
): Promise<Judgement> {
  const { namespace } = change;
  const stale = explainStale(change, described);
  if (stale !== null) return not(namespace, "stale", stale);
  const counted = await countNow(change, described, liveAccess, terms.now);
  if (!counted.ok) return not(namespace, "unreadable", counted.failure);
  return judgeCounted(counted.value, described, terms);
}

function judgeCounted(change: Change, live: LiveNamespace, terms: StartTerms): Judgement {
  const { spec, overrides, shown, now } = terms;
  const blocks = checkSafety({
    changes: [{ change, spec, live, windowOpen: areWindowsOpen(spec.policy, now) }],
    managed: { namespaces: 0, rows: 0 },
    unmanaged: 0,
  });
  const standing = standingBlocks({ blocks }, overrides);
  if (standing.length > 0) return { kind: "blocked", change, blocks: standing };
  const before = shown?.[change.namespace];
  const moved = before === undefined ? null : explainMoved(before, change);
  if (moved !== null)
    return not(change.namespace, "moved", `${moved}: read the plan with current counts`);
  return { kind: "may", change };
}

/** The change with current counts. */
async function countNow(
  change: Change,
  described: LiveNamespace,
  liveAccess: LiveReader,
  now: number,
): Promise<Result<Change, string>> {
  const age = now - change.countedAt;
  const isYoung = age >= 0 && age <= COUNT_AGE_MAX_MS;
  if (isYoung && liveRows(described) === change.rowsTotal) return success(change);
  const request = requestFor(change);
  if (request === null) return success({ ...change, ...projectChange(described, change.to, null) });
  const ref = { name: change.namespace, object: change.object };
  const counted = await liveAccess.distribute(ref, request);
  return counted.ok
    ? success({ ...change, ...projectChange(described, change.to, counted.value) })
    : failure(`the rows could not be counted by ${request.shardKey} (${counted.failure.message})`);
}

/** Null: the members' own counts say it. */
function requestFor({ to }: Change): DistributionRequest | null {
  switch (to.kind) {
    case "hash":
      return { by: "slots", shardKey: to.shardKey };
    case "range":
      return { by: "keys", shardKey: to.shardKey, boundaries: splitPointsOf(to) };
    case "custom": {
      const { shardKey, partitioner, members } = to;
      return { by: "shards", shardKey, partitioner, count: members.length };
    }
    case "roundRobin":
    case "none":
      return null;
  }
}

export interface PlanTerms extends Omit<StartTerms, "spec"> {
  /** The specs that the plan was made from, with the policies that guards judge by. */
  readonly specs: readonly NamespaceSpec[];
}

export interface PlanJudgement {
  readonly blocks: readonly Block[];
  readonly problems: readonly ChangeProblem[];
}

/** Judges all changes of a plan, and the plan as a whole. */
export async function judgePlan(
  plan: Plan,
  liveAccess: LiveReader,
  { specs, ...terms }: PlanTerms,
): Promise<PlanJudgement> {
  const byName = new Map(specs.map((spec) => [spec.name, spec]));
  const judged = await runBounded(plan.changes, READS_MAX, async (change) => {
    const spec = byName.get(change.namespace);
    if (!spec) throw new Error(`Plan ${plan.fingerprint} has no spec of '${change.namespace}'`);
    return judgeChange(change, liveAccess, { ...terms, spec });
  });
  const counted = judged.flatMap((one) => (one.kind === "not" ? [] : [one.change]));
  const namespaces = plan.changes.length + plan.inSync.length;
  const rowsMoved = counted.reduce((sum, one) => sum + one.rowsMoved, 0);
  const rowsChanged = counted.reduce((sum, one) => sum + one.rowsTotal, 0);
  const needed = terms.overrides.includes("bulkChange") ? 0 : rowsNeeded(rowsMoved, namespaces);
  const rows = rowsChanged + (await countInSync(plan, liveAccess, needed - rowsChanged));
  const whole = checkWhole({
    changes: counted.map((change) => ({ change })),
    managed: { namespaces, rows },
    unmanaged: 0,
  });
  return {
    blocks: sortBlocks([
      ...standingBlocks({ blocks: [...settledBlocks(plan), ...whole] }, terms.overrides),
      ...judged.flatMap((one) => (one.kind === "blocked" ? one.blocks : [])),
    ]),
    problems: judged.flatMap((one) => (one.kind === "not" ? [one.problem] : [])),
  };
}

/**
 * Current rows of what the plan leaves as it is, the largest first, as far as they are needed. What
 * cannot be read counts for nothing.
 */
async function countInSync(
  { inSync }: Plan,
  liveAccess: LiveReader,
  rowsWanted: number,
): Promise<number> {
  const largest = inSync.toSorted((left, right) => right.rows - left.rows);
  let rows = 0;
  for (let at = 0; rows < rowsWanted && at < largest.length; at += READS_MAX) {
    const counts = await runBounded(
      largest.slice(at, at + READS_MAX),
      READS_MAX,
      async ({ namespace: name, object }) => {
        const described = await liveAccess.describe({ name, object }, ASKED_AGE_MAX_MS);
        return described.ok ? liveRows(described.value) : 0;
      },
    );
    rows += counts.reduce((sum, count) => sum + count, 0);
  }
  return rows;
}

/**
 * Blocks of the plan that no current reading can lift: of what it changes, of what that depends on,
 * and of the plan as a whole. A namespace that it leaves alone, or only gives another policy, has
 * nothing here to guard; an empty plan is only its blocks.
 */
function settledBlocks(plan: Plan): readonly Block[] {
  const { blocks, changes } = plan;
  if (isEmptyPlan(plan)) return blocks;
  const concerned = new Set(
    changes.flatMap(({ namespace, dependsOn }) => [namespace, ...dependsOn]),
  );
  return blocks.filter(
    ({ guard, namespace }) =>
      !isJudgedAtStart(guard) && (namespace === null || concerned.has(namespace)),
  );
}

function not(namespace: string, kind: ChangeProblem["kind"], message: string): Judgement {
  return { kind: "not", problem: { namespace, kind, message } };
}
