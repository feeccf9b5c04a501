/**
 * A plan for programs. Version 1; fields are added within a version, and never change their meaning
 * or vanish.
 *
 * | field                  | meaning                                                                               |
 * |------------------------|---------------------------------------------------------------------------------------|
 * | `version`              | 1                                                                                     |
 * | `environment`, `commit`| what was planned; `commit` is null when not known                                     |
 * | `fingerprint`          | 64 hex digits; the same decisions have the same fingerprint                           |
 * | `summary`              | counts: `shard rebalance rekey unshard inSync policies notPlanned unmanaged blocks`, and `rowsMoved bytesMoved` |
 * | `changes[]`            | in the order of execution: see `Change` in model/plan.ts, with both layouts in full    |
 * | `policies[]`           | `namespace revision isNew fields source`: policies that hold from the apply on; of each of `fields` `field from to loosens` |
 * | `inSync[]`             | namespaces that need nothing, with members, rows, bytes, skew and epoch               |
 * | `blocks[]`             | `guard namespace message overridable [counted]`; `namespace` is null for the whole plan |
 * | `notices[]`            | `kind namespace message`                                                              |
 *
 * The document is a plan: `apply --plan` reads it back, and takes no notice of `summary`.
 */
import type { Plan } from "../model/plan.ts";
import type { PolicyChange } from "../model/policy.ts";
import { type PlanSummary, summarizePlan } from "./plan-summary.ts";

export interface PlanDocument extends Plan {
  readonly summary: PlanSummary;
  readonly policies: readonly PolicyChange[];
}

/** The plan with its summary, as a value. */
export function planDocument(plan: Plan): PlanDocument {
  const { version, environment, commit, fingerprint, changes, policies = [], ...rest } = plan;
  const summary = summarizePlan(plan);
  return { version, environment, commit, fingerprint, summary, changes, policies, ...rest };
}
