/**
 * Line 1 of what writers may meet, in a namespace with a directory: what a member has lost of the
 * directory hides no row and lets none be stored twice.
 */
import { afterEach, describe, expect, it } from "vitest";

import {
  directoryMember,
  hasKeyedDirectory,
  withDirectory,
} from "../../../src/model/layout/directory.ts";
import type { Layout } from "../../../src/model/layout/layout.ts";
import { groupOf } from "../../sim/scenario.ts";
import { routeItem } from "../../sim/route-item.ts";
import { textOf } from "../../../src/shards/storage/storage.ts";
import { sample } from "../../support/sample.ts";
import { ROOT } from "../support/full-world.ts";
import { RestoredWorld } from "../support/restored-world.ts";

const ROWS = 40;
/** More than one page of the walk has. */
const MANY_ROWS = 1_300;

type Strategy = "keyed" | "byId" | "roundRobin";

const SHAPES: Readonly<Record<Strategy, (layout: Layout) => Layout>> = {
  keyed: (layout) => withDirectory(layout, layout.kind === "hash" && layout.shardKey === "grp"),
  byId: (layout) => withDirectory(layout, layout.kind === "hash"),
  roundRobin: (layout) =>
    layout.kind === "hash"
      ? {
          kind: "roundRobin",
          shardKey: "id",
          generation: layout.generation,
          members: layout.members,
        }
      : layout,
};

const worlds: DirectoryWorld[] = [];
afterEach(() => {
  for (const world of worlds.splice(0)) world.close();
});

class DirectoryWorld extends RestoredWorld {
  constructor(rows: number, strategy: Strategy) {
    super(rows, SHAPES[strategy]);
  }

  /** Puts an item under a group: `stored`, or the kind of its refusal. */
  store(id: string, grp = groupOf(id), router = this.caller()): Promise<string> {
    const item = { id, grp, deal: true, method: "put", args: [id, grp, 1, 1], isNew: true };
    return this.outcome(routeItem(router, item), () => "stored");
  }

  /** Finds an item by its id alone: `found`, `unknown`, or the kind of a refusal. */
  find(id: string): Promise<string> {
    const call = this.caller().callById("items", id, false, "get", id);
    return this.outcome(call, (item) =>
      item === undefined || item === null ? "unknown" : "found",
    );
  }

  remove(id: string, grp = groupOf(id)): Promise<string> {
    const call = { id, grp, deal: false, method: "remove", args: [id], isNew: false };
    return this.outcome(routeItem(this.caller(), call), () => "removed");
  }

  async layout(): Promise<Layout> {
    return (await this.ask({ kind: "layout" })).layout;
  }

  /** The member that has the entry of an id. */
  async holderOf(id: string): Promise<string> {
    const layout = await this.layout();
    if (layout.kind !== "roundRobin" && !hasKeyedDirectory(layout))
      throw new Error("This layout has no directory");
    return directoryMember(layout, id);
  }

  /** An id that nobody has, with its entry on this member. */
  async freshId(holder: string): Promise<string> {
    for (let number = 0; ; number++)
      if ((await this.holderOf(`fresh${number}`)) === holder) return `fresh${number}`;
  }

  /** Lets the repaired directory be made whole. */
  async settle(): Promise<void> {
    await this.run(() => false, 10 * 60_000);
  }

  entriesOf(name: string): number {
    return this.world.object(name).storage.peek("SELECT id FROM shardctl_directory").length;
  }

  events(type: string): string[] {
    const { storage } = this.world.object(ROOT);
    const query = `SELECT detail FROM shardctl_events WHERE type = '${type}'`;
    return storage.peek(query).map(({ detail }) => textOf(detail));
  }
}

async function open(strategy: Strategy, rows = ROWS): Promise<DirectoryWorld> {
  const world = new DirectoryWorld(rows, strategy);
  worlds.push(world);
  await world.fill();
  await world.operate("shard");
  if (strategy === "keyed") await world.operate("rekey");
  return world;
}

const NEW = Array.from({ length: 12 }, (_, index) => `new${index}`);

describe.each(["keyed", "roundRobin"] as const)("writers 1: a %s directory", (strategy) => {
  it("that was restored after the last operation is entered again on demand", async () => {
    const world = await open(strategy);
    const member = (await world.layout()).members[1] ?? "";
    await world.settle();
    for (const id of NEW) expect(await world.store(id)).toBe("stored");
    // Its rows stay, and its entries go: as where only rows of others were written since.
    await loseEntries(world, member);
    const held = NEW.filter((id) => holds(world, member, id));
    expect(held).toStrictEqual([]);
    const plan = await world.planRepair([], [], true);
    expect(plan.disorder).toBeNull();
    expect(plan.steps).toMatchObject([{ kind: "directory", member: ROOT }]);
    expect((await world.planRepair()).steps).toStrictEqual([]);
    await world.repair([], [], true);
    await world.settle();
    for (const id of NEW) expect(await world.find(id)).toBe("found");
    expect(await world.flaws([], true)).toStrictEqual([]);
  });

  it("answers for no id and begins no operation until all ids are entered", async () => {
    const world = await open(strategy, MANY_ROWS);
    await world.settle();
    const holder = await world.holderOf("p1");
    const fresh = await world.freshId(holder);
    await world.ask({ kind: "suspectDirectory", since: 1 }, holder);
    expect(await world.find("p1")).toBe("moving");
    expect(await world.store(fresh)).toBe("moving");
    // The word of a repair that is over, or of none.
    await world.ask({ kind: "trustDirectory", since: 0 }, holder);
    expect(await world.find("p1")).toBe("moving");
    await world.repair([], [], true);
    await expect(world.start("rekey")).rejects.toThrow(/entered in the directory again/);
    await world.settle();
    expect(await world.find("p1")).toBe("found");
    expect(await world.store(fresh)).toBe("stored");
    expect(world.events("directory.entered")).toHaveLength(2);
    expect(await world.flaws([], true)).toStrictEqual([]);
  });

  it("is entered again by a repair of a member that has lost its storage", async () => {
    const world = await open(strategy);
    await world.settle();
    const [lost = "", other = ""] = (await world.layout()).members;
    const kept = world.itemsOf(other);
    world.restore(lost);
    await world.list();
    const { steps } = await world.planRepair([lost]);
    expect(steps.map(({ kind }) => kind)).toContain("directory");
    await world.repair([lost]);
    await world.settle();
    for (const id of kept) expect(await world.find(id)).toBe("found");
    expect(world.entriesOf(lost)).toBeGreaterThan(0);
    // An id whose row is gone can be stored again, once.
    const gone = sampleGone(kept);
    expect(await world.store(gone)).toBe("stored");
    expect(await world.find(gone)).toBe("found");
  });

  it("is entered again by a root that is killed half-way, and by a member that is", async () => {
    const world = await open(strategy, MANY_ROWS);
    await world.settle();
    const [lost = "", other = ""] = (await world.layout()).members;
    world.restore(lost);
    await world.list();
    const kept = world.itemsOf(other);
    await world.repair([lost]);
    for (let round = 0; round < 4; round++) {
      await world.run(() => false, 3);
      world.world.object([ROOT, lost, other][round % 3] ?? ROOT).crash("a test");
    }
    await world.settle();
    for (const id of kept.slice(0, 50)) expect(await world.find(id)).toBe("found");
    expect(world.entriesOf(lost) + world.entriesOf(other)).toBeGreaterThanOrEqual(kept.length);
  });
});

describe.each(["keyed", "roundRobin"] as const)(
  "writers 1: a %s directory whose check",
  (strategy) => {
    it("is forgotten by a root that goes back is planned, and taken up again by a look", async () => {
      const world = await open(strategy, MANY_ROWS);
      await world.settle();
      for (const id of NEW) expect(await world.store(id)).toBe("stored");
      const before = await world.snapshot();
      await world.repair([], [], true);
      world.restore(ROOT, before);
      await world.settle();
      expect(await world.find("p1")).toBe("moving");
      expect((await world.planRepair()).steps).toMatchObject([{ kind: "directory" }]);
      await world.describe();
      expect((await world.planRepair()).steps).toStrictEqual([]);
      await world.settle();
      for (const id of [...NEW, "p1"]) expect(await world.find(id)).toBe("found");
      expect(await world.flaws([], true)).toStrictEqual([]);
    });

    it("is forgotten by a root that is lost is part of its repair", async () => {
      const world = await open(strategy, MANY_ROWS);
      await world.settle();
      const knowing = world.caller();
      await world.list(knowing);
      await world.repair([], [], true);
      world.restore(ROOT);
      await world.pass(60_000);
      await world.store("p1", groupOf("p1"), knowing);
      await world.run(() => false, 5_000);
      const members = [...world.world.objects.keys()].filter((name) => name !== ROOT);
      expect((await world.planRepair([], members)).steps.map(({ kind }) => kind)).toContain(
        "directory",
      );
      await world.repair([], members);
      await world.settle();
      for (const id of ["p1", "p7", "p900"]) expect(await world.find(id)).toBe("found");
    });

    it("follows an earlier one of a clock that was ahead is ended all the same", async () => {
      const world = await open(strategy);
      await world.settle();
      const holder = await world.holderOf("p1");
      const since = world.world.options.scheduler.now + 3_600_000;
      await world.ask({ kind: "suspectDirectory", since }, holder);
      await world.repair([], [], true);
      await world.settle();
      expect(await world.find("p1")).toBe("found");
    });
  },
);

describe("writers 1: a check of the directory beside a shift", () => {
  it.each(sample(["copy", "verify", "fence"] as const, 1))(
    "waits for its end: in %s",
    async (step) => {
      const world = await open("byId", 60);
      await world.settle();
      const started = await world.start("rebalance");
      await world.run(() => world.step === step, 60_000);
      expect((await world.planRepair([], [], true)).obstacles.join()).toContain("is running");
      expect((await world.end(started.id)).state).toBe("completed");
      await world.repair([], [], true);
      await world.settle();
      expect(await world.flaws([], true)).toStrictEqual([]);
    },
  );

  it("that a repair amid its activation asks for reaches those that join by later waves", async () => {
    const world = await open("byId", 60);
    await world.settle();
    await world.widen(5, "one");
    const lost = "ns-shard-1";
    const { members } = await world.layout();
    world.restore(lost);
    await world.list();
    await world.repair([lost]);
    for (let looks = 0; looks < 6 && world.isRunning; looks++) await world.settle();
    await world.settle();
    const now = await world.layout();
    const kept = now.members.filter((name) => name !== lost).flatMap((name) => world.itemsOf(name));
    expect(now.members.length).toBeGreaterThanOrEqual(members.length);
    expect(kept.length).toBeGreaterThan(0);
    for (const id of kept) expect(await world.find(id)).toBe("found");
  });
});

describe("writers 1: two rows of one id, one of which a restore has brought back", () => {
  it("both stay, are counted, and the entry keeps the row that it had", async () => {
    const world = await open("keyed");
    const [first = "", second = ""] = (await world.layout()).members;
    const id = world.itemsOf(first).find((each) => !holds(world, first, each)) ?? "";
    await world.settle();
    const before = await world.snapshot();
    expect(await world.remove(id)).toBe("removed");
    await world.settle();
    const grp = groupOf(world.itemsOf(second)[0] ?? "");
    expect(await world.store(id, grp)).toBe("stored");
    await world.settle();
    world.restore(first, before);
    await world.repair([], [], true);
    await world.settle();
    expect(world.itemsOf(first)).toContain(id);
    expect(world.itemsOf(second)).toContain(id);
    expect(world.events("directory.entered").join()).toContain(
      `"idsTaken":[{"table":"items","rows":1}]`,
    );
    expect(world.events("directory.entered").join()).not.toContain(id);
  });
});

/** True where this member has the entry of the id. */
function holds(world: DirectoryWorld, member: string, id: string): boolean {
  const { storage } = world.world.object(member);
  return storage.peek("SELECT id FROM shardctl_directory").some((row) => row["id"] === id);
}

/** Takes a member's entries of the new ids away, as a restore does, and leaves its rows. */
async function loseEntries(world: DirectoryWorld, member: string): Promise<void> {
  const { storage } = world.world.object(member);
  await world.snapshot();
  storage.sql.exec("DELETE FROM shardctl_directory WHERE id LIKE 'new%'");
  storage.flush();
}

function sampleGone(kept: readonly string[]): string {
  const all = Array.from({ length: ROWS }, (_, index) => `p${index}`);
  return all.find((id) => !kept.includes(id)) ?? "";
}
