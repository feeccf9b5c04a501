/**
 * Killed at any call, ticked at any time: the next ticks end where an undisturbed reconciler ends.
 */
import * as fc from "fast-check";
import { expect, it } from "vitest";

import { hashOf, spec } from "../support/state.ts";
import { hashed, HOUR, MINUTE, unsharded, ReconcilerFixture } from "./support/world.ts";
import { tries } from "../support/sample.ts";

/**
 * After so many calls the process dies: that call, and everything that waited for it, never comes
 * back.
 */
async function passOrDie(world: ReconcilerFixture, calls: number): Promise<void> {
  let left = calls;
  let die: () => void = () => undefined;
  const death = new Promise<void>((resolve) => (die = resolve));
  world.onCall = () => {
    if (left-- > 0) return Promise.resolve();
    die();
    return new Promise(() => undefined);
  };
  await Promise.race([world.pass(), death]);
  world.onCall = () => Promise.resolve();
}

function createWorld(): ReconcilerFixture {
  const live = [
    hashed("a-shared", 4),
    hashed("b-drifted", 4),
    unsharded("c-new"),
    hashed("d-unmanaged", 2),
  ];
  const world = new ReconcilerFixture({ live, specs: [] });
  world.known = [{ name: "d-unmanaged", object: "ORDERS" }];
  return world;
}

const before = [
  spec("a-shared", { count: 4 }),
  spec("b-drifted", { count: 4, policy: { selfHeal: "apply" } }),
  spec("c-new", { strategy: "none" }),
];
const after = [
  spec("a-shared", { count: 6, dependsOn: ["b-drifted"] }),
  spec("b-drifted", { count: 4, policy: { selfHeal: "apply" } }),
  spec("c-new", { count: 2, dependsOn: ["a-shared"] }),
];

type Step =
  | { readonly kind: "die"; readonly calls: number }
  | { readonly kind: "tick" }
  | { readonly kind: "run" };
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("die" as const), calls: fc.nat(25) }) },
  { weight: 1, arbitrary: fc.constant({ kind: "tick" } as const) },
  { weight: 1, arbitrary: fc.constant({ kind: "run" } as const) },
);

async function play(steps: readonly Step[]): Promise<unknown> {
  const world = createWorld();
  world.merge(before);
  await world.tick(2);
  world.live.edit("b-drifted", { epoch: 2, layout: hashOf("b-drifted", 6) });
  await world.reviewAndMerge(after);
  for (const one of steps) {
    if (one.kind === "tick") await world.pass();
    else if (one.kind === "run") await world.stepRuns(2);
    else await passOrDie(world, one.calls);
    world.now += 20_000;
  }
  for (let ticks = 0; ticks < 15; ticks++) {
    await world.tick();
    world.now += MINUTE;
  }
  const { drifts, conditions, isComplete, fingerprint } = await world.report();
  const starts = world.live.calls.filter((call) => call.startsWith("start ")).toSorted();
  return {
    drifts: drifts.map(({ kind, namespace, state, reason }) => ({
      kind,
      namespace,
      state,
      reason,
    })),
    conditions: conditions.map(({ namespace, type, reason }) => ({ namespace, type, reason })),
    isComplete,
    fingerprint,
    starts,
    members: await Promise.all(before.map(({ name }) => world.membersOf(name))),
  };
}

it("converges to the same state, with each operation started once", async () => {
  const undisturbed = await play([]);
  expect(undisturbed).toMatchObject({
    members: [6, 4, 2],
    isComplete: true,
    starts: ["start a-shared", "start b-drifted", "start c-new"],
    conditions: [{ type: "Ready" }, { type: "Ready" }, { type: "Ready" }],
    drifts: [{ kind: "unmanaged", namespace: "d-unmanaged", state: "open" }],
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 12 }), async (steps) => {
      expect(await play(steps)).toEqual(undisturbed);
    }),
    { numRuns: tries(60) },
  );
}, 120_000);

const DAY = 24 * HOUR;
/** 12:01 of the n-th day: a minute after the window has opened. */
const noonOf = (day: number): number => Date.UTC(2026, 2, 2 + day, 12, 1);

it("killed around the edges of a window: the operation is started once, paused outside of it, and goes on inside", async () => {
  const windows = [{ start: "0 12 * * *", durationMs: 30 * MINUTE, timezone: "UTC" }];
  const declared = (count: number) => [spec("orders", { count, policy: { windows } })];
  const ref = { name: "orders", object: "ORDERS" };
  type Moved = Step | { readonly kind: "open" } | { readonly kind: "closed" };
  const moved: fc.Arbitrary<Moved> = fc.oneof(
    { weight: 3, arbitrary: step },
    { weight: 2, arbitrary: fc.constantFrom<Moved>({ kind: "open" }, { kind: "closed" }) },
  );
  await fc.assert(
    fc.asyncProperty(fc.array(moved, { maxLength: 14 }), async (steps) => {
      const world = new ReconcilerFixture({
        live: [hashed("orders", 4)],
        specs: declared(4),
        pollsToComplete: () => 30,
        startAt: noonOf(0),
      });
      await world.tick();
      await world.reviewAndMerge(declared(6));
      let day = 0;
      for (const one of steps) {
        if (one.kind === "tick") await world.pass();
        else if (one.kind === "run") await world.stepRuns(2);
        else if (one.kind === "die") await passOrDie(world, one.calls);
        else world.now = one.kind === "open" ? noonOf(++day) : noonOf(day) + HOUR;
      }
      world.now = noonOf(day) + HOUR;
      await world.tick(3);
      const outside = await world.live.describe(ref);
      const running =
        outside.ok && outside.value.operation?.state === "running" ? [outside.value.operation] : [];
      expect(running.filter(({ paused }) => paused === null)).toEqual([]);
      world.now = noonOf(day) + DAY;
      for (let ticks = 0; ticks < 8; ticks++) {
        await world.tick();
        for (let polls = 0; polls < 10; polls++) await world.live.operation(ref, 1);
      }
      expect(await world.membersOf("orders")).toBe(6);
      expect(world.condition("orders")).toMatchObject({ type: "Ready", reason: "InSync" });
      expect(world.live.calls.filter((call) => call === "start orders")).toHaveLength(1);
      expect(await world.drifts()).toEqual([]);
    }),
    { numRuns: tries(60) },
  );
}, 120_000);
