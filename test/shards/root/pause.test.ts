/**
 * A paused operation stands still: whatever it was doing, it commits nothing and holds no fence,
 * and its logs stay short.
 */
import { beforeEach, describe, expect, it } from "vitest";
import { DEFAULT_OPERATION_POLICY, type OperationStatus } from "../../../src/model/operation.ts";
import type { ProtocolFailure } from "../../../src/model/wire/protocol-failure.ts";
import type { Result } from "../../../src/model/result.ts";
import type { MemberRequest } from "../../../src/shards/protocol/messages.ts";
import { EngineFault } from "../../../src/shards/storage/faults.ts";
import { FROM, type Rig, createRig, startRebalance } from "../support/root-rig.ts";

/** Above the driver's own 30 s. */
const NEXT_DRAIN_MS = 31_000;

let rig: Rig;
beforeEach(() => {
  rig = createRig();
});

/** Pauses at the first message of this kind, before it is answered. */
function pauseAt(kind: MemberRequest["kind"]): {
  readonly answers: Result<OperationStatus, ProtocolFailure>[];
} {
  const answers: Result<OperationStatus, ProtocolFailure>[] = [];
  rig.ask = (_, request) => {
    if (request.kind === kind && answers.length === 0)
      answers.push(rig.root.pause(1, "the window has closed", "window"));
    return undefined;
  };
  return { answers };
}

/** Returns the kinds of requests since then, without members. */
function kindsSince(from: number): Set<string> {
  return new Set(rig.asked.slice(from).map((line) => line.split(" ")[0] ?? ""));
}

describe("a pause", () => {
  it.each([
    ["prepare", "copy"],
    ["copy", "copy"],
    ["verify", "verify"],
    ["chunks", "verify"],
    ["fence", "fence"],
    ["promote", "fence"],
  ] as const)(
    "during %s lets the operation stand in step %s, and it only drains",
    async (kind, step) => {
      const id = startRebalance(rig);
      const { answers } = pauseAt(kind);
      await rig.work();
      expect(answers).toMatchObject([
        { ok: true, value: { paused: { reason: "the window has closed", by: "window" } } },
      ]);
      expect(rig.record()).toMatchObject({ step, state: "running", wavesDone: 0, epoch: 1 });
      const before = rig.asked.length;
      for (let alarms = 0; alarms < 3; alarms++) {
        rig.clock.now += NEXT_DRAIN_MS;
        await rig.work();
      }
      expect(rig.asked.slice(before).toSorted()).toEqual([
        ...Array(3).fill("drain m0"),
        ...Array(3).fill("drain m1"),
      ]);
      expect(rig.root.journal.registry().epoch).toBe(1);
      rig.root.resume(id);
      await rig.work();
      expect(rig.record()).toMatchObject({
        state: "completed",
        paused: null,
        wavesDone: 2,
        epoch: 2,
      });
    },
  );

  it("in a fence's attempt ends the attempt first, and lifts every fence", async () => {
    startRebalance(rig);
    const { answers } = pauseAt("promote");
    await rig.work();
    expect(answers).toHaveLength(1);
    const unfenced = rig.asked.slice(rig.asked.findIndex((line) => line.startsWith("promote")));
    expect(unfenced).toEqual(expect.arrayContaining(["unfence m0", "unfence m1", "unfence m2"]));
    expect(rig.record()).toMatchObject({ attempt: 2, liftsFences: false });
  });

  it("lifts the fences although the root is killed before it can", async () => {
    startRebalance(rig);
    let isDead = false;
    rig.ask = (_, request) => {
      if (isDead) return new Promise(() => undefined);
      if (request.kind !== "promote") return undefined;
      rig.root.pause(1, "r", "b");
      isDead = true;
      return new Promise(() => undefined);
    };
    void rig.work();
    await new Promise((resolve) => setTimeout(resolve, 1));
    rig.restart();
    rig.ask = () => undefined;
    const before = rig.asked.length;
    await rig.work();
    expect(kindsSince(before)).toEqual(new Set(["unfence", "drain"]));
    expect(rig.record()).toMatchObject({ step: "fence", paused: { reason: "r", by: "b" } });
  });

  it("lets a wave that has cut over be activated, and stands before the next", async () => {
    const id = startRebalance(rig);
    await untilSmallWaves();
    const { answers } = pauseAt("activate");
    await rig.work();
    expect(answers[0]?.ok).toBe(true);
    expect(rig.record()).toMatchObject({ step: "fence", wavesDone: 1, waveCount: 2, epoch: 2 });
    const before = rig.asked.length;
    rig.clock.now += NEXT_DRAIN_MS;
    await rig.work();
    expect(kindsSince(before)).toEqual(new Set(["drain"]));
    rig.root.resume(id);
    await rig.work();
    expect(rig.record()).toMatchObject({ state: "completed", wavesDone: 2, epoch: 3 });
  });

  it("activates a wave that has cut over also when that has to be tried again", async () => {
    startRebalance(rig);
    await untilSmallWaves();
    rig.ask = (_, { kind }) => {
      if (kind !== "activate" || rig.record().paused) return undefined;
      rig.root.pause(1, "r", "b");
      return Promise.reject(new Error("silence"));
    };
    await rig.work();
    expect(rig.record()).toMatchObject({
      step: "activate",
      wavesDone: 0,
      epoch: 2,
      lastError: "⟦silence⟧",
    });
    rig.clock.now = rig.record().notBefore;
    await rig.work();
    expect(rig.record()).toMatchObject({
      step: "fence",
      wavesDone: 1,
      epoch: 2,
      paused: { by: "b" },
    });
  });

  it.each(["activate", "finish"] as const)(
    "has nothing left to hold up during the last %s",
    async (kind) => {
      startRebalance(rig);
      const { answers } = pauseAt(kind);
      await rig.work();
      expect(answers).toMatchObject([{ ok: false, failure: { kind: "tooLate" } }]);
      expect(rig.record()).toMatchObject({ state: "completed", paused: null });
      expect(rig.root.pause(1, "r", "b")).toMatchObject({
        ok: false,
        failure: { kind: "tooLate", message: expect.stringContaining("has ended: completed") },
      });
      expect(rig.root.resume(1)).toMatchObject({ ok: true, value: { state: "completed" } });
    },
  );

  it("asked for again keeps its beginning and takes the new reason", async () => {
    const id = startRebalance(rig);
    rig.root.pause(id, "the window has closed", "window");
    rig.clock.now += 500;
    const again = rig.root.pause(id, "an incident", "ada");
    expect(again).toMatchObject({
      ok: true,
      value: { paused: { reason: "an incident", by: "ada", since: 1_000_000 } },
    });
    expect(rig.root.resume(id)).toMatchObject({ ok: true, value: { paused: null } });
    expect(rig.root.resume(id)).toMatchObject({ ok: true, value: { paused: null } });
    await rig.work();
    expect(rig.events()).toEqual([
      "rebalance.started",
      "rebalance.paused",
      "rebalance.resumed",
      "rebalance.completed",
    ]);
    expect(rig.root.pause(9, "r", "b")).toMatchObject({ ok: false, failure: { kind: "notFound" } });
    expect(rig.root.resume(9)).toMatchObject({ ok: false, failure: { kind: "notFound" } });
  });

  it("keeps the alarm armed for the next drain", async () => {
    const id = startRebalance(rig);
    rig.root.pause(id, "r", "b");
    await rig.work();
    expect(rig.root.nextDue()).toBe(rig.clock.now + 30_000);
    rig.root.resume(id);
    expect(rig.root.nextDue()).toBe(0);
  });

  it("does not delay who resumes it while it drains", async () => {
    const id = startRebalance(rig);
    rig.ask = (_, request) => {
      if (request.kind === "prepare") rig.root.pause(id, "r", "b");
      if (request.kind === "drain") rig.root.resume(id);
      return undefined;
    };
    await rig.work();
    expect(rig.record().state).toBe("completed");
  });

  it("leaves room for a cancel", async () => {
    const id = startRebalance(rig);
    pauseAt("fence");
    await rig.work();
    expect(rig.root.cancel(id)).toMatchObject({ ok: true, value: { paused: null } });
    await rig.work();
    expect(rig.record()).toMatchObject({ state: "cancelled", paused: null, epoch: 1 });
  });

  it("and a cancel between two waves end after the wave in work", async () => {
    const id = startRebalance(rig);
    await untilSmallWaves();
    rig.ask = (_, request) => {
      if (request.kind !== "activate" || rig.record().fault !== null) return undefined;
      rig.root.pause(id, "r", "b");
      rig.root.cancel(id);
      expect(rig.root.pause(id, "r", "b")).toMatchObject({
        ok: false,
        failure: { kind: "tooLate" },
      });
      return undefined;
    };
    await rig.work();
    expect(rig.record()).toMatchObject({
      state: "cancelled",
      wavesDone: 1,
      epoch: 2,
      paused: null,
    });
  });

  it("outlasts members that are silent for hours, and ends with a fault that no waiting heals", async () => {
    const id = startRebalance(rig);
    pauseAt("copy");
    await rig.work();
    rig.ask = () => Promise.reject(new Error("silence"));
    for (let alarms = 0; alarms < 50; alarms++) {
      rig.clock.now += NEXT_DRAIN_MS;
      await rig.work();
    }
    expect(rig.record()).toMatchObject({ state: "running", lastError: "⟦silence⟧" });
    expect(rig.root.resume(id)).toMatchObject({ ok: true, value: { retries: 0 } });
    rig.root.pause(id, "r", "b");
    rig.ask = (_, { kind }) =>
      kind === "drain" ? Promise.reject(new EngineFault("schema", "other tables")) : undefined;
    await rig.work();
    await rig.work();
    expect(rig.record()).toMatchObject({
      state: "failed",
      paused: null,
      fault: { kind: "schema" },
    });
  });

  it("tells who would start another operation", () => {
    const id = startRebalance(rig);
    rig.root.pause(id, "the window has closed", "window");
    const request = {
      kind: "unshard",
      epoch: 1,
      to: FROM,
      policy: DEFAULT_OPERATION_POLICY,
      correlationId: "d",
    } as const;
    expect(rig.root.start({ ...request, requestedBy: "a test", refuseEmpty: false })).toMatchObject(
      {
        ok: false,
        failure: {
          kind: "operationRunning",
          message: expect.stringContaining("is paused (the window has closed)"),
        },
      },
    );
  });
});

describe("the write pause", () => {
  it("is the time from a fence to its activation, of the newest and of the longest wave", async () => {
    startRebalance(rig);
    expect(rig.root.journal.status(rig.record()).writePauseMs).toBeNull();
    await untilSmallWaves();
    let wave = 0;
    rig.ask = (member, { kind }) => {
      if (kind === "fence" && member === "m2") wave++;
      if (kind === "fence" && member === "m2") rig.clock.now += wave === 1 ? 70 : 30;
      if (kind === "activate" && member === "m2") rig.clock.now += 10;
      return undefined;
    };
    await rig.work();
    expect(wave).toBe(2);
    expect(rig.record()).toMatchObject({ state: "completed", writePauseMs: { last: 40, max: 80 } });
  });
});

/** Until waves are cut, and then one is cut over at a time. */
async function untilSmallWaves(): Promise<void> {
  rig.ask = (_, { kind }) => (kind === "fence" ? Promise.reject(new Error("not yet")) : undefined);
  await rig.work();
  rig.root.journal.update({ ...rig.record(), waveSpan: 1, notBefore: 0, retries: 0 });
  rig.ask = () => undefined;
}
