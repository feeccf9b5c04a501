/**
 * Keeps the lists of docs/operations.md complete: drift kinds, condition reasons, metrics and
 * events of the log.
 */
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { expect, it } from "vitest";

import { DRIFT_KINDS, type ConditionType } from "../../src/model/drift.ts";
import { EVENT_KINDS } from "../../src/model/event.ts";
import { EVENT_AGE_MAX_MS, EVENTS_MAX } from "../../src/history/history-store.ts";
import { collectMetrics } from "../../src/metrics/collect.ts";
import type { CountersStore } from "../../src/metrics/counters-store.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url).href);
const PAGE = readFileSync(join(ROOT, "docs/operations.md"), "utf8");
const CONDITION_TYPES: readonly ConditionType[] = ["Ready", "Reconciling", "Stalled"];

/** The rows of the tables in a section, as their cells without marks. */
function rowsOf(heading: string): string[][] {
  const section = PAGE.split(/^## /mu).find((text) => text.startsWith(`${heading}\n`)) ?? "";
  return [...section.matchAll(/^\|(.*)\|$/gmu)]
    .map((match) => (match[1] ?? "").split("|").map((cell) => cell.trim().replaceAll("`", "")))
    .slice(2);
}

function sourcesBelow(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".ts"))
    .map((path) => readFileSync(join(ROOT, folder, path), "utf8"));
}

it("every drift kind says what it means, what heals and what to do", () => {
  const rows = rowsOf("Drift");
  expect(rows.map(([kind]) => kind)).toEqual(DRIFT_KINDS);
  for (const row of rows) expect(row.filter((cell) => cell !== "")).toHaveLength(4);
});

it("every reason of a condition is there, and no other, with the types that it comes with", () => {
  // Words in CamelCase are reasons there, and the types of conditions.
  const words = sourcesBelow("src/reconcile").flatMap((source) =>
    [...source.matchAll(/"([A-Z][a-zA-Z]*)"/gu)].map((match) => match[1]),
  );
  const reasons = new Set(words.filter((word) => !CONDITION_TYPES.some((type) => type === word)));
  const rows = rowsOf("Conditions");
  expect(new Set(rows.map(([reason]) => reason))).toEqual(reasons);
  expect(rows).toHaveLength(reasons.size);
  for (const [reason, types = "", meaning] of rows) {
    expect(
      types.split(", ").every((type) => CONDITION_TYPES.some((known) => known === type)),
      reason,
    ).toBe(true);
    expect(meaning, reason).not.toBe("");
  }
});

it("every metric has its row", () => {
  const counters = { list: () => [] } as unknown as CountersStore;
  const families = collectMetrics(
    {
      environments: [],
      activeRuns: [],
      unfollowed: new Map(),
      paused: null,
      alerts: [],
      pullTasks: { count: 0, oldestDueAt: null },
      budget: null,
      fullest: [],
      now: 0,
    },
    counters,
  );
  expect(rowsOf("Metrics").map(([name]) => name)).toEqual(families.map(({ name }) => name));
});

it("every event of the log that it lists is written somewhere", () => {
  const sources = sourcesBelow("src").join("\n");
  for (const [event = ""] of rowsOf("Log"))
    expect(sources).toContain(event === "history.<kind>" ? "`history.${kind}`" : `"${event}"`);
});

it("the history's limits and kinds are those of the code", () => {
  expect(PAGE).toContain(
    `the newest ${EVENTS_MAX.toLocaleString("en-US")} of them, for ${EVENT_AGE_MAX_MS / 86_400_000} days`,
  );
  for (const kind of EVENT_KINDS) expect(PAGE).toMatch(new RegExp(`Every [^.]*\\b${kind}\\b`, "u"));
});
