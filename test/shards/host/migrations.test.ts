/**
 * The steps of a class that run on an object, by what has run there: the rules of `planMigrations`.
 */
import { describe, expect, it } from "vitest";

import { type MigrationRecord, planMigrations } from "../../../src/shards/host/migrations.ts";

/** Records in the order in which they have run; a name in parentheses is withdrawn. */
function ran(...names: readonly string[]): MigrationRecord[] {
  return names.map((name, at) => ({
    id: name.replace(/[()]/g, ""),
    at,
    isWithdrawn: name.startsWith("("),
  }));
}

describe("what runs on an object", () => {
  it.each([
    ["a new object", ["a", "b"], ran(), ["a", "b"], []],
    ["one that lacks the newest", ["a", "b", "c"], ran("a"), ["b", "c"], []],
    ["one that has all", ["a", "b"], ran("a", "b"), [], []],
    ["no steps at all", [], ran(), [], []],
    ["a rollback", ["a"], ran("a", "b", "c"), [], ["b", "c"]],
    ["a second start after a rollback", ["a"], ran("a", "(b)", "(c)"), [], []],
    ["a rollback and another step", ["a", "d"], ran("a", "b"), ["d"], ["b"]],
    ["a step that comes back", ["a", "b"], ran("a", "(b)"), ["b again"], []],
    [
      "a step that comes back with a new one",
      ["a", "b", "c"],
      ran("a", "(b)"),
      ["b again", "c"],
      [],
    ],
    [
      "a step that comes back before one that has run",
      ["a", "b", "c"],
      ran("a", "(b)", "c"),
      ["b again"],
      [],
    ],
    ["an old step that is no longer given", ["b"], ran("a", "b"), [], ["a"]],
  ])("%s", (_, ids, records, runs, withdrawals) => {
    const plan = planMigrations(ids, records);
    expect(plan.runs.map(({ id, isAgain }) => (isAgain ? `${id} again` : id))).toEqual(runs);
    expect(plan.withdrawals).toEqual(withdrawals);
  });
});

describe("a list that is refused", () => {
  it.each([
    ["two steps of one id", ["a", "b", "a"], ran(), "Two migrations have the id 'a'"],
    ["an empty id", ["a", ""], ran(), "empty id"],
    [
      "a new step before one that has run",
      ["a", "new", "b"],
      ran("a", "b"),
      "'new' stands before 'b', which has already run",
    ],
    [
      "a new step before one that was withdrawn",
      ["new", "b"],
      ran("(b)"),
      "'new' stands before 'b', which has already run",
    ],
    [
      "steps that have changed places",
      ["b", "a"],
      ran("a", "b"),
      "'b' stands before 'a', but 'a' has run first",
    ],
  ])("%s", (_, ids, records, message) => {
    expect(() => planMigrations(ids, records)).toThrow(message);
  });
});
