/** Conclusions that a repair draws from the objects' own testimony, and from their silence. */
import { describe, expect, it } from "vitest";

import { type Layout, shardNames, unshardedLayout } from "../../../src/model/layout/layout.ts";
import { freshHashLayout, resizeHashLayout } from "../../../src/model/strategies/hash.ts";
import type { Testimony } from "../../../src/shards/protocol/replies.ts";
import { type RepairFacts, decideRepair } from "../../../src/shards/root/repair-plan.ts";
import type { Answer } from "../../../src/shards/root/testimonies.ts";

const ROOT = "ns";
const NONE = unshardedLayout(ROOT, 0);
const TWO = freshHashLayout("id", 0, shardNames(ROOT, 0, 2));
const THREE = resizeHashLayout(TWO, shardNames(ROOT, 0, 3));

function says(epoch: number, layout: Layout, more: Partial<Testimony> = {}): Testimony {
  return {
    isStored: true,
    epoch,
    layout,
    operation: epoch,
    ended: epoch,
    trouble: null,
    moving: null,
    strays: [],
    ...more,
  };
}

function decide(
  answers: Readonly<Record<string, Answer>>,
  more: Partial<RepairFacts> = {},
): ReturnType<typeof decideRepair> {
  return decideRepair({
    root: ROOT,
    registry: { epoch: 1, layout: TWO },
    running: undefined,
    newest: 1,
    answers: new Map(Object.entries(answers)),
    acceptLoss: [],
    suspectsDirectory: false,
    isDirectoryChecked: false,
    ...more,
  });
}

const LOST = { kind: "registryLost", message: "lost", since: 0, epoch: 9, by: null } as const;

describe("decideRepair", () => {
  it("finds nothing lost in a namespace that was never sharded", () => {
    const unsharded = { registry: { epoch: 0, layout: NONE }, newest: 0 };
    for (const answer of ["knowsNothing", says(0, NONE, { isStored: false })] as const)
      expect(decide({ ns: answer, stranger: "knowsNothing" }, unsharded)).toMatchObject({
        isRegistryLost: false,
        mends: [],
        losses: [],
        obstacles: [],
      });
  });

  it("finds a root lost that others took part in an operation of", () => {
    const unsharded = { registry: { epoch: 0, layout: NONE }, newest: 0 };
    const told = { ns: "knowsNothing", "ns-shard-0": says(0, NONE, { operation: 1 }) } as const;
    expect(decide(told, unsharded)).toMatchObject({
      mends: [{ member: ROOT, layout: NONE }],
      losses: [{ member: ROOT }],
      endedUpTo: 1,
    });
  });

  it("goes on with a repair that was killed between the registry and the root", () => {
    const behind = { "ns-shard-0": says(1, TWO), "ns-shard-1": says(1, TWO) };
    const root = says(1, TWO, { trouble: { ...LOST, epoch: 1 } });
    const committed = { registry: { epoch: 5, layout: TWO } };
    expect(decide({ ns: root, ...behind }, committed)).toMatchObject({
      layout: TWO,
      obstacles: [],
      mends: [{ member: ROOT, layout: TWO }],
    });
    // A newer epoch than that one was heard of, and nobody is left who can prove its layout.
    const later = says(1, TWO, { trouble: { ...LOST, epoch: 6 } });
    expect(decide({ ns: later, ...behind }, committed).obstacles).toHaveLength(1);
  });

  it("does nothing where nothing is out of step", () => {
    const decision = decide({
      ns: says(1, TWO),
      "ns-shard-0": says(1, TWO),
      "ns-shard-1": says(1, TWO),
    });
    expect(decision).toMatchObject({
      isRegistryLost: false,
      operations: [],
      mends: [],
      obstacles: [],
    });
  });

  it("takes a root at its word that was told of an epoch which its teller never acted by", () => {
    const unsharded = { registry: { epoch: 0, layout: NONE }, newest: 1 };
    const root = says(0, NONE, { trouble: { ...LOST, epoch: 1, by: "ns-shard-0" } });
    const teller = says(0, NONE, { operation: 1, ended: 1 });
    const accepted = { ...unsharded, acceptLoss: [ROOT] };
    const decision = decide({ ns: root, "ns-shard-0": teller }, accepted);
    expect(decision).toMatchObject({ layout: NONE, obstacles: [], losses: [{ member: ROOT }] });
    expect(decision.epoch).toBeGreaterThan(1);
    expect(decide({ ns: root, "ns-shard-0": teller }, unsharded).obstacles).toHaveLength(1);
    expect(decide({ ns: root, "ns-shard-0": "silent" }, accepted).obstacles).toHaveLength(2);
    const amid = says(0, NONE, { operation: 2, ended: 1 });
    expect(decide({ ns: root, "ns-shard-0": amid }, accepted).obstacles).toHaveLength(1);
  });

  it("takes a root at its word that was told by a caller of an epoch which the first shard never acted by", () => {
    const facts = {
      registry: { epoch: 0, layout: NONE },
      newest: 1,
      acceptLoss: [ROOT],
    };
    const root = says(0, NONE, { trouble: { ...LOST, epoch: 1, by: null } });
    const ended = says(0, NONE, { operation: 1, ended: 1 });
    const decision = decide({ ns: root, "ns-shard-0": ended, "ns-shard-1": ended }, facts);
    expect(decision).toMatchObject({ layout: NONE, obstacles: [], losses: [{ member: ROOT }] });
    expect(decision.epoch).toBeGreaterThan(1);
    // Another member may never have taken part in the operation that made the epoch.
    expect(decide({ ns: root, "ns-shard-1": ended }, facts).obstacles).toHaveLength(1);
    const amid = says(0, NONE, { operation: 2, ended: 1 });
    expect(decide({ ns: root, "ns-shard-0": amid }, facts).obstacles).toHaveLength(1);
  });

  it("finds a registry lost whose journal has forgotten what a member still takes part in", () => {
    const moving = { operation: 3, mode: "shift", from: TWO, to: THREE, promoted: null } as const;
    const target = says(1, TWO, { operation: 3, ended: 2, moving });
    const told = { ns: says(1, TWO), "ns-shard-0": target, "ns-shard-1": "knowsNothing" } as const;
    // The copies at the target are all that is left of the source: they are not dropped.
    expect(decide(told, { newest: 2, acceptLoss: ["ns-shard-1"] })).toMatchObject({
      isRegistryLost: true,
      operations: [],
      obstacles: [],
      mends: [
        { member: "ns", layout: TWO },
        { member: "ns-shard-0", layout: TWO, lost: ["ns-shard-1"] },
        { member: "ns-shard-1", layout: TWO },
      ],
    });
    expect(decide(told, { newest: 3 })).toMatchObject({ isRegistryLost: false });
  });

  it("skips the numbers of operations that the journal has forgotten, and those alone", () => {
    const told = { ns: says(1, TWO), "ns-shard-0": says(1, TWO, { operation: 3, ended: 3 }) };
    expect(decide(told, { newest: 2 })).toMatchObject({ isJournalBehind: true, endedUpTo: 3 });
    expect(decide(told, { newest: 3 })).toMatchObject({ isJournalBehind: false, endedUpTo: 3 });
  });

  it("takes the newest epoch that its members say alike, and leaves out those that may be lost", () => {
    const shards = {
      "ns-shard-0": says(2, THREE),
      "ns-shard-1": says(2, THREE),
      "ns-shard-2": says(2, THREE),
    };
    const decision = decide({ ns: says(1, TWO, { trouble: LOST }), ...shards });
    expect(decision).toMatchObject({ isRegistryLost: true, layout: THREE, obstacles: [] });
    expect(decision.epoch).toBeGreaterThan(9);
    expect(decision.endedUpTo).toBe(2);
  });

  it("concludes nothing from silence", () => {
    const decision = decide({
      ns: says(1, TWO),
      "ns-shard-0": says(2, THREE),
      "ns-shard-1": "silent",
      "ns-shard-2": says(2, THREE),
    });
    expect(decision.obstacles.join()).toContain("ns-shard-1 does not answer");
  });

  it("chooses nothing between two layouts of one epoch", () => {
    const other = freshHashLayout("other", 1, shardNames(ROOT, 0, 3));
    const decision = decide({
      ns: says(1, TWO),
      "ns-shard-0": says(2, THREE),
      "ns-shard-1": says(2, other),
    });
    expect(decision.obstacles.join()).toContain("another layout at the same epoch");
  });

  it("asks for a name where the root knows nobody any more", () => {
    const empty = { ...says(0, NONE), isStored: false };
    const decision = decide(
      { ns: { ...empty, isStored: true, trouble: LOST } },
      { registry: { epoch: 0, layout: NONE }, newest: 0 },
    );
    expect(decision.obstacles.join()).toContain("--member NAME");
  });

  it("takes the word of a target for the ground of its operation, where nobody else is left", () => {
    const moving = { operation: 3, mode: "shift", from: TWO, to: THREE, promoted: null } as const;
    const target = says(0, NONE, { operation: 3, ended: 1, moving: { ...moving, epochFrom: 2 } });
    const answers = {
      ns: says(0, NONE, { trouble: { ...LOST, epoch: 0 } }),
      "ns-shard-0": "knowsNothing",
      "ns-shard-1": "knowsNothing",
      "ns-shard-2": target,
    } as const;
    const lost = { registry: { epoch: 0, layout: NONE }, newest: 0 };
    const members = ["ns-shard-0", "ns-shard-1"];
    const decision = decide(answers, { ...lost, acceptLoss: members });
    expect(decision).toMatchObject({ layout: TWO, isRegistryLost: true, obstacles: [] });
    expect(decision.epoch).toBeGreaterThan(2);
    expect(decision.mends.find(({ member }) => member === "ns-shard-2")).toMatchObject({
      layout: TWO,
      lost: members,
    });
    expect(decide(answers, lost).obstacles).toHaveLength(2);
    // A member of that epoch, or of a newer one, knows better.
    const newer = { ...answers, "ns-shard-0": says(3, THREE) };
    expect(decide(newer, { ...lost, acceptLoss: members })).toMatchObject({ layout: THREE });
    const silent = { ...answers, "ns-shard-1": "silent" } as const;
    expect(decide(silent, { ...lost, acceptLoss: members }).obstacles).toHaveLength(1);
  });

  it("wants a loss to be accepted by name", () => {
    const answers = {
      ns: says(1, TWO),
      "ns-shard-0": "knowsNothing" as const,
      "ns-shard-1": says(1, TWO),
    };
    expect(decide(answers).obstacles.join()).toContain("--accept-loss ns-shard-0");
    expect(decide(answers, { acceptLoss: ["ns-shard-1"] }).obstacles).toHaveLength(1);
    expect(decide(answers, { acceptLoss: ["ns-shard-0"] })).toMatchObject({
      obstacles: [],
      mends: [{ member: "ns-shard-0", layout: TWO }],
    });
  });

  it("carries an operation forward once a wave of it has cut over, and ends it else", () => {
    const moving = {
      operation: 2,
      token: "t",
      mode: "shift",
      from: TWO,
      to: THREE,
      promoted: null,
    } as const;
    const at = (epoch: number, layout: Layout): Testimony =>
      says(epoch, layout, { operation: 2, ended: 1, moving });
    const root = says(1, TWO, { trouble: LOST });
    const open = decide({
      ns: root,
      "ns-shard-0": at(1, TWO),
      "ns-shard-1": at(1, TWO),
      "ns-shard-2": at(0, NONE),
    });
    expect(open).toMatchObject({
      layout: TWO,
      operations: [{ kind: "back" }],
      mends: [{ member: "ns" }],
      obstacles: [],
    });
    const cut = decide({
      ns: root,
      "ns-shard-0": at(1, TWO),
      "ns-shard-1": at(1, TWO),
      "ns-shard-2": at(2, THREE),
    });
    expect(cut).toMatchObject({
      epoch: 2,
      layout: THREE,
      operations: [{ kind: "forward", before: TWO }],
      obstacles: [],
    });
    const done = decide({
      ns: root,
      "ns-shard-0": at(2, THREE),
      "ns-shard-1": at(2, THREE),
      "ns-shard-2": at(2, THREE),
    });
    expect(done).toMatchObject({ layout: THREE, operations: [{ kind: "forward" }], obstacles: [] });
  });

  it("repairs no member while an operation may still be cancelled", () => {
    const trouble = { kind: "outOfStep", message: "out", since: 0, epoch: 1, by: null } as const;
    const running = { id: 2, step: "copy" } as unknown as NonNullable<RepairFacts["running"]>;
    const decision = decide(
      { ns: says(1, TWO), "ns-shard-0": says(1, TWO, { trouble }), "ns-shard-1": says(1, TWO) },
      { running },
    );
    expect(decision.obstacles.join()).toContain("Operation 2 is running");
  });
});
