/** One task about pull requests: done, or put off with a reason. */
import { success } from "../model/result.ts";
import type { GithubResult } from "../github/port.ts";
import { answerCommand } from "./answer-command.ts";
import { postPull } from "./post-pull.ts";
import { postRun } from "./post-run.ts";
import type { PullParts } from "./pull-parts.ts";
import type { PullTask } from "./pull-task.ts";
import { scanPulls } from "./scan-pulls.ts";

/** A failure is GitHub's: the task is worth trying again later. */
export async function doTask(parts: PullParts, task: PullTask): Promise<GithubResult<null>> {
  const done = await act(parts, task);
  return done.ok ? success(null) : done;
}

function act(parts: PullParts, task: PullTask): Promise<GithubResult<unknown>> {
  switch (task.kind) {
    case "scan":
      return scanPulls(parts, task.all);
    case "pull":
      return postPull(parts, task.pull, task.again);
    case "command":
      return answerCommand(parts, task);
    case "run":
      return postRun(parts, task.run);
  }
}
