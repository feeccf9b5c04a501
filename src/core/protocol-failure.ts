/** The expected refusals of the protocol. Apart from its messages, because live state tells of them too: see `LiveFailure`. */
import type { OperationFault } from "./operation.ts";

/** Why an object said no. */
export interface ProtocolFailure {
  readonly kind:
    | "staleEpoch" // refresh the layout and retry
    | "notOwner"
    | "moving" // the namespace is being moved: retry later
    | "notMember"
    | "idTaken" // a row of that id stands under another shard key
    | "operationRunning"
    | "epochChanged" // the start was planned against another epoch
    | "notFound"
    | "tooLate" // cancel or pause after the last cutover
    | "empty"
    | "invalid"
    | "fault" // the engine ends the operation: see `fault`
    | "unreachable";
  readonly message: string;
  readonly retryable: boolean;
  readonly fault?: OperationFault;
}
