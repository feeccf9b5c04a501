/**
 * The Worker's own storage lost, or restored to an earlier time: it applies nothing that it cannot
 * prove reviewed.
 */
import { describe, expect, it } from "vitest";

import { RECONCILER } from "../../src/runs/run-record.ts";
import type { NamespaceSpec } from "../../src/model/spec.ts";
import { spec } from "../support/state.ts";
import { MemoryRegistries } from "./support/memory-registries.ts";
import { MemoryStore } from "./support/memory-store.ts";
import { hashed, HOUR, ReconcilerFixture } from "./support/world.ts";

const orders = (count: number, changes: Partial<NamespaceSpec["policy"]> = {}): NamespaceSpec =>
  spec("orders", { count, policy: { ...spec("orders").policy, selfHeal: "apply", ...changes } });

interface Backup {
  readonly states: ReturnType<MemoryStore["read"]>[];
  readonly environment: ReturnType<MemoryStore["readEnvironment"]>;
  readonly runs: ReconcilerFixture["runs"];
  readonly reviewed: ReconcilerFixture["reviewed"];
  readonly tree: ReconcilerFixture["tree"];
  readonly resumedAt: number | null;
}

/** Copies the coordinator's storage as it is now. */
function backUp(world: ReconcilerFixture): Backup {
  return {
    states: [...world.store.all()],
    environment: world.store.readEnvironment(),
    runs: new Map(world.runs),
    reviewed: [...world.reviewed],
    tree: world.tree,
    resumedAt: world.resumedAt,
  };
}

/** @param backup null for storage that was lost. */
function restore(world: ReconcilerFixture, backup: Backup | null): void {
  world.store = new MemoryStore();
  world.registries = new MemoryRegistries();
  world.runs.clear();
  world.reviewed = backup === null ? [] : [...backup.reviewed];
  world.paused = null;
  world.resumedAt = backup?.resumedAt ?? null;
  for (const [id, run] of backup?.runs ?? []) world.runs.set(id, run);
  if (backup?.environment) world.store.writeEnvironment(backup.environment);
  world.store.write((backup?.states ?? []).flatMap((state) => (state === null ? [] : [state])));
}

async function settled(): Promise<ReconcilerFixture> {
  const world = new ReconcilerFixture({ live: [hashed("orders", 4)], specs: [orders(4)] });
  await world.tick(2);
  return world;
}

async function aDay(world: ReconcilerFixture): Promise<void> {
  for (let hour = 0; hour < 24; hour++) {
    await world.tick(2);
    world.now += HOUR;
  }
}

describe("writers 1: a coordinator that lost its storage", () => {
  it("applies no merge whose review it does not know any more, and nothing that is in sync", async () => {
    const world = await settled();
    await world.reviewAndMerge([orders(6)]);
    restore(world, null);
    await aDay(world);
    expect(world.startedRuns()).toEqual([]);
    expect(world.condition("orders")).toMatchObject({ type: "Stalled", reason: "NotReviewed" });
    expect(await world.membersOf("orders")).toBe(4);
  });

  it("does not let go of what a switch holds that it has forgotten; one that was turned off it does", async () => {
    for (const isLost of [true, false]) {
      const world = new ReconcilerFixture({
        live: [hashed("orders", 4)],
        specs: [orders(4)],
        pollsToComplete: () => 1_000_000,
      });
      await world.tick(2);
      await world.reviewAndMerge([orders(6)]);
      await world.tick(1);
      world.paused = { by: "ada", reason: "incident 7", at: world.now };
      await world.tick(2);
      const held = await world.live.describe({ name: "orders", object: "ORDERS" });
      expect(held).toMatchObject({ value: { operation: { paused: { by: RECONCILER } } } });
      if (isLost) restore(world, null);
      else world.paused = null;
      await world.tick(3);
      const after = await world.live.describe({ name: "orders", object: "ORDERS" });
      const paused = after.ok ? (after.value.operation?.paused ?? null) : null;
      expect(paused?.reason ?? null).toBe(isLost ? "everything is paused by ada" : null);
    }
  });
});

describe("writers 1: a coordinator that was restored to yesterday", () => {
  it("does not undo what was applied since, where its own memory is all that declares", async () => {
    const world = await settled();
    const yesterday = backUp(world);
    await world.reviewAndMerge([orders(6)]);
    await world.tick(3);
    expect(await world.membersOf("orders")).toBe(6);
    restore(world, yesterday);
    // Without a repository the desired state is restored with the rest.
    world.restore(yesterday.tree);
    await aDay(world);
    expect(await world.membersOf("orders")).toBe(6);
    expect(world.startedRuns()).toEqual([]);
    expect(world.condition("orders")).toMatchObject({ type: "Stalled", reason: "RunUnknown" });
    expect((await world.report()).drifts).toMatchObject([{ kind: "spec", state: "open" }]);
    // Declaring again the state that was applied ends the drift.
    world.merge([orders(6)]);
    await world.tick(2);
    expect(await world.drifts()).toEqual([]);
  });

  it("still mends what was changed by hand", async () => {
    const world = await settled();
    world.live.edit("orders", { epoch: 2, layout: hashed("orders", 2).layout });
    await world.tick(4);
    expect(await world.membersOf("orders")).toBe(4);
  });

  it("starts nothing of a run that was cancelled since, and ends it", async () => {
    const world = await settled();
    const id = world.startRunOf(await world.plan([orders(6)]));
    const yesterday = backUp(world);
    world.cancelRun(id);
    await world.stepRuns();
    expect(world.runs.get(id)?.record.run.state).toBe("cancelled");
    restore(world, yesterday);
    world.now += 24 * HOUR;
    await world.stepRuns();
    const run = world.runs.get(id)?.record.run;
    expect(run).toMatchObject({ state: "cancelled", actions: [{ state: "notExecuted" }] });
    expect(run?.actions[0]?.error).toContain("its lease was lost");
    expect(await world.membersOf("orders")).toBe(4);
  });

  it("follows what a run has under way to its end, and lets nothing go on that it has not held itself", async () => {
    const world = new ReconcilerFixture({
      live: [hashed("orders", 4)],
      specs: [orders(4)],
      pollsToComplete: () => 20,
    });
    await world.tick(2);
    const id = world.startRunOf(await world.plan([orders(6)]));
    await world.stepRuns(3);
    const yesterday = backUp(world);
    const { actions = [] } = world.runs.get(id)?.record.run ?? {};
    const held = { reason: "everything is paused by ada", by: RECONCILER };
    await world.live.pause(
      { name: "orders", object: "ORDERS" },
      actions[0]?.operation?.id ?? 0,
      held,
    );
    restore(world, yesterday);
    world.now += 24 * HOUR;
    await world.stepRuns(30);
    expect(world.runs.get(id)?.record.run).toMatchObject({
      state: "running",
      actions: [{ operation: { paused: held } }],
    });
    await world.live.resume({ name: "orders", object: "ORDERS" }, actions[0]?.operation?.id ?? 0);
    await world.stepRuns(30);
    expect(world.runs.get(id)?.record.run).toMatchObject({ state: "succeeded" });
  });

  it("takes what others have made since for no rest of its own reviewed run", async () => {
    const world = await settled();
    await world.reviewAndMerge([orders(6)]);
    await world.pass();
    world.live.failNext("orders", { kind: "timeout", message: "no answer" });
    for (
      let steps = 0;
      world.startedRuns()[0]?.actions[0]?.operation === null && steps < 9;
      steps++
    )
      await world.stepRuns(1);
    const yesterday = backUp(world);
    expect(world.startedRuns()).toMatchObject([
      { state: "running", actions: [{ state: "running" }] },
    ]);
    for (let minute = 0; (await world.membersOf("orders")) !== 6 && minute < 60; minute++)
      await world.tick();
    // Back to four with a review, then six once more without one.
    await world.reviewAndMerge([orders(4)]);
    await world.tick(3);
    expect(await world.membersOf("orders")).toBe(4);
    const epoch = await world.epochOf("orders");
    world.now += 24 * HOUR;
    restore(world, { ...yesterday, reviewed: [] });
    world.merge([orders(6)]);
    await world.stepRuns();
    await aDay(world);
    expect(world.startedRuns()).toMatchObject([{ state: "failed" }]);
    expect(await world.epochOf("orders")).toBe(epoch);
    expect(world.condition("orders")).toMatchObject({ type: "Stalled" });
  });
});
