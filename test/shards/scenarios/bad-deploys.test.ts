/**
 * Deploys in the middle of an operation that go badly, over the simulator's storage and in virtual
 * time: a constructor that takes 20 s, and a migration that throws until the next deploy mends it.
 * The operation completes, and callers lose nothing.
 */
import { afterEach, describe, expect, it } from "vitest";

import type { OperationKind, Step } from "../../../src/model/operation.ts";
import { FIRST_VERSION, type StoreVersion } from "../../sim/versions.ts";
import { sample } from "../../support/sample.ts";
import { MixedWorld } from "../support/mixed-world.ts";

const ROOT = "ns";
const STEPS: readonly Step[] = ["copy", "verify", "fence", "activate"];
/** A source and a target of each operation. */
const PARTS = {
  shard: { root: ROOT, source: ROOT, target: "a0" },
  rebalance: { root: ROOT, source: "a0", target: "a2" },
  rekey: { root: ROOT, source: "a0", target: "b0" },
  unshard: { root: ROOT, source: "a0", target: ROOT },
} as const satisfies Readonly<Record<OperationKind, object>>;
type Kind = keyof typeof PARTS;
type Who = "root" | "source" | "target" | "all";

const SLOW: StoreVersion = { ...FIRST_VERSION, startMs: 20_000 };
const SLOW_COLUMN: StoreVersion = { ...SLOW, changes: ["column"] };
/** By then a rollout is over: tables that differ are waited for. */
const ROLLOUT_MS = 25_000;
/** Less than the engine waits for a silent member before it gives an operation up. */
const MENDED_MS = 25_000;
/** Of callers: an operation takes long here. */
const PACE_MS = 100;
/** By then a message has reached what was deployed, and it has not started yet. */
const LOOK_MS = 10_000;
/** Calls that are answered during any operation. */
const CALLS_MIN = 10;

let mixed: MixedWorld;
afterEach(() => mixed.close());

/**
 * A filled namespace in which an operation of this kind can begin, with these versions of the
 * class.
 */
async function begin(kind: Kind, classes: readonly StoreVersion[]): Promise<void> {
  mixed = new MixedWorld(4, "new", [FIRST_VERSION, ...classes], PACE_MS);
  await mixed.fill();
  if (kind === "shard") return;
  const { state } = await mixed.operate("shard");
  if (state !== "completed") throw new Error(`The namespace could not be sharded: ${state}`);
}

const namesOf = (kind: Kind, who: Who): readonly string[] =>
  who === "all" ? [...mixed.world.objects.keys()] : [PARTS[kind][who]];

/**
 * Deploys the next version of the class when the operation is in a step, runs that to its end, and
 * gives all that was wrong.
 */
async function runThrough(kind: Kind, step: Step, who: Who, laterMs: number): Promise<string[]> {
  const answered = mixed.answered;
  let deployedAt = 0;
  let begun = 0;
  mixed.when(
    () => mixed.isIn(step),
    () => {
      deployedAt = mixed.world.options.scheduler.now;
      mixed.deployClass(1, namesOf(kind, who));
      mixed.after(LOOK_MS, () => {
        begun = namesOf(kind, who).filter(
          (name) => mixed.world.object(name).version !== FIRST_VERSION,
        ).length;
      });
      // The next deploy goes to all: the mended version, or the rest of the rollout.
      mixed.after(laterMs, () => mixed.deployClass(mixed.world.deployment.last));
    },
  );
  const { state, fault, finishedAt } = await mixed.operate(kind);
  const calls = mixed.answered - answered;
  return [
    ...(deployedAt > 0 ? [] : [`${kind} was never in step ${step}`]),
    ...(state === "completed" ? [] : [`${kind} ended as ${state}: ${fault?.message ?? ""}`]),
    ...((finishedAt ?? 0) - deployedAt >= SLOW.startMs
      ? []
      : [`${kind} did not wait for the deploy`]),
    ...(begun > 0 ? [] : ["no object had begun with the deployed version"]),
    ...(calls > CALLS_MIN ? [] : [`Only ${calls} calls were answered`]),
    ...(await mixed.flaws()),
  ];
}

describe("a constructor that takes 20 s, deployed in the middle of a rebalance", () => {
  const table = STEPS.flatMap((step) =>
    (["root", "source", "target", "all"] as const).map((who) => [step, who] as const),
  );

  it.each(sample(table, 2))("in step %s: on %s", async (step, who) => {
    await begin("rebalance", [SLOW]);
    expect(await runThrough("rebalance", step, who, ROLLOUT_MS)).toEqual([]);
  });

  it.each(
    sample(
      table.filter(([, who]) => who !== "root"),
      2,
    ),
  )("in step %s, and adds a column: on %s", async (step, who) => {
    await begin("rebalance", [SLOW_COLUMN]);
    expect(await runThrough("rebalance", step, who, ROLLOUT_MS)).toEqual([]);
  });
});

describe.each(sample(["shard", "rebalance", "rekey", "unshard"] as const, 2))(
  "a migration that throws in the middle of %s",
  (kind) => {
    const parts = (["source", "target", "all"] as const).filter(
      (who) => who !== "all" || kind === "rebalance" || kind === "rekey",
    );
    const table = STEPS.flatMap((step) => parts.map((who) => [step, who] as const));

    it.each(sample(table, 1))("in step %s, until a deploy mends it: on %s", async (step, who) => {
      const broken: StoreVersion = { ...FIRST_VERSION, changes: ["column"], throws: true };
      await begin(kind, [broken, { ...broken, throws: false }]);
      expect(await runThrough(kind, step, who, MENDED_MS)).toEqual([]);
    });
  },
);
