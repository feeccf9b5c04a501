/** Asks objects what they know of themselves, and tells from it which have lost their part. */
import { RefusedError } from "../protocol/refused-error.ts";
import type { Message } from "../protocol/messages.ts";
import type { Testimony } from "../protocol/replies.ts";
import type { OfOperation } from "../protocol/terms.ts";
import type { DriverContext } from "./progress.ts";

/** The answer of an object; `silent` when there was none. */
export type Answer = Testimony | "silent" | "knowsNothing";

/** Asks an object what it knows of itself. */
export async function hearTestimony(
  context: Pick<DriverContext, "ask">,
  member: string,
  request: Omit<Message<"testify">, "kind">,
): Promise<Answer> {
  try {
    return await context.ask(member, { kind: "testify", ...request });
  } catch (error) {
    // Only the word of an object that has nothing counts as nothing.
    return error instanceof RefusedError && error.reason.kind === "outOfStep"
      ? "knowsNothing"
      : "silent";
  }
}

/**
 * True for a source that has begun an operation, and knows neither that nor its end: what it had
 * sent is at its targets alone. Silence says nothing.
 */
export function hasLostItsPart(
  answer: Answer | undefined,
  { operation, token }: OfOperation,
): boolean {
  if (answer === undefined || answer === "silent") return false;
  if (answer === "knowsNothing" || !answer.isStored) return true;
  const { moving, ended } = answer;
  const isSame =
    moving?.operation === operation &&
    (moving.token === undefined || token === undefined || moving.token === token);
  return !isSame && ended < operation;
}
