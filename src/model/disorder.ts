/**
 * Describes the disorder of a namespace with the next step, and detects the one that a root cannot
 * know of: a registry that is older than one seen before. Pure.
 */
import { formatQuantity } from "./figures.ts";
import type { LiveNamespace } from "./live.ts";
import type { Disorder } from "./repair.ts";

/** A registry as earlier looks have seen it. */
export interface SeenRegistry {
  /** The highest epoch that was live; 0 from a repair until the next look. */
  readonly epoch: number;
  /**
   * Members of that layout, at most `SEEN_MEMBERS_MAX`: a repair asks them, whatever the root still
   * knows.
   */
  readonly members: readonly string[];
  /** When it was seen, in milliseconds since the Unix epoch. */
  readonly at: number;
  /**
   * Repairs that were applied so far. What was noted before one says nothing about what it has
   * left.
   */
  readonly repairs: number;
}

/** As many objects as one repair is asked to question by name. */
export const SEEN_MEMBERS_MAX = 1000;

/** Names that a reason lists. */
const NAMES_MAX = 5;

/** Names the disorder, in a phrase that stays the same while the cause does. */
export function describeDisorder({ kind, members }: Disorder): string {
  switch (kind) {
    case "registryLost":
      return "the registry is lost: the root is behind its members, or behind an epoch that was live before";
    case "outOfStep":
      return `${listNames(members)} ${members.length === 1 ? "is" : "are"} out of step: ${members.length === 1 ? "it cannot" : "they cannot"} prove what ${members.length === 1 ? "it owns" : "they own"}`;
  }
}

/** The command that shows the way out. */
export function repairCommand(namespace: string): string {
  return `shardctl repair ${namespace}`;
}

/** The way out, for the person who meets it. */
export function remedyOf({ kind }: Disorder, namespace: string): string {
  const states = {
    registryLost:
      "Nothing is planned or applied here until it is repaired. A root that knows of its loss serves no call; keep writers away from one that does not",
    outOfStep:
      "These members serve nothing, and nothing is planned or applied here, until they are repaired",
  };
  return `${states[kind]}: \`${repairCommand(namespace)}\` shows what each object reports and what a repair would do, and applies only what it has shown.`;
}

/**
 * The namespace with the disorder that earlier looks prove, where the root itself tells of none: an
 * epoch that is below one that was live. Epochs are never used again, so such a root has lost what
 * it knew, and what it says of its layout is not to be believed.
 */
export function withKnownLoss(
  live: LiveNamespace,
  seen: Pick<SeenRegistry, "epoch" | "at"> | null,
): LiveNamespace {
  if (live.disorder || seen === null || live.epoch >= seen.epoch) return live;
  return { ...live, disorder: lostRegistry(live, seen) };
}

function lostRegistry(
  { name, epoch, layout }: LiveNamespace,
  seen: Pick<SeenRegistry, "epoch" | "at">,
): Disorder {
  const now =
    layout.kind === "none"
      ? "unsharded"
      : `${layout.kind} over ${formatQuantity(layout.members.length, "member")}`;
  return {
    kind: "registryLost",
    members: [name],
    message: `The root of '${name}' is at epoch ${epoch} (${now}), but was at epoch ${seen.epoch} before: its storage was restored or lost, and it does not know it. It still serves calls by what it believes: keep writers away`,
    since: seen.at,
  };
}

function listNames(names: readonly string[]): string {
  const hidden = names.length - NAMES_MAX;
  return hidden > 0
    ? `${names.slice(0, NAMES_MAX).join(", ")} and ${hidden} more`
    : names.join(", ");
}
