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
 *
 * Labels, files and other names are in no fingerprint. What callers have sent of them lies beside
 * the plan, in `plan-texts.ts`. A commit has one text where somebody has sent it who may apply
 * everything: other labels or files of what the plan changes are refused then. The Worker's own
 * plans are outside of that: one of a pull request joins the files of two commits.
 */
import { canonicalJson } from "../model/canonical.ts";
import type { Block, Change, Plan } from "../model/plan.ts";
import type { DesiredState, NamespaceSpec } from "../model/spec.ts";
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
  const { missingKeys, estimate, countedAt, sizes } = counted;
  const counts = { moves, rowsTotal, rowsMoved, bytesMoved, skewBefore, skewAfter };
  const sized = sizes === undefined ? {} : { sizes };
  return { ...change, ...counts, ...sized, missingKeys, estimate, countedAt };
}

function blockKey({ guard, namespace }: Block): string {
  return JSON.stringify([guard, namespace]);
}

/**
 * Names of what the plan changes whose labels or files are others than those that stand under the
 * same commit; sorted. Lines may differ, and folders, which are relative to where somebody plans.
 */
export function findOtherTexts(
  plan: Plan,
  stored: DesiredState,
  again: DesiredState,
): readonly string[] {
  if (stored.commit === null || stored.commit !== again.commit) return [];
  const texts = new Map(stored.namespaces.map((spec) => [spec.name, textOf(spec)]));
  const shown = new Set([...plan.changes, ...(plan.policies ?? [])].map((one) => one.namespace));
  return again.namespaces
    .filter((spec) => shown.has(spec.name) && texts.get(spec.name) !== textOf(spec))
    .map(({ name }) => name)
    .toSorted();
}

function textOf({ labels, source }: NamespaceSpec): string {
  return canonicalJson({ labels, file: source.file.split(/[/\\]/).at(-1) ?? "" });
}
