import { describe, expect, it } from "vitest";

import { planDocument } from "../../src/render/plan-json.ts";
import { MARKDOWN_LENGTH_MAX, renderPlanMarkdown } from "../../src/render/plan-markdown.ts";
import { describeSummary, summarizePlan } from "../../src/render/plan-summary.ts";
import { renderPlanText } from "../../src/render/plan-text.ts";
import {
  blockedPlan,
  emptyPlan,
  estimatedPlan,
  everyKindPlan,
  governedPlan,
  hugePlan,
  unmanagedPlan,
} from "../support/plans.ts";

const plans = {
  everyKind: everyKindPlan,
  blocked: blockedPlan,
  empty: emptyPlan,
  estimated: estimatedPlan,
  unmanaged: unmanagedPlan,
  governed: governedPlan,
};

describe.each(Object.entries(plans))("%s", (name, makePlan) => {
  it("as text", async () => {
    await expect(renderPlanText(await makePlan())).toMatchFileSnapshot(
      `../golden/render/plan-${name}.txt`,
    );
  });

  it("as Markdown", async () => {
    await expect(renderPlanMarkdown(await makePlan())).toMatchFileSnapshot(
      `../golden/render/plan-${name}.md`,
    );
  });

  it("as JSON, which reads back as the plan", async () => {
    const plan = await makePlan();
    const json = `${JSON.stringify(planDocument(plan), null, 2)}\n`;
    await expect(json).toMatchFileSnapshot(`../golden/plan/${name}.json`);
    const { summary, ...rest } = JSON.parse(json);
    expect(rest).toEqual({ policies: [], ...plan });
    expect(summary.blocks).toBe(plan.blocks.length);
  });
});

it("fits GitHub's limit with 2,000 policies, says how many there are, and first what loosens", async () => {
  const plan = await governedPlan();
  const [one, loose] = plan.policies ?? [];
  if (!one || !loose) throw new Error("The model plan has policies");
  const strict = { ...one, fields: one.fields.filter(({ loosens }) => !loosens) };
  const policies = [
    ...Array.from({ length: 2000 }, (_, index) => ({ ...strict, namespace: `n${index}` })),
    { ...loose, namespace: "the-loose-one" },
  ];
  const text = renderPlanMarkdown({ ...plan, policies });
  expect(text.length).toBeLessThan(MARKDOWN_LENGTH_MAX);
  expect(text).toContain("**Policies that change: 2,001**");
  expect(text).toContain("1 policy loosens something");
  expect(text).toContain("the-loose-one");
  expect(text).toMatch(/… and [\d,]+ more policies/);
});

it("lists who moves what when asked to", async () => {
  const plan = await everyKindPlan();
  const few = {
    ...plan,
    blocks: [],
    changes: plan.changes.filter(
      ({ namespace }) => namespace === "archive" || namespace === "visits",
    ),
  };
  await expect(renderPlanText(few, { moves: true })).toMatchFileSnapshot(
    "../golden/render/plan-moves.txt",
  );
});

it("paints symbols, blocks and the fingerprint with the palette it is given", async () => {
  const tag = (name: string) => (text: string) => `<${name}>${text}</${name}>`;
  const palette = {
    bold: tag("b"),
    dim: tag("dim"),
    green: tag("green"),
    yellow: tag("yellow"),
    red: tag("red"),
    cyan: tag("cyan"),
  };
  await expect(renderPlanText(await everyKindPlan(), { palette })).toMatchFileSnapshot(
    "../golden/render/plan-palette.txt",
  );
});

/** Lines of a huge plan that are looked at, at each of its ends. */
const OUTLINE_LINES = 16;

describe("a huge plan", () => {
  it("keeps every change and few of the others in text", async () => {
    const text = renderPlanText(await hugePlan(3));
    await expect(text).toMatchFileSnapshot("../golden/render/plan-huge-3.txt");
    expect(renderPlanText(await hugePlan(500))).toContain("    … and 980 more in sync\n");
  });

  it.each([100, 500, 10_000])(
    "of %d changes stays under GitHub's limit, with the totals in full",
    async (changes) => {
      const plan = await hugePlan(changes);
      const markdown = renderPlanMarkdown(plan);
      expect(markdown.length).toBeLessThan(MARKDOWN_LENGTH_MAX);
      const count = changes.toLocaleString("en-US");
      expect(markdown).toContain(
        `**Plan: ${count} to rebalance, ${(2 * changes).toLocaleString("en-US")} in sync.**`,
      );
      expect(markdown).toContain(`**Blocked: ${count}**`);
      expect(markdown).toContain(`Notices: ${count}`);
      expect(markdown).toContain(plan.fingerprint);
      // The details fill the room: nothing is given away.
      expect(markdown.length).toBeGreaterThan(MARKDOWN_LENGTH_MAX - 6000);
      const shown = markdown.match(/^<details>/gm)?.length ?? 0;
      expect(markdown.match(/<\/details>/g)).toHaveLength(shown);
      expect(markdown).toContain(
        `_Details of ${(changes - shown).toLocaleString("en-US")} more changes are left out._`,
      );
    },
  );

  it("of 500 changes says what it leaves out where the details end", async () => {
    const lines = renderPlanMarkdown(await hugePlan(500)).split("\n");
    const outline = lines.filter((line) => !/^\| <code>[^]*\||^$/.test(line));
    const shown = [...outline.slice(0, OUTLINE_LINES), "…", ...outline.slice(-OUTLINE_LINES)];
    await expect(shown.join("\n")).toMatchFileSnapshot("../golden/render/plan-huge-500.md");
  });
});

it("does not call it no change when something could not be planned", async () => {
  const summary = { ...summarizePlan(await emptyPlan()), inSync: 3, notPlanned: 1 };
  expect(describeSummary(summary)).toBe("Not all could be planned: 3 in sync, 1 not planned.");
  expect(describeSummary({ ...summary, notPlanned: 0 })).toBe("No changes: 3 in sync.");
});
