// Leaves out messages that can never change anything again, so that the bag holds only messages that matter and the search goes further.
// Sound for the protocol as specified, because its numbers only grow: a message that is refused for its number stays refused, and a state
// that holds it behaves like the state in which it was lost. A weakened variant may still act on such a message, so it is never used there.
import {
  COMMITTED,
  FENCE,
  IDLE_DONE,
  type Member,
  type MemberIndex,
  type Message,
  PREPARE,
  type State,
  unpackMessage,
} from "./shift-state.ts";

/** Drops the inert messages of `state`. */
export function dropInertMessages(state: State): void {
  if (state.bag.some((message) => isInert(state, unpackMessage(message))))
    state.bag = state.bag.filter((message) => !isInert(state, unpackMessage(message)));
}

function isInert(state: State, message: Message): boolean {
  const { kind, member: me, op, number } = message;
  if (kind === "page") return isPageInert(state, me, op, number);
  if (kind === "prepared" || kind === "drained" || kind === "rehearsed" || kind === "activated" || kind === "cleaned")
    return isAnswerInert(state, kind, op, number);
  const member = state.members[me];
  if (op < member.op) return kind !== "activate" || isActivationInert(state, me, op, number);
  if (op > member.op) return false;
  if (kind === "activate") return isActivationInert(state, me, op, number);
  if (kind === "prepare") return member.active === 0 || isAnswerInert(state, "prepared", op, number);
  if (kind === "rehearse") return member.active === 0 || isAnswerInert(state, "rehearsed", op, number);
  if (kind === "cleanUp") return member.active === 0 && isAnswerInert(state, "cleaned", op, number);
  return member.active === 0 || isRunningCallInert(member, kind, number);
}

/** A call of the operation that runs at the member. */
function isRunningCallInert(member: Member, kind: "ack" | "fence" | "release" | "ask", number: number): boolean {
  switch (kind) {
    case "ack":
      return member.outstanding === 0 || number !== member.seq;
    case "fence":
      return number <= member.released || number <= member.fence;
    case "release":
      return number <= member.released && number !== member.fence;
    case "ask":
      return false;
    default:
      return kind satisfies never;
  }
}

/** An activation that changes nothing, and whose answer the root will not count. */
function isActivationInert(state: State, me: MemberIndex, op: number, epoch: number): boolean {
  return epoch <= state.members[me].epoch && isAnswerInert(state, "activated", op, epoch);
}

function isAckInert(source: Member, op: number, seq: number): boolean {
  return op < source.op || (op === source.op && (source.active === 0 || source.outstanding === 0 || seq !== source.seq));
}

function isPageInert(state: State, source: MemberIndex, op: number, seq: number): boolean {
  const target = state.members[source === 0 ? 1 : 0];
  if (op < target.op) return true;
  if (op > target.op) return false;
  if (target.active === 0 || seq < target.lastSeq) return true;
  // The last page is acknowledged again: that changes something as long as its source waits for it.
  return seq === target.lastSeq && isAckInert(state.members[source], op, seq);
}

/** An answer to a phase, an attempt or an epoch that the root has left. */
function isAnswerInert(
  state: State,
  kind: "prepared" | "drained" | "rehearsed" | "activated" | "cleaned",
  op: number,
  number: number,
): boolean {
  const { root } = state;
  if (op < root.op) return true;
  switch (kind) {
    case "prepared":
      return root.phase !== PREPARE;
    case "drained":
    case "rehearsed":
      return number < root.attempt || root.phase > FENCE;
    case "activated":
      return number < root.epoch || (number === root.epoch && root.phase !== COMMITTED);
    case "cleaned":
      return root.phase >= IDLE_DONE;
    default:
      return kind satisfies never;
  }
}
