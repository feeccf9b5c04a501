/**
 * Desired state → plan, stored under its fingerprint. The HTTP API, the poster of pull requests and
 * the tick all plan by this.
 */
import { gatherLive } from "./gather-live.ts";
import type { Role } from "../model/api.ts";
import type { TextUse } from "./applied-state.ts";
import type { TokenScope } from "../model/token-scope.ts";
import { formatCount, formatQuantity } from "../model/figures.ts";
import type { Block, Plan } from "../model/plan.ts";
import { type PolicyFloors, withFloors } from "../model/policy.ts";
import { buildPlan } from "../planning/build-plan.ts";
import { wasSharded } from "../model/what-lives.ts";
import type { DesiredState } from "../model/spec.ts";
import type { LiveReader } from "../live/port.ts";
import type { Reachable } from "../model/calls.ts";
import type { PlanCalls, SeenNamespace } from "./plan-book.ts";
import { RefusedRequest } from "../model/refused-request.ts";
import { appliedPolicies } from "./policy-store.ts";
import { decodeJson, encodeJson } from "./store.ts";
import { areWindowsOpen } from "./windows.ts";

/** Namespaces that a refusal names. */
const NAMED_MAX = 20;
/** Plans travel to the coordinator in one call, which carries 32 MiB with its desired state. */
const PLAN_BYTES_MAX = 20 * 1024 * 1024;

/** The caller who has a plan made. */
export interface Planner {
  readonly name: string;
  readonly role: Role;
  /** Null for everything. */
  readonly scope: TokenScope | null;
}

export interface PlanParts {
  readonly liveAccess: LiveReader;
  readonly coordinator: { readonly plans: Reachable<PlanCalls> };
  /**
   * The caller who asks for the plan; absent when the Worker makes it for itself, of what it has
   * read itself.
   */
  readonly caller?: Planner;
}

export interface MadePlan {
  readonly plan: Plan;
  /** The plan as UTF-8 JSON, as it is stored. */
  readonly body: Uint8Array;
}

/** A plan that is only looked at: namespaces that could not be read are blocks in it. */
export type SeenPlan = Omit<Plan, "fingerprint"> & {
  /** Null where a namespace could not be read: such a plan is not stored, nor to be applied. */
  readonly fingerprint: string | null;
};

/**
 * Reads live and plans, also where something could not be read.
 *
 * @throws RefusedRequest as `makePlan`, but for what could not be read.
 */
export async function lookAtPlan(
  parts: PlanParts,
  desired: DesiredState,
  basis: string | null,
): Promise<SeenPlan> {
  const plan = await planNow(parts, desired, basis);
  if (plan.result.blocks.some(isGap)) return { ...plan.result, fingerprint: null };
  await store(parts, plan, true);
  return plan.result;
}

/**
 * Reads live and plans. Changes nothing but the store of plans.
 *
 * @param basis fingerprint of a stored plan whose frozen choices are kept where nothing moved, or
 * null.
 * @param remembers false for what is only proposed: no namespace becomes a known one of the
 * environment by it. Otherwise those do that are or were sharded: a typing mistake is none.
 * @param isExact counts every row, where otherwise a sample may do.
 * @throws RefusedRequest `unknownPlan` for a basis that is not stored, `tooLarge`, `conflict` when
 * a declared namespace could not be read: there is no plan then, and nothing is stored. `conflict`,
 * too, for a second plan of the same fingerprint and commit with other labels or files than
 * somebody has sent who may apply everything.
 */
export async function makePlan(
  parts: PlanParts,
  given: DesiredState,
  basis: string | null,
  remembers = true,
  isExact = false,
): Promise<MadePlan> {
  const plan = await planNow(parts, given, basis, isExact);
  refuseGaps(plan.result);
  return { plan: plan.result, body: await store(parts, plan, remembers) };
}

interface PlannedNow {
  readonly result: Plan;
  readonly desired: DesiredState;
  /** Namespaces that answered. */
  readonly seen: readonly SeenNamespace[];
}

async function planNow(
  { liveAccess, coordinator: { plans } }: PlanParts,
  given: DesiredState,
  basis: string | null,
  isExact = false,
): Promise<PlannedNow> {
  const desired = sortNamespaces(given);
  const basisPlan =
    basis === null ? null : (decodeJson(await readStoredPlan(plans, basis)) as Plan);
  const known = await plans.listNamespaces(desired.environment);
  const { applied, floors } = await plans.policies(desired.environment);
  const state = await gatherLive(liveAccess, within(desired, floors), known, basisPlan, isExact);
  const now = Date.now();
  const result = await buildPlan({
    desired,
    live: state,
    applied: appliedPolicies(applied),
    floors,
    basis: basisPlan,
    isWindowOpen: (spec) => areWindowsOpen(spec.policy, now),
  });
  const seen = state.namespaces.flatMap(({ ref, namespace, decided }) =>
    namespace.ok
      ? [{ ...ref, wasSharded: wasSharded(namespace.value), isDeclared: decided !== null }]
      : [],
  );
  return { result, desired, seen };
}

/** The plan as it is stored. */
async function store(
  { coordinator: { plans }, caller }: PlanParts,
  { result: plan, desired, seen }: PlannedNow,
  remembers: boolean,
): Promise<Uint8Array> {
  const body = encodeJson(plan);
  if (body.length > PLAN_BYTES_MAX) {
    throw new RefusedRequest(
      "tooLarge",
      `The plan has ${body.length} bytes, more than ${PLAN_BYTES_MAX}: plan fewer namespaces at a time.`,
    );
  }
  const stored = {
    fingerprint: plan.fingerprint,
    environment: plan.environment,
    body,
    desired: encodeJson(desired),
  };
  const refs = remembers ? seen : [];
  const others = await plans.put(stored, refs, caller?.name ?? "shardctl", useOf(caller));
  if (others.length > 0) throw otherTexts(plan, others);
  return body;
}

function useOf(caller: Planner | undefined): TextUse {
  if (caller === undefined) return "worker";
  if (caller.role !== "apply") return "none";
  return caller.scope === null ? "whole" : "own";
}

/** Says nothing of the other labels: nobody is to read them. */
function otherTexts({ fingerprint, commit }: Plan, names: readonly string[]): RefusedRequest {
  const named = names.slice(0, NAMED_MAX).map((name) => `'${name}'`);
  const more = names.length - named.length;
  const listed = [...named, ...(more > 0 ? [`${formatCount(more)} more`] : [])].join(", ");
  return new RefusedRequest(
    "conflict",
    `Nothing was stored: plan ${fingerprint} of commit ${commit ?? ""} is stored already, with other labels or files of ${listed}. One commit has one text: plan from a clean checkout of it, or from another commit.`,
  );
}

function isGap({ guard }: Block): boolean {
  return guard === "unreadable";
}

/** Nobody knows what would have to be done in a namespace that could not be read. */
function refuseGaps({ blocks, environment }: Plan): void {
  const unread = blocks.filter(isGap);
  if (unread.length === 0) return;
  const named = unread
    .slice(0, NAMED_MAX)
    .map(({ namespace, message }) => `'${namespace ?? ""}' ${message}`);
  const more = unread.length - named.length;
  throw new RefusedRequest(
    "conflict",
    `No plan for ${environment} could be made: ${formatQuantity(unread.length, "namespace")} could not be read. ${[...named, ...(more > 0 ? [`And ${formatCount(more)} more`] : [])].join("; ")}`,
  );
}

/** The stored plan as UTF-8 JSON, or the refusal `unknownPlan`. */
export async function readStoredPlan(
  plans: Reachable<PlanCalls>,
  fingerprint: string,
): Promise<Uint8Array> {
  const body = await plans.readBody(fingerprint);
  if (body) return body;
  throw unknownPlan(fingerprint);
}

export function unknownPlan(fingerprint: string): RefusedRequest {
  return new RefusedRequest(
    "unknownPlan",
    `No plan ${fingerprint} is stored here: it was made elsewhere, or has expired. Plan again.`,
  );
}

/** The declared state within the owner's floors: a change is wanted by what is left of it. */
function within(desired: DesiredState, floors: PolicyFloors): DesiredState {
  const namespaces = desired.namespaces.map((spec) => ({
    ...spec,
    policy: withFloors(spec.policy, floors),
  }));
  return { ...desired, namespaces };
}

function sortNamespaces(desired: DesiredState): DesiredState {
  return {
    ...desired,
    namespaces: desired.namespaces.toSorted((left, right) => (left.name < right.name ? -1 : 1)),
  };
}
