/**
 * roundRobin: rows are dealt out in turn and remembered in a directory, so the layout is no more
 * than its members.
 *
 * Every copy deals anew, from all sources at once: the targets end within one row of each other.
 * For the projection each source deals its own rows, starting where the one before it stopped.
 */
import type { RoundRobinLayout } from "../layout/layout.ts";

/**
 * The layout over the members, in index order. `shardKey` is kept as a label for later changes of
 * strategy.
 */
export function roundRobinLayout(
  shardKey: string,
  generation: number,
  members: readonly string[],
): RoundRobinLayout {
  return { kind: "roundRobin", shardKey, generation, members };
}

/** How many of `rows` each of `count` members gets when the first row goes to member `start`. */
export function dealRows(rows: number, count: number, start: number): number[] {
  return Array.from({ length: count }, (_, index) => {
    const turn = (index - start + count) % count;
    return Math.floor((rows + count - 1 - turn) / count);
  });
}
