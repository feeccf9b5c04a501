/** The texts of alerts: golden files, lengths, and what hostile text must not do. */
import { describe, expect, it } from "vitest";

import type { Drift } from "../../src/model/drift.ts";
import { renderAlertChat } from "../../src/alerts/alert-chat.ts";
import { renderAlertClosing, renderAlertIssue } from "../../src/alerts/alert-markdown.ts";
import { type AlertMessage, renderAlertTitle } from "../../src/alerts/alert-message.ts";
import { driftsOf, FULL, LOST, MIXED, OUT_OF_STEP } from "../support/page-states.ts";

const SEEN_AT = Date.UTC(2026, 10, 24, 9, 0, 0);
const ISSUE_URL = "https://github.com/acme/data/issues/7";

function drift(changes: Partial<Drift> = {}): Drift {
  return {
    kind: "spec",
    namespace: "orders",
    object: "ORDERS",
    state: "open",
    reason: "rebalance: count 6 → 8 (live was changed)",
    detail: null,
    remedy:
      "`shardctl plan` shows what would be done, `shardctl apply` does it. Or set policy.selfHeal to apply (it is alert).",
    firstSeenAt: SEEN_AT,
    lastSeenAt: SEEN_AT + 60_000,
    ...changes,
  };
}

function message(drifts: readonly Drift[], changes: Partial<AlertMessage> = {}): AlertMessage {
  const cause = drifts.length > 0 ? "drift" : "clean";
  return {
    environment: "production",
    drifts,
    driftCount: drifts.length,
    commit: "3f9c2e1aa0b1c2d3e4f5a6b7c8d9e0f1a2b3c4d5",
    cause,
    ...changes,
  };
}

const SEVERAL = [
  drift(),
  drift({
    kind: "unhealthy",
    namespace: "carts",
    reason: "carts-shard-1 does not answer",
    detail: "1 of 4 members; carts-shard-1: it is not a member of 'carts'",
    remedy:
      "`shardctl status carts` shows all. Restore a deleted shard by point-in-time recovery of its object.",
  }),
  drift({
    kind: "manifests",
    namespace: null,
    object: null,
    reason: "the manifests on the default branch are not valid",
    detail:
      'manifests/a.yaml:7:13 spec.strategy must be one of hash, range, but is the text "hsah"',
    remedy: "Correct them: `shardctl validate` shows every error. Until then nothing is applied.",
  }),
];

/** Members that are full or run several versions, in the words of reconciliation. */
const MEMBERS = [FULL, MIXED].flatMap(driftsOf).filter(({ kind }) => kind !== "unhealthy");

const DISORDERED = [LOST, OUT_OF_STEP].flatMap(driftsOf);

const HOSTILE = drift({
  namespace: "a|b</table><img src=x> @acme/owners <!channel> [click](https://evil.example) `#1",
  reason: "x\n| forged | row |\n<!-- shardctl:alert:staging --> *bold* https://evil.example",
  detail: "```\n# heading\n@everyone",
  remedy: "run `rm -rf` and `</code><script>` and `an odd one",
});

describe("the issue", () => {
  it.each([
    ["several", message(SEVERAL)],
    ["members", message(MEMBERS)],
    ["disorder", message(DISORDERED)],
    ["hostile", message([HOSTILE], { environment: "prod|<b>@acme", commit: "<i>no</i>" })],
  ])("%s", async (name, given) => {
    await expect(renderAlertIssue(given)).toMatchFileSnapshot(`../golden/alert/issue-${name}.md`);
  });

  it("names the kind and the way out of members that are full or run several versions", () => {
    const body = renderAlertIssue(message(MEMBERS));
    for (const text of [
      "storageFull",
      "drop indexes",
      "mixedVersions",
      "finish the deploy or roll it back",
    ])
      expect(body).toContain(text);
  });

  it("writers 1: names what is out of step, and the command that shows the way out", () => {
    const body = renderAlertIssue(message(DISORDERED));
    for (const text of [
      "registryLost",
      "outOfStep",
      "`shardctl repair carts`",
      "`shardctl repair orders`",
    ])
      expect(body.replaceAll(/<\/?code>/g, "`")).toContain(text);
  });

  it("mentions nobody, makes no element, and begins no marker", () => {
    const body = renderAlertIssue(message([HOSTILE]));
    expect(body).not.toMatch(/@(acme|everyone)/);
    expect(body).not.toMatch(/<(?!\/?(code|sub|br)>)/);
    expect(body).not.toContain("](http");
    expect(body.split("\n").filter((line) => line.startsWith("| forged"))).toEqual([]);
  });

  it("counts what does not fit, and stays under GitHub's limit", () => {
    const many = Array.from({ length: 200 }, (_, index) =>
      drift({
        namespace: `namespace-${index}`,
        reason: "r".repeat(900),
        remedy: "`x`".repeat(300),
      }),
    );
    const body = renderAlertIssue(message(many, { driftCount: 9000 }));
    expect(body.length).toBeLessThan(60_000);
    expect(body).toMatch(/… and 8,9\d\d more/);
    expect(body).toContain("9,000 drifts are open");
  });

  it("says of the reason and the detail all that there is", () => {
    const body = renderAlertIssue(message([drift({ detail: "12 rows" })]));
    expect(body).toContain("12 rows");
    expect(body).toContain("2026-11-24 09:00:00Z");
  });

  it("has one title whatever is wrong", () => {
    expect(renderAlertTitle("production")).toBe("shardctl: production has drifted");
    expect(renderAlertTitle(`\u202e${"x".repeat(300)}`).length).toBeLessThan(200);
  });

  it.each(["clean", "retired"] as const)("closes with a word: %s", async (cause) => {
    await expect(`${renderAlertClosing(message([], { cause }))}\n`).toMatchFileSnapshot(
      `../golden/alert/closing-${cause}.md`,
    );
  });
});

describe("the chat message", () => {
  it.each([
    ["several", message(SEVERAL), ISSUE_URL],
    ["members", message(MEMBERS), ISSUE_URL],
    ["disorder", message(DISORDERED), ISSUE_URL],
    ["clean", message([]), ISSUE_URL],
    ["retired", message([], { cause: "retired" }), null],
    ["hostile", message([HOSTILE], { environment: "<!here> @all" }), "javascript:alert(1)"],
  ])("%s", async (name, given, url) => {
    await expect(`${JSON.stringify(renderAlertChat(given, url), null, 2)}\n`).toMatchFileSnapshot(
      `../golden/alert/chat-${name}.json`,
    );
  });

  it("calls nobody and links nowhere", () => {
    const { text, blocks } = renderAlertChat(
      message([HOSTILE], { environment: "<!here> @all" }),
      null,
    );
    expect(text).not.toMatch(/<|>|@(?!\u200B)|\](?!\u200B)|:\/\/(?!\u200B)/);
    // Slack reads no marks in plain text.
    expect(JSON.stringify(blocks)).not.toContain('"mrkdwn"');
  });

  it("keeps to Slack's limits", () => {
    const many = Array.from({ length: 200 }, () =>
      drift({ reason: "r".repeat(3000), detail: "d".repeat(5000) }),
    );
    const { blocks } = renderAlertChat(message(many, { driftCount: 10_000 }), ISSUE_URL);
    expect(blocks.length).toBeLessThanOrEqual(50);
    for (const { type, text } of blocks)
      expect(text?.text.length ?? 0).toBeLessThanOrEqual(type === "header" ? 150 : 3000);
    expect(JSON.stringify(blocks)).toContain("… and 9,980 more");
  });
});
