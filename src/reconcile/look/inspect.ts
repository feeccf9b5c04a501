/**
 * One namespace as it is now, and the change that it needs: what a look records, and what a start
 * is made from. Reads only.
 *
 * Misplaced rows need a change, too: the same layout once more, on members of a new generation. A
 * rebalance moves ranges, and a misplaced row lies in none that its member gives away. A swap reads
 * every row of every member and gives it to its owner, verified, with its cutover; that is much for
 * a few rows, and why the budget is asked first.
 *
 * A policy that is not applied yet may ask for a rebalance that the followed one does not. It is
 * found as the reviewed plan of that policy shows it: the rows of today have no say.
 */
import { WATCHED_AGE_MAX_MS } from "../../live/counts-age.ts";
import type { LiveReader } from "../../live/port.ts";
import { type Layout, shardNames } from "../../model/layout/layout.ts";
import type { LiveFailure, LiveNamespace } from "../../model/live.ts";
import { swapGeneration } from "../../model/operation-mode.ts";
import type { Change, Plan } from "../../model/plan.ts";
import { success } from "../../model/result.ts";
import type { NamespaceSpec } from "../../model/spec.ts";
import { liveRows, liveSkew } from "../../planning/decide-change.ts";
import {
  decideNamespace,
  decideUnder,
  type NamespaceDecision,
} from "../../planning/decide-namespace.ts";
import { operationPolicy } from "../../planning/operation-policy.ts";
import { type NamespaceOutcome, planNamespace } from "../../planning/plan-namespace.ts";
import { isAuditedSince } from "../heal-attempts.ts";
import { declaresUnapplied, type ChangeCause, type NamespaceState } from "../namespace-state.ts";

export type Inspection =
  | { readonly kind: "silent"; readonly failure: LiveFailure }
  /** An operation is running: nothing is concluded. */
  | { readonly kind: "running"; readonly live: LiveNamespace }
  | {
      readonly kind: "planned";
      readonly live: LiveNamespace;
      readonly outcome: NamespaceOutcome;
      readonly wanted: WantedChange | null;
    };

export interface WantedChange {
  readonly cause: ChangeCause;
  readonly change: Change;
}

export interface InspectContext {
  readonly liveAccess: LiveReader;
  /**
   * The reviewed plan whose choices are kept for this namespace. Asked only when it needs a change.
   */
  readonly basisFor: (namespace: string) => Promise<Plan | null>;
  /**
   * Reviewed plans that show the namespace's policy with a change of it. Asked only while that
   * policy is not applied.
   */
  readonly plansAwaitedBy: (namespace: string) => Promise<readonly Plan[]>;
  readonly spend: (calls: number) => void;
}

/** Facts about a namespace: its last audit may ask for a change, and its policy may wait. */
export type Known = Pick<NamespaceState, "audit" | "held" | "heals">;

/** Reads the registry, and counts rows where a change needs it. */
export async function inspectNamespace(
  spec: NamespaceSpec,
  known: Known,
  context: InspectContext,
): Promise<Inspection> {
  const { liveAccess, spend } = context;
  spend(1);
  const namespace = await liveAccess.describe(spec, WATCHED_AGE_MAX_MS);
  if (!namespace.ok) return { kind: "silent", failure: namespace.failure };
  if (namespace.value.operation?.state === "running")
    return { kind: "running", live: namespace.value };
  return planFrom(spec, namespace.value, known, context);
}

/** The same for a registry that was read already, of a namespace at rest. */
export async function planFrom(
  spec: NamespaceSpec,
  state: LiveNamespace,
  known: Known,
  context: InspectContext,
): Promise<Extract<Inspection, { kind: "planned" }>> {
  const { liveAccess, spend } = context;
  const namespace = success(state);
  const decided = await decideNow(spec, state, known, context);
  const decision = decided.kind === "decided" ? decided.decision : null;
  const holdsSkew = decided.kind === "decided" && decision === null && decided.frozen !== null;
  const request = decided.kind === "decided" ? decided.request : null;
  if (request !== null) spend(1);
  const distribution = request === null ? null : await liveAccess.distribute(spec, request);
  const ref = { name: spec.name, object: spec.object };
  const entry = { ref, namespace, decided, distribution };
  const outcome = planNamespace({ spec, entry, holdsSkew });
  if (outcome.kind === "change") {
    return {
      kind: "planned",
      live: state,
      outcome,
      wanted: { cause: decision?.cause ?? "skew", change: outcome.change },
    };
  }
  const misplacedRows = outcome.kind === "inSync" ? misplacedNow(known, state) : 0;
  const relocation = misplacedRows > 0 ? relocateChange(spec, state, misplacedRows) : null;
  return {
    kind: "planned",
    live: state,
    outcome,
    wanted: relocation === null ? null : { cause: "misplaced", change: relocation },
  };
}

/** Without a decision, but with a frozen change, that one is what the policy waits for. */
async function decideNow(
  spec: NamespaceSpec,
  state: LiveNamespace,
  known: Known,
  { basisFor, plansAwaitedBy }: InspectContext,
): Promise<NamespaceDecision> {
  const first = decideNamespace(spec, success(state));
  if (first.kind === "blocked") return first;
  if (first.decision !== null) return decideUnder(await basisFor(spec.name), spec, first);
  if (!declaresUnapplied(known)) return first;
  for (const plan of await plansAwaitedBy(spec.name)) {
    const decided = decideUnder(plan, spec, first);
    if (decided.frozen?.kind === "rebalance") return decided;
  }
  return first;
}

/** By an audit of this very layout, which no heal has come after. */
export function misplacedNow({ audit, heals }: Known, { epoch }: LiveNamespace): number {
  if (audit === null || audit.epoch !== epoch || !isAuditedSince(heals, audit)) return 0;
  return audit.misplacedRows;
}

/** The change, or null for a layout whose owners do not follow from keys. */
function relocateChange(
  spec: NamespaceSpec,
  live: LiveNamespace,
  misplacedRows: number,
): Change | null {
  const to = relocatedLayout(spec.name, live.layout);
  if (to === null) return null;
  const rows = liveRows(live);
  const moves = live.members.map(({ name: source, rows: sourceRows, bytes }, index) => ({
    source,
    target: to.members[index] ?? source,
    rows: sourceRows,
    bytes,
  }));
  return {
    kind: "rekey",
    namespace: spec.name,
    object: spec.object,
    epoch: live.epoch,
    from: live.layout,
    to,
    reason: `${misplacedRows} misplaced rows`,
    moves,
    rowsTotal: rows,
    rowsMoved: rows,
    bytesMoved: moves.reduce((sum, { bytes }) => sum + bytes, 0),
    skewBefore: liveSkew(live),
    skewAfter: liveSkew(live),
    missingKeys: 0,
    staysBehind: live.undeclaredTables.toSorted(),
    estimate: null,
    countedAt: live.countedAt,
    policy: operationPolicy(spec.policy, { kind: "rekey", from: live.layout, to }),
    dependsOn: spec.dependsOn,
    source: spec.source,
  };
}

function relocatedLayout(namespace: string, layout: Layout): Layout | null {
  if (layout.kind === "none" || layout.kind === "roundRobin") return null;
  const generation = swapGeneration(namespace, layout, layout.members.length);
  const members = shardNames(namespace, generation, layout.members.length);
  if (layout.kind === "custom") return { ...layout, generation, members };
  const renamed = new Map(
    layout.members.map((member, index) => [member, members[index] ?? member]),
  );
  const rename = (member: string): string => renamed.get(member) ?? member;
  if (layout.kind === "hash")
    return {
      ...layout,
      generation,
      members,
      ranges: layout.ranges.map(({ end, member }) => ({ end, member: rename(member) })),
    };
  return {
    ...layout,
    generation,
    members,
    ranges: layout.ranges.map(({ end, member }) => ({ end, member: rename(member) })),
  };
}
