/**
 * Line 1 of what writers may meet: objects that were restored to an earlier time, or have lost
 * their storage, serve nothing that they cannot know to be true, and one repair brings them back.
 */
import { afterEach, describe, expect, it } from "vitest";

import type { Step } from "../../../src/model/operation.ts";
import { sample } from "../../support/sample.ts";
import { groupOf } from "../../sim/scenario.ts";

import { ROOT } from "../support/full-world.ts";
import { RestoredWorld } from "../support/restored-world.ts";

const ROWS = 40;
const IDS = Array.from({ length: ROWS }, (_, index) => `p${index}`).toSorted();

const worlds: RestoredWorld[] = [];
afterEach(() => {
  for (const world of worlds.splice(0)) world.close();
});

async function open(): Promise<RestoredWorld> {
  const world = new RestoredWorld(ROWS);
  worlds.push(world);
  await world.fill();
  return world;
}

describe("writers 1: a root that was restored", () => {
  it("to before a rebalance serves nothing once somebody who knows more asks, and says so", async () => {
    const world = await open();
    await world.operate("shard");
    const before = await world.snapshot();
    expect((await world.operate("rebalance")).state).toBe("completed");
    world.restore(ROOT, before);
    expect(await world.list()).toBe("registryLost");
    expect(await world.put("new")).toBe("registryLost");
    const { disorder, epoch } = await world.describe();
    expect(disorder).toMatchObject({ kind: "registryLost", members: [ROOT] });
    expect(epoch).toBe(1);
    await expect(world.operate("rebalance")).rejects.toThrow(/lost its registry/);
  });

  it("starts no operation that its members have not seen the ground of", async () => {
    const world = await open();
    await world.operate("shard");
    const before = await world.snapshot();
    await world.operate("rebalance");
    world.restore(ROOT, before);
    await world.start("rebalance");
    await world.run(() => false, 10_000);
    expect((await world.describe()).disorder?.kind).toBe("registryLost");
    expect((await world.repair()).steps.map(({ kind }) => kind)).toContain("registry");
    expect(await world.list()).toStrictEqual(IDS);
    expect((await world.operate("rebalance")).state).toBe("completed");
    expect(await world.flaws([], true)).toStrictEqual([]);
  });

  it("is repaired from its members, and what comes after is new", async () => {
    const world = await open();
    await world.operate("shard");
    const before = await world.snapshot();
    const rebalanced = await world.operate("rebalance");
    world.restore(ROOT, before);
    await world.list();
    const plan = await world.planRepair();
    expect(plan.obstacles).toStrictEqual([]);
    expect(plan.losses).toStrictEqual([]);
    await world.repair();
    const { disorder, epoch, layout } = await world.describe();
    expect(disorder).toBeNull();
    expect(epoch).toBeGreaterThan(rebalanced.epoch);
    expect(layout).toStrictEqual(rebalanced.to);
    expect(await world.list()).toStrictEqual(IDS);
    expect((await world.operate("rekey")).id).toBeGreaterThan(rebalanced.id);
    expect(await world.flaws([], true)).toStrictEqual([]);
  });

  it.each([
    { by: "one" as const, end: "Carries the cutover of operation 2 to its end" },
    { by: "all" as const, end: "Ends operation 2 as cancelled" },
  ])(
    "amid a wave that $by of its members have activated ends the operation on all that it names",
    async ({ by, end }) => {
      const world = await open();
      await world.operate("shard");
      const before = await world.snapshot();
      await world.widen(5, by);
      world.restore(ROOT, before);
      await world.run(() => false, 10_000);
      expect(await world.list()).toBe("registryLost");
      const { steps } = await world.planRepair();
      expect(steps.map(({ summary }) => summary).join()).toContain(end);
      await world.repair();
      await world.run(() => false, 60_000);
      const { layout, disorder } = await world.describe();
      expect(disorder).toBeNull();
      expect(layout.members).not.toContain("ns-shard-4");
      expect(await world.list()).toStrictEqual(IDS);
      expect(await world.flaws([], true)).toStrictEqual([]);
    },
  );

  it.each(["shard", "lost"] as const)(
    "to before the namespace was sharded, or emptied (%s), is told by any shard",
    async (how) => {
      const world = await open();
      const before = await world.snapshot();
      await world.operate("shard");
      const knowing = world.caller();
      await world.list(knowing);
      world.restore(ROOT, how === "shard" ? before : undefined);
      // Members tell the root now and then, beside a call.
      await world.pass(60_000);
      expect(await world.put("p1", knowing)).toBe("stored");
      await world.run(() => false, 5_000);
      expect(await world.list()).toBe("registryLost");
      expect(await world.put("x")).toBe("registryLost");
      const plan = await world.planRepair();
      expect(plan.obstacles).toStrictEqual([]);
      await world.repair();
      expect(await world.list()).toStrictEqual(IDS);
      expect(world.asideOf(ROOT)).toStrictEqual(how === "shard" ? IDS : []);
      expect(await world.flaws([], true)).toStrictEqual([]);
    },
  );
});

describe("writers 1: a root that was emptied, called by a shard's own router", () => {
  it("finds out before it answers, though nobody else has told it", async () => {
    const world = await open();
    await world.operate("shard");
    const [id = ""] = world.itemsOf("ns-shard-0");
    const other = world.itemsOf("ns-shard-1")[0] ?? "";
    const hop = (of: string): unknown => ({ id: of, grp: groupOf(of), n: 7, tag: 7 });
    const knowing = world.caller();
    await world.list(knowing);
    world.restore(ROOT);
    const call = knowing.call(id, "relay", hop(id), [hop(other)], true, false, 0);
    await expect(world.until(call)).rejects.toThrow("has lost its registry");
    const written = "SELECT id FROM items";
    expect(world.world.object(ROOT).storage.peek(written)).toStrictEqual([]);
  });
});

describe("writers 1: a shard that was restored", () => {
  it("to before a rebalance serves nothing, and takes its part again with what is its own", async () => {
    const world = await open();
    await world.operate("shard");
    const before = await world.snapshot();
    const had = world.itemsOf("ns-shard-0");
    await world.operate("rebalance");
    const came = world.itemsOf("ns-shard-0").filter((id) => !had.includes(id));
    world.restore("ns-shard-0", before);
    expect(await world.list()).toBe("outOfStep");
    expect((await world.describe()).disorder).toMatchObject({
      kind: "outOfStep",
      members: ["ns-shard-0"],
    });
    const plan = await world.planRepair();
    expect(plan.obstacles.join()).toContain("--accept-loss ns-shard-0");
    await expect(world.repair()).rejects.toThrow("--accept-loss ns-shard-0");
    const { setAside } = await world.repair(["ns-shard-0"]);
    expect(setAside.map(({ member }) => member)).toContain("ns-shard-0");
    const { disorder } = await world.describe();
    expect(disorder).toBeNull();
    const found = (await world.list()) as string[];
    expect(new Set(found).size).toBe(found.length);
    // The rows that came to it in the rebalance are the loss that the plan has named, and nothing
    // else.
    const gone = IDS.filter((id) => ![...found, ...world.asideOf("ns-shard-0")].includes(id));
    expect(gone).toStrictEqual(came.filter((id) => gone.includes(id)));
  });

  it("of which nothing is left begins anew, once that is accepted", async () => {
    const world = await open();
    await world.operate("shard");
    world.restore("ns-shard-1");
    expect(await world.list()).toBe("outOfStep");
    expect((await world.describe()).disorder).toMatchObject({
      kind: "outOfStep",
      members: ["ns-shard-1"],
    });
    await expect(world.repair()).rejects.toThrow("lost its storage");
    await world.repair(["ns-shard-1"]);
    expect(await world.list()).toStrictEqual(world.itemsOf("ns-shard-0"));
    expect(await world.put("new")).toBe("stored");
    expect((await world.describe()).disorder).toBeNull();
  });
});

describe("writers 1: an object goes back while an operation runs", () => {
  const STEPS: readonly Step[] = ["prepare", "copy", "verify", "fence", "activate", "cleanUp"];
  /** The step whose beginning an object goes back to; null for before the operation. */
  const TAKEN: readonly (Step | null)[] = [null, "copy", "verify", "activate"];
  const TABLE = (["rebalance", "rekey"] as const).flatMap((kind) =>
    TAKEN.flatMap((taken) =>
      STEPS.filter((step) => taken === null || STEPS.indexOf(step) > STEPS.indexOf(taken)).flatMap(
        (step) =>
          [ROOT, "ns-shard-0", "ns-shard-1", kind === "rekey" ? "ns-g1-shard-0" : "ns-shard-2"].map(
            (name) => ({
              kind,
              taken,
              step,
              name,
            }),
          ),
      ),
    ),
  );

  it.each(sample(TABLE, 4))(
    "$name in step $step of a $kind, to $taken",
    async ({ kind, taken, step, name }) => {
      const world = await open();
      await world.operate("shard");
      const before = (await world.snapshot()).get(name) ?? null;
      let snapshot = before;
      world.when(
        () => {
          if (taken !== null && snapshot === before && world.step === taken)
            snapshot = world.world.object(name).storage.snapshot() ?? before;
          return world.step === step && (taken === null || snapshot !== before);
        },
        () => world.world.object(name).restore(snapshot),
      );
      await world.start(kind);
      // An operation that is in order ends by itself; any other waits for somebody to look at it.
      await world.run(() => !world.isRunning, 15 * 60_000);
      await world.list();
      await world.pass(90_000);
      await world.list();
      const lost: string[] = [];
      for (let looks = 0; looks < 3 && (await world.describe()).disorder; looks++) {
        const { losses } = await world.planRepair();
        lost.push(...losses.map(({ member }) => member));
        await world.repair(losses.map(({ member }) => member));
        await world.run(() => !world.isRunning, 15 * 60_000);
      }
      expect((await world.describe()).disorder).toBeNull();
      // Rows that stayed at a source, since its target was repaired, are set aside where somebody
      // looks.
      await world.repair([], [...world.world.objects.keys()]);
      const found = (await world.list()) as string[];
      const aside = [...world.world.objects.keys()].flatMap((object) => world.asideOf(object));
      // Nothing is doubled, and every row is live or set aside, but for what was named as lost.
      expect(new Set(found).size).toBe(found.length);
      const gone = IDS.filter((id) => !found.includes(id) && !aside.includes(id));
      expect(gone.length === 0 || lost.includes(name) ? [] : gone).toStrictEqual([]);
      expect(name === ROOT ? gone : []).toStrictEqual([]);
      expect((await world.operate("rekey")).state).toBe("completed");
      const flaws = await world.flaws(gone, true);
      // An operation whose participant has forgotten it ends before its cutover, and says why.
      const isTold = (flaw: string): boolean =>
        /ended for no reason with (outOfStep|cancelled: .*does not run on)/.test(flaw);
      expect(
        flaws.filter((flaw) => !isTold(flaw) && !aside.some((id) => flaw.startsWith(`${id} `))),
      ).toStrictEqual([]);
    },
  );
});

describe("writers 1: a repair", () => {
  /** The epoch that an object acts by. */
  const epochOf = (world: RestoredWorld, name: string): number => {
    const { storage } = world.world.object(name);
    if (storage.peek("SELECT 1 FROM sqlite_master WHERE name = 'shardctl_meta'").length === 0)
      return 0;
    const row = storage.peek(
      "SELECT json_extract(value, '$.epoch') AS epoch FROM shardctl_meta WHERE key = 'membership'",
    )[0];
    return Number(row?.["epoch"] ?? 0);
  };

  it("carries a rekey between two layouts of one kind forward, once one member has cut over", async () => {
    const world = await open();
    await world.operate("shard");
    const before = await world.snapshot();
    const targets = ["ns-g1-shard-0", "ns-g1-shard-1"];
    world.when(
      () => new Set(targets.map((name) => epochOf(world, name))).size > 1,
      () => world.restore(ROOT, before),
    );
    await world.start("rekey");
    await world.pass(10_000);
    await world.list();
    const { steps, losses } = await world.planRepair();
    expect(losses).toStrictEqual([]);
    expect(steps.map(({ summary }) => summary).join()).toContain(
      "Carries the cutover of operation 2 to its end",
    );
    await world.repair();
    await world.run(() => !world.isRunning, 15 * 60_000);
    expect(world.isRunning).toBe(false);
    expect(await world.list()).toStrictEqual(IDS);
    expect(await world.flaws([], true)).toStrictEqual([]);
  });

  it("that comes late takes no newer operation away", async () => {
    const world = await open();
    await world.operate("shard");
    const { layout } = await world.describe();
    await world.start("rebalance");
    await world.run(() => world.step === "copy", 60_000);
    const late = world.ask(
      { kind: "mend", epoch: 1, layout, endedUpTo: 1, known: null },
      "ns-shard-0",
    );
    await expect(late).rejects.toThrow("plan the repair again");
    await world.run(() => !world.isRunning, 60_000);
    expect(await world.flaws()).toStrictEqual([]);
  });

  it("finds a root that has forgotten an operation which was given up, though the epoch is the same", async () => {
    const world = await open();
    await world.operate("shard");
    const before = await world.snapshot();
    const { id } = await world.start("rebalance");
    await world.run(() => world.step === "copy", 60_000);
    await world.ask({ kind: "cancel", id });
    await world.run(() => !world.isRunning, 60_000);
    world.restore(ROOT, before);
    await world.pass(60_000);
    const { steps } = await world.planRepair();
    expect(steps).toMatchObject([
      { kind: "registry", member: ROOT, summary: expect.stringContaining(`up to ${id}:`) },
    ]);
    await world.repair();
    expect((await world.planRepair()).steps).toStrictEqual([]);
    expect(await world.operate("rebalance")).toMatchObject({ id: id + 1, state: "completed" });
    expect(await world.list()).toHaveLength(IDS.length);
  });

  it("that comes late makes no member serve that has lost more since, and changes nothing twice", async () => {
    const world = await open();
    await world.operate("shard");
    const { layout, epoch } = await world.describe();
    const before = await world.snapshot();
    await world.operate("rebalance");
    world.restore("ns-shard-0", before);
    await world.pass(60_000);
    const knowing = world.caller();
    await world.list(knowing);
    const { epoch: now, layout: live } = await world.describe();
    expect(now).toBeGreaterThan(epoch);
    const endedUpTo = 2;
    const known = { isStored: true, epoch, operation: 1 };
    const mend = { kind: "mend", epoch: now, layout: live, endedUpTo, known } as const;
    const { setAside } = await world.repair(["ns-shard-0"]);
    const told = setAside.map(({ table, rows }) => ({ table, rows }));
    expect(told.length).toBeGreaterThan(0);
    expect(await world.ask(mend, "ns-shard-0")).toStrictEqual({ setAside: told });
    expect(world.asideOf("ns-shard-0")).toHaveLength(told[0]?.rows ?? 0);
    world.restore("ns-shard-0");
    await expect(world.ask(mend, "ns-shard-0")).rejects.toThrow("plan it again");
    await world.pass(60_000);
    expect((await world.describe()).disorder).toMatchObject({
      kind: "outOfStep",
      members: ["ns-shard-0"],
    });
    expect(layout.members).toContain("ns-shard-0");
  });

  it("is asked for by nobody while an operation begins", async () => {
    const world = await open();
    await world.operate("shard");
    await world.start("rebalance");
    expect(world.step).toBe("prepare");
    expect((await world.describe()).disorder).toBeNull();
  });

  it("names what a target has lost that goes back between its cutover and its end", async () => {
    const world = await open();
    await world.operate("shard");
    await world.start("rebalance");
    await world.run(() => world.step === "verify", 60_000);
    const before = await world.snapshot();
    const { storage } = world.world.object("ns-shard-2");
    const hasPromoted =
      "SELECT 1 FROM shardctl_meta WHERE key = 'moving' AND json_extract(value, '$.promotion') IS NOT NULL";
    world.when(
      () => world.step === "activate" && storage.peek(hasPromoted).length > 0,
      () => world.restore("ns-shard-2", before),
    );
    await world.pass(60_000);
    expect((await world.describe()).disorder).toMatchObject({
      kind: "outOfStep",
      members: ["ns-shard-2"],
    });
    const { losses } = await world.planRepair();
    expect(losses.map(({ member }) => member)).toStrictEqual(["ns-shard-2"]);
    await world.repair(["ns-shard-2"]);
    await world.run(() => !world.isRunning, 15 * 60_000);
    expect(world.isRunning).toBe(false);
    expect((await world.describe()).disorder).toBeNull();
    // Rows that were to come to it are still at their source and are set aside there. Nothing is
    // gone.
    await world.repair([], [...world.world.objects.keys()]);
    const found = (await world.list()) as string[];
    const aside = [...world.world.objects.keys()].flatMap((name) => world.asideOf(name));
    expect([...new Set([...found, ...aside])].toSorted()).toStrictEqual(IDS);
  });

  it("is asked for by a shard that is full, too", async () => {
    const world = await open();
    await world.operate("shard");
    const before = await world.snapshot();
    await world.operate("rebalance");
    world.restore("ns-shard-0", before);
    expect(world.fillUp("ns-shard-0", 0)).toBe(true);
    expect(await world.list()).toBe("outOfStep");
    expect(await world.list()).toBe("outOfStep");
  });
});
