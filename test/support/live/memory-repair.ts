/**
 * Repairs of in-memory namespaces: the plan follows from the namespace and the request, and only
 * the plan that was shown is applied.
 */
import { canonicalJson } from "../../../src/model/canonical.ts";
import type { RepairOutcome, RepairPlan, RepairRequest } from "../../../src/model/repair.ts";
import type { MemoryNamespace } from "./memory-rows.ts";

/** Plans a repair as of now. */
export function planMemoryRepair(
  namespace: MemoryNamespace,
  { members, acceptLoss }: RepairRequest,
): RepairPlan {
  const { name, epoch, layout, disorder = null, repair } = namespace;
  const { testimonies = [], losses = [], needs = [] } = repair ?? {};
  const missing = needs.filter((member) => !members.includes(member));
  const steps = missing.length === 0 ? (repair?.steps ?? []) : [];
  const obstacles = [
    ...missing.map((member) => `${member} was not asked: name it with --member ${member}`),
    ...losses
      .filter(({ member }) => !acceptLoss.includes(member))
      .map(({ member, summary }) => `${summary}: accept it with --accept-loss ${member}`),
  ];
  const own = { member: name, says: `root, epoch ${epoch}, ${layout.kind}` };
  const shown = {
    namespace: name,
    disorder,
    testimonies: [own, ...testimonies],
    steps,
    losses,
    obstacles,
  };
  return { ...shown, fingerprint: digest(canonicalJson(shown)) };
}

/** The namespace after the repair, and what was done. */
export function applyMemoryRepair(
  namespace: MemoryNamespace,
  { steps, fingerprint }: RepairPlan,
): { readonly namespace: MemoryNamespace; readonly outcome: RepairOutcome } {
  const { repair, disorder: _disorder, ...rest } = namespace;
  return {
    namespace: { ...rest, ...repair?.to },
    outcome: {
      namespace: namespace.name,
      fingerprint,
      steps,
      setAside: steps.flatMap(({ setAside }) => setAside),
    },
  };
}

/** FNV-1a, as 64 hex digits like a fingerprint: tells plans apart, and secures nothing. */
function digest(text: string): string {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at++)
    hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193) >>> 0;
  return hash.toString(16).padStart(8, "0").repeat(8);
}
