/** The coordinator's one call, as the rest of the Worker makes it. */
import { runInDurableObject } from "cloudflare:test";
import { expect, it } from "vitest";

import { reachCoordinator } from "../../src/server/coordinator/reach-coordinator.ts";
import { controlEnv, coordinatorStub } from "../support/control-api.ts";

const coordinator = reachCoordinator(controlEnv.SHARDCTL);

/** The message of the error that the call ends with. */
async function refusalOf(part: string, name: string): Promise<string> {
  return runInDurableObject(coordinatorStub(), async (instance) => {
    try {
      await instance.call(part, name, []);
      return "";
    } catch (error) {
      return (error as Error).message;
    }
  });
}

it("carries each call to its part", async () => {
  expect(await coordinator.plans.readBody("00ff")).toBeNull();
  expect(await coordinator.runs.findRun("run-none")).toBeNull();
  expect(await coordinator.once.claimToken("jti", "first", Date.now() + 60_000)).toBe(true);
  expect(await coordinator.once.claimToken("jti", "second", Date.now() + 60_000)).toBe(false);
});

it("names a call that it does not have, as between two versions", async () => {
  expect(await refusalOf("plans", "shred")).toContain("no call plans.shred");
  expect(await refusalOf("shredder", "read")).toContain("no call shredder.read");
});

it("carries none to what is no part of its interface", async () => {
  expect(await refusalOf("steps", "takeDue")).toContain("no call steps.takeDue");
  expect(await refusalOf("constructor", "keys")).toContain("no call constructor.keys");
});
