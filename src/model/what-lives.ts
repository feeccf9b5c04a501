/**
 * Tells what stands behind a name: a namespace that is or was sharded, one that lives, or an object
 * that was only ever asked. Pure.
 */
import type { LiveNamespace } from "./live.ts";

/**
 * True for what is worth remembering. Anybody can ask an object of any name, and a class may fill
 * its tables whenever it starts: only an epoch, a running operation or a disorder shows that
 * somebody sharded it.
 */
export function wasSharded({ epoch, operation, disorder }: LiveNamespace): boolean {
  return epoch > 0 || operation?.state === "running" || Boolean(disorder);
}

/** True when nothing is there but an object that answers: a name with a typing mistake. */
export function isNothing(live: LiveNamespace): boolean {
  return !wasSharded(live) && !hasRows(live) && live.members.every(({ healthy }) => healthy);
}

/**
 * Why the namespace still lives, in words that follow "it"; null when it is unsharded, holds no row
 * and does nothing. Nothing is concluded from a member that does not answer.
 */
export function explainLife(live: LiveNamespace): string | null {
  const { layout, operation, disorder, members } = live;
  if (disorder) return "is out of step";
  if (operation?.state === "running") return "runs an operation";
  if (layout.kind !== "none") return "is sharded";
  if (members.some(({ healthy }) => !healthy)) return "has an object that does not answer";
  return hasRows(live) ? "has rows" : null;
}

function hasRows({ members }: LiveNamespace): boolean {
  return members.some(({ rows }) => rows > 0);
}
