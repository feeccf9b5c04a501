/** Asking many members at a time. */
import { runBounded } from "../../model/run-bounded.ts";
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
  const results = await runBounded(items, FAN_OUT_MAX, (item) => settle(work(item)));
  const failures = results
    .filter((result) => result.status === "rejected")
    .map((result): unknown => result.reason);
  const first = failures.find((reason) => reason instanceof EngineFault) ?? failures[0];
  if (failures.length > 0) throw first;
  return results.filter((result) => result.status === "fulfilled").map((result) => result.value);
}

async function settle<Value>(work: Promise<Value>): Promise<PromiseSettledResult<Value>> {
  const [result] = await Promise.allSettled([work]);
  return result;
}
