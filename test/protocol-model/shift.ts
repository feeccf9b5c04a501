// The shift protocol as a searchable model: rows move between members that serve, in waves. Of each
// wave the members are fenced, the sources are drained, the targets promote under the fence, the
// root commits the next epoch, the targets act by it, the sources delete and follow. Admission is
// by epoch: a call is served at exactly the epoch that it was routed by.
//
// Going back after a commit is not modelled, because the engine does not do it: promotion before
// the commit leaves nothing behind the commit that could fail, and until then an attempt is given
// up. Long and nested calls, for which the fence is raised in two phases, are in fence.ts.
import type { Model } from "./search.ts";
import { violationIn } from "./shift-checks.ts";
import { copySteps, resetCopy } from "./shift-copy.ts";
import { dropInertMessages } from "./shift-inert.ts";
import { memberSteps } from "./shift-member.ts";
import { hasEnded, rootSteps } from "./shift-root.ts";
import type { Bounds, Scenario } from "./shift-scenarios.ts";
import { MOVE, PREPARE, type State } from "./shift-state.ts";
import { FIRST_VALUE, userSteps } from "./shift-users.ts";
import type { Breaks, ShiftVariant } from "./shift-variants.ts";
import { makeWorld, ownerOf, type Step, type World } from "./shift-world.ts";

export type ShiftModel = Model<State> & { readonly world: World };

/**
 * `only`: look for a violation of this kind and pass over the others. `keepInert`: keep messages
 * that can change nothing any more.
 */
export function shiftModel(
  scenario: Scenario,
  bounds: Bounds,
  variant?: ShiftVariant,
  only?: Breaks,
  keepInert = variant !== undefined,
): ShiftModel {
  const world = makeWorld(scenario, bounds, variant);
  return {
    world,
    initial: initialState(world),
    widthBytes: world.widthBytes,
    encode: (state, into) => into.set(state),
    decode: (from) => from.slice(),
    next: (state, emit) => {
      if (world.fields.wrong.get(state) !== 0) return;
      const step: Step = (says, change) => {
        const to = state.slice();
        change(to);
        if (!keepInert) dropInertMessages(world, to);
        emit(says, 0, to);
      };
      rootSteps(world, state, step);
      for (const member of world.members) memberSteps(world, state, member, step);
      copySteps(world, state, step);
      userSteps(world, state, step);
    },
    violation: (state) => violationIn(world, state, only),
    ended: (state) => hasEnded(world, state),
    describe: String,
  };
}

function initialState(world: World): State {
  const { fields, scenario, members, keys, everyone } = world;
  const state = new Uint8Array(world.widthBytes);
  const isPrepared = scenario.starts !== "unprepared";
  fields.operation.set(state, 1);
  fields.phase.set(state, isPrepared ? MOVE : PREPARE);
  for (const key of scenario.rivals ? keys.slice(0, 1) : keys) {
    fields.last.set(state, FIRST_VALUE, key);
    fields.live.set(state, FIRST_VALUE, ownerOf(world, 0, key), key);
  }
  if (!isPrepared) return state;
  fields.preparedBy.set(state, everyone, 1);
  for (const member of members) {
    fields.seen.set(state, 1, member);
    fields.active.set(state, 1, member);
    resetCopy(world, state, member, 1);
  }
  if (scenario.starts === "copied") copyAll(world, state);
  return state;
}

/** The first page of every source is stored and acknowledged. */
function copyAll({ fields, pairs, keys, bounds }: World, state: State): void {
  pairs.forEach(({ source, target }, pair) => {
    const log = fields.captured.get(state, pair);
    if (log === 0) return;
    for (const key of keys) {
      const value = (log >> key) & 1 ? fields.live.get(state, source, key) : 0;
      if (value === 0) continue;
      fields.staged.set(state, value, target, key);
      fields.pageRow.set(state, value + 1, (pairs.length + pair) * bounds.pages, key);
    }
    fields.captured.set(state, 0, pair);
    fields.sequence.set(state, 1, pair);
    fields.lastSequence.set(state, 1, pair);
    fields.pageCount.set(state, 1, 1, pair);
    fields.pageNumber.set(state, 1, pairs.length + pair, 0);
  });
}
