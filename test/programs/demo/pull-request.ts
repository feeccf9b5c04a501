/**
 * `npm run demo:pr`: the life of a change in a pull request, against a GitHub of the tests and the
 * real local runtime. Prints the one comment as it evolves: an error, the plan, a plan that has
 * moved by the time of the merge, its release, and the result. Exits with 0 only then.
 */
import pc from "picocolors";

import { EXIT } from "../../../src/cli/exit-codes.ts";
import type { Pull } from "../../support/github/index.ts";
import { PullStory, type StepRun, manifestOf } from "../../support/gitops/pull-story.ts";
import { applyByHand, FILE, proveOrders, tellStory, THINGS } from "./orders.ts";
import { heading, say } from "./say.ts";
import { showComment } from "./show-comment.ts";

const UNSHARDED = `apiVersion: shardctl.dev/v1
kind: Namespace
metadata: { name: orders }
spec: { object: ORDERS, strategy: none }
`;

await tellStory(tell);

async function tell(): Promise<void> {
  heading("A repository with one manifest, a Worker, and 5,000 orders in one object");
  await using story = await PullStory.start({ files: { [FILE]: UNSHARDED } });
  await story.putThings("orders", THINGS);
  say(`acme/data is on ${story.github.url}, the Worker on ${story.worker.endpoint}.`);

  heading("A pull request shards the orders, with a mistake in it");
  const pull = story.github.openPull(story.repo, {
    head: "shard-orders",
    title: "Shard the orders",
    files: { [FILE]: manifestOf("orders", 8).replace("shardKey", "shardkey") },
  });
  await step(story, "plan.yml", story.plan(pull), EXIT.error);
  show(story, pull);

  heading("The next push corrects it: the same comment now shows the plan");
  story.github.push(pull, { [FILE]: manifestOf("orders", 8) });
  await step(story, "plan.yml", story.plan(pull), EXIT.done);
  show(story, pull);

  heading("Meanwhile mallory shards the orders by hand, into 4");
  await applyByHand(story, 4, "mallory");

  heading("The merge: live is no longer what was reviewed, so nothing is applied");
  story.github.mergePull(pull);
  const stale = await step(story, "apply.yml", story.apply(), EXIT.stalePlan);
  show(story, pull);

  heading("A maintainer releases the current plan with a comment");
  story.github.createUser("ada");
  story.github.addCollaborator(story.repo, "ada", "write");
  const command = `/shardctl apply ${stale.outputs["fingerprint"]}`;
  say(pc.bold(`ada: ${command}\n`));
  const comment = story.github.commentAs("ada", pull, command);
  await step(story, "apply.yml", story.applyComment(comment, { actor: comment.author }), EXIT.done);
  show(story, pull);

  heading("Running the job again changes nothing");
  await step(story, "apply.yml", story.apply({ runAttempt: 2 }), EXIT.done);
  await proveOrders(story, 8);
}

async function step(
  story: PullStory,
  workflow: string,
  running: Promise<StepRun>,
  expected: number,
): Promise<StepRun> {
  const run = await running;
  say(pc.dim(`$ ${workflow}`));
  for (const line of `${run.stdout}${run.stderr}`.trim().split("\n")) say(pc.dim(`  ${line}`));
  say(pc.dim(`  → exit ${run.exitCode}, outputs ${JSON.stringify(run.outputs)}\n`));
  if (run.exitCode !== expected)
    throw new Error(
      `${workflow} exited with ${run.exitCode}, not ${expected}:\n${story.worker.log()}`,
    );
  return run;
}

function show(story: PullStory, pull: Pull): void {
  const [comment, ...others] = story.github
    .comments(pull)
    .filter(({ body }) => body.startsWith("<!-- shardctl:"));
  if (comment === undefined || others.length > 0)
    throw new Error("There should be one comment of shardctl's");
  const [body = ""] = story.commentsOf(pull);
  showComment(`#${pull.number} · ${comment.author.login}`, body);
}
