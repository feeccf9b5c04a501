/**
 * The oldest protocol that knows a message, for the messages that protocol 1 does not know. Sent to
 * an object that does not speak it, such a message is the refusal `protocol`: nothing has run, and
 * it can be sent when that object has been deployed.
 */
import type { MessageKind } from "./messages.ts";

export const LEAST_PROTOCOL: Readonly<Partial<Record<MessageKind, number>>> = {
  hold: 2,
  promote: 2,
  recopy: 2,
  admit: 2,
  dismiss: 2,
};
