/** A refusal of the protocol, thrown where a caller expects a value. */
import type { ProtocolFailure } from "../../core/protocol-failure.ts";

export class RefusedError extends Error {
  readonly reason: ProtocolFailure;

  constructor(reason: ProtocolFailure) {
    super(reason.message);
    this.name = "RefusedError";
    this.reason = reason;
  }
}
