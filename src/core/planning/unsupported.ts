/** What a spec asks for that cannot be planned yet, whatever is live. */
import type { NamespaceSpec } from "../spec.ts";

/** Why the spec cannot be planned, with the way out; null when it can. */
export function findUnsupported(spec: NamespaceSpec): string | null {
  if (spec.directory && spec.strategy !== "roundRobin" && spec.strategy !== "none") {
    return `directories for the strategy ${spec.strategy} are not available yet: set spec.directory to false`;
  }
  return null;
}
