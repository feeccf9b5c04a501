/**
 * A fence that does not lead to a cutover is lifted: at once when something fails, and in bounded
 * time when somebody is silent.
 */
import { beforeEach, describe, expect, it } from "vitest";
import { type Rig, createRig, startRebalance, workToTheEnd } from "../support/root-rig.ts";

let rig: Rig;
beforeEach(() => {
  rig = createRig();
  startRebalance(rig);
});

describe("a fence", () => {
  it("is lifted when the commit behind it fails, before anything else is tried", async () => {
    let commits = 0;
    rig.onEpoch = () => {
      if (++commits === 1) throw new Error("the callback failed");
    };
    await workToTheEnd(rig);
    expect(rig.record()).toMatchObject({ state: "completed", epoch: 2 });
    const [first, second] = rig.asked.flatMap((line, index) =>
      line === "fence m0" ? [index] : [],
    );
    expect(rig.asked.slice(first, second)).toContain("unfence m0");
    expect(rig.asked.slice(first, second)).toContain("unfence m2");
  });

  it("that a silent member keeps from closing stands for a second, then for twice as long each time, up to sixteen", async () => {
    // A call that waits for the silent member lets the clock go on.
    rig.sleep = (delayMs, signal) =>
      new Promise((resolve, reject) => {
        const timer = setTimeout(() => {
          rig.clock.now += delayMs;
          resolve();
        });
        signal?.addEventListener("abort", () => {
          clearTimeout(timer);
          reject(new Error("answered"));
        });
      });
    const standing: number[] = [];
    let since: number | null = null;
    rig.ask = (member, { kind }) => {
      if (kind === "fence") since ??= rig.clock.now;
      if (kind === "unfence" && since !== null) {
        standing.push(rig.clock.now - since);
        since = null;
      }
      return kind === "fence" && member === "m1" ? new Promise(() => undefined) : undefined;
    };
    await workToTheEnd(rig);
    expect(standing.slice(0, 7)).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 16_000, 16_000]);
    expect(rig.record()).toMatchObject({
      state: "failed",
      fault: { kind: "unreachable" },
      epoch: 1,
    });
    expect(rig.record().fault?.message).toContain("m1 did not answer within");
  });
});
