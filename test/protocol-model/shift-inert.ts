// Leaves out messages of the shift model that can never change anything again, so that states which
// differ in them only are one state. Sound for the protocol as specified, because its numbers only
// grow: a message that is refused for its number stays refused. A weakened variant may still act on
// such a message, so it is never used there.
import { FENCE, type State } from "./shift-state.ts";
import type { World } from "./shift-world.ts";

/** Drops the inert messages of `state`. */
export function dropInertMessages(world: World, state: State): void {
  const { fields, bounds, members } = world;
  const running = fields.operation.get(state);
  for (let operation = 1; operation <= running; operation++) {
    const isOver = operation < running;
    if (isOver) {
      fields.preparedBy.set(state, 0, operation);
      fields.cleanedBy.set(state, 0, operation);
    }
    const isHeard = members.every((member) => {
      const seen = fields.seen.get(state, member);
      return (
        seen > operation || (seen === operation && fields.active.get(state, member) === 0 && isOver)
      );
    });
    for (let attempt = 1; attempt <= bounds.attempts; attempt++) {
      const counts =
        !isOver && attempt === fields.attempt.get(state) && fields.phase.get(state) === FENCE;
      if (!counts) {
        fields.drainedBy.set(state, 0, operation, attempt);
        fields.promotedBy.set(state, 0, operation, attempt);
      }
      if (!isHeard) continue;
      fields.sent.set(state, 0, operation, attempt);
      fields.waveEpoch.set(state, 0, operation, attempt);
    }
    dropPages(world, state, operation);
  }
}

/**
 * Empties the pages that their target refuses: those of an older operation, and those that are
 * older than the last one that it has stored.
 */
function dropPages({ fields, bounds, pairs, keys }: World, state: State, operation: number): void {
  pairs.forEach(({ target }, pair) => {
    const seen = fields.seen.get(state, target);
    const last = fields.lastSequence.get(state, pair);
    const isOver =
      seen > operation || (seen === operation && fields.active.get(state, target) === 0);
    for (let page = 0; page < fields.pageCount.get(state, operation, pair); page++) {
      const number = fields.pageNumber.get(state, operation * pairs.length + pair, page);
      if (!isOver && (seen !== operation || number > last)) continue;
      const row = (operation * pairs.length + pair) * bounds.pages + page;
      for (const key of keys) fields.pageRow.set(state, 0, row, key);
    }
  });
}
