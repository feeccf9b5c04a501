/** Reads of a pass over many namespaces with policies, when one plan shows all of them. */
import { describe, expect, it } from "vitest";

import type { NamespaceSpec, Window } from "../../src/model/spec.ts";
import { spec } from "../support/state.ts";
import { hashed, HOUR, ReconcilerFixture } from "./support/world.ts";

/** Before noon, when the world begins: what has this window waits. */
const MORNING: Window = { start: "0 3 * * *", durationMs: HOUR, timezone: "UTC" };
/** By name, the last one. */
const WAITING = "zz";

/** The policy changes of all, and the layout of a few: more would be a bulk change. */
function specs(names: readonly string[], count: number, budgetRows: number | null) {
  const few = names.length / 5;
  return [
    ...names.map((name, index): NamespaceSpec =>
      spec(name, { count: index < few ? count : 4, policy: { budgetRows } }),
    ),
    spec(WAITING, { count, policy: { windows: [MORNING] } }),
  ];
}

/** States that a pass reads once all changes but one are made: the policies wait for it. */
async function readsOf(count: number, live: number): Promise<number> {
  const names = Array.from({ length: count }, (_, index) => `n${index}`);
  const world = new ReconcilerFixture({
    live: [...names, WAITING].map((name) => hashed(name, 4)),
    specs: specs(names, 4, null),
  });
  await world.tick(2);
  await world.reviewAndMerge(specs(names, 6, 9000));
  await world.tick(6);
  expect(await world.membersOf("n0")).toBe(6);
  expect(world.condition("n0")).toMatchObject({ reason: "PolicyHeld" });
  if (live !== 4) world.live.edit(WAITING, { epoch: 9 });
  world.store.write([...world.store.all()].map((state) => ({ ...state, dueAt: 0 })));
  const before = world.store.reads;
  await world.tick();
  return world.store.reads - before;
}

describe("a pass over namespaces whose policies wait for the changes of one plan", () => {
  it("reads no more for each of them when there are more", async () => {
    const [few, many] = [await readsOf(20, 4), await readsOf(80, 4)];
    expect(many / 80).toBeLessThan((few / 20) * 1.5);
  });

  it("reads as little when live is no longer what the plan was made for", async () => {
    const [few, many] = [await readsOf(20, 9), await readsOf(80, 9)];
    expect(many / 80).toBeLessThan((few / 20) * 1.5);
  });
});
