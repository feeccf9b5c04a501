/** The record of an operation as others see it. */
import { describe, expect, it } from "vitest";

import { DEFAULT_OPERATION_POLICY } from "../../../src/model/operation.ts";
import { unshardedLayout } from "../../../src/model/layout/layout.ts";
import {
  type OperationRecord,
  newRecord,
  operationStatus,
} from "../../../src/shards/root/operation-record.ts";

const layout = unshardedLayout("ns", 0);
const RECORD: OperationRecord = {
  ...newRecord(1, 1_000),
  kind: "shard",
  mode: "swap",
  from: layout,
  to: layout,
  epochFrom: 0,
  epoch: 0,
  policy: DEFAULT_OPERATION_POLICY,
  correlationId: "c",
  requestedBy: "a test",
  refuseEmpty: false,
};

describe("a status", () => {
  it("says that its texts are marked only where the library that wrote them last marks them", () => {
    expect(operationStatus("ns", { ...RECORD, markedAt: 1_000 }).marked).toBe(true);
    // Rolled back meanwhile: the older library keeps the field, and renews the time alone.
    const older = { ...RECORD, markedAt: 1_000, updatedAt: 2_000, lastError: "id alice" };
    expect(operationStatus("ns", older)).not.toHaveProperty("marked");
    expect(operationStatus("ns", RECORD)).not.toHaveProperty("marked");
  });

  it("shows nothing of what the driver alone needs, and null for what a record lacks", () => {
    const { paused: _, writePauseMs: __, ...early } = RECORD;
    const status = operationStatus("ns", early as OperationRecord);
    expect(status).toMatchObject({ paused: null, writePauseMs: null, waitsFor: null });
    for (const name of ["policy", "attempt", "waveSpan", "notBefore", "token", "markedAt"])
      expect(status).not.toHaveProperty(name);
  });
});
