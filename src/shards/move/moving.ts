/** The record of a running move, as one participant keeps it. */
import type { Layout } from "../../model/layout/layout.ts";
import type { MoveRange } from "../../model/layout/move-range.ts";
import type { OperationMode } from "../../model/operation.ts";

/** The part that an object plays in a running operation. */
export interface Moving {
  readonly operation: number;
  /** Tells it from another of that number; absent for one that an older root has begun. */
  readonly token?: string;
  /**
   * The epoch at which the operation began: above it every participant is at the registry's; absent
   * from an older library.
   */
  readonly epochFrom?: number;
  /** The point in time, from before the part began, to which this object can be restored. */
  readonly bookmark?: string;
  readonly mode: OperationMode;
  readonly isSource: boolean;
  readonly isTarget: boolean;
  readonly from: Layout;
  readonly to: Layout;
  readonly allowMissingKey: boolean;
  readonly rowsPerSecondMax: number | null;
  /** The attempt that holds the fence, 0 when there is none. */
  readonly fence: number;
  /** Attempts below this one are over: a late call of one must not fence again. */
  readonly fenceFloor: number;
  /**
   * How often changed tables were prepared again, by the part that this object plays; absent for
   * never.
   */
  readonly rounds?: { readonly source: number; readonly target: number };
  /**
   * As a target of a shift: rows that are live under the fence, before their cutover; absent or
   * null for none.
   */
  readonly promotion?: Promotion | null;
  /**
   * As a target of a swap: the attempt behind whose fence all that came was checked. As one of a
   * shift under a root of protocol 1: the attempt whose promotion it has tried. 0 or absent for
   * none.
   */
  readonly rehearsed?: number;
}

/**
 * Rows that were made live under a fence. It is undone with its attempt, or stays when the attempt
 * is committed.
 */
export interface Promotion {
  readonly attempt: number;
  /** The ranges whose staged rows are live. */
  readonly incoming: readonly MoveRange[];
}

/**
 * True unless this is the target of a swap that was not checked whole behind the fence of the
 * attempt, as one that was restored since. What an older library has prepared is taken as it is.
 */
export function isCheckedFor(
  { mode, isTarget, epochFrom, rehearsed }: Moving,
  attempt: number,
): boolean {
  return mode === "shift" || !isTarget || epochFrom === undefined || rehearsed === attempt;
}
