/** Refusals of the protocol: as values, and thrown where a caller expects a value. */
import type { ProtocolFailure } from "../../core/protocol-failure.ts";

export class RefusedError extends Error {
  readonly reason: ProtocolFailure;

  constructor(reason: ProtocolFailure) {
    super(reason.message);
    this.name = "RefusedError";
    this.reason = reason;
  }
}

/** A refusal that asking again does not change. */
export function refusal(kind: ProtocolFailure["kind"], message: string): ProtocolFailure {
  return { kind, message, retryable: false };
}
