/**
 * An independent checker of plans: carries the changes out on rows, and compares what happened with
 * what the plan said.
 *
 * It shares no code with the planner but the lookup from key to owner, which is the thing that
 * routes calls.
 */
import { expect } from "vitest";

import { operationModeFor } from "../../src/model/operation-mode.ts";
import type { Change, Plan } from "../../src/model/plan.ts";
import { buildPlan } from "../../src/planning/build-plan.ts";
import type { DesiredState } from "../../src/model/spec.ts";
import { type NamespaceFixture, liveState, placedRows } from "../support/state.ts";

export async function planOf(
  wanted: DesiredState,
  worlds: readonly NamespaceFixture[],
  basis: Plan | null = null,
): Promise<Plan> {
  return buildPlan({ desired: wanted, live: liveState(wanted, worlds, basis), basis });
}

/** The worlds after every change of the plan. */
export function applyPlanTo(worlds: readonly NamespaceFixture[], plan: Plan): NamespaceFixture[] {
  return worlds.map((from) => {
    const change = plan.changes.find(
      (one) => one.namespace === from.name && one.object === from.object,
    );
    return change ? { ...from, layout: change.to, epoch: from.epoch + 1 } : from;
  });
}

/**
 * Checks every change against the rows, and that a second plan has nothing left to do (where no
 * guard spoke against the first). Gives the number of changes checked.
 */
export async function checkPlan(
  wanted: DesiredState,
  worlds: readonly NamespaceFixture[],
  plan: Plan,
): Promise<number> {
  for (const change of plan.changes) {
    const from = worlds.find((one) => one.name === change.namespace);
    if (!from) throw new Error(`No world ${change.namespace}`);
    checkMembers(change, from);
    checkFigures(change, from);
  }
  if (plan.blocks.some((block) => block.guard === "skew")) return plan.changes.length;
  const after = applyPlanTo(worlds, plan);
  const second = await planOf(wanted, after);
  expect(second.changes.map(({ namespace, reason }) => ({ namespace, reason }))).toEqual([]);
  return plan.changes.length;
}

function checkMembers(change: Change, from: NamespaceFixture): void {
  expect(change.from).toEqual(from.layout);
  expect(change.epoch).toBe(from.epoch);
  expect(new Set(change.to.members).size).toBe(change.to.members.length);
  const kept = change.to.members.filter((member) => from.layout.members.includes(member));
  const isShift =
    change.kind === "rebalance" && operationModeFor(change.from, change.to) === "shift";
  if (isShift) {
    expect(change.to.generation).toBe(change.from.generation);
    expect(kept).toHaveLength(Math.min(change.from.members.length, change.to.members.length));
  } else if (change.kind === "unshard") {
    expect(change.to.members).toEqual([change.namespace]);
  } else {
    expect(kept).toEqual([]);
  }
}

function checkFigures(change: Change, from: NamespaceFixture): void {
  const before = placedRows(from);
  const after = placedRows({ ...from, layout: change.to });
  const fillAfter = new Map(change.to.members.map((member) => [member, 0]));
  const fillBefore = new Map(change.from.members.map((member) => [member, 0]));
  const moved = new Map<string, { rows: number; bytes: number }>();
  after.forEach(({ row, member: target }, index) => {
    const source = before[index]?.member ?? "";
    fillAfter.set(target, (fillAfter.get(target) ?? 0) + 1);
    fillBefore.set(source, (fillBefore.get(source) ?? 0) + 1);
    if (source === target) return;
    const sofar = moved.get(`${source} ${target}`) ?? { rows: 0, bytes: 0 };
    moved.set(`${source} ${target}`, {
      rows: sofar.rows + 1,
      bytes: sofar.bytes + (row.bytes ?? 0),
    });
  });
  const rowsMoved = [...moved.values()].reduce((sum, { rows }) => sum + rows, 0);
  expect(change.rowsTotal).toBe(from.rows.length);
  expect(change.rowsMoved).toBe(rowsMoved);
  expect(change.bytesMoved).toBe([...moved.values()].reduce((sum, { bytes }) => sum + bytes, 0));
  expect(change.skewBefore).toBeCloseTo(maxOverAverage([...fillBefore.values()]), 9);
  if (change.estimate) return;
  expect(change.skewAfter).toBeCloseTo(maxOverAverage([...fillAfter.values()]), 9);
  // Which row is dealt to whom is decided when it is dealt.
  if (change.to.kind === "roundRobin" || change.from.kind === "roundRobin") return;
  expect(
    Object.fromEntries(
      change.moves.map(({ source, target, rows, bytes }) => [
        `${source} ${target}`,
        { rows, bytes },
      ]),
    ),
  ).toEqual(Object.fromEntries(moved));
}

function maxOverAverage(rows: readonly number[]): number {
  const total = rows.reduce((sum, count) => sum + count, 0);
  return total === 0 ? 1 : Math.max(...rows) / (total / rows.length);
}
