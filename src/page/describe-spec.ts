/** Describes what a manifest asks for, in the words of the page. */
import { formatBytes, formatCount } from "../model/figures.ts";
import type { NamespaceSpec } from "../model/spec.ts";
import { formatDuration } from "../render/time.ts";

/** Describes a policy for a person. */
export function describePolicy({
  policy,
  dependsOn,
}: NamespaceSpec): { readonly name: string; readonly value: string }[] {
  const windows = policy.windows.map(
    ({ start, durationMs, timezone }) => `${start} for ${formatDuration(durationMs)}, ${timezone}`,
  );
  return [
    { name: "Largest skew", value: policy.maxSkew.toFixed(2) },
    { name: "Self-heal", value: policy.selfHeal },
    { name: "Suspended", value: policy.suspend ? "yes" : "no" },
    { name: "Windows", value: windows.length === 0 ? "always open" : windows.join("; ") },
    {
      name: "Budget",
      value:
        policy.budgetRows === null
          ? "no limit"
          : `${formatCount(policy.budgetRows)} rows an action`,
    },
    ...(policy.rowsPerSecondMax === null
      ? []
      : [{ name: "Pace", value: `at most ${formatCount(policy.rowsPerSecondMax)} rows a second` }]),
    ...(policy.storageBytesMax === undefined
      ? []
      : [{ name: "Storage", value: `at most ${formatBytes(policy.storageBytesMax)} an object` }]),
    ...(dependsOn.length === 0 ? [] : [{ name: "After", value: dependsOn.join(", ") }]),
  ];
}

/** Describes what a manifest asks for, as `describeLayout` describes what is live. */
export function describeSpec({ strategy, shardKey, count, partitioner }: NamespaceSpec): string {
  if (strategy === "none") return "unsharded";
  const name = strategy === "custom" ? `custom ${partitioner ?? ""}` : strategy;
  return `${name}(${shardKey ?? ""}) × ${formatCount(count)}`;
}
