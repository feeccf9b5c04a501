/** Carries a refusal of the protocol as an exception, for callers that expect a value. */
import { type ProtocolFailure, refusal } from "../../model/wire/protocol-failure.ts";
import { EngineError } from "../storage/faults.ts";

export class RefusedError extends EngineError {
  readonly reason: ProtocolFailure;

  constructor(reason: ProtocolFailure) {
    super(reason.message);
    this.name = "RefusedError";
    this.reason = reason;
  }
}

/** The refusal of an object that is still counting its rows: the count goes on. */
export function stillCounting(message: string, counted: number): RefusedError {
  return new RefusedError({ ...refusal("moving", message), counted });
}

/** The exception of a refusal; its kind says whether asking again helps. */
export function refused(
  kind: Exclude<ProtocolFailure["kind"], "fault">,
  message: string,
): RefusedError {
  return new RefusedError(refusal(kind, message));
}
