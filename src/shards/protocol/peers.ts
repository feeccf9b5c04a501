/** The port to the other objects of a namespace: what may be sent, and what comes back for it. */
import type { Envelope, ProtocolReply } from "../../model/wire/protocol.ts";
import type { MemberRequest, ReplyTo } from "./messages.ts";

/**
 * Sends a message to another object of the same class, by name. The answer is of the type that
 * `Replies` gives for the message's kind. Rejects when there is no answer: that is never an empty
 * answer.
 */
export interface Peers {
  send<const Request extends MemberRequest>(
    member: string,
    envelope: Envelope<Request>,
  ): Promise<ProtocolReply<ReplyTo<Request>>>;
}
