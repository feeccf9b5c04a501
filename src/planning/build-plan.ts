/**
 * buildPlan: the difference between what the manifests say and what the registries say.
 *
 * | declared | live           | the plan has                                                        |
 * |----------|----------------|---------------------------------------------------------------------|
 * | yes      | read           | a change, or in sync, or a block: see `plan-namespace.ts`           |
 * | yes      | unreadable     | a block, and nothing is concluded                                   |
 * | no       | read           | a notice: unmanaged namespaces are left alone; none for an object   |
 * |          |                | that was only ever asked                                            |
 * | no       | unreadable     | a notice                                                            |
 * | nothing at all | something | a block on the whole plan                                          |
 *
 * A policy that differs from the one that was applied last is a change of its own. What it loosens
 * does not count for the changes of the same plan: guards judge them by the stricter value, and
 * within the owner's floors. Which change a namespace needs, the declared policy says.
 *
 * With a basis the plan is first made with every decision about skew taken from it. If that has the
 * basis's fingerprint, specs, epochs and layouts are as reviewed, and it is the answer: the
 * reviewed plan with today's counts. Otherwise skew is judged by today's rows, and only the choices
 * that still fit are kept.
 */
import { compareText } from "../model/compare-text.ts";
import { formatQuantity } from "../model/figures.ts";
import { type Change, type Notice, PLAN_VERSION, type Plan } from "../model/plan.ts";
import {
  type AppliedPolicies,
  comparePolicies,
  guardPolicy,
  type PolicyFloors,
  withFloors,
} from "../model/policy.ts";
import type { DesiredState, NamespaceSpec } from "../model/spec.ts";
import { blockOf, checkSafety, sortBlocks } from "./check-safety.ts";
import { liveRows } from "./decide-change.ts";
import type { LiveEntry, LiveState } from "./decide-namespace.ts";
import { orderByDependency } from "../model/execution-order.ts";
import { explainElsewhere } from "./find-elsewhere.ts";
import { fingerprintPlan } from "./fingerprint.ts";
import { floorsNotice } from "./notices.ts";
import { type NamespaceOutcome, planNamespace } from "./plan-namespace.ts";
import { isNothing } from "../model/what-lives.ts";

export interface PlanInput {
  readonly desired: DesiredState;
  /** Decided under the basis, of specs within the floors. */
  readonly live: LiveState;
  /** Policies that were applied last. Default: as declared. */
  readonly applied?: AppliedPolicies;
  /** Default: none. */
  readonly floors?: PolicyFloors;
  /**
   * Tells whether the windows of the guarding policy let a change of the namespace start now.
   * `planning` has no clock. Default: always.
   */
  readonly isWindowOpen?: (spec: NamespaceSpec) => boolean;
  /** An earlier plan whose choices are kept where nothing but counts has moved. */
  readonly basis?: Plan | null;
}

/** Makes the plan. Asynchronous for its digest only; reads nothing and changes nothing. */
export async function buildPlan(input: PlanInput): Promise<Plan> {
  if (input.basis) {
    const held = await assemblePlan(input, true);
    if (held.fingerprint === input.basis.fingerprint) return held;
  }
  return assemblePlan(input, false);
}

/** A spec with the policy that its guards judge by, and as it is declared. */
interface Guarded {
  readonly spec: NamespaceSpec;
  readonly declared: NamespaceSpec;
}

type Outcomes = readonly (Guarded & { readonly outcome: NamespaceOutcome })[];

async function assemblePlan(input: PlanInput, holdsSkew: boolean): Promise<Plan> {
  const { desired, live } = input;
  const outcomes = planNamespaces(input, holdsSkew);
  const changes = sortChanges(desired, outcomes);
  const unmanaged = findUnmanaged(desired, live);
  const policies = input.applied ? comparePolicies(desired.namespaces, input.applied) : [];
  const undeclared = Map.groupBy(unmanaged, ({ ref }) => ref.name);
  const othersOf = ({ name }: NamespaceSpec) => undeclared.get(name) ?? [];
  const epochs = new Map(
    outcomes.map(({ spec, outcome }) => [spec.name, outcome.live?.epoch ?? null]),
  );
  const blocks = [
    ...outcomes.flatMap(({ outcome }) => (outcome.kind === "blocked" ? [outcome.block] : [])),
    ...checkSafety({
      changes: outcomes.flatMap(({ spec, declared, outcome }) =>
        outcome.kind === "change"
          ? [
              {
                ...outcome,
                spec,
                declared: declared.policy,
                windowOpen: input.isWindowOpen?.(spec) ?? true,
                elsewhere: explainElsewhere(spec, outcome.live, othersOf(spec)),
              },
            ]
          : [],
      ),
      managed: {
        namespaces: desired.namespaces.length,
        rows: outcomes.reduce((sum, { outcome }) => sum + rowsOf(outcome), 0),
      },
      unmanaged: unmanaged.length,
    }),
  ];
  return {
    version: PLAN_VERSION,
    environment: desired.environment,
    commit: desired.commit,
    changes,
    ...(policies.length === 0 ? {} : { policies }),
    inSync: outcomes
      .flatMap(({ outcome }) => (outcome.kind === "inSync" ? [outcome.inSync] : []))
      .toSorted((left, right) => compareText(left.namespace, right.namespace)),
    blocks: sortBlocks(blocks),
    notices: sortNotices([
      ...outcomes.flatMap(({ outcome }) => outcome.notices),
      ...outcomes.flatMap(({ declared }) => floorsNotice(declared, input.floors ?? {})),
      ...unmanaged.map(unmanagedNotice),
    ]),
    fingerprint: await fingerprintPlan({ desired, epochs, changes, policies, blocks }),
  };
}

function guardSpec(declared: NamespaceSpec, { applied, floors = {} }: PlanInput): Guarded {
  const before = applied?.get(declared.name)?.policy ?? null;
  return {
    declared,
    spec: { ...declared, policy: guardPolicy(declared.policy, before, floors) },
  };
}

function planNamespaces(input: PlanInput, holdsSkew: boolean): Outcomes {
  const { desired, live, floors = {} } = input;
  const entries = new Map(live.namespaces.map((entry) => [refKey(entry.ref), entry]));
  const { faults } = orderByDependency(desired.namespaces);
  return desired.namespaces.map((declared) => {
    const guarded = guardSpec(declared, input);
    const { maxSkew } = withFloors(declared.policy, floors);
    const spec = { ...declared, policy: { ...guarded.spec.policy, maxSkew } };
    const entry = entries.get(refKey(spec));
    const fault = faults.get(spec.name);
    if (fault === undefined)
      return { ...guarded, outcome: planNamespace({ spec, entry, holdsSkew }) };
    const block = blockOf("unsupported", spec.name, fault);
    const known = entry?.namespace.ok ? entry.namespace.value : null;
    return { ...guarded, outcome: { kind: "blocked", block, live: known, notices: [] } };
  });
}

function sortChanges(desired: DesiredState, outcomes: Outcomes): Change[] {
  const byName = new Map(
    outcomes.flatMap(({ outcome }) =>
      outcome.kind === "change" ? [[outcome.change.namespace, outcome.change]] : [],
    ),
  );
  return orderByDependency(desired.namespaces).names.flatMap((name) => byName.get(name) ?? []);
}

function findUnmanaged(desired: DesiredState, live: LiveState): LiveEntry[] {
  const declared = new Set(desired.namespaces.map(refKey));
  return live.namespaces.filter(
    ({ ref, namespace }) =>
      !declared.has(refKey(ref)) && !(namespace.ok && isNothing(namespace.value)),
  );
}

function unmanagedNotice({ ref, namespace }: LiveEntry): Notice {
  const what = namespace.ok
    ? `${formatQuantity(liveRows(namespace.value), "row")} on ${formatQuantity(namespace.value.layout.members.length, "member")}`
    : "unreadable";
  return {
    kind: "unmanaged",
    namespace: ref.name,
    message: `is live in ${ref.object} (${what}) and no manifest declares it: it is left alone; 'shardctl import' writes its manifest`,
  };
}

function rowsOf(outcome: NamespaceOutcome): number {
  return outcome.live ? liveRows(outcome.live) : 0;
}

function refKey({ name, object }: { readonly name: string; readonly object: string }): string {
  return `${object}\n${name}`;
}

const NOTICE_ORDER: readonly Notice["kind"][] = [
  "unhealthy",
  "skewRemains",
  "largeKey",
  "estimate",
  "staysBehind",
  "floors",
  "unmanaged",
];

function sortNotices(notices: readonly Notice[]): Notice[] {
  return notices.toSorted(
    (left, right) =>
      compareText(left.namespace, right.namespace) ||
      NOTICE_ORDER.indexOf(left.kind) - NOTICE_ORDER.indexOf(right.kind),
  );
}
