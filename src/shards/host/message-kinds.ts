/** Kinds of messages by how the host treats them. */
import type { MemberRequest, MessageKind } from "../protocol/messages.ts";

/**
 * Messages that come seldom, from people and from members that wait: they look after the alarm each
 * time.
 */
export const REVIVING: ReadonlySet<MessageKind> = new Set([
  "describe",
  "start",
  "operation",
  "history",
  "cancel",
  "pause",
  "resume",
  "resolve",
]);
/** Messages of the user's own calls: where nothing moves, they leave the alarm alone. */
export const ROUTED: ReadonlySet<MessageKind> = new Set([
  "call",
  "admit",
  "dismiss",
  "query",
  "locate",
  "claim",
  "release",
  "probe",
  "enter",
]);
/** Messages after which there may be private tables, and an alarm of the engine. */
export const BEGINNING: ReadonlySet<MessageKind> = new Set([
  "start",
  "prepare",
  "abandon",
  "finish",
  "empty",
]);

/**
 * Messages that tell an object which namespace it is part of, if it does not know yet: the
 * beginning of its part, the end of one that it never heard of, and its repair.
 */
export const INTRODUCES: ReadonlySet<MemberRequest["kind"]> = new Set([
  "prepare",
  "abandon",
  "finish",
  "mend",
]);

/** Messages that come after a commit, or after the end: what they meet undoes nothing. */
export const AFTER_COMMIT: ReadonlySet<MessageKind> = new Set([
  "activate",
  "finish",
  "abandon",
  "empty",
]);
/** Messages of which a move sends one for each page of rows. */
export const PAGES: ReadonlySet<MessageKind> = new Set(["receive", "check", "stagedKeys"]);
/** Messages that run code of the user, whose errors are not the engine's. */
export const USERS_OWN: ReadonlySet<MessageKind> = new Set(["call", "query"]);

/**
 * Messages that an object answers although it is out of step, or its registry is lost: looks, the
 * end of an operation, and its repair.
 */
export const ANSWERED_IN_TROUBLE: ReadonlySet<MessageKind> = new Set([
  "describe",
  "operation",
  "history",
  "ids",
  "count",
  "health",
  "planRepair",
  "repair",
  "testify",
  "mend",
  "suspectDirectory",
  "trustDirectory",
  "resolve",
  "activate",
  "unfence",
  "finish",
  "abandon",
  "dismiss",
]);
