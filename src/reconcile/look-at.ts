/**
 * One look at one namespace: read it, and note what it is, what it needs, and what is wrong with
 * it. Starts nothing.
 *
 * | the namespace                  | becomes                                                                    |
 * |--------------------------------|----------------------------------------------------------------------------|
 * | does not answer                | asked again later and later; what was decided about it waits               |
 * | is out of step                 | held, until it is repaired: see look-at-disorder.ts                         |
 * | runs an operation              | followed at every tick: reading it also wakes one that lost its alarm      |
 * | runs one that must wait        | held after its wave, and let go on when it may: see hold-followed.ts       |
 * | waits in a run                 | followed at every tick                                                     |
 * | was changed behind the journal | held, until it is put back or its manifest changes                         |
 * | needs a change                 | pending: `decide` says what becomes of it                                  |
 * | is in sync                     | ready, or at fault by what the audit found                                 |
 */
import type { LiveFailure } from "../model/live.ts";
import { liveRows } from "../planning/decide-change.ts";
import { unreadableFault } from "./find-faults.ts";
import { holdDisordered } from "./look-at-disorder.ts";
import { settleAtRest } from "./look-at-rest.ts";
import { followOperation, waitInRun } from "./look-at-running.ts";
import { conditionOf, type NamespaceState } from "./namespace-state.ts";
import { type LookContext, track } from "./note-look.ts";
import { retryDelayMs } from "./schedule.ts";
import { settleRun } from "./settle-run.ts";

/** Looks without an answer before a namespace counts as stalled. */
const SILENCES_MAX = 3;

/** Conditions of a namespace that gave no account of itself; all others are `Unreadable`. */
const SILENCE_REASONS: Readonly<Record<string, string>> = {
  unbound: "Unbound",
  notShardable: "NotShardable",
  registryLost: "RegistryLost",
  outOfStep: "OutOfStep",
};

/** The state after the look. The only writes are the caller's. */
export async function lookAt(
  before: NamespaceState,
  context: LookContext,
): Promise<NamespaceState> {
  const { ports, env, spend } = context;
  spend(1);
  const described = await ports.live.describe(before);
  if (!described.ok) return noteSilence(before, described.failure, context);
  const live = described.value;
  if (live.disorder) return holdDisordered(before, { ...live, disorder: live.disorder }, context);
  ports.registries.note(before, {
    epoch: live.epoch,
    members: live.layout.members,
    at: ports.now(),
  });
  const settled = settleRun(
    { ...before, silences: 0, observedCommit: env.commit, pass: env.pass.number },
    live,
    context,
  );
  const state: NamespaceState = {
    ...settled,
    rows: liveRows(live),
    observedDigest: settled.specDigest,
  };
  const { operation } = live;
  if (operation?.state === "running")
    return followOperation(state, { ...live, operation }, context);
  if (state.run !== null) return waitInRun({ ...state, progress: null }, live, context);
  return settleAtRest({ ...state, progress: null }, live, context);
}

function noteSilence(
  before: NamespaceState,
  reason: LiveFailure,
  context: LookContext,
): NamespaceState {
  const { ports, env } = context;
  const now = ports.now();
  const silences = before.silences + 1;
  const nextTryAt = now + retryDelayMs(silences, ports.random);
  const state = {
    ...before,
    silences,
    pass: env.pass.number,
    dueAt: silences === 1 ? 0 : nextTryAt,
  };
  const fault = unreadableFault(reason, state);
  const isOutOfStep = fault.kind !== "unreadable";
  const needsPerson =
    isOutOfStep ||
    reason.kind === "unbound" ||
    reason.kind === "notShardable" ||
    silences >= SILENCES_MAX;
  return {
    ...state,
    faults: track(state, before.spec === null ? [] : [fault], context),
    condition: conditionOf(state, now, {
      type: needsPerson ? "Stalled" : "Reconciling",
      reason:
        SILENCE_REASONS[fault.kind === "unreadable" ? reason.kind : fault.kind] ?? "Unreadable",
      message: `${fault.reason}: ${reason.message}`,
      nextTryAt,
    }),
  };
}
