/**
 * Follows a run until it ends. The run continues on the server: losing the connection or pressing
 * Ctrl-C only stops watching, and both print how to follow it again.
 */
import type { Run } from "../model/api.ts";
import type { ApiClient } from "./api-client.ts";
import { type CliResult, fail } from "./failure.ts";
import { requestRetryMs, isTransient } from "./http.ts";
import { openBars } from "./run-bars.ts";
import { openLines } from "./run-lines.ts";
import type { RunReporter } from "./run-progress.ts";
import type { Session } from "./session.ts";

/** A poll returns earlier when there is news; this bounds how long a proxy must hold it. */
const POLL_WAIT_S = 10;
/** At least this long between two polls, for servers that answer at once. */
const POLL_PAUSE_MS = 150;
const BACKOFF_ATTEMPT_MAX = 5;
/** Unanswered polls in a row before giving up: about 10 minutes of backoff. */
const LOST_POLLS_MAX = 100;

/**
 * @param onNews told of the run at the start and whenever it has changed, one call after the other.
 */
export async function followRun(
  session: Session,
  api: ApiClient,
  started: Run,
  onNews: (run: Run) => Promise<void> = async () => {},
): Promise<CliResult<Run>> {
  const interruption = session.host.interceptInterrupt();
  const reporter = openRunReporter(session);
  let run = started;
  let lost = 0;
  try {
    reporter.update(run);
    await onNews(run);
    while (run.finishedAt === null) {
      if (interruption.signal.aborted) return leftAlone(run);
      const answer = await api.awaitRun(run.id, POLL_WAIT_S, run.updatedAt, interruption.signal);
      if (answer.ok) {
        if (lost > 0) reporter.note("The server answers again.");
        lost = 0;
        run = answer.value;
        reporter.update(run);
        await onNews(run);
        if (run.finishedAt === null) await session.host.sleep(POLL_PAUSE_MS, interruption.signal);
        continue;
      }
      if (interruption.signal.aborted) return leftAlone(run);
      if (!isTransient(answer.failure))
        return { ok: false, failure: { ...answer.failure, hint: howToLook(run) } };
      lost++;
      if (lost === 1)
        reporter.note(
          "The server does not answer. The run continues when the server is back; waiting for it.",
        );
      if (lost > LOST_POLLS_MAX)
        return fail(
          "lostRun",
          `Gave up waiting for the server: ${answer.failure.message}`,
          howToLook(run),
        );
      await session.host.sleep(
        requestRetryMs(Math.min(lost, BACKOFF_ATTEMPT_MAX), session.host.random),
        interruption.signal,
      );
    }
    return { ok: true, value: run };
  } finally {
    reporter.end();
    interruption.release();
  }
}

/** Bars on a terminal, plain lines elsewhere. */
function openRunReporter(session: Session): RunReporter {
  const terminal =
    session.stream.isTTY === true && session.host.env["TERM"] !== "dumb" && !session.host.env["CI"];
  return terminal ? openBars(session) : openLines(session);
}

function leftAlone(run: Run): ReturnType<typeof fail> {
  return fail("interrupted", `Stopped watching. Run ${run.id} continues.`, howToLook(run), { run });
}

function howToLook(run: Run): string {
  return `Look at it:  shardctl status --run ${run.id}\nCancel it:   shardctl cancel ${run.id}`;
}
