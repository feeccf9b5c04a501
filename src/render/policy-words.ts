/** The words for changes of policies: each field as a manifest names it, from what to what. */
import { formatCount, formatQuantity, formatWindow } from "../model/figures.ts";
import { STORAGE_BYTES_MAX } from "../model/member-states.ts";
import { manifestField, type PolicyChange, type PolicyFieldChange } from "../model/policy.ts";
import { formatFill } from "../model/capacity.ts";
import type { Window } from "../model/spec.ts";

/** "selfHeal alert → apply (loosens), budget.rows 100 → no limit (loosens)". */
export function describePolicyChange({ fields }: Pick<PolicyChange, "fields">): string {
  return fields.map(describeField).join(", ");
}

function describeField(change: PolicyFieldChange): string {
  const [from, to] = describeValues(change);
  return `${manifestField(change.field)} ${from} → ${to}${change.loosens ? " (loosens)" : ""}`;
}

function describeValues(change: PolicyFieldChange): readonly [string, string] {
  switch (change.field) {
    case "maxSkew":
    case "selfHeal":
    case "suspend":
    case "onMissingKey":
      return [String(change.from), String(change.to)];
    case "windows":
      return [describeWindows(change.from), describeWindows(change.to)];
    case "budgetRows":
    case "rowsPerSecondMax":
      return [describeLimit(change.from), describeLimit(change.to)];
    case "retainHours":
      return [formatQuantity(change.from, "hour"), formatQuantity(change.to, "hour")];
    case "storageBytesMax":
      return [describeBytes(change.from), describeBytes(change.to)];
    case "maxFill":
      return [formatFill(change.from), formatFill(change.to)];
  }
}

function describeLimit(limit: number | null): string {
  return limit === null ? "no limit" : formatCount(limit);
}

/** In bytes: rounded to a unit, two limits could look like one. */
function describeBytes(limit = STORAGE_BYTES_MAX): string {
  return formatQuantity(limit, "byte");
}

function describeWindows(windows: readonly Window[]): string {
  if (windows.length === 0) return "always";
  return windows.map(formatWindow).join("; ");
}
