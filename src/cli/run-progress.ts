/**
 * Describes the progress of a run in words and numbers, for bars and plain lines alike. Pure but
 * for the reporter's interface.
 */
import type { Run, RunAction } from "../model/api.ts";
import { formatQuantity } from "../model/figures.ts";
import { describeRows, operationProgress } from "../render/describe.ts";
import { printable } from "../render/printable.ts";

export interface RunReporter {
  update(this: void, run: Run): void;
  /** Says something between two updates, once. */
  note(this: void, text: string): void;
  /** Leaves the terminal clean. */
  end(this: void): void;
}

/** 0 … 1. Copy and verification are half each: both read every row once. */
export function progressOf(action: RunAction): number {
  if (action.state === "done") return 1;
  return action.operation === null ? 0 : operationProgress(action.operation);
}

/** "copy, 12,000 of 171,075 rows"; before it that it is paused. */
export function describeWork(action: RunAction): string {
  const operation = action.operation;
  if (operation === null) return action.state;
  const wave = operation.waves > 1 ? ` (wave ${operation.wave} of ${operation.waves})` : "";
  const rows = operation.step === "verify" ? operation.rowsVerified : operation.rowsCopied;
  return `${operation.paused === null ? "" : "paused in "}${operation.step}${wave}, ${describeRows(operation, rows, "")}`;
}

/** The person who has paused it, and the reason; null while it is not paused. */
export function describeHold({ state, operation }: RunAction): string | null {
  const paused = state === "running" ? (operation?.paused ?? null) : null;
  return paused === null ? null : `paused by ${printable(paused.by)}: ${printable(paused.reason)}`;
}

/** How an action ended, or null while it has not. */
export function describeEnd(action: RunAction): string | null {
  switch (action.state) {
    case "pending":
    case "running":
      return null;
    case "done": {
      const operation = action.operation;
      return operation === null
        ? "done"
        : `done, ${formatQuantity(operation.rowsCopied, "row")}, epoch ${operation.epoch}`;
    }
    case "failed":
      return `failed: ${printable(action.error ?? "no reason was given")}`;
    case "cancelled":
      return action.error === null ? "cancelled" : `cancelled: ${printable(action.error)}`;
    case "notExecuted":
      return action.error === null ? "not executed" : `not executed: ${printable(action.error)}`;
  }
}
