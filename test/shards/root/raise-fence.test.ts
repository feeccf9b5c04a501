/**
 * The root raises a fence only where nothing runs, and gives the attempt up where something does:
 * nobody waits behind it for a call.
 */
import { beforeEach, describe, expect, it } from "vitest";
import { refusal } from "../../../src/model/wire/protocol-failure.ts";
import type { Message, MemberRequest } from "../../../src/shards/protocol/messages.ts";
import type { RunningState } from "../../../src/shards/protocol/replies.ts";
import { RefusedError } from "../../../src/shards/protocol/refused-error.ts";
import { addPause } from "../../../src/shards/root/attempt.ts";
import { pauseAfter, planRound } from "../../../src/shards/root/raise-fence.ts";
import {
  type Rig,
  createRig,
  startRebalance,
  startSwap,
  workToTheEnd,
} from "../support/root-rig.ts";

const IDLE: RunningState = { runs: 0, oldestMs: 0, longestMs: 0, waiting: 0 };
const SHORT: RunningState = { runs: 2, oldestMs: 99, longestMs: 99, waiting: 0 };
const LONG: RunningState = { runs: 1, oldestMs: 100, longestMs: 5_000, waiting: 0 };

describe("a round", () => {
  const plan = (
    states: Readonly<Record<string, RunningState>>,
    round = 1,
  ): ReturnType<typeof planRound> =>
    planRound(
      Object.entries(states).map(([member, state]) => ({ member, ...state })),
      round,
    );

  it.each([
    [
      "raises at once where nothing runs",
      plan({ a: IDLE, b: IDLE }),
      { drained: [], holdsAll: false },
    ],
    [
      "holds all where something runs",
      plan({ a: IDLE, b: SHORT }),
      { drained: [], holdsAll: true },
    ],
    [
      "drains members with long calls first",
      plan({ a: LONG, b: SHORT, c: LONG }),
      { drained: ["a", "c"], holdsAll: true },
    ],
    [
      "takes calls for long that have been so, not those that may be",
      plan({ a: { ...LONG, runs: 0 } }),
      { drained: [], holdsAll: false },
    ],
    ["holds all once a round has failed", plan({ a: IDLE }, 2), { drained: [], holdsAll: true }],
    ["gives long calls twice their time", plan({ a: LONG }), { drainMs: 10_000 }],
    ["gives them not less than 400 ms", plan({ a: { ...LONG, longestMs: 100 } }), { drainMs: 400 }],
    [
      "gives them not more than 16 s",
      plan({ a: { ...LONG, longestMs: 60_000 } }),
      { drainMs: 16_000 },
    ],
  ])("%s", (_, planned, expected) => {
    expect(planned).toMatchObject({ kind: "try", ...expected });
  });

  it("waits with nobody held for a call that may never end", () => {
    const hung = { ...LONG, oldestMs: 16_001 };
    expect(plan({ a: LONG, b: hung })).toEqual({ kind: "outlast", busy: { member: "b", ...hung } });
  });

  it("is followed by a pause, longer each time up to 400 ms", () => {
    expect([1, 2, 3, 4, 5, 6].map((round) => pauseAfter(round, 0))).toEqual([
      50, 100, 200, 400, 400, 400,
    ]);
  });

  it("is followed by twice the time that callers waited in it, at least", () => {
    expect([1, 4, 9].map((round) => pauseAfter(round, 160))).toEqual([320, 400, 400]);
    expect(pauseAfter(1, 900)).toBe(1_800);
    expect(pauseAfter(1, 16_000)).toBe(4_000);
  });

  it("adds what was waited to the pauses of the operation", () => {
    expect(addPause(null, 40)).toEqual({ last: 40, max: 40 });
    expect(addPause({ last: 1, max: 50 }, 40)).toEqual({ last: 40, max: 50 });
  });
});

describe("the root", () => {
  let rig: Rig;
  function begin(): void {
    rig = createRig();
    // Time passes only while the root itself waits.
    rig.sleep = (delayMs, signal) =>
      new Promise((resolve) => {
        const timer = setTimeout(() => {
          rig.clock.now += delayMs;
          resolve();
        });
        signal?.addEventListener("abort", () => {
          clearTimeout(timer);
          resolve();
        });
      });
  }
  beforeEach(begin);

  /** Returns the requests to members that concern fences, in order, with the attempt. */
  function fencing(): string[] {
    return rig.asked.filter((line) => /^(hold|fence|unfence|rehearse) /.test(line));
  }

  it("asks each member what runs, and fences where nothing does", async () => {
    startSwap(rig);
    const holds: Message<"hold">[] = [];
    const fences: Message<"fence">[] = [];
    rig.ask = (_, request) => {
      if (request.kind === "hold") holds.push(request);
      if (request.kind === "fence") fences.push(request);
      return undefined;
    };
    await workToTheEnd(rig);
    expect(rig.record()).toMatchObject({ state: "completed" });
    // Nobody was kept waiting before the fence.
    expect(holds).toEqual(Array(2).fill(expect.objectContaining({ holdMs: 0, waitMs: 0 })));
    expect(fences).toEqual(Array(2).fill(expect.objectContaining({ attempt: 1, ifIdle: true })));
  });

  it("lifts every fence of an attempt in which a member is busy, before it holds them again", async () => {
    startSwap(rig);
    const attempts: (readonly [string, number])[] = [];
    rig.ask = (member, request) => {
      if (request.kind !== "fence") return undefined;
      attempts.push([member, request.attempt]);
      return member === "m1" && request.attempt <= 2
        ? { attempt: 0, busy: SHORT }
        : { attempt: request.attempt };
    };
    await workToTheEnd(rig);
    expect(rig.record()).toMatchObject({ state: "completed", retries: 0 });
    expect(attempts.map(([, attempt]) => attempt)).toEqual([1, 1, 2, 2, 3, 3]);
    const held = ["hold m0", "hold m1", "hold m0", "hold m1", "fence m0", "fence m1"];
    const lifted = ["unfence m0", "unfence m1"];
    const asked = fencing().filter((line) => !line.startsWith("rehearse"));
    expect(asked).toEqual([
      "hold m0",
      "hold m1",
      "fence m0",
      "fence m1",
      ...lifted,
      ...held,
      ...lifted,
      ...held,
    ]);
  });

  it("puts up no fence, and holds no others, before long calls have ended", async () => {
    startSwap(rig);
    const asked: string[] = [];
    let slices = 0;
    rig.ask = (member, request) => {
      if (request.kind === "fence") asked.push(`fence ${member}`);
      if (request.kind !== "hold") return undefined;
      const { fromMs, holdMs, among } = request;
      asked.push(`hold ${member} from ${fromMs} for ${holdMs} among ${among.join()}`);
      if (member !== "m1") return IDLE;
      if (holdMs > 0) slices++;
      return slices < 4 ? { ...LONG, waiting: 1 } : IDLE;
    };
    await workToTheEnd(rig);
    expect(rig.record()).toMatchObject({ state: "completed", retries: 0 });
    expect(asked).toEqual([
      "hold m0 from 0 for 0 among ",
      "hold m1 from 0 for 0 among ",
      // The others hold nobody, but know that their calls may wait for one that is held.
      ...[1, 2, 3, 4].flatMap(() => [
        "hold m0 from Infinity for 1000 among m1",
        "hold m1 from 100 for 1000 among m1",
      ]),
      "hold m0 from 0 for 200 among m0,m1",
      "hold m1 from 0 for 200 among m0,m1",
      "fence m0",
      "fence m1",
    ]);
  });

  it("holds nobody for a method that never ends, and in the end fails with nothing changed", async () => {
    startSwap(rig);
    const kept: MemberRequest[] = [];
    rig.ask = (member, request) => {
      if (request.kind === "fence" || (request.kind === "hold" && request.holdMs > 0))
        kept.push(request);
      return request.kind === "hold" && member === "m1" ? { ...LONG, oldestMs: 60_000 } : undefined;
    };
    await workToTheEnd(rig);
    expect(kept).toEqual([]);
    expect(rig.record()).toMatchObject({ state: "failed", epoch: 1, writePauseMs: null });
    expect(rig.record().fault?.message).toContain("m1 runs 1 call, the oldest for 60000 ms");
  });

  it("counts what callers have waited for attempts that were given up", async () => {
    startSwap(rig);
    rig.ask = (member, request) => {
      if (request.kind === "hold" && request.holdMs > 0) rig.clock.now += 70;
      if (request.kind === "unfence") rig.clock.now += 5_000; // nobody waits any more
      if (request.kind !== "fence" || member !== "m1") return undefined;
      rig.clock.now += 30;
      return request.attempt <= 2 ? { attempt: 0, busy: SHORT } : undefined;
    };
    await workToTheEnd(rig);
    // 30, then 70 twice and 30, and the same again for the attempt that succeeds.
    expect(rig.record()).toMatchObject({
      state: "completed",
      givenUpMs: 0,
      writePauseMs: { last: 370, max: 370 },
    });
  });

  it("tells how long callers have waited also where no attempt succeeds", async () => {
    startSwap(rig);
    rig.ask = (_, request) => {
      if (request.kind !== "fence") return undefined;
      rig.clock.now += 10;
      return { attempt: 0, busy: SHORT };
    };
    await workToTheEnd(rig);
    const { state, writePauseMs, fault } = rig.record();
    expect(state).toBe("failed");
    expect(writePauseMs?.max).toBeGreaterThan(1_000);
    expect(fault?.message).toContain("m0 runs 2 calls, the oldest for 99 ms");
    expect(fault?.message).toContain("this.shards.router()");
  });

  it.each(["pause", "cancel"] as const)(
    "stops at a %s between two slices of a drain, and lifts everything",
    async (how) => {
      const id = startSwap(rig);
      let slices = 0;
      rig.ask = (member, request) => {
        if (request.kind !== "hold" || member !== "m1") return undefined;
        if (request.holdMs > 0 && ++slices === 2) {
          rig.clock.now += 40;
          if (how === "pause") rig.root.pause(id, "r", "b");
          else rig.root.cancel(id);
        }
        return { ...LONG, waiting: 1 };
      };
      await rig.work();
      expect(slices).toBe(2);
      expect(rig.asked.some((line) => line.startsWith("fence "))).toBe(false);
      const after = rig.asked.slice(
        rig.asked.findLastIndex((line) => line.startsWith("hold ")) + 1,
      );
      const end = how === "pause" ? "unfence" : "abandon";
      expect(after).toEqual(expect.arrayContaining([`${end} m0`, `${end} m1`]));
      expect(rig.record().writePauseMs).toEqual({ last: 40, max: 40 });
    },
  );

  it("waits for a member of an older library, with nobody held", async () => {
    startRebalance(rig);
    const kept: string[] = [];
    const waits = new Set<string | undefined>();
    let refusals = 0;
    rig.ask = (member, request) => {
      if (request.kind === "fence" || (request.kind === "hold" && request.holdMs > 0))
        kept.push(member);
      if (request.kind !== "hold" || member !== "m1" || refusals === 4) return undefined;
      refusals++;
      if (refusals > 1) waits.add(rig.record().waitsFor?.kind);
      expect(kept).toEqual([]);
      return Promise.reject(
        new RefusedError(refusal("protocol", "m1 speaks protocol 1, this message needs 2")),
      );
    };
    await workToTheEnd(rig);
    expect([refusals, [...waits]]).toEqual([4, ["mixedVersions"]]);
    expect(rig.record()).toMatchObject({ state: "completed" });
  });

  describe("where calls keep a fence of several members from closing", () => {
    /** The members that were fenced together, for each attempt; and what was promoted for whom. */
    function watch(isBusy: (among: number) => boolean): {
      readonly fences: Map<number, Message<"fence">[]>;
      ranges: string[];
    } {
      const fences = new Map<number, Message<"fence">[]>();
      const ranges: string[] = [];
      rig.ask = (member, request) => {
        if (request.kind === "hold" && request.holdMs > 0 && isBusy(request.among.length))
          return member === "m0" ? SHORT : IDLE;
        if (request.kind === "hold" && request.holdMs === 0) return SHORT;
        if (request.kind === "fence")
          fences.set(request.attempt, [...(fences.get(request.attempt) ?? []), request]);
        if (request.kind === "activate")
          ranges.push(...request.activation.incoming.map((range) => JSON.stringify(range)));
        return undefined;
      };
      return { fences, ranges };
    }

    it("fences two at a time, and moves every range once", async () => {
      startRebalance(rig);
      const whole = watch(() => false);
      await workToTheEnd(rig);
      expect(rig.record()).toMatchObject({ state: "completed", waveCount: 2 });

      begin();
      startRebalance(rig);
      const { fences, ranges } = watch((among) => among > 2);
      await workToTheEnd(rig);
      expect(rig.record()).toMatchObject({
        state: "completed",
        isNarrow: true,
        retries: 0,
        waveSpan: 1,
      });
      expect([...fences.values()].map((asked) => asked.length)).toEqual(Array(fences.size).fill(2));
      expect(rig.record().wavesDone).toBe(rig.record().waveCount);
      expect(ranges.toSorted()).toEqual(whole.ranges.toSorted());
    });

    it("lets no fence stand longer at later tries, as it would for a slow network", async () => {
      startSwap(rig);
      const budgets: number[] = [];
      rig.ask = (_, request) => {
        if (request.kind !== "fence") return undefined;
        budgets.push(request.budgetMs);
        return { attempt: 0, busy: SHORT };
      };
      await workToTheEnd(rig);
      expect(rig.record()).toMatchObject({ state: "failed" });
      expect(Math.max(...budgets)).toBe(1_000);
    });
  });
});
