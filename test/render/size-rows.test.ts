/** The objects whose sizes a plan lists, and its texts with them. */
import { expect, it } from "vitest";

import type { MemberSize, Plan } from "../../src/model/plan.ts";
import { renderPlanMarkdown } from "../../src/render/plan-markdown.ts";
import { renderPlanText } from "../../src/render/plan-text.ts";
import { sizeRows } from "../../src/render/size-rows.ts";
import { planOf, shardChange } from "../support/apply-plans.ts";

const GB = 1_000_000_000;

function size(member: string, before: number | null, after: number): MemberSize {
  return {
    member,
    before,
    after,
    peak: Math.max(before ?? 0, after),
    peakMax: Math.max(before ?? 0, after) * 1.1,
    part: before === null ? "target" : "source",
  };
}

const sizes = [size("a", 9 * GB, 3 * GB), size("b", null, 6 * GB), size("c", 1 * GB, 1 * GB)];

it("lists the fullest first, with what each stores before, after and meanwhile", () => {
  expect(sizeRows({ sizes }, 2)).toEqual({
    rows: [
      { member: "a", before: "9.0 GB (90 %)", after: "3.0 GB (30 %)", peak: "9.9 GB (99 %)" },
      { member: "b", before: "new", after: "6.0 GB (60 %)", peak: "6.6 GB (66 %)" },
    ],
    hidden: 1,
  });
});

it("goes by the limit of the policy, and leaves out who takes no part", () => {
  const still = { ...size("d", 5 * GB, 5 * GB), part: "none" as const };
  expect(sizeRows({ sizes: [still, ...sizes], bytesMax: 20 * GB }, 1)).toMatchObject({
    rows: [{ member: "a", before: "9.0 GB (45 %)" }],
    hidden: 2,
  });
  expect(sizeRows({}, 5)).toEqual({ rows: [], hidden: 0 });
});

it("stands in the text of a plan that lists its moves, and in a comment", () => {
  const plan: Plan = planOf([{ ...shardChange("orders"), sizes }]);
  expect(renderPlanText(plan, { moves: true })).toContain(
    [
      "orders: storage",
      "  OBJECT          BEFORE           AFTER   AT MOST MEANWHILE",
      "  a        9.0 GB (90 %)   3.0 GB (30 %)       9.9 GB (99 %)",
      "  b                  new   6.0 GB (60 %)       6.6 GB (66 %)",
    ].join("\n"),
  );
  expect(renderPlanText(plan)).not.toContain("orders: storage");
  expect(renderPlanMarkdown(plan)).toContain(
    "| Object | Storage before | After | At most meanwhile |\n|---|---:|---:|---:|\n| <code>a</code> | 9.0 GB (90 %) | 3.0 GB (30 %) | 9.9 GB (99 %) |",
  );
});
