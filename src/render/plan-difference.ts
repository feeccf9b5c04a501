/**
 * Describes the differences between a reviewed plan and the current plan, one line for each
 * namespace that differs. Pure.
 */
import { sameLayout } from "../model/layout/layout.ts";
import { canonicalJson } from "../model/canonical.ts";
import type { Change, Plan } from "../model/plan.ts";
import type { PolicyChange } from "../model/policy.ts";
import { describePolicyChange } from "./policy-words.ts";

const LINES_MAX = 20;

export function describePlanDifference(reviewed: Plan, current: Plan): string[] {
  const before = byName(reviewed);
  const after = byName(current);
  const names = [...new Set([...before.keys(), ...after.keys()])].toSorted();
  const lines = [
    ...names.flatMap((name) => describeOne(name, before.get(name), after.get(name), current)),
    ...describePolicies(reviewed, current),
  ];
  if (reviewed.environment !== current.environment)
    lines.unshift(`environment: ${reviewed.environment} → ${current.environment}`);
  // The fingerprint also covers the specs of namespaces that are in sync.
  if (lines.length === 0)
    lines.push("the declared specs changed, without changing what would be done");
  const more = lines.length - LINES_MAX;
  return more > 0 ? [...lines.slice(0, LINES_MAX), `and ${more} more`] : lines;
}

function describeOne(
  name: string,
  before: Change | undefined,
  after: Change | undefined,
  current: Plan,
): string[] {
  if (before === undefined)
    return after === undefined ? [] : [`${name}: ${after.kind} is new (${after.reason})`];
  if (after === undefined) {
    const inSync = current.inSync.find((entry) => entry.namespace === name);
    return [
      `${name}: nothing to ${before.kind} any more${inSync === undefined ? "" : `; it is in sync at epoch ${inSync.epoch}`}`,
    ];
  }
  const parts: string[] = [];
  if (before.kind !== after.kind) parts.push(`${before.kind} → ${after.kind}`);
  if (before.epoch !== after.epoch) parts.push(`live epoch ${before.epoch} → ${after.epoch}`);
  if (before.to.members.length !== after.to.members.length) {
    parts.push(`${before.to.members.length} → ${after.to.members.length} members`);
  } else if (!sameLayout(before.to, after.to)) {
    parts.push("another target layout");
  }
  return parts.length === 0 ? [] : [`${name}: ${parts.join(", ")}`];
}

function describePolicies(reviewed: Plan, current: Plan): string[] {
  const { policies: before = [] } = reviewed;
  const { policies: after = [] } = current;
  const lost = before.filter(({ namespace }) => !after.some((one) => one.namespace === namespace));
  const other = after.filter(
    (change) =>
      !before.some((one) => canonicalJson(essenceOf(one)) === canonicalJson(essenceOf(change))),
  );
  return [
    ...lost.map(({ namespace }) => `${namespace}: its policy does not change any more`),
    ...other.map((change) => `${change.namespace}: policy ${describePolicyChange(change)}`),
  ];
}

function essenceOf({ namespace, revision, fields }: PolicyChange): object {
  return { namespace, revision, fields };
}

function byName(plan: Plan): Map<string, Change> {
  return new Map(plan.changes.map((change) => [change.namespace, change]));
}
