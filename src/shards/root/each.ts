/** Asking many members at a time. */
import { EngineFault } from "../storage/faults.ts";

/** Members asked at the same time. */
export const FAN_OUT_MAX = 32;

/**
 * Asks many, a bounded number at a time; waits for all, then throws the first failure, faults
 * before silence.
 */
export async function each<Item, Value>(
  items: readonly Item[],
  work: (item: Item) => Promise<Value>,
): Promise<Value[]> {
  const results: PromiseSettledResult<Value>[] = [];
  const waiting = items.entries();
  // Each takes the next item when it is done with one: a slow member keeps no other from being
  // asked.
  const takeTurns = async (): Promise<void> => {
    for (const [index, item] of waiting) [results[index]] = await Promise.allSettled([work(item)]);
  };
  await Promise.all(Array.from({ length: Math.min(FAN_OUT_MAX, items.length) }, takeTurns));
  const failures = results
    .filter((result) => result.status === "rejected")
    .map((result): unknown => result.reason);
  const first = failures.find((reason) => reason instanceof EngineFault) ?? failures[0];
  if (failures.length > 0) throw first;
  return results.filter((result) => result.status === "fulfilled").map((result) => result.value);
}
