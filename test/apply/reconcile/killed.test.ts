/** Killed at any call, ticked at any time: the next ticks end where an undisturbed reconciler ends. */
import * as fc from "fast-check";
import { expect, it } from "vitest";

import { hashOf, spec } from "../../support/state.ts";
import { hashed, MINUTE, unsharded, World } from "./support/world.ts";

/** After so many calls the process dies: that call, and everything that waited for it, never comes back. */
async function passOrDie(world: World, calls: number): Promise<void> {
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

function createWorld(): World {
  const live = [hashed("a-shared", 4), hashed("b-drifted", 4), unsharded("c-new"), hashed("d-unmanaged", 2)];
  const world = new World({ live, specs: [] });
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

type Step = { readonly kind: "die"; readonly calls: number } | { readonly kind: "tick" } | { readonly kind: "run" };
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
    drifts: drifts.map(({ kind, namespace, state, reason }) => ({ kind, namespace, state, reason })),
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
    { numRuns: 60 },
  );
}, 120_000);
