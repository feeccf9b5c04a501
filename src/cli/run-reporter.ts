/** Progress of a run for people: bars on a terminal, plain lines elsewhere. Chooses between the two. */
import { openBars } from "./run-bars.ts";
import { openLines } from "./run-lines.ts";
import type { RunReporter } from "./run-progress.ts";
import type { Session } from "./session.ts";

export function openRunReporter(session: Session): RunReporter {
  const terminal = session.stream.isTTY === true && session.host.env["TERM"] !== "dumb" && !session.host.env["CI"];
  return terminal ? openBars(session) : openLines(session);
}
