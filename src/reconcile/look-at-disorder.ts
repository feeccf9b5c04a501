/**
 * A namespace whose objects are out of step: people are told, and nothing is concluded or applied.
 *
 * Nothing that its root says of layout, rows and operations is taken over: it may be the past.
 * It is looked at on, and the drift is gone with the disorder.
 */
import { describeDisorder, remedyOf } from "../model/disorder.ts";
import type { LiveNamespace } from "../model/live.ts";
import type { Disorder } from "../model/repair.ts";
import { auditFaults, memberFaults } from "./find-faults.ts";
import type { NamespaceState } from "./namespace-state.ts";
import { type LookContext, rest, track } from "./note-look.ts";
import type { FoundDrift } from "./track-drifts.ts";

type Disordered = LiveNamespace & { readonly disorder: Disorder };

export function holdDisordered(
  before: NamespaceState,
  live: Disordered,
  context: LookContext,
): NamespaceState {
  const { env, ports } = context;
  const { disorder } = live;
  const what = describeDisorder(disorder);
  if (before.run !== null)
    ports.runs.detach(
      before.run,
      before.name,
      `Nothing is applied here until it is repaired: ${what}.`,
    );
  const state: NamespaceState = {
    ...before,
    silences: 0,
    observedCommit: env.commit,
    observedDigest: before.specDigest,
    pass: env.pass.number,
    pending: null,
    progress: null,
    // The registry in which a run left things unfinished is no more.
    approval: disorder.kind === "registryLost" ? null : before.approval,
  };
  const found = [disorderFault(live), ...otherFaults(live), ...auditFaults(state.audit, false)];
  const message = `${what}. Nothing is planned or applied here until it is repaired. ${disorder.message}`;
  const reason = disorder.kind === "registryLost" ? "RegistryLost" : "OutOfStep";
  return rest(
    { ...state, faults: track(state, found, context) },
    { type: "Stalled", reason, message },
    context,
  );
}

/** The drift, with the way out. */
export function disorderFault({ name, disorder }: Disordered): FoundDrift {
  return {
    kind: disorder.kind,
    reason: describeDisorder(disorder),
    detail: disorder.message,
    remedy: remedyOf(disorder, name),
  };
}

/**
 * Of members that the disorder does not speak of. The members that a lost registry names may be
 * none.
 */
function otherFaults(live: Disordered): FoundDrift[] {
  const { disorder, members } = live;
  if (disorder.kind === "registryLost") return [];
  return memberFaults({
    ...live,
    members: members.filter(({ name }) => !disorder.members.includes(name)),
  });
}
