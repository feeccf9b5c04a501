/**
 * Finds open pull requests whose comment may be out of date, and asks for one task each: new ones,
 * ones with a new head, ones that live may have moved under, and ones that are no longer open.
 * Costs one request; what is unchanged costs nothing more.
 */
import { success } from "../model/result.ts";
import type { GithubResult } from "../github/port.ts";
import { GIVEN_UP } from "./give-up.ts";
import { MERGED } from "./post-merged.ts";
import type { PullParts } from "./pull-parts.ts";

/** How long a plan in an open pull request is trusted while nobody says that live has moved. */
export const REPLAN_MS = 15 * 60 * 1000;
/** How often a merged pull request is looked at until what it has shown is applied. */
const MERGED_LOOK_MS = 5 * 60 * 1000;

/** @param all true plans every known one anew. */
export async function scanPulls(
  { github, settings, pulls, queue, now }: PullParts,
  all: boolean,
): Promise<GithubResult<number>> {
  const open = await github.openPulls(settings.defaultBranch);
  if (!open.ok) return open;
  const known = new Map(pulls.list().map((pull) => [pull.number, pull]));
  const stillOpen = new Set(open.value.map(({ number }) => number));
  const due = open.value.filter(({ number, headSha }) => {
    const posted = known.get(number);
    if (posted === undefined || posted.headSha !== headSha) return true;
    if (posted.posted === GIVEN_UP) return false;
    return posted.posted !== null && (all || now() - posted.plannedAt >= REPLAN_MS);
  });
  const gone = [...known.values()].filter(({ number, posted, plannedAt }) => {
    const isWaiting = posted?.startsWith(MERGED) ?? false;
    return !stillOpen.has(number) && (!isWaiting || all || now() - plannedAt >= MERGED_LOOK_MS);
  });
  const numbers = [...due, ...gone].map(({ number }) => number);
  for (const pull of numbers) queue({ kind: "pull", pull, again: false });
  return success(numbers.length);
}
