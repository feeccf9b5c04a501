/**
 * The stories of objects that were restored or have lost their storage: what is taken back to when,
 * and what must be met and mended then. Each begins with a namespace of its own, filled and
 * unsharded, and ends with an operation.
 */
import { NAMESPACE } from "./accounts.ts";
import type { RestoredLedger } from "./restored-ledger.ts";

export interface RestoreStory {
  readonly name: string;
  /** One of the short run. */
  readonly isShort: boolean;
  readonly play: (ledger: RestoredLedger) => Promise<void>;
}

const NO_LOSS: readonly string[] = [];
const UP_AND_DOWN = ["rebalance up", "rebalance down"];

export const RESTORE_STORIES: readonly RestoreStory[] = [
  {
    name: "the root, to before an operation",
    isShort: true,
    play: async (ledger) => {
      await ledger.operate("shard");
      const before = await ledger.copy(NAMESPACE);
      await ledger.operate("rebalance up");
      await ledger.putBack(before);
      await ledger.callKnowing();
      await ledger.meet("registryLost", [NAMESPACE]);
      await ledger.refuseOperation("rebalance up");
      await ledger.mend(NO_LOSS);
      await ledger.account();
      await ledger.carryOn("rebalance down");
    },
  },
  {
    name: "the root, to the copy of an operation that has ended",
    isShort: true,
    play: async (ledger) => {
      await ledger.operate("shard");
      const amid = await ledger.catchRoot("copy", UP_AND_DOWN);
      await ledger.putBack(amid);
      await ledger.meet("registryLost", [NAMESPACE]);
      await ledger.mend(NO_LOSS);
      await ledger.account();
      await ledger.carryOn("rekey");
    },
  },
  {
    name: "the root, to between a cutover and its activation",
    isShort: false,
    play: async (ledger) => {
      await ledger.operate("shard");
      const amid = await ledger.catchRoot("activate", UP_AND_DOWN);
      await ledger.putBack(amid);
      await ledger.meet("registryLost", [NAMESPACE]);
      await ledger.mend(NO_LOSS);
      await ledger.account();
      await ledger.carryOn("rekey");
    },
  },
  ...(["copy", "activate"] as const).map((step) => ({
    name: `the root, to before an operation that is in its step ${step}`,
    isShort: false,
    play: async (ledger: RestoredLedger) => {
      await ledger.operate("shard");
      const before = await ledger.copy(NAMESPACE);
      await ledger.catchRoot(step, UP_AND_DOWN, before);
      // Until a cutover what the root says is true; the next operation meets members that know of
      // another.
      await ledger.tryOperation("rebalance up");
      await ledger.meet("registryLost", [NAMESPACE]);
      await ledger.mend(NO_LOSS);
      await ledger.account();
      await ledger.carryOn("rekey");
    },
  })),
  {
    name: "the root, empty",
    isShort: true,
    play: async (ledger) => {
      await ledger.operate("shard");
      await ledger.lose(NAMESPACE);
      await ledger.writeUntold();
      await ledger.callKnowing();
      await ledger.meet("registryLost", [NAMESPACE], false);
      await ledger.mend(NO_LOSS);
      await ledger.account();
      await ledger.carryOn("rebalance up");
    },
  },
  {
    name: "the root, to before the namespace was sharded",
    isShort: false,
    play: async (ledger) => {
      const before = await ledger.copy(NAMESPACE);
      await ledger.operate("shard");
      await ledger.operate("rebalance up");
      await ledger.putBack(before);
      await ledger.writeUntold();
      await ledger.callKnowing();
      await ledger.meet("registryLost", [NAMESPACE], false);
      await ledger.mend(NO_LOSS, "twice");
      await ledger.account();
      await ledger.carryOn("rekey");
    },
  },
  {
    name: "a shard, to before an operation",
    isShort: true,
    play: async (ledger) => {
      await ledger.operate("shard");
      const shard = firstOf(ledger);
      const before = await ledger.copy(shard);
      await ledger.operate("rebalance up");
      await ledger.putBack(before);
      await ledger.meet("outOfStep", [shard]);
      await ledger.mend([shard]);
      await ledger.account();
      await ledger.carryOn("rebalance down");
    },
  },
  {
    name: "a shard, empty",
    isShort: false,
    play: async (ledger) => {
      await ledger.operate("shard");
      const shard = firstOf(ledger);
      await ledger.lose(shard);
      await ledger.meet("outOfStep", [shard]);
      await ledger.mend([shard], "killed");
      await ledger.account();
      await ledger.carryOn("rebalance up");
    },
  },
];

function firstOf(ledger: RestoredLedger): string {
  const [first] = ledger.members;
  if (first === undefined) throw new Error("The namespace has no members");
  return first;
}
