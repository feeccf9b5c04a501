/**
 * Runs an async function over a list with at most `limit` calls in flight, and keeps the order of
 * the list. The first exception ends it.
 */
export async function runBounded<Item, Value>(
  items: readonly Item[],
  limit: number,
  work: (item: Item) => Promise<Value>,
): Promise<Value[]> {
  const values = Array.from<Value>({ length: items.length });
  let next = 0;
  async function drain(): Promise<void> {
    while (next < items.length) {
      const index = next++;
      values[index] = await work(items[index] as Item);
    }
  }
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, drain));
  return values;
}
