/** The history's bounds: by count and by age, whatever the clock says. */
import { expect, it } from "vitest";

import { makeEvent } from "../../src/history/make-event.ts";
import {
  EVENT_AGE_MAX_MS,
  type EventFilter,
  EVENTS_MAX,
  HistoryStore,
} from "../../src/history/history-store.ts";
import { openNodeSql } from "../support/node-sql.ts";

const NOW = Date.UTC(2026, 10, 24);
const DAY_MS = 24 * 60 * 60 * 1000;
const ALL: EventFilter = {
  environment: null,
  namespace: null,
  kind: null,
  before: null,
  after: null,
  limit: 1000,
};

function open(sql = openNodeSql()) {
  const store = new HistoryStore(sql);
  const put = (at: number, summary = "x"): void =>
    store.put(makeEvent({ at, environment: "production", kind: "plan", summary, actor: "ci" }));
  return { sql, store, put };
}

it("forgets what is older than its age, and no more", () => {
  const { store, put } = open();
  put(NOW - EVENT_AGE_MAX_MS - DAY_MS, "too old");
  put(NOW - EVENT_AGE_MAX_MS + DAY_MS, "old");
  for (let puts = 0; puts < 200; puts++) put(NOW);
  const kept = store.list(ALL);
  expect(kept.map(({ summary }) => summary).filter((summary) => summary !== "x")).toEqual(["old"]);
  expect(kept).toHaveLength(201);
});

it.each([
  ["far ahead once", [NOW + 1000 * DAY_MS]],
  ["far behind once", [0]],
])("keeps everything when a clock was %s", (_name, moments) => {
  const { store, put } = open();
  for (let puts = 0; puts < 98; puts++) put(NOW);
  for (const at of moments) put(at, "odd");
  for (let puts = 0; puts < 301; puts++) put(NOW);
  expect(store.list(ALL).filter(({ summary }) => summary === "x")).toHaveLength(399);
});

it("limits lists to as many names as a token may hold for", () => {
  const { store } = open();
  const names = Array.from({ length: 50_000 }, (_, index) => `many-${index}`.padEnd(60, "ü"));
  const declared = names.map((name) => ({
    environment: "production",
    name,
    object: "ORDERS",
    isShared: name === names[1],
  }));
  const told = (environment: string, namespace: string | null) =>
    store.put(
      makeEvent({ at: NOW, environment, namespace, kind: "drift", summary: "x", actor: "ci" }),
    );
  for (const name of [names[0], names[1], names[49_999], "own", "other", null])
    told("production", name ?? null);
  told("elsewhere", names[0] ?? "");
  told("elsewhere", "own");
  const shownTo = (visible: EventFilter["visible"]) =>
    store
      .list({ ...ALL, ...(visible === undefined ? {} : { visible }) })
      .map(({ environment, namespace }) => `${environment} ${namespace ?? "whole"}`);
  expect(shownTo({ environments: null, names: ["own"], declared })).toEqual([
    "elsewhere own",
    "production own",
    `production ${names[49_999]}`,
    `production ${names[0]}`,
  ]);
  expect(shownTo({ environments: ["production"], names, declared: [] })).toHaveLength(3);
  expect(shownTo({ environments: null, names: [], declared: [] })).toEqual([]);
  expect(shownTo(null)).toHaveLength(8);
});

it("counts events, not their numbers: an import leaves numbers out", () => {
  const { sql, put } = open();
  const count = () =>
    sql.exec<{ count: number }>("SELECT count(*) AS count FROM events").one().count;
  for (let puts = 0; puts < 50; puts++) put(NOW);
  sql.exec("UPDATE sqlite_sequence SET seq = seq + ? WHERE name = 'events'", EVENTS_MAX);
  for (let puts = 0; puts < 200; puts++) put(NOW);
  expect(count()).toBe(250);
  sql.exec(
    `INSERT INTO events (at, environment, kind, namespace, body) WITH RECURSIVE counted(value) AS
      (SELECT 1 UNION ALL SELECT value + 1 FROM counted WHERE value < ?) SELECT ?, 'production', 'plan', NULL, '{}' FROM counted`,
    EVENTS_MAX,
    NOW,
  );
  // As a process that has just begun, and one that goes on.
  const again = open(sql);
  for (let puts = 0; puts < 300; puts++) again.put(NOW);
  expect(count()).toBeLessThanOrEqual(EVENTS_MAX + 100);
  expect(count()).toBeGreaterThanOrEqual(EVENTS_MAX);
});

it("cuts a summary that is longer than a line may be", () => {
  const { store, put } = open();
  put(NOW, "🦆".repeat(5000));
  expect(store.list(ALL)[0]?.summary).toBe("🦆".repeat(1000));
});
