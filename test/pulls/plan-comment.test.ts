import { describe, expect, it } from "vitest";

import type { Run, RunAction } from "../../src/model/api.ts";
import type { Plan } from "../../src/model/plan.ts";
import { type CommentState, renderComment } from "../../src/pulls/plan-comment.ts";
import { postComment } from "../../src/pulls/post-state.ts";
import type { PullParts } from "../../src/pulls/pull-parts.ts";
import { describePlanDifference } from "../../src/render/plan-difference.ts";
import { operationOf } from "../cli/support/states.ts";
import { MemoryGithub } from "../support/memory-github.ts";
import { blockedPlan, emptyPlan, everyKindPlan, hugePlan } from "../support/plans.ts";

const NOW = Date.UTC(2026, 2, 1, 12, 0, 0);
const context = {
  environment: "production",
  headSha: "3f9c2e1".padEnd(40, "0"),
  url: "https://github.com/acme/shop/actions/runs/42",
  now: NOW,
};

/** A run of the plan with its actions in the given states; the ones beyond them are pending. */
function runOf(plan: Plan, state: Run["state"], states: readonly Partial<RunAction>[]): Run {
  return {
    id: "run-mb1z-7f3a12bc",
    environment: plan.environment,
    fingerprint: plan.fingerprint,
    state,
    requestedBy: "github-actions (octocat)",
    overrides: state === "succeeded" ? ["skew"] : [],
    origin: { pull: 7, commit: context.headSha, runUrl: context.url },
    lease: { token: 3, heartbeatAt: NOW - 1000, expiresAt: NOW + 599_000 },
    startedAt: NOW - 95_000,
    updatedAt: NOW - 1000,
    finishedAt: state === "running" ? null : NOW - 1000,
    actions: plan.changes.map(({ namespace, object, kind }, index) => ({
      namespace,
      object,
      kind,
      state: "pending",
      operation: null,
      error: null,
      ...states[index],
    })),
  };
}

const done: Partial<RunAction> = {
  state: "done",
  operation: operationOf({
    state: "completed",
    startedAt: NOW - 90_000,
    finishedAt: NOW - 80_000,
    rowsCopied: 900,
  }),
};
const running: Partial<RunAction> = {
  state: "running",
  operation: operationOf({ startedAt: NOW - 80_000 }),
};
const failed: Partial<RunAction> = {
  state: "failed",
  operation: operationOf({
    state: "failed",
    startedAt: NOW - 80_000,
    finishedAt: NOW - 1000,
    fault: { kind: "mismatch", message: "a chunk of 'things' differed twice on orders-shard-3" },
  }),
};

const states: Record<string, () => Promise<CommentState>> = {
  planned: async () => ({ kind: "planned", plan: { ...(await everyKindPlan()), blocks: [] } }),
  blocked: async () => ({ kind: "planned", plan: await everyKindPlan() }),
  "blocked-for-good": async () => ({ kind: "planned", plan: await blockedPlan() }),
  "no-changes": async () => ({ kind: "planned", plan: await emptyPlan() }),
  invalid: async () => ({
    kind: "invalid",
    errors: [
      {
        file: "manifests/orders.yaml",
        line: 7,
        column: 10,
        message: 'unknown key "shardkey": did you mean "shardKey"?',
      },
      {
        file: "manifests/carts.yaml",
        line: 8,
        column: 10,
        message: "count must be 1..1000, found 4000",
      },
    ],
  }),
  validated: async () => ({ kind: "validated", namespaces: 12 }),
  unplanned: async () => ({ kind: "unplanned", message: "The Worker did not answer within 60 s." }),
  stale: async () => {
    const [reviewed, plan] = [await emptyPlan(), await everyKindPlan()];
    return {
      kind: "stale",
      reviewed: reviewed.fingerprint,
      moved: describePlanDifference(reviewed, plan),
      plan,
    };
  },
  unreviewed: async () => ({
    kind: "stale",
    reviewed: null,
    moved: [],
    plan: await everyKindPlan(),
  }),
  held: async () => ({
    kind: "held",
    message:
      "Run run-mb1z-7f3a12bc of production has been active since 2026-03-01 11:58:25Z: this is tried again when it has ended.",
    plan: await everyKindPlan(),
  }),
  running: async () => {
    const plan = await everyKindPlan();
    return { kind: "run", plan, run: runOf(plan, "running", [done, running]) };
  },
  applied: async () => {
    const plan = await everyKindPlan();
    return { kind: "run", plan, run: runOf(plan, "succeeded", [done, done, done, done, done]) };
  },
  failed: async () => {
    const plan = await everyKindPlan();
    const notExecuted: Partial<RunAction> = {
      state: "notExecuted",
      error: "Depends on 'sessions', which has failed",
    };
    return {
      kind: "run",
      plan,
      run: runOf(plan, "failed", [done, done, done, failed, notExecuted]),
    };
  },
};

describe("a comment", () => {
  it.each(Object.entries(states))("%s", async (name, makeState) => {
    await expect(renderComment(await makeState(), context)).toMatchFileSnapshot(
      `../golden/render/pull-request/comment-${name}.md`,
    );
  });

  it.each([
    { applies: "workflow", says: "the workflow's apply job applies exactly this plan to" },
    { applies: "worker", says: "Merging applies exactly this plan to" },
  ] as const)(
    "promises what a merge does where the $applies applies",
    async ({ applies, says }) => {
      const github = new MemoryGithub();
      const { headSha } = github.openPull(7, { files: {} });
      const pull = await github.pull(7);
      if (!pull.ok) throw new Error("no pull request");
      const settings = { environment: "production", applies } as PullParts["settings"];
      const plan = { ...(await everyKindPlan()), blocks: [] };
      await postComment({ github, settings, now: () => NOW }, pull.value, {
        kind: "planned",
        plan,
      });
      const [comment] = github.comments;
      expect(comment?.body).toContain(headSha.slice(0, 7));
      expect(comment?.body).toContain(says);
      expect(comment?.body.includes("Merging applies")).toBe(applies === "worker");
    },
  );

  it("fits GitHub's limit with 2,000 changed namespaces, in each state that shows a plan", async () => {
    const plan = await hugePlan(2000);
    const moved = plan.changes.map(({ namespace }) => `${namespace}: live epoch 3 → 4`);
    for (const state of [
      { kind: "planned", plan },
      { kind: "stale", reviewed: plan.fingerprint, moved, plan },
      { kind: "held", message: "x".repeat(100_000), plan },
      { kind: "run", plan, run: runOf(plan, "running", []) },
    ] satisfies CommentState[]) {
      const comment = renderComment(state, context);
      expect(comment.length).toBeLessThan(60_000);
      expect(comment).toContain("2,000 ");
    }
  });

  it("cannot be broken out of by what a manifest or a server says", async () => {
    const hostile =
      "@octocat </details>\n\n<!-- shardctl:plan:production -->\n# Approved ![](https://evil.example/x) `/shardctl apply`";
    const plan = await everyKindPlan();
    const renamed: Plan = {
      ...plan,
      environment: hostile,
      changes: plan.changes.map((change) => ({ ...change, namespace: hostile, reason: hostile })),
      blocks: plan.blocks.map((block) => ({ ...block, namespace: hostile, message: hostile })),
      notices: plan.notices.map((notice) => ({ ...notice, namespace: hostile, message: hostile })),
    };
    const hostileRun = runOf(renamed, "failed", [{ state: "failed", error: hostile }]);
    for (const state of [
      { kind: "planned", plan: renamed },
      { kind: "invalid", errors: [{ file: hostile, line: 1, column: 1, message: hostile }] },
      { kind: "unplanned", message: hostile },
      { kind: "stale", reviewed: plan.fingerprint, moved: [hostile], plan: renamed },
      { kind: "held", message: hostile, plan: renamed },
      { kind: "run", plan: renamed, run: { ...hostileRun, id: hostile, requestedBy: hostile } },
    ] satisfies CommentState[]) {
      const comment = renderComment(state, {
        ...context,
        environment: hostile,
        url: `https://x.example/) ${hostile}`,
      });
      expect(comment).not.toMatch(/@octocat|<!--|!\[|\n# |\]\(https?:\/\/(?!github\.com\/acme)/);
      // The only details are the plan's own, and each is closed once.
      expect(comment.match(/<\/details>/g)?.length ?? 0).toBe(
        comment.match(/<details>/g)?.length ?? 0,
      );
    }
  });
});
