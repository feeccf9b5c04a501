/**
 * Two versions of the library side by side, over the simulator's storage: objects, routers and the
 * control half of the version before and of this one, in every step of every operation, upgraded
 * and rolled back in the middle.
 */
import { afterEach, describe, expect, it } from "vitest";
import type { Step } from "../../../src/model/operation.ts";
import { sample } from "../../support/sample.ts";
import { MixedWorld, VERSIONS, type Version } from "../support/mixed-world.ts";

const ROOT = "ns";
/**
 * A source and a target of each operation; of shard the root is the source, of unshard the target.
 */
const PARTS = {
  shard: { source: ROOT, target: "a0" },
  rebalance: { source: "a0", target: "a2" },
  rekey: { source: "a0", target: "b0" },
  unshard: { source: "a0", target: ROOT },
} as const;
type Kind = keyof typeof PARTS;
const KINDS = Object.keys(PARTS) as Kind[];

let mixed: MixedWorld;
afterEach(() => mixed.close());

/** A filled namespace, sharded unless the operation is to do that. */
async function begin(kind: Kind, version: Version, seed: number): Promise<void> {
  mixed = new MixedWorld(seed, version);
  await mixed.fill();
  if (kind === "shard") return;
  const { state } = await mixed.operate("shard");
  if (state !== "completed") throw new Error(`The namespace could not be sharded: ${state}`);
}

/** Calls that are answered during any operation. */
const CALLS_MIN = 10;
/** By then a rollout is over. */
const ROLLOUT_MS = 20_000;

/**
 * Runs the operation, with callers that must notice nothing, and gives all that was wrong. A new
 * root waits for members that do not know what it needs of them, so the rollout goes on to its end.
 */
async function runToTheEnd(kind: Kind): Promise<string[]> {
  const answered = mixed.answered;
  mixed.after(ROLLOUT_MS, () => mixed.deployAll("new"));
  const { state, fault } = await mixed.operate(kind);
  const calls = mixed.answered - answered;
  return [
    ...(state === "completed" ? [] : [`${kind} ended as ${state}: ${fault?.message ?? ""}`]),
    ...(calls > CALLS_MIN ? [] : [`Only ${calls} calls were answered`]),
    ...(await mixed.flaws()),
  ];
}

const other = (version: Version): Version => (version === "old" ? "new" : "old");

describe("line 7: objects of two versions", () => {
  const pairs = KINDS.flatMap((kind) => VERSIONS.map((version) => [kind, version] as const));

  it.each(sample(pairs, 4))(
    "%s by a root of the %s version, with members of the other",
    async (kind, version) => {
      await begin(kind, other(version), 1);
      mixed.deploy(ROOT, version);
      expect(await runToTheEnd(kind)).toEqual([]);
    },
  );

  it.each(sample(pairs, 4))(
    "%s with one source and one target of the %s version among others",
    async (kind, version) => {
      await begin(kind, other(version), 2);
      for (const name of Object.values(PARTS[kind])) mixed.deploy(name, version);
      expect(await runToTheEnd(kind)).toEqual([]);
    },
  );
});

/** `cutover` is passed in one turn. */
const SEEN_STEPS: readonly Step[] = ["prepare", "copy", "verify", "fence", "activate", "cleanUp"];

describe.each(KINDS)("line 7: a deploy in the middle of %s", (kind) => {
  const { source, target } = PARTS[kind];
  const parts = (["root", "source", "target", "all"] as const).filter(
    (who) => !(who === "source" && source === ROOT) && !(who === "target" && target === ROOT),
  );
  const deploys = SEEN_STEPS.flatMap((step) =>
    VERSIONS.flatMap((to) => parts.map((who) => [step, to, who] as const)),
  );
  it.each(sample(deploys, 2))("in step %s: the %s version on %s", async (step, to, who) => {
    await begin(kind, other(to), 3);
    let isDeployed = false;
    mixed.when(
      () => mixed.isIn(step),
      () => {
        isDeployed = true;
        if (who === "all") mixed.deployAll(to);
        else mixed.deploy(who === "root" ? ROOT : PARTS[kind][who], to);
      },
    );
    expect(await runToTheEnd(kind)).toEqual([]);
    expect(isDeployed).toBe(true);
  });
});
