/**
 * Says whether the counts under a change are still those that were reviewed. Counts are in
 * no fingerprint, since they drift all the time; one that has moved far is asked about again.
 */
import { formatBytes, formatQuantity } from "./figures.ts";
import type { Change, Plan } from "./plan.ts";

/** A count may move by this share of what was shown, … */
export const MOVED_SHARE_MAX = 0.2;
/** … and always by this much: a few rows more in a small table are no news. */
const MOVED_ROWS_MIN = 100;
const MOVED_BYTES_MIN = 1_000_000;

/** How much a change was said to move. */
export type ShownCounts = Pick<Change, "rowsMoved" | "bytesMoved">;

/** The counts of a plan's changes as somebody was shown them, by namespace. */
export type ShownFigures = Readonly<Record<string, ShownCounts>>;

export function figuresOf(changes: readonly Change[]): ShownFigures {
  return Object.fromEntries(
    changes.map(({ namespace, rowsMoved, bytesMoved }) => [namespace, { rowsMoved, bytesMoved }]),
  );
}

/** The plan with the counts that were shown: no fresh count is implied. */
export function withShown(plan: Plan, shown: ShownFigures | null): Plan {
  if (shown === null) return plan;
  const changes = plan.changes.map((change) => {
    const figures = shown[change.namespace];
    return figures === undefined ? change : { ...change, ...figures, countedAt: 0 };
  });
  return { ...plan, changes };
}

/** "5,000 rows would move, 0 rows were shown"; null while both are about the same. */
export function explainMoved(shown: ShownCounts, now: ShownCounts): string | null {
  if (isMoved(shown.rowsMoved, now.rowsMoved, MOVED_ROWS_MIN))
    return `${formatQuantity(now.rowsMoved, "row")} would move now, ${formatQuantity(shown.rowsMoved, "row was", "rows were")} shown`;
  if (isMoved(shown.bytesMoved, now.bytesMoved, MOVED_BYTES_MIN))
    return `${formatBytes(now.bytesMoved)} would move now, ${formatBytes(shown.bytesMoved)} were shown`;
  return null;
}

function isMoved(shown: number, now: number, least: number): boolean {
  return Math.abs(now - shown) > Math.max(shown * MOVED_SHARE_MAX, least);
}
