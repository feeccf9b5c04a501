/**
 * Hash slots as in Redis Cluster: CRC16 of the key modulo 16,384, and only the part between braces
 * when the key has a `{tag}`.
 */
import clusterKeySlot from "cluster-key-slot";

import { type Key, keyText } from "./key.ts";

/** Number of slots. Stored layouts depend on it: never change. */
export const SLOT_COUNT = 16_384;

// The package is CommonJS: under Node and bundlers its function arrives as the default export,
// which its types do not say.
const calculateSlot = clusterKeySlot as unknown as (text: string) => number;

/** The slot of a key, 0 … 16,383. Source: Redis Cluster specification, "Key distribution model". */
export function slotOf(key: Key): number {
  return calculateSlot(keyText(key));
}

/** The slot of a row's id, which says where its directory entry lives. */
export function slotOfId(id: string): number {
  return calculateSlot(id);
}
