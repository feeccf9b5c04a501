/**
 * A journaled operation as tests write it down: running, from and to the given layouts, with
 * nothing done yet.
 */
import type { Layout } from "../../../src/model/layout/layout.ts";
import { DEFAULT_OPERATION_POLICY } from "../../../src/model/operation.ts";
import type { OperationRecord } from "../../../src/shards/root/operation-record.ts";

export function operationRecord(
  layouts: { readonly from: Layout; readonly to: Layout },
  changes: Partial<OperationRecord> & Pick<OperationRecord, "kind" | "mode" | "step">,
): OperationRecord {
  return {
    id: 1,
    state: "running",
    ...layouts,
    epochFrom: 0,
    epoch: 0,
    policy: DEFAULT_OPERATION_POLICY,
    correlationId: "a correlation",
    requestedBy: "a test",
    refuseEmpty: false,
    rowsTotal: 0,
    sources: {},
    waveCount: 0,
    wavesDone: 0,
    waveSpan: 1,
    fencedAt: 0,
    attempt: 1,
    notBefore: 0,
    startedAt: 0,
    updatedAt: 0,
    finishedAt: null,
    fault: null,
    writePauseMs: null,
    paused: null,
    lastError: null,
    retries: 0,
    ...changes,
  };
}
