/**
 * One namespace as it is now, and the change that it needs: what a look records, and what a start
 * is made from. Reads only.
 */
import type { LiveFailure, LiveNamespace } from "../model/live.ts";
import type { Change, Plan } from "../model/plan.ts";
import { decideNamespace, decideUnder } from "../planning/decide-namespace.ts";
import { planNamespace, type NamespaceOutcome } from "../planning/plan-namespace.ts";
import { success } from "../model/result.ts";
import type { NamespaceSpec } from "../model/spec.ts";
import type { LiveReader } from "../live/port.ts";
import type { AuditFinding, ChangeCause } from "./namespace-state.ts";
import { relocateChange } from "./relocate.ts";

export type Inspection =
  | { readonly kind: "silent"; readonly failure: LiveFailure }
  /** An operation is running: nothing is concluded. */
  | { readonly kind: "running"; readonly live: LiveNamespace }
  | {
      readonly kind: "planned";
      readonly live: LiveNamespace;
      readonly outcome: NamespaceOutcome;
      readonly wanted: WantedChange | null;
    };

export interface WantedChange {
  readonly cause: ChangeCause;
  readonly change: Change;
}

export interface InspectContext {
  readonly live: LiveReader;
  /**
   * The reviewed plan whose choices are kept for this namespace. Asked only when it needs a change.
   */
  readonly basisFor: (namespace: string) => Promise<Plan | null>;
  readonly spend: (calls: number) => void;
}

/**
 * Reads the registry, and counts rows where a change needs it. `audit` is the last finding: it may
 * ask for a change itself.
 */
export async function inspectNamespace(
  spec: NamespaceSpec,
  audit: AuditFinding | null,
  context: InspectContext,
): Promise<Inspection> {
  const { live, spend } = context;
  spend(1);
  const namespace = await live.describe(spec);
  if (!namespace.ok) return { kind: "silent", failure: namespace.failure };
  if (namespace.value.operation?.state === "running")
    return { kind: "running", live: namespace.value };
  return planFrom(spec, namespace.value, audit, context);
}

/** The same for a registry that was read already, of a namespace at rest. */
export async function planFrom(
  spec: NamespaceSpec,
  state: LiveNamespace,
  audit: AuditFinding | null,
  { live, basisFor, spend }: InspectContext,
): Promise<Extract<Inspection, { kind: "planned" }>> {
  const namespace = success(state);
  const first = decideNamespace(spec, namespace);
  const decision = first.kind === "decided" ? first.decision : null;
  const decided =
    first.kind === "blocked" || decision === null
      ? first
      : decideUnder(await basisFor(spec.name), spec, first);
  const request = decided.kind === "decided" ? decided.request : null;
  if (request !== null) spend(1);
  const distribution = request === null ? null : await live.distribute(spec, request);
  const ref = { name: spec.name, object: spec.object };
  const entry = { ref, namespace, decided, distribution };
  const outcome = planNamespace({ spec, entry, holdsSkew: false });
  if (outcome.kind === "change") {
    return {
      kind: "planned",
      live: state,
      outcome,
      wanted: { cause: decision?.cause ?? "declared", change: outcome.change },
    };
  }
  const relocation =
    outcome.kind === "inSync" && audit && audit.misplacedRows > 0
      ? relocateChange(spec, state, audit.misplacedRows)
      : null;
  return {
    kind: "planned",
    live: state,
    outcome,
    wanted: relocation === null ? null : { cause: "misplaced", change: relocation },
  };
}
