/**
 * Writes how far a run is, and how it ended, into the comment of the pull request that it came
 * from.
 */
import { success } from "../model/result.ts";
import type { GithubResult } from "../github/port.ts";
import { postComment } from "./post-state.ts";
import type { PullParts } from "./pull-parts.ts";

export async function postRun(parts: PullParts, id: string): Promise<GithubResult<null>> {
  const { github, coordinator, settings } = parts;
  const run = coordinator.runs.findRun(id);
  const number = run?.origin?.pull ?? null;
  if (!run || number === null || run.environment !== settings.environment) return success(null);
  const plan = coordinator.plans.read(run.fingerprint);
  const pull = await github.pull(number);
  if (!pull.ok) return pull.failure.kind === "notFound" ? success(null) : pull;
  // A run outlives its plan only by weeks; then there is nobody left to tell.
  if (plan === null) return success(null);
  const posted = await postComment(parts, pull.value, {
    kind: "run",
    plan,
    run,
  });
  return posted.ok ? success(null) : posted;
}
