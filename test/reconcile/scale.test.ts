/**
 * The cost of a tick: in proportion to what changed, whatever is declared. Calls are counted, never
 * time.
 */
import { expect, it } from "vitest";

import { checkIntervalMs } from "../../src/reconcile/schedule.ts";
import { size } from "../support/sample.ts";
import { spec } from "../support/state.ts";
import { hashed, HOUR, ReconcilerFixture } from "./support/world.ts";

const NAMESPACES = size(10_000, 3_000);
const CHANGED = 10;
/** Ticks of an hour, as they are played here. */
const TICKS = 12;
const names = Array.from(
  { length: NAMESPACES },
  (_, index) => `n${String(index).padStart(5, "0")}`,
);

it(`keeps ${NAMESPACES} namespaces with a few calls a tick, and touches the ${CHANGED} that change`, async () => {
  const specs = names.map((name) => spec(name, { count: 2 }));
  const world = new ReconcilerFixture({ live: names.map((name) => hashed(name, 2, 1)), specs });
  const touched = (from: number): Set<string> =>
    new Set(
      world.live.calls
        .slice(from)
        .map((call) => (call.split(" ")[1] ?? "").replace(/-shard-\d+$/, "")),
    );

  // The first pass meets all of them, in many slices.
  const first = await world.pass();
  expect(first.lastFigures).toMatchObject({ looks: NAMESPACES });
  expect(first.outcome).toBe("complete");

  // The next tick: nobody's turn has come.
  let calls = world.live.calls.length;
  let requests = world.githubRequests;
  const writes = world.store.writes;
  const idle = await world.pass();
  expect(world.githubRequests - requests).toBeLessThanOrEqual(3);
  expect(world.live.calls.length - calls).toBe(0);
  expect(world.store.writes - writes).toBe(0);
  expect(idle.lastFigures).toMatchObject({ looks: 0, calls: 0, runsStarted: 0 });

  // Ten manifests change: ten namespaces are asked, changed, and nobody else.
  const chosen = new Set(names.filter((_, index) => index % (NAMESPACES / CHANGED) === 7));
  const merged = specs.map((one) => (chosen.has(one.name) ? spec(one.name, { count: 3 }) : one));
  const plan = await world.plan(merged.filter(({ name }) => chosen.has(name)));
  world.merge(merged);
  world.reviewed = [{ pull: 5, plan, overrides: [] }];
  calls = world.live.calls.length;
  requests = world.githubRequests;
  const { now } = world;
  await world.pass();
  await world.stepRuns(30);
  // The run took no time: nobody's turn has come meanwhile.
  world.now = now;
  await world.pass();
  expect(world.githubRequests - requests).toBeLessThanOrEqual(6);
  expect(touched(calls)).toEqual(chosen);
  expect(world.startedRuns()).toMatchObject([
    { state: "succeeded", fingerprint: plan.fingerprint },
  ]);
  expect((await world.report()).conditions.filter(({ type }) => type !== "Ready")).toEqual([]);

  // The turns are spread over the interval of checks: an hour for 10,000.
  const turns = (NAMESPACES * (HOUR / TICKS)) / checkIntervalMs(NAMESPACES);
  for (let tick = 0; tick < 3; tick++) {
    world.now += HOUR / TICKS;
    const { lastFigures } = await world.pass();
    expect(lastFigures?.looks).toBeGreaterThan(turns * 0.8);
    expect(lastFigures?.looks).toBeLessThan(turns * 1.2);
  }
}, 300_000);
