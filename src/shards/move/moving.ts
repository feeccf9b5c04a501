/** The record of a running move, as one participant keeps it. */
import type { Layout } from "../../core/layout.ts";
import type { OperationMode } from "../../core/operation.ts";

/** The part that an object plays in a running operation. */
export interface Moving {
  readonly operation: number;
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
  /** As a target: the attempt under whose fence it has tried its promotion, 0 for none. */
  readonly rehearsed: number;
}
