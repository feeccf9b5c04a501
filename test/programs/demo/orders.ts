/**
 * Shared parts of the two demos of a repository: 5,000 orders, somebody who reshards them past Git,
 * the live state in the end, and the exit code.
 */
import pc from "picocolors";

import type { NamespaceList, Run } from "../../../src/model/api.ts";
import { parseManifests } from "../../../src/manifest/index.ts";
import { ENVIRONMENT, type PullStory, manifestOf } from "../../support/gitops/pull-story.ts";
import { say } from "./say.ts";

export const THINGS = 5000;
export const FILE = "manifests/orders.yaml";

/** Tells a story to its end. Exits with 0 only when all of it was seen. */
export async function tellStory(tell: () => Promise<void>): Promise<void> {
  const startedAt = Date.now();
  try {
    await tell();
    say(`\n${pc.green(pc.bold("Done"))} in ${((Date.now() - startedAt) / 1000).toFixed(0)} s.`);
  } catch (error) {
    process.stderr.write(
      `\nThe demo failed: ${error instanceof Error ? error.message : String(error)}\n`,
    );
    process.exitCode = 1;
  }
}

/**
 * As somebody with a token does, who may override a window and asks nobody.
 *
 * @param text the manifest. Default: without a policy.
 */
export async function applyByHand(
  story: PullStory,
  count: number,
  who: string,
  text = manifestOf("orders", count),
): Promise<void> {
  const file = { path: FILE, text };
  const { desired } = parseManifests([file], { environment: ENVIRONMENT, commit: null });
  const { fingerprint } = await story.ask<{ readonly fingerprint: string }>("POST", "/v1/plans", {
    desired,
  });
  let run = await story.ask<Run>("POST", `/v1/plans/${fingerprint}/apply`, {
    requestedBy: who,
    overrides: ["window"],
  });
  while (run.finishedAt === null) run = await story.ask<Run>("GET", `/v1/runs/${run.id}?wait=10`);
  say(`${who} applies ${count} shards with a token: run ${run.id} ${run.state}.`);
  if (run.state !== "succeeded") throw new Error(`Run ${run.id} ${run.state}`);
}

export async function readOrders(
  story: PullStory,
): Promise<{ readonly rows: number; readonly shards: number }> {
  const [report] = (
    await story.ask<NamespaceList>("GET", "/v1/namespaces?object=ORDERS&name=orders")
  ).namespaces;
  if (report?.kind !== "live") throw new Error("orders cannot be read");
  const { layout, members } = report.namespace;
  return {
    rows: members.reduce((sum, member) => sum + member.rows, 0),
    shards: layout.members.length,
  };
}

/** Says what is live, and makes sure that it is what was declared. */
export async function proveOrders(story: PullStory, declared: number): Promise<void> {
  const { rows, shards } = await readOrders(story);
  say(`\norders has ${rows.toLocaleString("en-US")} rows on ${shards} shards.`);
  if (rows !== THINGS || shards !== declared)
    throw new Error(`That is not what was declared: ${THINGS} rows on ${declared} shards`);
}
