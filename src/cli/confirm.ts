/**
 * Asks for approval before anything is changed. Only the answer `yes` approves; without a terminal
 * the command fails.
 */
import { createInterface } from "node:readline/promises";

import { type CliResult, fail } from "./failure.ts";
import type { Session } from "./session.ts";

/** The question, and the words for its end without a `yes`. */
export interface ConfirmWords {
  readonly question: string;
  readonly nothing: string;
}

const APPLY: ConfirmWords = {
  question: "Do you want to apply this plan? Only 'yes' is accepted: ",
  nothing: "Nothing was applied",
};

const ADVICE =
  "Review the plan, then run again with --auto-approve, or apply exactly that plan with --fingerprint.";

/** @param advice what to do where there is nobody to ask. */
export function confirmApply(session: Session, advice = ADVICE): Promise<CliResult<null>> {
  return confirm(session, APPLY, advice);
}

/** @param advice what to do where there is nobody to ask. */
export async function confirm(
  session: Session,
  { question, nothing }: ConfirmWords,
  advice: string,
): Promise<CliResult<null>> {
  const { stdin } = session.host;
  if (stdin.isTTY !== true) {
    return fail(
      "notConfirmed",
      `${nothing}: there is no terminal to ask for your approval.`,
      advice,
    );
  }
  const answer = await ask(session, question);
  if (answer === null) return fail("interrupted", `${nothing}: interrupted.`);
  return answer === "yes"
    ? { ok: true, value: null }
    : fail("notConfirmed", `${nothing}: the answer was not 'yes'.`);
}

/** Asks on the terminal. True only for the answer `yes`. */
export async function askYes(session: Session, question: string): Promise<boolean> {
  return (await ask(session, question)) === "yes";
}

async function ask(session: Session, question: string): Promise<string | null> {
  const lines = createInterface({
    input: session.host.stdin,
    output: session.stream,
    terminal: session.stream.isTTY === true,
  });
  const closed = new AbortController();
  // Ctrl-C in raw mode arrives here and not as a signal; Ctrl-D closes the input.
  lines.on("SIGINT", () => closed.abort());
  lines.on("close", () => closed.abort());
  try {
    return (await lines.question(`\n${question}`, { signal: closed.signal })).trim();
  } catch (error) {
    if (closed.signal.aborted) {
      session.say("");
      return null;
    }
    throw error;
  } finally {
    lines.close();
  }
}
