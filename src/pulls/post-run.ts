/**
 * Writes how far a run is, and how it ended, into the comment of the pull request that it came
 * from.
 */
import type { Plan } from "../model/plan.ts";
import { success } from "../model/result.ts";
import type { GithubResult } from "../github/port.ts";
import { decodeJson } from "../runs/store.ts";
import { postComment } from "./post-state.ts";
import type { PullParts } from "./pull-parts.ts";

export async function postRun(parts: PullParts, id: string): Promise<GithubResult<null>> {
  const { github, coordinator, settings } = parts;
  const run = await coordinator((calls) => calls.readRun(id));
  const number = run?.origin?.pull ?? null;
  if (!run || number === null || run.environment !== settings.environment) return success(null);
  const body = await coordinator((calls) => calls.readPlan(run.fingerprint));
  const pull = await github.pull(number);
  if (!pull.ok) return pull.failure.kind === "notFound" ? success(null) : pull;
  // A run outlives its plan only by weeks; then there is nobody left to tell.
  if (body === null) return success(null);
  const posted = await postComment(parts, pull.value, {
    kind: "run",
    plan: decodeJson(body) as Plan,
    run,
  });
  return posted.ok ? success(null) : posted;
}
