/**
 * Policies against each other: which of two is stricter, what a change of one loosens, and which
 * one holds until a change of it was reviewed and applied.
 *
 * | of a namespace, there is                   | guards judge by                   | the tick follows            |
 * |--------------------------------------------|-----------------------------------|-----------------------------|
 * | the declared policy, applied as it is      | it                                | it                          |
 * | another one that was applied last          | the stricter value of each field  | the same; `maxSkew` as applied |
 * | none that was ever applied                 | the declared one                  | the same, but heals nothing |
 *
 * The owner's floors hold over all of it.
 */
import { canonicalJson } from "./canonical.ts";
import {
  DEFAULT_MAX_FILL,
  DEFAULT_POLICY,
  type Policy,
  type NamespaceSpec,
  type SelfHeal,
  type SourcePosition,
  type Window,
} from "./spec.ts";

/** The owner's limits; absent ones limit nothing. A manifest may only be stricter. */
export type PolicyFloors = Partial<Omit<Policy, "within">>;

/** A policy that was applied last, or the default that is followed. */
export interface AppliedPolicy {
  readonly policy: Policy;
  /** Grows with each policy that is applied to the namespace; 0 before the first. */
  readonly revision: number;
}

/** By namespace; those that never had one are absent. */
export type AppliedPolicies = ReadonlyMap<string, AppliedPolicy>;

/** A policy that a plan would have hold from its apply on, as what differs from the applied one. */
export interface PolicyChange {
  readonly namespace: string;
  /** Of the applied policy that it changes: no review of it stands for a later one. */
  readonly revision: number;
  /** True for a namespace that never had a policy: then the default is what it differs from. */
  readonly isNew: boolean;
  /** The fields that differ, in the order of `Policy`; never empty. */
  readonly fields: readonly PolicyFieldChange[];
  readonly source: SourcePosition;
}

export type PolicyFieldChange = {
  readonly [Field in PolicyField]: {
    readonly field: Field;
    readonly from: WholePolicy[Field];
    readonly to: WholePolicy[Field];
    /** True when more may be done than before. Changes of the same plan are judged as before. */
    readonly loosens: boolean;
  };
}[PolicyField];

export type PolicyField = Exclude<keyof Policy, "within">;

/** A policy with what it leaves out. */
export type WholePolicy = Policy & Required<Pick<Policy, "maxFill">>;

const FIELDS: readonly PolicyField[] = [
  "maxSkew",
  "selfHeal",
  "suspend",
  "onMissingKey",
  "windows",
  "budgetRows",
  "rowsPerSecondMax",
  "retainHours",
  "storageBytesMax",
  "maxFill",
];

const HEALS: readonly SelfHeal[] = ["off", "alert", "apply"];

/** Each declared policy that differs from the applied one, sorted by namespace. */
export function comparePolicies(
  specs: readonly NamespaceSpec[],
  applied: AppliedPolicies,
): PolicyChange[] {
  return specs
    .flatMap((spec) => comparePolicy(spec, applied.get(spec.name) ?? null))
    .toSorted((left, right) => (left.namespace < right.namespace ? -1 : 1));
}

function comparePolicy(
  { name, policy, source }: NamespaceSpec,
  applied: AppliedPolicy | null,
): PolicyChange[] {
  const before = applied?.policy ?? DEFAULT_POLICY;
  const fields = FIELDS.flatMap((field) => compareField(field, before, policy));
  const revision = applied?.revision ?? 0;
  return fields.length === 0
    ? []
    : [{ namespace: name, revision, isNew: applied === null, fields, source }];
}

/** The fields that differ, by their names in a manifest. */
export function changedFields(from: Policy, to: Policy): string[] {
  return FIELDS.flatMap((field) => compareField(field, from, to)).map(({ field }) =>
    manifestField(field),
  );
}

/** The policy after the change. @param before the one that it was made to change. */
export function policyAfter({ fields }: PolicyChange, before: Policy): Policy {
  return { ...before, ...Object.fromEntries(fields.map(({ field, to }) => [field, to])) };
}

/** The policy before the change. @param after the declared one. */
export function policyBefore({ fields }: PolicyChange, after: Policy): Policy {
  return { ...after, ...Object.fromEntries(fields.map(({ field, from }) => [field, from])) };
}

/** Fills in what a policy may leave out. */
export function wholePolicy(policy: Policy): WholePolicy {
  return { ...policy, maxFill: policy.maxFill ?? DEFAULT_MAX_FILL };
}

function compareField(field: PolicyField, before: Policy, after: Policy): PolicyFieldChange[] {
  const [from, to] = [wholePolicy(before), wholePolicy(after)];
  if (isSame(from[field], to[field])) return [];
  const loosens =
    field === "windows"
      ? addsTime(from.windows, to.windows)
      : !isSame(wholePolicy(stricterPolicy(from, to))[field], to[field]);
  return [{ field, from: from[field], to: to[field], loosens } as PolicyFieldChange];
}

/** Windows are compared as they are written, not by the times that they cover. */
function addsTime(from: readonly Window[], to: readonly Window[]): boolean {
  if (from.length === 0) return false;
  return to.length === 0 || to.some((window) => !from.some((one) => isSame(one, window)));
}

export function samePolicy(left: Policy, right: Policy): boolean {
  const [one, other] = [wholePolicy(left), wholePolicy(right)];
  return FIELDS.every((field) => isSame(one[field], other[field]));
}

function isSame(left: unknown, right: unknown): boolean {
  if (left === right || typeof left !== "object" || typeof right !== "object")
    return left === right;
  return canonicalJson(left) === canonicalJson(right);
}

/** The stricter value of each field; of both lists of windows one must be open. */
export function stricterPolicy(left: Policy, right: Policy): Policy {
  return {
    maxSkew: Math.min(left.maxSkew, right.maxSkew),
    selfHeal:
      HEALS.indexOf(left.selfHeal) < HEALS.indexOf(right.selfHeal) ? left.selfHeal : right.selfHeal,
    suspend: left.suspend || right.suspend,
    onMissingKey: left.onMissingKey === "reject" ? left.onMissingKey : right.onMissingKey,
    ...bothWindows(left, right),
    budgetRows: leastOf(left.budgetRows, right.budgetRows),
    rowsPerSecondMax: leastOf(left.rowsPerSecondMax, right.rowsPerSecondMax),
    retainHours: Math.max(left.retainHours, right.retainHours),
    ...leastStorage(left, right),
    ...leastFill(left, right),
  };
}

function leastStorage(left: Policy, right: Policy): Pick<Policy, "storageBytesMax"> {
  const limit = leastOf(left.storageBytesMax ?? null, right.storageBytesMax ?? null);
  return limit === null ? {} : { storageBytesMax: limit };
}

/** A limit that neither declares stays undeclared. */
function leastFill(left: Policy, right: Policy): Pick<Policy, "maxFill"> {
  if (left.maxFill === undefined && right.maxFill === undefined) return {};
  return { maxFill: Math.min(wholePolicy(left).maxFill, wholePolicy(right).maxFill) };
}

/** The smaller limit; null is none. */
export function leastOf(left: number | null, right: number | null): number | null {
  return left === null || right === null ? (left ?? right) : Math.min(left, right);
}

function bothWindows(left: Policy, right: Policy): Pick<Policy, "windows" | "within"> {
  const lists = new Map<string, readonly Window[]>();
  for (const { windows, within = [] } of [left, right])
    for (const list of [windows, ...within])
      if (list.length > 0) lists.set(canonicalJson(list), list);
  const [windows = [], ...within] = lists.values();
  return within.length === 0 ? { windows } : { windows, within };
}

/** The policy within the owner's floors. */
export function withFloors(policy: Policy, floors: PolicyFloors): Policy {
  return stricterPolicy(policy, { ...policy, ...floors });
}

/** Fields that declare more than the floors allow. */
export function loosenedFields(policy: Policy, floors: PolicyFloors): PolicyField[] {
  const said = wholePolicy(policy);
  const held = wholePolicy(withFloors(policy, floors));
  const unsaid = wholePolicy(DEFAULT_POLICY);
  return FIELDS.filter(
    (field) =>
      // Of two lists of windows both hold, and who says nothing declares nothing.
      field !== "windows" &&
      !isSame(said[field], unsaid[field]) &&
      !isSame(held[field], said[field]),
  );
}

/** The field's name below `policy` in a manifest. */
export function manifestField(field: PolicyField): string {
  return field === "budgetRows" ? "budget.rows" : field;
}

/** The policy that guards judge by: a value that is being loosened counts as it was before. */
export function guardPolicy(
  declared: Policy,
  applied: Policy | null,
  floors: PolicyFloors,
): Policy {
  const judged = applied === null ? declared : stricterPolicy(applied, declared);
  return withFloors(judged, floors);
}

/** The policy that the tick follows; guards judge by the stricter of it and the declared one. */
export function followedPolicy(
  declared: Policy,
  applied: Policy | null,
  floors: PolicyFloors,
): Policy {
  const least = applied ?? { ...declared, selfHeal: DEFAULT_POLICY.selfHeal };
  const held = stricterPolicy(least, declared);
  // A limit that nobody has reviewed must not make a namespace uneven, and so be rebalanced.
  return withFloors({ ...held, maxSkew: least.maxSkew }, floors);
}
