/**
 * Compares every registry that is read with what earlier checks recorded, so that a root which has
 * lost its storage, and cannot detect it, counts as out of step for every reader.
 */
import { type SeenRegistry, withKnownLoss } from "../model/disorder.ts";
import type { NamespaceRef } from "../model/live.ts";
import { success } from "../model/result.ts";
import type { LiveReader } from "./port.ts";

/** Remembers registries, whatever the roots say now. Both methods are synchronous. */
export interface SeenRegistries {
  /** Null for one that was never seen. */
  read(ref: NamespaceRef): SeenRegistry | null;
  /** Takes note of a registry that is to be believed. */
  note(ref: NamespaceRef, registry: Pick<SeenRegistry, "epoch" | "members" | "at">): void;
}

/** The same access, whose `describe` tells of the loss. */
export function watchRegistries<Live extends Pick<LiveReader, "describe">>(
  live: Live,
  seenOf: (ref: NamespaceRef) => SeenRegistry | null | Promise<SeenRegistry | null>,
): Live {
  return {
    ...live,
    async describe(ref: NamespaceRef, countsMaxAgeMs?: number) {
      const described = await live.describe(ref, countsMaxAgeMs);
      return described.ok ? success(withKnownLoss(described.value, await seenOf(ref))) : described;
    },
  };
}
