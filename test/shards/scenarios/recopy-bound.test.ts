/**
 * Tables that change for ever end the operation; those that change as often as deploys do, do not.
 */
import { beforeEach, expect, it } from "vitest";

import { refusal } from "../../../src/model/wire/protocol-failure.ts";
import { RefusedError } from "../../../src/shards/protocol/refused-error.ts";
import { type Rig, createRig, startRebalance, workToTheEnd } from "../support/root-rig.ts";

const WORDS = "A deploy has changed items on m0: what it changed is copied again";
/** Sixteen for each of the three participants. */
const ROUNDS_MAX = 48;

let rig: Rig;
beforeEach(() => {
  rig = createRig();
  startRebalance(rig);
});

/** Answers this many copies, or all, as a source whose tables have changed once more. */
function changeTables(times: number): void {
  let changes = 0;
  rig.ask = (member, { kind }) =>
    kind === "copy" && member === "m0" && changes++ < times
      ? Promise.reject(new RefusedError(refusal("tablesChanged", WORDS)))
      : undefined;
}

it("copies tables again as often as they may change", async () => {
  changeTables(ROUNDS_MAX);
  await workToTheEnd(rig);
  expect(rig.record()).toMatchObject({ state: "completed", fault: null, round: ROUNDS_MAX });
});

it("ends an operation whose tables change for ever, says why, and lets every member go", async () => {
  changeTables(Infinity);
  await workToTheEnd(rig);
  const { state, fault, epoch } = rig.record();
  expect({ state, kind: fault?.kind, epoch }).toEqual({
    state: "failed",
    kind: "schema",
    epoch: 1,
  });
  expect(fault?.message).toContain(
    `Tables have changed ${ROUNDS_MAX + 1} times while they were moved: ${WORDS}`,
  );
  expect(fault?.message).toContain("let them be as they are, then start again");
  expect(rig.asked.slice(-3)).toEqual(["abandon m0", "abandon m1", "abandon m2"]);
});
