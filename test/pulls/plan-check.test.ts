import { describe, expect, it } from "vitest";

import type { DesiredState } from "../../src/model/spec.ts";
import type { Plan } from "../../src/model/plan.ts";
import { renderPlanMarkdown } from "../../src/render/plan-markdown.ts";
import { type CheckState, renderCheck } from "../../src/pulls/plan-check.ts";
import { desired, spec } from "../support/state.ts";
import { emptyPlan, everyKindPlan, hugePlan } from "../support/plans.ts";

/** The specs under a plan, each in a file of its own. */
function desiredOf(plan: Plan): DesiredState {
  const names = [...plan.changes, ...plan.inSync].map(({ namespace }) => namespace).toSorted();
  return desired(...names.map((name) => spec(name)));
}

const states: Record<string, () => Promise<CheckState>> = {
  planned: async () => {
    const plan = { ...(await everyKindPlan()), blocks: [] };
    return { kind: "planned", plan, desired: desiredOf(plan) };
  },
  blocked: async () => {
    const plan = await everyKindPlan();
    return { kind: "planned", plan, desired: desiredOf(plan) };
  },
  "no-changes": async () => {
    const plan = await emptyPlan();
    return { kind: "planned", plan, desired: desiredOf(plan) };
  },
  invalid: async () => ({
    kind: "invalid",
    errors: [
      {
        file: "manifests/orders.yaml",
        line: 7,
        column: 10,
        message: 'unknown key "shardkey": did you mean "shardKey"?',
      },
    ],
  }),
  validated: async () => ({ kind: "validated", namespaces: 1 }),
  untouched: async () => ({ kind: "untouched" }),
  unplanned: async () => ({ kind: "unplanned", message: "The Worker did not answer within 60 s." }),
};

describe("a check", () => {
  it.each(Object.entries(states))("%s", async (name, makeState) => {
    const state = await makeState();
    const { summary, ...check } = renderCheck(state);
    await expect(`${JSON.stringify(check, null, 2)}\n`).toMatchFileSnapshot(
      `../golden/render/pull-request/check-${name}.json`,
    );
    expect(summary).toMatch(state.kind === "planned" ? renderPlanMarkdown(state.plan) : /\w/);
  });

  it("keeps GitHub's limits with 2,000 changes that are all blocked", async () => {
    const plan = await hugePlan(2000);
    const check = renderCheck({ kind: "planned", plan, desired: desiredOf(plan) });
    expect(check.conclusion).toBe("failure");
    expect(check.title.length).toBeLessThanOrEqual(255);
    expect(check.summary.length).toBeLessThan(65_535);
    expect(check.annotations.length).toBeGreaterThan(2000);
  });

  it("does not obey what stands in a message", () => {
    const { annotations } = renderCheck({
      kind: "invalid",
      errors: [
        {
          file: "a.yaml",
          line: 0,
          column: 0,
          message: "\u001b[2K\n::set-output name=x::y".padEnd(100_000, "!"),
        },
      ],
    });
    expect(annotations).toEqual([
      {
        path: "a.yaml",
        line: 1,
        column: null,
        level: "failure",
        title: "Manifest error",
        message: expect.any(String),
      },
    ]);
    expect(annotations[0]?.message).toMatch(/^\\u\{1b\}\[2K\\u\{a\}::set-output/);
    expect(annotations[0]?.message.length).toBeLessThan(65_536);
  });
});
