/**
 * Gives up a task that has ended twice without an answer, with a word in its pull request. Looks at
 * nothing that the task would look at: that may be what it died of.
 */
import { success } from "../model/result.ts";
import type { GithubResult } from "../github/port.ts";
import { codeMarkdown } from "../render/escape-markdown.ts";
import { answer } from "./answer-command.ts";
import { postCheck, postComment } from "./post-state.ts";
import type { PullParts } from "./pull-parts.ts";
import type { PullTask } from "./pull-task.ts";

/** Remembered of a pull request that was given up: a scan leaves it alone. */
export const GIVEN_UP = "givenUp";

const MESSAGE =
  "The Worker tried twice to read and plan this commit, and was terminated both times. It tries again when a new commit is pushed, or when the check is run again.";

export async function giveUp(parts: PullParts, task: PullTask): Promise<GithubResult<null>> {
  switch (task.kind) {
    case "pull":
      return giveUpPull(parts, task.pull);
    case "command":
      return answer(parts, task, {
        isAccepted: false,
        text: "Nothing is known to be applied. The Worker tried twice to obey this command, and was terminated both times. Look at the status page before you repeat it.",
      });
    case "run":
      return tellOfRun(parts, task.run);
    case "scan":
      // The next tick asks for it again, and what it finds is given up one by one.
      return success(null);
  }
}

async function giveUpPull(parts: PullParts, number: number): Promise<GithubResult<null>> {
  const read = await parts.github.pull(number);
  if (!read.ok) return read.failure.kind === "notFound" ? success(null) : read;
  const pull = read.value;
  if (pull.state === "open") {
    const state = { kind: "unplanned", message: MESSAGE } as const;
    const commented = await postComment(parts, pull, state);
    if (!commented.ok) return commented;
    const checked = await postCheck(parts, pull, state);
    if (!checked.ok) return checked;
  }
  parts.pulls.put({ number, headSha: pull.headSha, posted: GIVEN_UP, plannedAt: parts.now() });
  return success(null);
}

async function tellOfRun(
  { github, coordinator }: PullParts,
  id: string,
): Promise<GithubResult<null>> {
  const number = coordinator.runs.findRun(id)?.origin?.pull ?? null;
  if (number === null) return success(null);
  const marker = `<!-- shardctl:run-given-up:${id} -->`;
  const said = await github.commentsWith(number, marker);
  if (!said.ok) return said;
  if (said.value.length > 0) return success(null);
  const text = `Run ${codeMarkdown(id)} cannot be shown here: the Worker has tried twice. \`shardctl status\` shows it.`;
  const written = await github.createComment(number, `${marker}\n${text}\n`);
  return written.ok ? success(null) : written;
}
