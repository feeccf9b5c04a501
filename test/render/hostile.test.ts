/** Names from manifests that want to be more than names. */
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import type { Plan } from "../../src/model/plan.ts";
import { codeMarkdown, escapeMarkdown } from "../../src/render/escape-markdown.ts";
import { renderPlanMarkdown } from "../../src/render/plan-markdown.ts";
import { renderPlanText } from "../../src/render/plan-text.ts";
import { printable } from "../../src/render/printable.ts";
import { everyKindPlan } from "../support/plans.ts";

const HOSTILE: readonly [string, string][] = [
  ["table cell", "a | b | c"],
  ["backticks", "a`b``c```"],
  ["code fence on a new line", "a\n```\nb"],
  ["heading on a new line", "a\r\n# Approved"],
  ["tag", "<img src=x onerror=alert(1)>"],
  ["closing details", "</details></code><h1>Approved</h1>"],
  ["comment that hides the rest", "<!-- "],
  ["mention", "@octocat and @acme/admins"],
  ["reference", "closes #1, GH-2, acme/api#3"],
  ["link", "[click](https://evil.example) https://evil.example www.evil.example me@evil.example"],
  ["image", "![x](https://evil.example/p.png)"],
  ["emphasis", "*a* _b_ ~~c~~ **d**"],
  ["mathematics", "$\\frac{a}{b}$"],
  ["emoji", ":white_check_mark:"],
  ["entity", "&lt;b&gt; &#64;octocat"],
  ["list and setext", "- a"],
  ["ordered list", "1. a"],
  ["terminal escape", "\u001b[2J\u001b[1;1Hshardctl plan"],
  ["carriage return", "blocked\rin sync"],
  ["reversed reading order", "a\u202egnp.exe"],
  ["hidden characters", "a\u200bb\u2060c\ufeff"],
  ["line separator", "a\u2028b"],
  ["lone surrogate", "a\ud800b"],
  ["longer than any name", "x".repeat(5000)],
];

/** The plan with the text wherever a manifest or a registry can put one. */
function planWith(text: string, plan: Plan): Plan {
  const [change] = plan.changes;
  if (!change) throw new Error("The plan has changes");
  const to = {
    kind: "custom",
    shardKey: text,
    generation: 1,
    members: [text],
    partitioner: { name: text, version: 1 },
  } as const;
  const ranges = {
    kind: "range",
    shardKey: text,
    generation: 0,
    members: [text, "b"],
    ranges: [
      { end: { type: "text", text }, member: text },
      { end: null, member: "b" },
    ],
  } as const;
  const hostile = {
    ...change,
    namespace: text,
    object: text,
    reason: text,
    to,
    moves: [{ source: text, target: text, rows: 1, bytes: 1 }],
    staysBehind: [text],
    dependsOn: [text],
    source: { file: text, line: 1, column: 1 },
  };
  return {
    ...plan,
    environment: text,
    commit: text,
    changes: [
      hostile,
      { ...hostile, kind: "shard", to: ranges },
      { ...hostile, kind: "rekey", from: to, to: { ...to, shardKey: `${text}2` } },
    ],
    inSync: plan.inSync.map((one) => ({ ...one, namespace: text })),
    blocks: [{ guard: "skew", namespace: text, message: text, overridable: true }],
    notices: [{ kind: "staysBehind", namespace: text, message: text }],
  };
}

const model = await everyKindPlan();

/** Decodes numeric entities as Markdown does. It does so last, so they never become syntax. */
function decodeEntities(markdown: string): string {
  return markdown.replace(/&#(\d+);/g, (_, code: string) => String.fromCodePoint(Number(code)));
}

describe.each(HOSTILE)("%s", (_name, text) => {
  it("prints one line a line, without controls", () => {
    const lines = renderPlanText(planWith(text, model), { moves: true });
    expect(lines.match(/[^\P{C}\n]/u)).toBeNull();
    expect(lines.split("\n")).toHaveLength(
      renderPlanText(planWith("plain", model), { moves: true }).split("\n").length,
    );
  });

  it("leaves the structure of the Markdown as a plain name does", () => {
    const markdown = renderPlanMarkdown(planWith(text, model));
    const plain = renderPlanMarkdown(planWith("plain", model));
    const structureOf = (document: string) => ({
      tags: document.match(/<[^>]*>/g),
      cells: document.match(/\|/g),
      lines: document.split("\n").length,
      fences: document.match(/[`[\]@$]/g),
      headings: document.match(/^#+ /gm),
    });
    // Only the header's "manifests@" is an at-sign of our own.
    expect(structureOf(markdown)).toEqual(structureOf(plain));
    expect(markdown.length).toBeLessThan(60_000);
  });
});

it.each(["@", "😀", "|\n", "\u001b"])(
  "a plan full of long names made of %j stays under the limit, with its totals",
  async (character) => {
    const plan = planWith(character.repeat(5000), model);
    const many = <Item>(items: readonly Item[]): Item[] =>
      Array.from({ length: 200 }, () => items).flat();
    const full = {
      ...plan,
      changes: many(plan.changes),
      blocks: many(plan.blocks),
      notices: many(plan.notices),
    };
    const markdown = renderPlanMarkdown(full);
    expect(markdown.length).toBeLessThan(60_000);
    expect(markdown).toContain("**Plan: 200 to shard, 200 to rekey, 200 to unshard, 1 in sync.**");
    expect(markdown).toContain(plan.fingerprint);
  },
);

describe("escapeMarkdown", () => {
  it("reads as the printable text, but for the zero-width spaces after @ and #", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        expect(decodeEntities(escapeMarkdown(text)).replaceAll("\u200b", "")).toBe(printable(text));
      }),
    );
  });

  it("keeps no character that Markdown or HTML could act on", () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        expect(escapeMarkdown(text).replace(/&#\d+;/g, "")).not.toMatch(
          /[&<>"'`*_~|\\[\]{}$:^#@\n\r]/,
        );
      }),
    );
  });

  it.each([
    ["@octocat", "&#64;&#8203;octocat"],
    ["#1", "&#35;&#8203;1"],
    ["GH-2", "GH&#45;&#8203;2"],
    ["www.evil.example", "www&#46;evil.example"],
    ["https://evil.example", "https&#58;//evil.example"],
    ["- item", "&#45; item"],
    ["12.5 %", "12.5 %"],
    ["12. item", "12&#46; item"],
    ["data.customer.id", "data.customer.id"],
  ])("%s", (text, escaped) => {
    expect(escapeMarkdown(text)).toBe(escaped);
    expect(codeMarkdown(text)).toBe(`<code>${escaped}</code>`);
  });
});
