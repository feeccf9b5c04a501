/**
 * A source that loses its storage while its rows are copied: what came from it to the targets may
 * be all that is left, and is set aside there, counted and told, before the operation ends.
 */
import { afterEach, describe, expect, it, vi } from "vitest";

import type { OperationStatus, Step } from "../../../src/model/operation.ts";
import type { StrayRows } from "../../../src/model/repair.ts";
import { textOf } from "../../../src/shards/storage/storage.ts";

import { ROOT } from "../support/full-world.ts";
import { RestoredWorld } from "../support/restored-world.ts";

const ROWS = 40;
const IDS = Array.from({ length: ROWS }, (_, index) => `p${index}`).toSorted();
const [SOURCE, OTHER, NEW] = ["ns-shard-0", "ns-shard-1", "ns-shard-2"] as const;
/** All copies of such rows take more than the room that a target keeps for the end. */
const LARGE_ROW_BYTES = 12_000;
/** Both take rows of the source when two shards become three. */
const TARGETS = [OTHER, NEW];

const worlds: RestoredWorld[] = [];
afterEach(() => {
  for (const world of worlds.splice(0)) world.close();
});

/** A namespace of two shards. */
async function open(rowBytes = 0, rows = ROWS): Promise<RestoredWorld> {
  const world = new RestoredWorld(rows);
  worlds.push(world);
  await world.fill();
  const { storage } = world.world.object(ROOT);
  await world.run(() => !storage.isDirty, 60_000);
  storage.peek("UPDATE items SET v = zeroblob(?) WHERE ?1 > 0", rowBytes);
  await world.operate("shard");
  return world;
}

/** Notes that are set aside on an object, by the item that they follow. */
function notesAside(world: RestoredWorld, name: string): string[] {
  return world.world
    .object(name)
    .storage.peek("SELECT item FROM shardctl_aside_notes ORDER BY item")
    .map(({ item }) => textOf(item));
}

/** Copies of a shift that are staged on a target, by the source that sent them. */
function stagedFrom(world: RestoredWorld, target: string, source: string): string[] {
  return world.world
    .object(target)
    .storage.peek("SELECT id FROM shardctl_stage_items WHERE shardctl_source = ?", source)
    .map(({ id }) => textOf(id))
    .toSorted();
}

/** A namespace that has lost a source and its registry amid a shift, and the copies at a target. */
async function loseBoth(): Promise<{
  readonly world: RestoredWorld;
  readonly copies: readonly string[];
}> {
  const world = await open();
  const before = await world.snapshot();
  await world.start("rebalance");
  await world.run(() => world.step === "verify", 60_000);
  const copies = stagedFrom(world, NEW, SOURCE);
  world.restore(SOURCE);
  world.restore(ROOT, before);
  await world.pass(60_000);
  await world.list();
  return { world, copies };
}

/** The stored record of what a target has made live under a fence; null for none. */
function promotedTo(world: RestoredWorld, target: string): unknown {
  const { storage } = world.world.object(target);
  if (storage.peek("SELECT 1 FROM sqlite_master WHERE name = 'shardctl_meta'").length === 0)
    return null;
  const query =
    "SELECT value ->> '$.promotion' AS promotion FROM shardctl_meta WHERE key = 'moving'";
  return storage.peek(query)[0]?.["promotion"] ?? null;
}

async function end(world: RestoredWorld): Promise<void> {
  await world.run(() => !world.isRunning, 15 * 60_000);
}

function events(world: RestoredWorld, type: string): unknown[] {
  return world.world
    .object(ROOT)
    .storage.peek("SELECT detail FROM shardctl_events WHERE type = ?", type)
    .map(({ detail }) => JSON.parse(textOf(detail)) as unknown);
}

describe("writers 1: a source that loses its storage during a shift", () => {
  it.each<{ readonly step: Step }>([{ step: "verify" }, { step: "fence" }])(
    "in step $step leaves its copies aside at the target, which live nowhere else",
    async ({ step }) => {
      const world = await open();
      const others = world.itemsOf(OTHER);
      const { id } = await world.start("rebalance");
      await world.run(() => world.step === step, 60_000);
      const copies = TARGETS.map((name) => stagedFrom(world, name, SOURCE));
      expect(copies.every(({ length }) => length > 0)).toBe(true);
      world.restore(SOURCE);
      await end(world);
      const { state, fault } = await world.ask({ kind: "operation", id });
      expect(state).toBe("failed");
      const rows = 2 * copies.flat().length;
      expect(fault?.message).toContain(`${SOURCE} no longer knows of this operation`);
      expect(fault?.message).toContain(
        `${rows} rows that had come from there are set aside on ${TARGETS.join(", ")}`,
      );
      expect(TARGETS.map((name) => world.asideOf(name))).toStrictEqual(copies);
      expect(TARGETS.map((name) => notesAside(world, name))).toStrictEqual(copies);
      const [event] = events(world, "rebalance.setAside");
      expect(event).toMatchObject({ lost: [SOURCE] });
      expect((event as { readonly setAside: unknown }).setAside).toHaveLength(4);
      await world.repair([SOURCE]);
      expect(await world.list()).toStrictEqual(others);
      expect((await world.operate("rebalance")).state).toBe("completed");
      expect(TARGETS.map((name) => world.asideOf(name))).toStrictEqual(copies);
    },
  );

  it("after its first wave keeps what is live at the target, and sets the rest aside", async () => {
    const world = await open();
    const source = world.itemsOf(SOURCE);
    await world.widen(5, "all");
    const targets = ["ns-shard-2", "ns-shard-3", "ns-shard-4"];
    const live = targets.flatMap((name) => (isThere(world, name) ? world.itemsOf(name) : []));
    const staged = targets.flatMap((name) => stagedFrom(world, name, SOURCE));
    world.restore(SOURCE);
    await world.pass(10_000);
    // Committed, and not activated by the source: somebody has to say that its rows are gone.
    await world.repair([SOURCE]);
    await end(world);
    const aside = targets.flatMap((name) => world.asideOf(name)).toSorted();
    expect(aside.length).toBeGreaterThan(0);
    expect(aside).toStrictEqual(staged.filter((id) => !live.includes(id)).toSorted());
    expect(aside.every((id) => source.includes(id))).toBe(true);
    const found = (await world.list()) as string[];
    expect(live.every((id) => found.includes(id))).toBe(true);
    expect(found.filter((id) => aside.includes(id))).toStrictEqual([]);
  });

  it("and goes back to before it, too: its rows are older than their copies", async () => {
    const world = await open();
    const before = await world.snapshot();
    await world.start("rebalance");
    await world.run(() => world.step === "verify", 60_000);
    const copies = stagedFrom(world, NEW, SOURCE);
    world.restore(SOURCE, before);
    await end(world);
    expect(world.asideOf(NEW)).toStrictEqual(copies);
    expect(await world.list()).toStrictEqual(IDS);
  });

  it("which somebody then cancels, does the same", async () => {
    const world = await open();
    const { id } = await world.start("rebalance");
    await world.run(() => world.step === "verify", 60_000);
    const copies = stagedFrom(world, NEW, SOURCE);
    world.restore(SOURCE);
    await world.ask({ kind: "cancel", id });
    await end(world);
    expect(world.asideOf(NEW)).toStrictEqual(copies);
  });

  it.each([2_100, 1_400, LARGE_ROW_BYTES])(
    "leaves them aside at targets that are full, a few at a time: %d bytes",
    async (rowBytes) => {
      // More than the room that a target keeps, of rows that do not fill their pages.
      const world = await open(rowBytes, 160);
      const { id } = await world.start("rebalance");
      await world.run(() => world.step === "verify", 60_000);
      const copies = TARGETS.map((name) => stagedFrom(world, name, SOURCE));
      for (const name of TARGETS) await world.run(() => world.fillUp(name, 0), 60_000);
      world.restore(SOURCE);
      await end(world);
      const { state } = await world.ask({ kind: "operation", id });
      expect(state).toBe("failed");
      expect(TARGETS.map((name) => world.asideOf(name))).toStrictEqual(copies);
      expect(TARGETS.map((name) => notesAside(world, name))).toStrictEqual(copies);
    },
  );

  it.each(["abandon", "prepare"])(
    "has their number told once though answers to %s were lost",
    async (kind) => {
      const world = await open();
      await world.start("rebalance");
      await world.run(() => world.step === "verify", 60_000);
      const copies = stagedFrom(world, NEW, SOURCE);
      let lost = 0;
      const network = vi.spyOn(world.world, "strikes");
      network.mockImplementation((fault, label) => {
        // Before the operation that clears them prepares, nobody hears of the end.
        if (kind === "prepare" && fault === "lost" && label === `net/${ROOT}>${NEW}/abandon`)
          return true;
        if (lost === 3 || fault !== "lostReply" || !label.endsWith(`/${kind}`)) return false;
        // That of another member, too: the step is made again, and all are asked.
        if (world.asideOf(NEW).length > 0) lost++;
        return lost > 0;
      });
      world.restore(SOURCE);
      await end(world);
      if (kind === "prepare") {
        await world.repair([SOURCE]);
        await world.start("rebalance");
        await world.run(() => world.step === "copy", 60_000);
      }
      expect(lost).toBe(3);
      await world.pass(60_000);
      const told = events(world, "rebalance.setAside").flatMap(
        (event) => (event as { readonly setAside: readonly StrayRows[] }).setAside,
      );
      expect(told.filter(({ member, table }) => member === NEW && table === "items")).toStrictEqual(
        [{ member: NEW, table: "items", rows: copies.length }],
      );
    },
  );

  it.each([
    { when: "when it is told later", next: null },
    { when: "before the next operation clears it", next: "completes" },
    { when: "when it hears of the end of the next one alone", next: "is cancelled" },
  ])("whose target does not hear of the end leaves its copies aside $when", async ({ next }) => {
    const world = await open();
    await world.start("rebalance");
    await world.run(() => world.step === "verify", 60_000);
    const copies = stagedFrom(world, NEW, SOURCE);
    const network = vi.spyOn(world.world, "strikes");
    const kinds = ["abandon", ...(next === "is cancelled" ? ["prepare"] : [])];
    const cut = new Set(kinds.map((kind) => `net/${ROOT}>${NEW}/${kind}`));
    network.mockImplementation((fault, label) => fault === "lost" && cut.has(label));
    world.restore(SOURCE);
    await end(world);
    expect(world.asideOf(NEW)).toStrictEqual([]);
    await world.repair([SOURCE]);
    if (next !== null) {
      const { id } = await world.start("rebalance");
      await world.pass(1_000);
      if (next === "is cancelled") await world.ask({ kind: "cancel", id });
      await end(world);
    }
    network.mockRestore();
    await world.pass(10 * 60_000);
    await end(world);
    expect(world.asideOf(NEW)).toStrictEqual(copies);
    expect(events(world, "rebalance.setAside")).toHaveLength(2);
  });

  it.each(
    [SOURCE, OTHER, NEW].flatMap((member) =>
      ["lost", "lostReply"].map((fault) => ({ member, fault })),
    ),
  )(
    "is repaired up to a $fault mend of $member, and leaves its copies aside when that is done",
    async ({ member, fault }) => {
      const { world, copies } = await loseBoth();
      const names = [SOURCE, OTHER, NEW];
      const network = vi.spyOn(world.world, "strikes");
      network.mockImplementation(
        (each, label) => each === fault && label === `net/${ROOT}>${member}/mend`,
      );
      await expect(world.repair([SOURCE], names)).rejects.toThrow("was lost");
      network.mockRestore();
      await world.repair([SOURCE], names);
      await end(world);
      expect(world.asideOf(NEW)).toStrictEqual(copies);
      expect((await world.describe()).disorder).toBeNull();
    },
  );

  it("sets nothing aside where it has lost nothing", async () => {
    const world = await open();
    await world.start("rebalance");
    await world.run(() => world.step === "verify", 60_000);
    world.restore(NEW);
    const ended = await lastEnd(world);
    expect(ended.state).toBe("failed");
    for (const name of [SOURCE, OTHER]) expect(world.asideOf(name)).toStrictEqual([]);
    expect(events(world, "rebalance.setAside")).toStrictEqual([]);
    expect(await world.list()).toStrictEqual(IDS);
  });

  it("with the registry lost too is repaired, and the plan counts the copies", async () => {
    const { world, copies } = await loseBoth();
    const names = [SOURCE, OTHER, NEW];
    const { steps } = await world.planRepair([SOURCE], names);
    const planned = steps.flatMap(({ setAside }) => setAside);
    expect(planned).toContainEqual({ member: NEW, table: "items", rows: copies.length });
    const { setAside } = await world.repair([SOURCE], names);
    expect(setAside).toContainEqual({ member: NEW, table: "items", rows: copies.length });
    expect(world.asideOf(NEW)).toStrictEqual(copies);
  });
});

describe("writers 1: all sources and the registry, lost during a shift", () => {
  it("are repaired by the word of a target, and what it has of them is set aside", async () => {
    const world = await open();
    await world.start("rebalance");
    await world.run(() => world.step === "verify", 60_000);
    const sources = [SOURCE, OTHER];
    const copies = sources.flatMap((source) => stagedFrom(world, NEW, source)).toSorted();
    expect(copies.length).toBeGreaterThan(0);
    for (const name of [...sources, ROOT]) world.restore(name);
    await world.pass(60_000);
    await world.list();
    const { setAside } = await world.repair(sources, [...sources, NEW]);
    expect(setAside).toContainEqual({ member: NEW, table: "items", rows: copies.length });
    expect(world.asideOf(NEW)).toStrictEqual(copies);
    expect((await world.describe()).disorder).toBeNull();
    expect(await world.list()).toStrictEqual([]);
    expect((await world.operate("rebalance")).state).toBe("completed");
  });
});

describe("writers 1: copies that are promoted when the source and the registry are lost", () => {
  it("are planned once, and set aside as they were planned", async () => {
    const world = await open();
    const before = await world.snapshot();
    await world.start("rebalance");
    await world.run(() => promotedTo(world, NEW) !== null, 60_000);
    const copies = stagedFrom(world, NEW, SOURCE);
    expect(world.itemsOf(NEW).length).toBeGreaterThan(0);
    world.restore(SOURCE);
    world.restore(ROOT, before);
    await world.pass(60_000);
    await world.list();
    const names = [SOURCE, OTHER, NEW];
    expect(world.itemsOf(NEW).length).toBeGreaterThan(0);
    const { steps } = await world.planRepair([SOURCE], names);
    expect(world.itemsOf(NEW).length).toBeGreaterThan(0);
    const planned = steps.flatMap(({ setAside }) => setAside);
    expect(planned).toContainEqual({ member: NEW, table: "items", rows: copies.length });
    const { setAside } = await world.repair([SOURCE], names);
    expect(setAside).toContainEqual({ member: NEW, table: "items", rows: copies.length });
    expect(world.asideOf(NEW)).toStrictEqual(copies);
  });
});

describe("writers 1: a source that loses its storage during a swap", () => {
  it("leaves its copies aside at the targets, and none of the others", async () => {
    const world = await open();
    const source = world.itemsOf(SOURCE);
    const others = world.itemsOf(OTHER);
    await world.start("rekey");
    await world.run(() => world.step === "verify", 60_000);
    world.restore(SOURCE);
    await end(world);
    const targets = [...world.world.objects.keys()].filter((name) => name.startsWith("ns-g1"));
    const aside = targets.flatMap((name) => world.asideOf(name)).toSorted();
    expect(aside).toStrictEqual(source);
    expect(targets.flatMap((name) => world.itemsOf(name))).toStrictEqual([]);
    await world.repair([SOURCE]);
    expect(await world.list()).toStrictEqual(others);
    expect((await world.operate("rekey")).state).toBe("completed");
    expect(targets.flatMap((name) => world.asideOf(name)).toSorted()).toStrictEqual(source);
  });
});

describe("deploys 1: a deploy changes the tables of a swap's target, and a source is lost", () => {
  it.each([
    { what: "drops a column", change: ["ALTER TABLE items DROP COLUMN v"] },
    {
      what: "renames the key's column",
      change: ["ALTER TABLE items RENAME COLUMN grp TO team"],
    },
    {
      what: "gives the table another primary key",
      change: [
        "CREATE TABLE items_new (id TEXT, grp TEXT, n INTEGER, PRIMARY KEY (id, n))",
        "INSERT INTO items_new SELECT id, grp, n FROM items",
        "PRAGMA foreign_keys = OFF",
        "DROP TABLE items",
        "ALTER TABLE items_new RENAME TO items",
      ],
    },
    {
      what: "takes the primary key away",
      change: [
        "CREATE TABLE items_new (id TEXT, grp TEXT, n INTEGER)",
        "INSERT INTO items_new SELECT id, grp, n FROM items",
        "PRAGMA foreign_keys = OFF",
        "DROP TABLE items",
        "ALTER TABLE items_new RENAME TO items",
      ],
    },
  ])(
    "which $what: all that it may have is set aside, and the operation ends",
    async ({ change }) => {
      const world = await open();
      const { id } = await world.start("rekey");
      await world.run(() => world.step === "verify", 60_000);
      const names = [...world.world.objects.keys()];
      const target = names.find((name) => name.startsWith("ns-g1")) ?? "";
      const { storage } = world.world.object(target);
      await world.run(() => !storage.isDirty, 60_000);
      const copies = world.itemsOf(target);
      expect(copies.length).toBeGreaterThan(0);
      for (const statement of change) storage.peek(statement);
      world.restore(SOURCE);
      await end(world);
      expect((await world.ask({ kind: "operation", id })).state).toBe("failed");
      await world.pass(10 * 60_000);
      expect(world.asideOf(target)).toStrictEqual(copies);
      expect(world.itemsOf(target)).toStrictEqual([]);
    },
  );
});

function isThere(world: RestoredWorld, name: string): boolean {
  return world.world.objects.has(name);
}

async function lastEnd(world: RestoredWorld): Promise<OperationStatus> {
  await end(world);
  const { operation } = await world.describe();
  if (operation === null) throw new Error("There is no operation");
  return operation;
}
