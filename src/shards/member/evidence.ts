/**
 * Judges whether a message comes from a root that knows what this member knows. Rule
 * "one-history": a root that was restored, or has lost its registry, is told so and obeyed in
 * nothing.
 */
import { NOTHING_CHANGED } from "../../model/operation.ts";
import { type ProtocolFailure, faultRefusal, refusal } from "../../model/wire/protocol-failure.ts";
import type { Moving } from "../move/moving.ts";
import type { MemberRequest, MessageKind } from "../protocol/messages.ts";
import type { Membership } from "./membership.ts";

/** The way out of either state, as messages end. */
export const REPAIR = "run `shardctl repair` for the namespace";

/**
 * Refuses a message of an operation whose root is behind this member, or that is another operation
 * than the one that this member knows by its number. Null for any other message.
 */
export function refuseStrange(
  self: string,
  membership: Membership,
  moving: Moving | undefined,
  request: MemberRequest,
): ProtocolFailure | null {
  if (!("operation" in request) || request.kind === "start") return null;
  const { operation, token, registryEpoch } = request;
  if (registryEpoch !== undefined && membership.epoch > registryEpoch) {
    const message = `${self} is at epoch ${membership.epoch}, the registry of '${membership.namespace}' at ${registryEpoch}: the root has lost what came after`;
    return { ...refusal("registryLost", message), epoch: membership.epoch };
  }
  const ended = membership.tokenOf === operation ? membership.token : undefined;
  const known = moving?.operation === operation ? moving.token : ended;
  if (token === undefined || known === undefined || known === token) return null;
  return refusal(
    "registryLost",
    `${self} knows another operation ${operation} than the one that this message is of`,
  );
}

/** Messages that only a part of a namespace can answer. */
const ASKED_OF_MEMBERS: ReadonlySet<MessageKind> = new Set([
  "call",
  "admit",
  "dismiss",
  "query",
  "locate",
  "claim",
  "release",
  "probe",
  "enter",
  "enterIds",
  "suspectDirectory",
  "trustDirectory",
  "count",
  "health",
  "testify",
]);

/**
 * Refuses a message for another namespace. A start there ends by it; everybody else has the wrong
 * name, or asks an object that has lost its storage.
 */
export function refuseStranger(
  {
    self,
    membership,
    isStored,
  }: { readonly self: string; readonly membership: Membership; readonly isStored: boolean },
  namespace: string,
  request: MemberRequest,
): ProtocolFailure {
  const { kind } = request;
  if (ASKED_OF_MEMBERS.has(kind) && !isStored) {
    const lost = `${self} knows nothing of namespace '${namespace}': it has lost its storage, or was never part of it`;
    return refusal("outOfStep", `${lost}: ${REPAIR}`);
  }
  const isPartOfMove =
    "operation" in request && request.kind !== "start" && request.kind !== "prepare";
  if (isPartOfMove && !isStored) {
    const message = `${self} knows nothing of operation ${request.operation}: it has lost its storage`;
    return faultRefusal({ kind: "outOfStep", message });
  }
  const message = `${self} is part of namespace '${membership.namespace}', the message is for '${namespace}'`;
  if (kind !== "prepare") return refusal("invalid", message);
  return faultRefusal({
    kind: "schema",
    message: `${message}. ${NOTHING_CHANGED}: choose other names for the shards`,
  });
}
