/**
 * Notices that a manifest has moved a name to another Durable Object class: its rows stay where
 * they are, and a plan that looks only at the new class takes the namespace for a new one.
 *
 * | behind the new binding        | behind another binding         | then                              |
 * |-------------------------------|--------------------------------|-----------------------------------|
 * | sharded before                | anything                       | fine: the other one is unmanaged  |
 * | never sharded                 | lives, or gives no answer      | the guard `object` blocks         |
 * | never sharded                 | unsharded, without a row       | fine: nothing is there any more   |
 *
 * A binding that was renamed finds its registry behind the new name, and so is no case of this.
 */
import { compareText } from "../model/compare-text.ts";
import type { LiveNamespace } from "../model/live.ts";
import type { NamespaceSpec } from "../model/spec.ts";
import type { LiveEntry } from "./decide-namespace.ts";
import { explainLife, wasSharded } from "../model/what-lives.ts";

/**
 * The message of the block, without a number in it; null when nothing speaks against the binding.
 *
 * @param live behind the binding that the manifest declares.
 * @param others what is known of the same name behind other bindings.
 */
export function explainElsewhere(
  { name, object }: Pick<NamespaceSpec, "name" | "object">,
  live: LiveNamespace,
  others: readonly LiveEntry[],
): string | null {
  if (wasSharded(live)) return null;
  const places = others
    .toSorted((left, right) => compareText(left.ref.object, right.ref.object))
    .flatMap((entry) => {
      const place = explainPlace(entry);
      return place === null ? [] : [place];
    });
  if (places.length === 0) return null;
  const where = places.map(({ text }) => text).join("; ");
  const back = places.map((place) => place.object).join(" or ");
  return (
    `${where}. A change of spec.object moves no row, and ${object} knows nothing of '${name}': ` +
    `set spec.object back to ${back}; to rename a binding, point the new name at the same class; ` +
    `to begin a namespace of its own in ${object}, apply with --override object: what is elsewhere stays there, and is left alone`
  );
}

interface Place {
  readonly object: string;
  readonly text: string;
}

function explainPlace({ ref: { name, object }, namespace }: LiveEntry): Place | null {
  if (namespace.ok) {
    const life = explainLife(namespace.value);
    return life === null
      ? null
      : { object, text: `the name lives in ${object} already, where it ${life}` };
  }
  const gone = `a binding that this Worker no longer has (if it is gone for good: 'shardctl forget ${name} --object ${object}')`;
  const silent = namespace.failure.kind === "unbound" ? gone : "which could not be read";
  return { object, text: `the name was live in ${object}, ${silent}` };
}
