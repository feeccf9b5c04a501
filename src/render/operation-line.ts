/** One operation in words: how far it is, or how it ended. */
import { formatCount, formatQuantity, formatShare } from "../model/figures.ts";
import type { OperationStatus } from "../model/operation.ts";
import { describeRows, operationProgress } from "./describe.ts";
import { printable } from "./printable.ts";
import { formatAge, formatDuration } from "./time.ts";

/**
 * "copy, 25.0 % (301,083 of 1,204,332 rows copied, 0 verified), wave 2 of 9, 3 retries (last: …)";
 * before it who has paused it, and why.
 */
function describeProgress(operation: OperationStatus): string {
  const { step, wave, waves, rowsCopied, rowsVerified, retries, lastError, paused, waitsFor } =
    operation;
  const share = formatShare(operationProgress(operation), 1);
  const parts = [
    ...(paused === null ? [] : [`paused by ${printable(paused.by)}: ${printable(paused.reason)}`]),
    ...(waitsFor ? [`waits: ${printable(waitsFor.message)}`] : []),
    `${step}, ${share} (${describeRows(operation, rowsCopied, " copied")}, ${formatCount(rowsVerified)} verified)`,
    ...(waves > 0 ? [`wave ${formatCount(wave)} of ${formatCount(waves)}`] : []),
    ...(retries > 0
      ? [
          `${formatQuantity(retries, "retry", "retries")}${lastError === null ? "" : ` (last: ${printable(lastError)})`}`,
        ]
      : []),
  ];
  return parts.join(", ");
}

/** How a running operation stands, or how an ended one ended. */
export function describeOperation(operation: OperationStatus, now: number): string {
  const { state, startedAt, finishedAt, fault } = operation;
  const took = formatDuration((finishedAt ?? now) - startedAt);
  switch (state) {
    case "running":
      return `${describeProgress(operation)}, started ${formatAge(startedAt, now)}`;
    case "completed":
      return `${formatQuantity(operation.rowsCopied, "row")} in ${took}`;
    case "cancelled":
    case "failed":
      return `after ${took}${fault === null ? "" : `: ${printable(fault.message)} [${fault.kind}]`}`;
  }
}
