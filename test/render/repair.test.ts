/** The plan of a repair and what it has done, as people read them before they accept a loss. */
import { describe, expect, it } from "vitest";

import type { RepairOutcome, RepairPlan } from "../../src/model/repair.ts";
import {
  applyCommand,
  isApplicable,
  renderRepairOutcome,
  renderRepairPlan,
} from "../../src/render/repair-text.ts";

const now = Date.UTC(2026, 10, 24, 12, 0, 0);
const ASKED = { members: [], acceptLoss: [], object: null };

const PLAN: RepairPlan = {
  namespace: "orders",
  fingerprint: "5f2a0c3b9d17".padEnd(64, "0"),
  disorder: {
    kind: "registryLost",
    members: ["orders"],
    message: "The root of 'orders' is at epoch 0, and orders-shard-0 at epoch 4",
    since: now - 300_000,
  },
  testimonies: [
    { member: "orders", says: "root, epoch 0, unsharded, no rows" },
    { member: "orders-shard-0", says: "epoch 4 of hash over 2 members, 30 rows" },
    { member: "orders-shard-1", says: "epoch 3, restored to an earlier time, 26 rows" },
  ],
  steps: [
    {
      kind: "registry",
      member: "orders",
      summary: "takes epoch 4, hash over 2 members, as orders-shard-0 proves it",
      setAside: [],
    },
    {
      kind: "operation",
      member: "orders",
      summary: "operation 2 (rebalance) is ended: no member takes part in it",
      setAside: [],
    },
    {
      kind: "member",
      member: "orders-shard-1",
      summary: "takes epoch 4",
      setAside: [
        { member: "orders-shard-1", table: "things", rows: 3 },
        { member: "orders-shard-1", table: "notes", rows: 1 },
      ],
    },
  ],
  losses: [
    {
      member: "orders-shard-1",
      summary: "what was written to orders-shard-1 since its restore point is gone",
    },
  ],
  obstacles: [],
};

const OUTCOME: RepairOutcome = {
  namespace: "orders",
  fingerprint: PLAN.fingerprint,
  steps: PLAN.steps,
  setAside: PLAN.steps.flatMap(({ setAside }) => setAside),
};

describe("writers 1: the plan of a repair", () => {
  it.each<[string, RepairPlan]>([
    ["plan", PLAN],
    [
      "obstacles",
      { ...PLAN, obstacles: ["orders-shard-1 does not answer: plan again when it does"] },
    ],
    [
      "nothing",
      { ...PLAN, disorder: null, steps: [], losses: [], testimonies: PLAN.testimonies.slice(1, 2) },
    ],
    ["unproven", { ...PLAN, steps: [], losses: [] }],
  ])("%s", async (name, plan) => {
    await expect(renderRepairPlan(plan, ASKED, { now })).toMatchFileSnapshot(
      `../golden/render/repair-${name}.txt`,
    );
  });

  it("has the command that applies exactly it, as it was asked, safe for a shell", () => {
    const asked = {
      members: ["orders-shard-0", "it's; rm -rf /"],
      acceptLoss: ["orders-shard-1"],
      object: "ORDERS",
    };
    const command = applyCommand(PLAN, asked);
    expect(command).toBe(
      `shardctl repair orders --object ORDERS --member orders-shard-0 --member 'it'\\''s; rm -rf /' --accept-loss orders-shard-1 --apply --fingerprint ${PLAN.fingerprint}`,
    );
    expect(renderRepairPlan(PLAN, asked, { now })).toContain(command);
  });

  it.each<[boolean, string, Partial<RepairPlan>]>([
    [true, "steps", {}],
    [true, "a loss that was accepted, and no step", { steps: [] }],
    [false, "an obstacle", { obstacles: ["x"] }],
    [false, "nothing to do", { steps: [], losses: [] }],
  ])("can be applied: %s, with %s", (expected, _what, changes) => {
    const plan = { ...PLAN, ...changes };
    expect(isApplicable(plan)).toBe(expected);
    expect(renderRepairPlan(plan, ASKED, { now }).includes("--apply --fingerprint")).toBe(expected);
  });

  it("does not let what objects say steer a terminal", () => {
    const hostile = {
      ...PLAN,
      testimonies: [{ member: "a\u001b[2J", says: "\u0007\u202Ex" }],
      losses: [],
    };
    const text = renderRepairPlan(hostile, ASKED, { now });
    for (const mark of ["\u001b", "\u0007", "\u202E"]) expect(text).not.toContain(mark);
  });
});

it("writers 1: what a repair has done", async () => {
  await expect(renderRepairOutcome(OUTCOME)).toMatchFileSnapshot(
    "../golden/render/repair-done.txt",
  );
  expect(renderRepairOutcome({ ...OUTCOME, setAside: [] })).not.toContain("No row is deleted");
});
