/**
 * The expected refusals of the protocol. Apart from its messages, because live state tells of them
 * too: see `LiveFailure`.
 */
import type { OperationFault } from "../operation.ts";

/** Why an object said no. */
export interface ProtocolFailure {
  readonly kind:
    | "staleEpoch" // refresh the layout and retry
    | "notOwner"
    | "moving" // the namespace is being moved: retry later
    | "tablesChanged" // to the root: a deploy has changed tables of the move, they are prepared and copied again
    | "notMember"
    | "ticketNeeded" // a call to all members, to one that takes part in a move: it runs by a ticket, and has not run
    | "idTaken" // a row of that id stands under another shard key
    | "wrongKey" // a call wrote a row under a key of another member, or changed a shard key in place: it may have run in part
    | "operationRunning"
    | "epochChanged" // the start was planned against another epoch
    | "notFound"
    | "tooLate" // cancel or pause after the last cutover
    | "protocol" // sender and addressee speak no protocol in common that the message can be sent by: one of them is still to be deployed
    | "newerSchema" // the object was written by a newer library, and does nothing until that is deployed again
    | "registryLost" // the root is behind its members, or knows less than they do: it serves nothing until it is repaired
    | "outOfStep" // the object cannot prove what it owns, as after a restore: it serves nothing until it is repaired
    | "invalid"
    | "fault" // the engine ends the operation: see `fault`
    | "unreachable";
  readonly message: string;
  /**
   * True when nothing has run, and a fresh layout, a moment's wait or the rest of a rollout helps.
   * Follows from `kind`.
   */
  readonly retryable: boolean;
  readonly fault?: OperationFault;
  /** The epoch that the refusing object acts by, where it tells who asks that he is behind. */
  readonly epoch?: number;
  /** Rows counted so far, of an object that is still counting: asked again it has the count. */
  readonly counted?: number;
}

const RETRYABLE: ReadonlySet<ProtocolFailure["kind"]> = new Set([
  "staleEpoch",
  "notOwner",
  "notMember",
  "moving",
  "tablesChanged",
  "protocol",
  "newerSchema",
]);

/** A refusal; its kind says whether asking again helps. */
export function refusal(
  kind: Exclude<ProtocolFailure["kind"], "fault">,
  message: string,
): ProtocolFailure {
  return { kind, message, retryable: RETRYABLE.has(kind) };
}

/** The refusal that ends an operation before its cutover. */
export function faultRefusal({ kind, message }: OperationFault): ProtocolFailure {
  return { kind: "fault", message, retryable: false, fault: { kind, message, marked: true } };
}
