/** Heals that do not last: made less and less often, counted by kind of drift, and told once. */
import { describe, expect, it } from "vitest";

import { type AlertState, decideAlert, newAlertState } from "../../src/alerts/alert-state.ts";
import { hasRelapsedOften, RELAPSES_MAX } from "../../src/reconcile/heal-attempts.ts";
import { DEFAULT_OPERATION_POLICY } from "../../src/model/operation.ts";
import type { NamespaceSpec } from "../../src/model/spec.ts";
import { toKey } from "../../src/model/layout/key.ts";
import { createOwnerLookup } from "../../src/model/layout/owner-lookup.ts";
import { isLongRun, sample, size } from "../support/sample.ts";
import { hashOf, spec } from "../support/state.ts";
import { hashed, HOUR, idRows, MINUTE, ReconcilerFixture } from "./support/world.ts";

const DAY = 24 * HOUR;
const REF = { name: "orders", object: "ORDERS" };

const declared = (changes: Parameters<typeof spec>[1] = {}) =>
  spec("orders", { count: 4, ...changes, policy: { selfHeal: "apply", ...changes.policy } });

/** Undoes what is declared, whenever it finds it so. */
type Undo = (world: ReconcilerFixture) => Promise<void>;

/** Another actor, with operations of its own, moves the rows to six members. */
const moveBack: Undo = async (world) => {
  if ((await world.membersOf("orders")) !== 4) return;
  const epoch = await world.epochOf("orders");
  const started = await world.live.start(REF, {
    kind: "rebalance",
    epoch,
    to: hashOf("orders", 6),
    policy: DEFAULT_OPERATION_POLICY,
    correlationId: `by-hand-${epoch}`,
    requestedBy: "someone",
    refuseEmpty: false,
  });
  if (!started.ok) throw new Error(started.failure.message);
  for (let polls = 0; polls < 40; polls++) await world.live.operation(REF, started.value.id);
};

/** Rows grow at one member after the other, so that no layout stays even. */
const growUnevenly: Undo = async (world) => {
  const described = await world.live.describe(REF);
  if (!described.ok || described.value.operation?.state === "running") return;
  const { layout } = described.value;
  const owner = createOwnerLookup(layout);
  const hot = layout.members[described.value.epoch % layout.members.length];
  const rows = idRows(400).map((row) => ({
    ...row,
    rows: owner(toKey(String(row.keys["id"]))) === hot ? 30 : 1,
  }));
  world.live.edit("orders", { rows });
};

/** Writes go past the router all the time. */
const writeAstray: Undo = async (world) => {
  const described = await world.live.describe(REF);
  if (!described.ok || described.value.operation?.state === "running") return;
  const { layout } = described.value;
  const owner = createOwnerLookup(layout)(toKey("lost"));
  const misplacedOn = layout.members.find((member) => member !== owner) ?? "";
  world.live.edit("orders", {
    rows: [...idRows(100), { keys: { id: "lost" }, rows: 3, misplacedOn }],
  });
};

/**
 * Ticks and undoes, and returns the fingerprints that the alert was made to tell, one after the
 * other; null for "all is well".
 */
async function runFor(
  world: ReconcilerFixture,
  ticks: number,
  undo: Undo,
): Promise<(string | null)[]> {
  let alert: AlertState = newAlertState("production");
  const told: (string | null)[] = [];
  for (let tick = 0; tick < ticks; tick++) {
    await world.tick();
    const report = await world.report();
    const after = decideAlert(alert, report);
    const fingerprint = after.target?.fingerprint ?? null;
    if (fingerprint !== (alert.target?.fingerprint ?? null)) told.push(fingerprint);
    alert = after;
    await undo(world);
  }
  return told;
}

async function settled(specs: readonly NamespaceSpec[] = [declared()]): Promise<ReconcilerFixture> {
  const world = new ReconcilerFixture({ live: [hashed("orders", 4, 400)], specs });
  await world.tick();
  return world;
}

const starts = (world: ReconcilerFixture): number[] =>
  world.startedRuns().map(({ startedAt }) => startedAt);
const waits = (world: ReconcilerFixture): number[] =>
  starts(world).flatMap((at, index, all) => (index === 0 ? [] : [at - (all[index - 1] ?? 0)]));
const relapseDrifts = async (world: ReconcilerFixture) =>
  (await world.report()).drifts.filter(({ reason }) => reason.includes("does not last"));

describe("a drift that comes back after each heal", () => {
  it("is healed five times in 180 ticks, and told once", async () => {
    const world = await settled();
    const told = await runFor(world, 180, moveBack);
    expect(world.startedRuns().every(({ state }) => state === "succeeded")).toBe(true);
    expect(waits(world).map((ms) => Math.floor(ms / MINUTE / 10))).toEqual([1, 2, 4, 8]);
    expect(starts(world)).toHaveLength(5);
    // The alert opens once, and neither closes nor changes with the heals in between.
    expect(told).toEqual([expect.any(String)]);
    expect(world.condition("orders")).toMatchObject({
      type: "Stalled",
      reason: "HealingDoesNotLast",
      message: expect.stringContaining("healing does not last"),
      failures: 5,
      nextTryAt: expect.any(Number),
    });
    expect(await relapseDrifts(world)).toMatchObject([
      {
        kind: "stalled",
        namespace: "orders",
        state: "open",
        reason: "healing does not last: drift spec comes back each time",
        remedy: expect.stringContaining("shardctl history orders"),
      },
    ]);
    const opened = world.events.filter(({ summary }) => summary.startsWith("stalled: "));
    expect(opened).toHaveLength(1);
  });

  it("is healed at most once a day in the end, and at least that", async () => {
    const world = await settled();
    const days = size(10, 6);
    for (let tick = 0; tick < days * 24 * 2; tick++) {
      await world.tick();
      world.now += 29 * MINUTE;
      await moveBack(world);
    }
    const last = waits(world).slice(-size(3, 1));
    for (const ms of last) {
      expect(ms).toBeGreaterThanOrEqual(DAY);
      expect(ms).toBeLessThan(DAY + HOUR);
    }
  });

  it("is told by its own kind: rows that grow unevenly", async () => {
    const world = await settled([declared({ policy: { maxSkew: 1.05 } })]);
    await runFor(world, 180, growUnevenly);
    expect(world.startedRuns().length).toBeGreaterThan(2);
    expect(world.startedRuns().length).toBeLessThan(7);
    expect(await relapseDrifts(world)).toMatchObject([
      { reason: "healing does not last: drift skew comes back each time" },
    ]);
  });

  it("is told by its own kind: rows that are written past the router", async () => {
    const world = await settled();
    for (let tick = 0; tick < 7 * 24 * 3; tick++) {
      await world.tick();
      world.now += 19 * MINUTE;
      await writeAstray(world);
    }
    // Audits are an hour apart: for ever once an hour it was.
    expect(world.startedRuns().length).toBeGreaterThan(8);
    expect(world.startedRuns().length).toBeLessThan(16);
    expect(await relapseDrifts(world)).toMatchObject([
      { reason: "healing does not last: drift misplaced comes back each time" },
    ]);
  });

  it("is told once, also when an audit has found it", async () => {
    const world = await settled();
    const told = await runFor(world, 24 * 3, async () => {
      world.now += 19 * MINUTE;
      await writeAstray(world);
    });
    expect(starts(world).length).toBeGreaterThan(3);
    expect(told).toEqual([expect.any(String)]);
    expect(await world.drifts()).toMatchObject([
      { kind: "misplaced", state: "healing" },
      { kind: "stalled", state: "open" },
    ]);
    // A guard that keeps it from being healed leaves it to a person.
    world.policies.floors = { budgetRows: 1 };
    world.policies.set("orders", declared().policy);
    for (let tick = 0; tick < 24 * 3; tick++) {
      await world.tick();
      world.now += 19 * MINUTE;
      await writeAstray(world);
    }
    expect(world.condition("orders")).toMatchObject({ reason: "Blocked" });
    expect((await world.drifts()).find(({ kind }) => kind === "misplaced")).toMatchObject({
      state: "open",
    });
  });

  it("is healed as rarely when the heals fail as when they succeed", async () => {
    const world = await settled();
    await runFor(world, 180, async () => {
      await moveBack(world);
      world.live.failNext("orders", { kind: "mismatch", message: "1 of 9 chunks differ" });
    });
    expect(world.startedRuns().length).toBeLessThan(6);
    expect(world.condition("orders")).toMatchObject({
      reason: "HealingDoesNotLast",
      message: expect.stringContaining("1 of 9 chunks differ"),
    });
  });

  it("of one namespace leaves the heals of others alone", async () => {
    const healed = spec("carts", { count: 4, policy: { selfHeal: "apply" } });
    const world = new ReconcilerFixture({
      live: [hashed("orders", 4), hashed("carts", 4)],
      specs: [declared(), healed],
    });
    await world.tick();
    await runFor(world, 60, moveBack);
    world.live.edit("carts", { epoch: 2, layout: hashOf("carts", 6) });
    await world.tick(4);
    expect(await world.membersOf("carts")).toBe(4);
  });
});

describe("the wait between heals", () => {
  /** Stalled, with the drift there. */
  async function stalled(): Promise<ReconcilerFixture> {
    const world = await settled();
    await runFor(world, 60, moveBack);
    expect(world.condition("orders")).toMatchObject({ reason: "HealingDoesNotLast" });
    return world;
  }

  it("outlives a restart, and so does what was told", async () => {
    const world = await settled();
    await runFor(world, 180, async () => {
      // All that a restart leaves is what the store has.
      const { store } = world;
      const environment = store.readEnvironment();
      const states = [...store.all()];
      world.store = new (store.constructor as new () => typeof store)();
      if (environment) world.store.writeEnvironment(environment);
      world.store.write(states);
      await moveBack(world);
    });
    expect(starts(world)).toHaveLength(5);
  });

  it("counts a heal whose tick was killed between its start and its note", async () => {
    const world = await settled();
    await moveBack(world);
    await world.tick();
    const before = [...world.store.all()];
    await world.pass();
    expect(starts(world)).toHaveLength(1);
    // The run is there, the note of it is not.
    world.store.write(before);
    await runFor(world, 5, moveBack);
    expect(starts(world)).toHaveLength(1);
    expect(world.condition("orders")).toMatchObject({ reason: "BackingOff" });
  });

  it("does not delay a person's own apply", async () => {
    const world = await stalled();
    const run = world.startRunOf(await world.plan([declared()]), "someone");
    await world.stepRuns();
    expect(world.runs.get(run)?.record.run.state).toBe("succeeded");
    expect(await world.membersOf("orders")).toBe(4);
  });

  it("ends with a merged change of the spec, and not with one of another namespace", async () => {
    const world = await stalled();
    const before = starts(world).length;
    const carts = spec("carts", { count: 4 });
    world.live.edit("orders", {});
    world.merge([declared(), carts]);
    await runFor(world, 3, moveBack);
    expect(starts(world)).toHaveLength(before);
    expect(world.condition("orders")).toMatchObject({ reason: "HealingDoesNotLast" });
    world.merge([declared({ policy: { maxSkew: 1.7 } }), carts]);
    await world.tick(3);
    expect(starts(world)).toHaveLength(before + 1);
    expect(await relapseDrifts(world)).toEqual([]);
  });

  it("ends when live stays as declared for an hour, and not before", async () => {
    const world = await stalled();
    world.startRunOf(await world.plan([declared()]), "someone");
    await world.stepRuns();
    await world.tick(50);
    expect(world.condition("orders")).toMatchObject({
      type: "Ready",
      message: expect.stringContaining("not for an hour yet"),
    });
    expect(await relapseDrifts(world)).toMatchObject([{ state: "open" }]);
    await world.tick(15);
    expect(await world.drifts()).toEqual([]);
    expect(world.condition("orders")).toMatchObject({ type: "Ready", failures: 0 });
    // And the next drift is healed at once.
    await moveBack(world);
    await world.tick(3);
    expect(await world.membersOf("orders")).toBe(4);
  });

  it("begins only after a first heal that did not last: one that lasts costs none", async () => {
    const world = await settled();
    for (let drift = 1; drift <= 4; drift++) {
      await moveBack(world);
      await world.tick(3);
      expect(starts(world)).toHaveLength(drift);
      await world.tick(65);
    }
    expect(await world.drifts()).toEqual([]);
  });

  const undone: [string, Undo, Parameters<typeof declared>[0]][] = [
    ["a changed layout", moveBack, {}],
    ["uneven rows", growUnevenly, { policy: { maxSkew: 1.05 } }],
  ];
  it.each(sample(undone, 1))(
    "counts from the end of a heal that takes for hours: %s",
    async (_, undo, changes) => {
      let polls = 1000;
      const world = new ReconcilerFixture({
        live: [hashed("orders", 4, 400)],
        specs: [declared(changes)],
        pollsToComplete: () => polls,
      });
      await world.tick();
      const toOthers: Undo = async (slow) => {
        const described = await slow.live.describe(REF);
        if (!described.ok || described.value.operation?.state === "running") return;
        polls = 4;
        await undo(slow);
        polls = 1000;
      };
      await runFor(world, 900, toOthers);
      const runs = world.startedRuns();
      expect(runs.length).toBeGreaterThan(2);
      for (const [index, { startedAt }] of runs.slice(1).entries()) {
        const restedMs = startedAt - (runs[index]?.finishedAt ?? Infinity);
        expect(restedMs).toBeGreaterThanOrEqual(10 * MINUTE * 2 ** index);
      }
      expect(await relapseDrifts(world)).toHaveLength(runs.length > RELAPSES_MAX ? 1 : 0);
    },
  );

  describe("of misplaced rows", () => {
    /** From now on no audit can be made. */
    function endAudits(world: ReconcilerFixture): () => void {
      const distribute = world.live.distribute.bind(world.live);
      const failure = { kind: "unreachable", message: "busy" } as const;
      Object.assign(world.live, { distribute: () => Promise.resolve({ ok: false, failure }) });
      return () => void Object.assign(world.live, { distribute });
    }

    it("ends no sooner than an audit has looked again", async () => {
      const world = await settled();
      await writeAstray(world);
      let again = (): void => undefined;
      for (let tick = 0; tick < 200; tick++) {
        await world.tick();
        if (starts(world).length === 1 && tick < 150) again = endAudits(world);
        world.now += 9 * MINUTE;
      }
      expect(starts(world)).toHaveLength(1);
      again();
      await world.tick(3);
      world.now += HOUR;
      await world.tick(3);
      expect(starts(world)).toHaveLength(1);
    });

    it("is not asked for by an audit of another layout", async () => {
      const world = await settled();
      await writeAstray(world);
      world.paused = { by: "ada", reason: "look first", at: world.now };
      for (let tick = 0; tick < 12; tick++) {
        await world.tick();
        world.now += 9 * MINUTE;
      }
      expect(await world.drifts()).toMatchObject([{ kind: "misplaced" }]);
      // Somebody has every row copied, to the same number of members.
      endAudits(world);
      world.live.edit("orders", { epoch: 2, layout: { ...hashOf("orders", 4), generation: 1 } });
      world.paused = null;
      for (let tick = 0; tick < 12; tick++) {
        await world.tick();
        world.now += 9 * MINUTE;
      }
      expect(starts(world)).toEqual([]);
    });

    it("that has failed is judged by another audit, too", async () => {
      const world = await settled();
      await writeAstray(world);
      world.live.failNext("orders", { kind: "mismatch", message: "1 of 9 chunks differ" });
      while (starts(world).length === 0) {
        await world.tick();
        world.now += 9 * MINUTE;
      }
      const again = endAudits(world);
      for (let tick = 0; tick < 30; tick++) {
        await world.tick();
        world.now += 9 * MINUTE;
      }
      expect(starts(world)).toHaveLength(1);
      again();
      for (let tick = 0; tick < 12; tick++) {
        await world.tick();
        world.now += 9 * MINUTE;
      }
      expect(starts(world)).toHaveLength(2);
    });
  });

  it("is not counted by a heal whose turn never came", async () => {
    const carts = spec("carts", { count: 4, policy: { selfHeal: "apply" } });
    const world = new ReconcilerFixture({
      live: [hashed("orders", 4), hashed("carts", 4)],
      specs: [carts, declared({ dependsOn: ["carts"] })],
    });
    await world.tick();
    for (const name of ["carts", "orders"])
      world.live.edit(name, { epoch: 2, layout: hashOf(name, 6) });
    world.live.failNext("carts", { kind: "mismatch", message: "1 of 9 chunks differ" });
    await world.tick(4);
    expect(world.startedRuns()[0]?.actions).toMatchObject([
      { namespace: "carts", state: "failed" },
      { namespace: "orders", state: "notExecuted" },
    ]);
    const heals = [...world.store.all()].map(({ name, heals: counted }) => [name, counted]);
    expect(heals).toMatchObject([
      ["carts", [{ started: 1, relapsed: 1 }]],
      ["orders", []],
    ]);
  });

  it("is not made longer by a clock that was wrong", async () => {
    const world = await stalled();
    const before = starts(world).length;
    world.now -= 365 * DAY;
    await world.tick(3);
    expect(starts(world)).toHaveLength(before + 1);
  });
});

describe("a reviewed change that fails each time", () => {
  it.runIf(isLongRun())(
    "is tried a few times, then less and less, whatever else is merged meanwhile",
    async () => {
      const world = new ReconcilerFixture({
        live: [hashed("orders", 4)],
        specs: [spec("orders", { count: 4 })],
      });
      await world.tick();
      await world.reviewAndMerge([spec("orders", { count: 6 })]);
      for (let hour = 0; hour < 10 * 24; hour++) {
        for (let tick = 0; tick < 2; tick++) {
          world.live.failNext("orders", { kind: "mismatch", message: "1 of 9 chunks differ" });
          await world.tick();
          world.now += 29 * MINUTE;
        }
        // Somebody merges something all the time.
        world.merge([spec("orders", { count: 6 }), spec(`other-${hour}`, { count: 4 })]);
      }
      // Five in the first hours, then after 6, 12 and 24 hours.
      expect(starts(world).length).toBeLessThan(18);
      expect(
        waits(world)
          .slice(-2)
          .every((ms) => ms >= DAY),
      ).toBe(true);
      expect(world.condition("orders")).toMatchObject({ reason: "RetriesExhausted" });
    },
  );
});

it("tells after three relapses", () => {
  const attempts = { kind: "spec", startedAt: 0, asDeclaredSince: null } as const;
  expect(hasRelapsedOften({ ...attempts, started: 4, relapsed: RELAPSES_MAX })).toBe(true);
  expect(hasRelapsedOften({ ...attempts, started: 4, relapsed: RELAPSES_MAX - 1 })).toBe(false);
});
