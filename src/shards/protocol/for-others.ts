/**
 * Takes out of an answer to the control half what it quotes of rows. Answers between the objects
 * of a namespace keep it: the root's journal is where it stays.
 */
import type { LiveNamespace } from "../../model/live.ts";
import type { OperationStatus } from "../../model/operation.ts";
import { namespaceForOthers, operationForOthers, withoutRowWords } from "../../model/row-words.ts";
import type { ProtocolFailure } from "../../model/wire/protocol-failure.ts";
import type { ControlRequest, ProtocolReply } from "../../model/wire/protocol.ts";
import type { MemberRequest } from "./messages.ts";

/** How an answer is told; null for an answer whose texts quote nothing, or are asked for. */
const TELLS: { readonly [Kind in ControlRequest["kind"]]: ((value: never) => unknown) | null } = {
  describe: (live: LiveNamespace) => namespaceForOthers(live),
  operation: operationForOthers,
  history: (operations: readonly OperationStatus[]) => operations.map(operationForOthers),
  start: operationForOthers,
  cancel: operationForOthers,
  pause: operationForOthers,
  resume: operationForOthers,
  distribute: null,
  ids: null,
  planRepair: null,
  repair: null,
};

/** The reply as it leaves the objects of the namespace. */
export function forOthers(
  namespace: string,
  request: MemberRequest | null | undefined,
  reply: ProtocolReply<unknown>,
): ProtocolReply<unknown> {
  if (!request || !Object.hasOwn(TELLS, request.kind) || "sampleEvery" in request) return reply;
  if (!reply.ok) return { ...reply, failure: failureForOthers(namespace, reply.failure) };
  const tell = TELLS[request.kind as ControlRequest["kind"]] as
    | ((value: unknown) => unknown)
    | null;
  return tell === null ? reply : { ...reply, value: tell(reply.value) };
}

function failureForOthers(namespace: string, failure: ProtocolFailure): ProtocolFailure {
  const { message, fault } = failure;
  return {
    ...failure,
    message: withoutRowWords(message, namespace),
    ...(fault ? { fault: { ...fault, message: withoutRowWords(fault.message, namespace) } } : {}),
  };
}
