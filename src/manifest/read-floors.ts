/** The owner's floors: limits in the words of `spec.policy`, that manifests may only tighten. */
import type * as z from "zod";

import type { PolicyFloors } from "../model/policy.ts";
import { buildPolicy } from "./build-spec.ts";
import type { policySchema } from "./namespace-schema.ts";

/** As in a manifest, and checked as there. */
export type PolicyLimits = z.input<typeof policySchema>;

/** @param limits parsed by `policySchema`. Fields that are left out limit nothing. */
export function buildFloors(limits: z.output<typeof policySchema>): PolicyFloors {
  const { budget, ...named } = limits;
  const { windows, budgetRows, ...plain } = buildPolicy(limits);
  const given = Object.keys(named);
  return {
    ...Object.fromEntries(Object.entries(plain).filter(([field]) => given.includes(field))),
    ...(named.windows === undefined ? {} : { windows }),
    ...(budget === undefined ? {} : { budgetRows }),
  };
}
