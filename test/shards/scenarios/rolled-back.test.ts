/**
 * A rollback to the library before in the one moment that it knows nothing of: rows of a wave are
 * live on their target, and either the wave is not committed yet, or the target does not act by it
 * yet.
 */
import { afterEach, describe, expect, it } from "vitest";

import type { OperationStatus } from "../../../src/model/operation.ts";
import { sample } from "../../support/sample.ts";
import { MixedWorld } from "../support/mixed-world.ts";

const ROOT = "ns";
const SOURCE = "a0";
const TARGET = "a2";
/**
 * When the library is deployed again: soon, or when a step that keeps failing has been given up.
 */
const SOON_MS = 20_000;
const LATE_MS = 400_000;
/** Callers take their time while nothing else happens. */
const SLOW_MS = 500;

let mixed: MixedWorld;
afterEach(() => mixed.close());

/** The rows are live, and this is durable: a restart finds them so. */
function isPromoted(): boolean {
  const target = mixed.world.object(TARGET);
  return target.promotion() !== null && !target.storage.isDirty;
}

const MOMENTS = {
  "before the commit": () => isPromoted() && mixed.isIn("fence"),
  "behind the commit": () => isPromoted() && mixed.isIn("activate"),
} as const;
const WHO = {
  root: [ROOT],
  source: [SOURCE],
  target: [TARGET],
  "source and target": [SOURCE, TARGET],
  all: null,
} as const;

const cases = Object.keys(MOMENTS).flatMap((moment) =>
  Object.keys(WHO).map((who) => [moment as keyof typeof MOMENTS, who as keyof typeof WHO] as const),
);

/** Shards, then rebalances with a rollback in the middle, and gives how that ended. */
async function rollBack(
  moment: keyof typeof MOMENTS,
  who: keyof typeof WHO,
  forMs: number,
): Promise<OperationStatus> {
  await mixed.fill();
  expect((await mixed.operate("shard")).state).toBe("completed");
  let isRolledBack = false;
  mixed.when(MOMENTS[moment], () => {
    isRolledBack = true;
    const names = WHO[who];
    if (names === null) mixed.deployAll("old");
    else for (const name of names) mixed.deploy(name, "old");
  });
  mixed.after(forMs, () => mixed.deployAll("new"));
  const status = await mixed.operate("rebalance");
  expect(isRolledBack).toBe(true);
  return status;
}

describe("P9: a rollback to the library before", () => {
  it.each(sample(cases, 4))(
    "%s, of %s: the operation goes on with the next rollout",
    async (moment, who) => {
      mixed = new MixedWorld(4, "new");
      expect(await rollBack(moment, who, SOON_MS)).toMatchObject({ state: "completed" });
      expect(await mixed.flaws()).toEqual([]);
    },
  );

  it("before the commit, of all, until the operation is given up: it says what to do, and nothing is left", async () => {
    mixed = new MixedWorld(4, "new", undefined, SLOW_MS);
    const { state, fault } = await rollBack("before the commit", "all", LATE_MS);
    expect(state).toBe("failed");
    expect(fault).toMatchObject({
      kind: "unreachable",
      message: expect.stringContaining("deploy it again") as string,
    });
    // That it failed is said above.
    expect((await mixed.flaws()).filter((flaw) => !flaw.includes("ended for no reason"))).toEqual(
      [],
    );
  });
});
