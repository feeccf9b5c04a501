/**
 * Works out the state that an apply leaves declared in an environment without a repository: by the
 * text that counts for it, and by what others have applied before.
 *
 * | who has had this plan made                     | what its apply leaves declared              |
 * |------------------------------------------------|---------------------------------------------|
 * | whoever applies it                             | the desired state that they have sent       |
 * | another one, who may apply everything          | the first that one of these has sent        |
 * | the Worker, of what it has read itself         | the newest of these                         |
 * | only tokens that may not apply                 | what it changes, and the rest as before     |
 *
 * A fingerprint covers what a plan changes, but no label, no file, and none of the other names: of
 * these, the word of somebody who may only plan counts for nothing. All of it is pure.
 */
import { compareText } from "../model/compare-text.ts";
import type { Plan } from "../model/plan.ts";
import type { DesiredState, NamespaceSpec } from "../model/spec.ts";

/**
 * How far the desired state counts that somebody has sent: for nobody's apply, for the sender's
 * own, for everybody's; `worker` is what the Worker has read itself.
 */
export type TextUse = "none" | "own" | "whole" | "worker";

/**
 * The plan's changes under what was declared before. Labels stay as they were, those of a new name
 * are none: tokens hold for them.
 *
 * @param text a desired state under the plan, whoever has sent it.
 * @param before null when nothing was applied.
 */
export function takeChanges(
  { environment, changes }: Plan,
  text: DesiredState,
  before: DesiredState | null,
): DesiredState {
  const known = new Map(before?.namespaces.map((spec) => [spec.name, spec]));
  const changed = new Set(changes.map(({ namespace }) => namespace));
  const own = text.namespaces
    .filter(({ name }) => changed.has(name))
    .map((spec) => ({ ...spec, labels: known.get(spec.name)?.labels ?? {} }));
  return { environment, commit: null, namespaces: inPlaceOf(changed, before, own) };
}

/**
 * The part of a caller who holds for some namespaces, beside what is declared of the others.
 *
 * @param held names of all namespaces that they hold for: one that they declare no more is gone,
 * and behind another binding it is one.
 */
export function takeHeld(
  text: DesiredState,
  before: DesiredState | null,
  held: readonly string[],
): DesiredState {
  const names = new Set(held);
  const own = text.namespaces.filter(({ name }) => names.has(name));
  return { ...text, namespaces: inPlaceOf(names, before, own) };
}

function inPlaceOf(
  names: ReadonlySet<string>,
  before: DesiredState | null,
  own: readonly NamespaceSpec[],
): readonly NamespaceSpec[] {
  const others = (before?.namespaces ?? []).filter(({ name }) => !names.has(name));
  return [...others, ...own].toSorted((left, right) => compareText(left.name, right.name));
}
