/** Makes peers of a function: where a test's own answers are taken for those of the messages. */
import type { Envelope, ProtocolReply } from "../../src/model/wire/protocol.ts";
import type { MemberRequest } from "../../src/shards/protocol/messages.ts";
import type { Peers } from "../../src/shards/protocol/peers.ts";

export function peersOf(
  send: (member: string, envelope: Envelope<MemberRequest>) => Promise<ProtocolReply<unknown>>,
): Peers {
  return { send: (member, envelope) => send(member, envelope) as Promise<ProtocolReply<never>> };
}
