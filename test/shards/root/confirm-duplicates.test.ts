/** Ids that are found twice end an operation only when they stand twice behind a fence. */
import { beforeEach, describe, expect, it } from "vitest";
import type { MemberRequest } from "../../../src/shards/protocol/messages.ts";
import { EngineFault } from "../../../src/shards/storage/faults.ts";
import {
  type Rig,
  createRig,
  startRebalance,
  startSwap,
  workToTheEnd,
} from "../support/root-rig.ts";

/** Tries before it is judged, and one more. */
const TRIES = 6;
const MESSAGE = 'Ids stand twice: ["a"]. Nothing was changed';
const twice = (): Promise<never> => Promise.reject(new EngineFault("duplicateId", MESSAGE));

let rig: Rig;
beforeEach(() => {
  rig = createRig();
  startRebalance(rig);
});

function asked(kind: MemberRequest["kind"]): number {
  return rig.asked.filter((line) => line.startsWith(`${kind} `)).length;
}

describe("an id that is found twice again and again", () => {
  it("while rows are copied does not count when it no longer is behind the fence", async () => {
    let copies = 0;
    rig.ask = (member, { kind }) =>
      kind === "copy" && member === "m0" && ++copies <= TRIES ? twice() : undefined;
    await workToTheEnd(rig);
    expect(rig.record()).toMatchObject({ state: "completed", fault: null, epoch: 2 });
    // The judgement's fence has gone up over everybody, twice around, and was lifted before the
    // copy went on.
    const judged = rig.asked.slice(rig.asked.indexOf("fence m0"), rig.asked.indexOf("unfence m0"));
    expect(judged.slice(0, 6).toSorted()).toEqual(
      ["m0", "m0", "m1", "m1", "m2", "m2"].map((member) => `fence ${member}`),
    );
    expect(judged.slice(6).toSorted()).toEqual(["copy m0", "copy m1"]);
  });

  it("does not count when only the first round of the fence finds it", async () => {
    const fences = new Map<string, number>();
    rig.ask = (member, { kind }) => {
      if (kind === "copy" && asked("fence") === 0) return twice();
      if (kind !== "fence" || asked("unfence") > 0) return undefined;
      fences.set(member, (fences.get(member) ?? 0) + 1);
      return fences.get(member) === 1 ? twice() : undefined;
    };
    await workToTheEnd(rig);
    expect(rig.record()).toMatchObject({ state: "completed", fault: null });
    expect([...fences.values()]).toEqual([2, 2, 2]);
  });

  it.each([
    ["the logs", "fence"],
    ["the page", "copy"],
  ] as const)(
    "ends the operation when %s still have it in the second round",
    async (_, culprit) => {
      rig.ask = (_member, { kind }) => (kind === "copy" || kind === culprit ? twice() : undefined);
      await workToTheEnd(rig);
      expect(rig.record()).toMatchObject({
        state: "failed",
        fault: { kind: "duplicateId", message: MESSAGE },
        epoch: 1,
      });
      expect(asked("copy")).toBeGreaterThan(TRIES);
      expect(rig.asked.slice(-3)).toEqual(["abandon m0", "abandon m1", "abandon m2"]);
    },
  );

  it("at a wave's promotion is judged, and the same fence cuts over when it is gone", async () => {
    let promotions = 0;
    rig.ask = (member, { kind }) =>
      kind === "promote" && member === "m2" && ++promotions <= TRIES ? twice() : undefined;
    await workToTheEnd(rig);
    expect(rig.record()).toMatchObject({ state: "completed", fault: null, epoch: 2 });
    expect(promotions).toBe(TRIES + 1);
    const since = rig.asked.findLastIndex((line) => line.startsWith("unfence ")) + 1;
    const judged = rig.asked.slice(since).filter((line) => !line.startsWith("hold "));
    expect(judged.slice(0, 6).every((line) => line.startsWith("fence "))).toBe(true);
  });

  it("is not judged by a fence that stands for too long: that is a try like any other, and the next has twice the time", async () => {
    const standing: number[] = [];
    let since: number | null = null;
    rig.ask = (member, { kind }) => {
      if (kind === "copy") return twice();
      if (kind === "unfence" && since !== null) {
        standing.push(rig.clock.now - since);
        since = null;
      }
      if (kind !== "fence" || member !== "m2") return undefined;
      since ??= rig.clock.now;
      rig.clock.now += 600;
      return undefined;
    };
    await workToTheEnd(rig);
    // Two rounds take 1,200 ms: the second is not begun within the first attempt's second, and
    // judges in the next attempt, which ends with the operation: before anybody drops rows, all are
    // heard once more.
    expect(standing).toEqual([1_200, 1_200]);
    expect(rig.record()).toMatchObject({
      state: "failed",
      fault: { kind: "duplicateId", message: MESSAGE },
    });
  });

  it("ends as unreachable, with what was found, when no fence ever closes; between two judgements the step itself is tried", async () => {
    rig.ask = (member, { kind }) => {
      if (kind === "fence" && member === "m2") rig.clock.now += 20_000;
      return kind === "copy" ? twice() : undefined;
    };
    await workToTheEnd(rig);
    const { fault } = rig.record();
    expect(fault).toMatchObject({ kind: "unreachable" });
    expect(fault?.message).toContain(
      "could not be judged behind a fence yet: the fence would stand for more than",
    );
    expect(fault?.message).toContain(MESSAGE);
    const fences = rig.asked.flatMap((line, index) => (line === "fence m2" ? [index] : []));
    expect(fences.length).toBeGreaterThan(1);
    for (const [at, fence] of fences.slice(1).entries())
      expect(rig.asked.slice(fences[at], fence)).toContain("copy m0");
  });

  it("at the check of a swap's targets ends the operation when they still find it behind the fence", async () => {
    rig = createRig();
    startSwap(rig);
    rig.ask = (_, { kind }) => (kind === "rehearse" ? twice() : undefined);
    await workToTheEnd(rig);
    expect(rig.record()).toMatchObject({
      state: "failed",
      fault: { kind: "duplicateId", message: MESSAGE },
      epoch: 1,
    });
    const judged = rig.asked.slice(rig.asked.indexOf("fence m0"));
    expect(judged.filter((line) => line.startsWith("rehearse "))).toEqual([
      "rehearse g0",
      "rehearse g1",
    ]);
    expect(judged.slice(-4).every((line) => line.startsWith("abandon "))).toBe(true);
  });

  it("is not judged while the operation is paused", async () => {
    rig.ask = (_, { kind }) => (kind === "copy" ? twice() : undefined);
    while ((rig.record().duplicateTries ?? 0) < TRIES) {
      await rig.work();
      if ((rig.record().duplicateTries ?? 0) < TRIES) rig.clock.now = rig.record().notBefore;
    }
    rig.root.pause(1, "r", "b");
    await workToTheEnd(rig, 5);
    expect(asked("fence")).toBe(0);
    expect(rig.record()).toMatchObject({ state: "running", step: "copy" });
  });
});
