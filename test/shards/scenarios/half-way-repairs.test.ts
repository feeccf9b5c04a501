/**
 * Line 1 of what writers may meet: a repair of a namespace that has lost its registry and a member
 * amid a shift is broken off at a message to a member, planned again, and loses nothing.
 */
import { afterEach, expect, it, vi } from "vitest";

import { sample } from "../../support/sample.ts";
import { ROOT } from "../support/full-world.ts";
import { RestoredWorld } from "../support/restored-world.ts";

const ROWS = 40;
const IDS = Array.from({ length: ROWS }, (_, index) => `p${index}`);
const MEMBERS = [0, 1, 2, 3, 4].map((number) => `ns-shard-${number}`);
const TABLE = (["one", "all"] as const).flatMap((by) =>
  MEMBERS.slice(0, 3).flatMap((lost) =>
    MEMBERS.flatMap((at) =>
      ["lost", "lostReply", "none"].map((fault) => ({ by, lost, at, fault })),
    ),
  ),
);

/** The member that was lost has taken its mend, and the repair does not know. */
const HEARD_UNKNOWN = TABLE.filter(({ lost, at, fault }) => at === lost && fault === "lostReply");
const OTHERS = TABLE.filter((each) => !HEARD_UNKNOWN.includes(each));

const worlds: RestoredWorld[] = [];
afterEach(() => {
  vi.restoreAllMocks();
  for (const world of worlds.splice(0)) world.close();
});

it.each([...HEARD_UNKNOWN, ...sample(OTHERS, 6)])(
  "$lost is lost, $by of a wave have activated it, and the mend of $at has the fault $fault",
  async ({ by, lost, at, fault }) => {
    const world = new RestoredWorld(ROWS);
    worlds.push(world);
    await world.fill();
    await world.operate("shard");
    const before = await world.snapshot();
    await world.widen(5, by);
    const rowsOfLost = world.world.objects.has(lost) ? world.itemsOf(lost) : [];
    world.restore(lost);
    world.restore(ROOT, before);
    await world.pass(60_000);
    await world.list();
    const names = MEMBERS.filter((name) => world.world.objects.has(name));
    const network = vi.spyOn(world.world, "strikes");
    network.mockImplementation(
      (struck, label) => struck === fault && label === `net/${ROOT}>${at}/mend`,
    );
    // Where it sends this member nothing at all it is done at once.
    const ended = await world.repair([lost], names).then(
      () => "done",
      (error: unknown) => String(error),
    );
    expect(ended).toMatch(/^done$|was lost/);
    network.mockRestore();
    if ((await world.planRepair([lost], names)).steps.length > 0) await world.repair([lost], names);
    await world.run(() => !world.isRunning, 15 * 60_000);
    await world.pass(120_000);
    expect((await world.describe()).disorder).toBeNull();
    const listed = await world.list();
    if (typeof listed === "string") throw new Error(`Refused as ${listed}`);
    const seen = new Set([...listed, ...names.flatMap((name) => world.asideOf(name))]);
    const gone = IDS.filter((id) => !seen.has(id) && !rowsOfLost.includes(id));
    expect(gone).toStrictEqual([]);
  },
);
