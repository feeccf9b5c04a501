/**
 * Holds an apply job to what its token says: the commit that it was started for, and a pull request
 * that is merged.
 */
import type { ActionsCaller } from "../../github/actions-verifier.ts";
import type { Reachable } from "../../model/calls.ts";
import { RefusedRequest } from "../../model/refused-request.ts";
import type { RunOrigin } from "../../model/review.ts";
import type { MergeCalls } from "../../pulls/merged-pulls.ts";

/**
 * The origin with the token's own commit.
 *
 * @throws RefusedRequest `forbidden`, or `unavailable` when GitHub could not be asked.
 */
export async function checkOrigin(
  { sha }: ActionsCaller,
  origin: RunOrigin | null,
  merged: Reachable<MergeCalls>,
): Promise<RunOrigin | null> {
  if (origin === null) return null;
  if (origin.commit !== null && origin.commit !== sha) {
    throw new RefusedRequest(
      "forbidden",
      `Nothing was applied: the job was started for commit ${sha} (claim sha), and says that it applies ${origin.commit}.`,
    );
  }
  if (origin.pull !== null) {
    const answer = await merged.check(origin.pull);
    if (answer.kind === "not")
      throw new RefusedRequest(
        "forbidden",
        `Nothing was applied: ${answer.message}; a workflow applies what is merged.`,
      );
    if (answer.kind === "failed")
      throw new RefusedRequest(
        "unavailable",
        `Nothing was applied: whether pull request #${origin.pull} is merged could not be asked (${answer.message}). Try again.`,
      );
  }
  return { ...origin, commit: sha };
}
