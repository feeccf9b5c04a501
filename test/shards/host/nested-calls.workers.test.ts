/**
 * Methods that call the owners of other keys, or run for long, while the fence of a wave goes up:
 * nobody waits behind it for them.
 */
import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";

import { toKey } from "../../../src/model/layout/key.ts";
import { createOwnerLookup } from "../../../src/model/layout/owner-lookup.ts";
import type { OperationStatus } from "../../../src/model/operation.ts";
import { connect } from "../../../src/shards/router.ts";
import { isLongRun, sample } from "../../support/sample.ts";
import {
  type Hop,
  type ShardsEnv,
  type Things,
  openedGates,
  reachedGates,
} from "../../support/shards-worker.ts";
import { type Callers, startCallers } from "../support/callers.ts";
import { interceptMessages } from "../support/intercept.ts";
import { TestNamespace } from "../support/namespace.ts";

const { THINGS } = env as unknown as ShardsEnv;

/** Things enough that each shard has some, and a wave something to move. */
const IDS = Array.from({ length: 120 }, (_, index) => `t${index}`);

interface Rig {
  readonly namespace: TestNamespace<Things>;
  readonly router: ReturnType<typeof connect<Things>>;
  /** A key of each member, in the order of the layout. */
  readonly keys: readonly string[];
  /** The attempts that members were asked to fence for, and what they were asked, in order. */
  readonly attempts: Set<number>;
  readonly asked: string[];
}

async function open(name: string, shards: number): Promise<Rig> {
  const namespace = new TestNamespace<Things>(THINGS, name);
  const whole = {
    type: "",
    name: null,
    data: {},
    visibility: "private",
    createdAt: 1,
    updatedAt: 1,
  };
  await namespace.stub().putMany(IDS.map((id) => ({ id, ...whole })));
  if (shards > 1) await namespace.toHash("id", shards);
  const { layout } = await namespace.live();
  const owner = createOwnerLookup(layout);
  const keys = layout.members.map((member) => IDS.find((id) => owner(toKey(id)) === member) ?? "");
  const attempts = new Set<number>();
  const asked: string[] = [];
  interceptMessages(name, ({ member, request }, forward) => {
    if (request.kind === "fence") attempts.add(request.attempt);
    if (["fence", "unfence", "activate"].includes(request.kind))
      asked.push(`${request.kind} ${member}`);
    return forward();
  });
  return { namespace, router: connect<Things>(THINGS, name), keys, attempts, asked };
}

/** Waits until a call of `waitFor` has begun. */
async function reached(gate: string): Promise<void> {
  while (!reachedGates.has(gate)) await new Promise((resolve) => setTimeout(resolve, 5));
}

async function rebalance({ namespace }: Rig, count: number): Promise<OperationStatus> {
  return namespace.start("rebalance", await namespace.hashTo("id", count));
}

const isFencing = ({ step }: OperationStatus): boolean => step === "fence";

describe("3: callers of a method that calls another key's owner", { timeout: 110_000 }, () => {
  it("keep no fence from going up: 24 of them, 4 to 5 shards", async () => {
    const rig = await open("nested", 4);
    const callers = startCallers(24, (caller, times) =>
      rig.router
        .at(`t${(caller * 7 + times) % 120}`)
        .callAlong([{ key: `t${(caller + times * 3) % 120}` }], 2),
    );
    const { id } = await rebalance(rig, 5);
    const ended = await rig.namespace.reached(id);
    await callers.stop();
    expect(ended).toMatchObject({ state: "completed", retries: 0 });
    expect(rig.attempts.size).toBeLessThan(5);
  });

  const paths: [string, number[]][] = [
    ["A>B>A", [0, 1, 0]],
    ["B>A>B>A", [1, 0, 1, 0]],
    ["A>A", [0, 0]],
    ["C>A>B, with C outside the wave", [2, 0, 1]],
  ];
  it.each(sample(paths, 2))(
    "keep it from going up in no order of calls: %s",
    async (path, members) => {
      const rig = await open(`path-${path.replaceAll(/\W/g, "")}`, 3);
      const [first = 0, ...rest] = members;
      const hops = rest.map((member): Hop => ({ key: rig.keys[member] ?? "" }));
      const callers = startCallers(6, () =>
        rig.router.at(rig.keys[first] ?? "").callAlong(hops, 3),
      );
      const { id } = await rebalance(rig, 4);
      expect(await rig.namespace.reached(id)).toMatchObject({ state: "completed", retries: 0 });
      expect((await callers.stop()).length).toBeGreaterThan(0);
    },
  );

  it("do not hinder it where they do not wait for what they call", async () => {
    const rig = await open("detached", 3);
    const callers = startCallers(6, (caller) =>
      rig.router
        .at(rig.keys[caller % 3] ?? "")
        .callAlong([{ key: rig.keys[(caller + 1) % 3] ?? "", isDetached: true }], 3),
    );
    const { id } = await rebalance(rig, 4);
    expect(await rig.namespace.reached(id)).toMatchObject({ state: "completed" });
    await callers.stop();
  });

  it("keep no fence from going up by a router of their own: 24 of them, 4 to 5 shards", async () => {
    const rig = await open("connected", 4);
    const callers = startCallers(24, (caller, times) => {
      const hop = { key: `t${(caller + times * 3) % 120}`, connectTo: "connected" };
      return rig.router.at(`t${(caller * 7 + times) % 120}`).callAlong([hop], 2);
    });
    const { id } = await rebalance(rig, 5);
    const ended = await rig.namespace.reached(id);
    await callers.stop();
    expect(ended).toMatchObject({ state: "completed", retries: 0, waves: 1 });
    expect(rig.attempts.size).toBeLessThan(5);
  });

  it("nor where they come back through another namespace", async () => {
    const rig = await open("there", 3);
    const other = await open("elsewhere", 2);
    const path = [
      { key: other.keys[0] ?? "", connectTo: "elsewhere" },
      { key: rig.keys[1] ?? "", connectTo: "there" },
    ];
    const callers = startCallers(6, () => rig.router.at(rig.keys[0] ?? "").callAlong(path, 3));
    const { id } = await rebalance(rig, 4);
    expect(await rig.namespace.reached(id)).toMatchObject({
      state: "completed",
      retries: 0,
      waves: 1,
    });
    await callers.stop();
    expect(rig.attempts.size).toBeLessThan(5);
  });

  it.runIf(isLongRun())(
    "cost attempts, and fewer members at once, where nobody can recognise them: 24, 4 to 5 shards",
    async () => {
      const rig = await open("unknown", 4);
      const callers = startCallers(24, (caller, times) => {
        const hop = {
          key: `t${(caller + times * 3) % 120}`,
          connectTo: "unknown",
          isCarried: true,
        };
        return rig.router.at(`t${(caller * 7 + times) % 120}`).callAlong([hop], 2);
      });
      const { id } = await rebalance(rig, 5);
      const ended = await rig.namespace.reached(id);
      const calls = await callers.stop();
      expect(ended).toMatchObject({ state: "completed" });
      // Ten times the goal.
      expect(Math.max(...calls.map(({ startedAt, endedAt }) => endedAt - startedAt))).toBeLessThan(
        10_000,
      );
    },
  );

  describe.each(["rekey", "unshard"] as const)(
    "in a %s, which fences all members at once",
    (kind) => {
      const start = async ({ namespace }: Rig): Promise<OperationStatus> =>
        kind === "rekey"
          ? namespace.start(kind, await namespace.hashTo("type", 3))
          : namespace.start(kind, await namespace.unshardedTo());
      const call24 = ({ router }: Rig, hop: Omit<Hop, "key">): Callers =>
        startCallers(24, (caller, times) =>
          router
            .at(`t${(caller * 7 + times) % 120}`)
            .callAlong([{ key: `t${(caller + times * 3) % 120}`, ...hop }], 2),
        );

      it.each([
        ["the library", () => ({})],
        ["a router of their own", (connectTo: string) => ({ connectTo })],
      ])("keep no fence from going up where %s recognises them", async (by, hopOf) => {
        const name = `${kind}-${by.replaceAll(" ", "-")}`;
        const rig = await open(name, 4);
        const callers = call24(rig, hopOf(name));
        await callers.after(48);
        const { id } = await start(rig);
        const ended = await rig.namespace.reached(id);
        await callers.stop();
        expect(ended).toMatchObject({ state: "completed", retries: 0 });
        expect(rig.attempts.size).toBeLessThan(5);
      });

      it.runIf(isLongRun())(
        "cost attempts where nobody can recognise them, keep nobody for long, and are told",
        async () => {
          const name = `${kind}-unknown`;
          const rig = await open(name, 4);
          const callers = call24(rig, { connectTo: name, isCarried: true });
          await callers.after(48);
          const { id } = await start(rig);
          const isTold = ({ lastError, state }: OperationStatus): boolean =>
            state !== "running" || (lastError ?? "").includes("this.shards.router()");
          await rig.namespace.reached(id, isTold);
          const calls = await callers.stop();
          // Ten times the goal.
          expect(
            Math.max(...calls.map(({ startedAt, endedAt }) => endedAt - startedAt)),
          ).toBeLessThan(10_000);
          expect(await rig.namespace.reached(id)).toMatchObject({ state: "completed" });
        },
      );
    },
  );

  it("do not deadlock a root that is the source of a swap", async () => {
    const rig = await open("rooted", 1);
    const callers = startCallers(6, (caller) =>
      rig.router.at(`t${caller}`).callAlong([{ key: "t1" }, { key: "t2" }], 3),
    );
    const shard = await rig.namespace.start("shard", await rig.namespace.hashTo("id", 3));
    expect(await rig.namespace.reached(shard.id)).toMatchObject({ state: "completed", retries: 0 });
    await callers.stop();
  });
});

describe("3: a call that runs for long", { timeout: 110_000 }, () => {
  it("at one member lets those of all others go on, before the fence and behind no other", async () => {
    const rig = await open("long", 4);
    const long = rig.router.at(rig.keys[0] ?? "").waitFor("long");
    await reached("long");
    const callers = startCallers(6, (caller) =>
      rig.router.at(rig.keys[1 + (caller % 3)] ?? "").callAlong([], 1),
    );
    const { id } = await rebalance(rig, 5);
    await rig.namespace.reached(id, isFencing);
    // Each of the others has called several times while the fence waited for the long call.
    const before = callers.calls.length;
    while (callers.calls.length < before + 60)
      await new Promise((resolve) => setTimeout(resolve, 5));
    expect(rig.asked).not.toContain("activate long-shard-0");
    // No stored fence was put up anywhere meanwhile.
    expect(rig.asked.filter((line) => line.startsWith("fence "))).toEqual([]);
    openedGates.add("long");
    expect(await long).toBe("long-shard-0");
    expect(await rig.namespace.reached(id)).toMatchObject({ state: "completed" });
    await callers.stop();
  });

  it("at every member is waited for, and keeps short calls of none waiting", async () => {
    const rig = await open("all-long", 3);
    const long = rig.keys.map((key, index) => rig.router.at(key).waitFor(`all-long-${index}`));
    await Promise.all(rig.keys.map((_, index) => reached(`all-long-${index}`)));
    const { id } = await rebalance(rig, 4);
    await rig.namespace.reached(id, isFencing);
    for (let times = 0; times < 20; times++)
      for (const [index, key] of rig.keys.entries())
        expect(await rig.router.at(key).callAlong([], 1)).toEqual([`all-long-shard-${index}`]);
    expect(rig.asked.filter((line) => line.startsWith("fence "))).toEqual([]);
    for (const index of rig.keys.keys()) openedGates.add(`all-long-${index}`);
    await Promise.all(long);
    expect(await rig.namespace.reached(id)).toMatchObject({ state: "completed" });
  });

  it("and never ends keeps no caller waiting, and the operation can be cancelled", async () => {
    const rig = await open("endless", 3);
    const endless = rig.router.at(rig.keys[0] ?? "").waitFor("endless");
    await reached("endless");
    const { id } = await rebalance(rig, 4);
    await rig.namespace.reached(id, isFencing);
    // Also those of its own member.
    for (const key of rig.keys) expect(await rig.router.at(key).callAlong([], 1)).toHaveLength(1);
    await rig.namespace.ask({ kind: "cancel", id });
    expect(await rig.namespace.reached(id)).toMatchObject({ state: "cancelled", epoch: 1 });
    expect(await rig.namespace.leftovers()).toEqual([]);
    openedGates.add("endless");
    await endless;
  });

  it("ends with its member: a crash ends the hold, and the fence goes up", async () => {
    const rig = await open("crashed", 3);
    const lost = rig.router
      .at(rig.keys[0] ?? "")
      .waitFor("crashed")
      .catch((error: unknown) => String(error));
    await reached("crashed");
    const { id } = await rebalance(rig, 4);
    await rig.namespace.reached(id, isFencing);
    await rig.namespace.abort("crashed-shard-0");
    expect(await lost).toContain("a test aborts this object");
    expect(await rig.namespace.reached(id)).toMatchObject({ state: "completed" });
    expect(await rig.router.at(rig.keys[0] ?? "").callAlong([], 1)).toHaveLength(1);
  });
});
