/**
 * A plan that is made again under the fingerprint of a stored one: what people were shown stays,
 * and only what the Worker itself has counted is renewed.
 *
 * | of the stored plan                                 | after that                              |
 * |----------------------------------------------------|-----------------------------------------|
 * | commit, files, what is in sync, notices            | as it was                               |
 * | changes                                            | as they were, with the newest counts    |
 * | blocks of what it changes, and of the whole        | the newest: the fingerprint has those that are no matter of the moment |
 * | blocks of what it leaves alone                     | those that are left                     |
 */
import type { Block, Change, Plan } from "../model/plan.ts";
import { sortBlocks } from "../planning/check-safety.ts";

/** @param again has the fingerprint of `stored`. */
export function renewPlan(stored: Plan, again: Plan): Plan {
  const counted = new Map(again.changes.map((change) => [change.namespace, change]));
  const left = new Set(again.blocks.map(blockKey));
  const isOwn = ({ namespace }: Block): boolean => namespace === null || counted.has(namespace);
  return {
    ...stored,
    changes: stored.changes.map((change) => withCounts(change, counted.get(change.namespace))),
    blocks: sortBlocks([
      ...again.blocks.filter(isOwn),
      ...stored.blocks.filter((block) => !isOwn(block) && left.has(blockKey(block))),
    ]),
  };
}

function withCounts(change: Change, counted: Change | undefined): Change {
  if (!counted) return change;
  const { moves, rowsTotal, rowsMoved, bytesMoved, skewBefore, skewAfter } = counted;
  const { missingKeys, estimate, countedAt } = counted;
  const counts = { moves, rowsTotal, rowsMoved, bytesMoved, skewBefore, skewAfter };
  return { ...change, ...counts, missingKeys, estimate, countedAt };
}

function blockKey({ guard, namespace }: Block): string {
  return JSON.stringify([guard, namespace]);
}
