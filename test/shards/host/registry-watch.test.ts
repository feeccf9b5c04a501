/** Evidence that shows a root that its registry is lost, and evidence that does not. */
import { describe, expect, it } from "vitest";

import { refusal } from "../../../src/model/wire/protocol-failure.ts";
import { unshardedLayout } from "../../../src/model/layout/layout.ts";
import { RegistryWatch } from "../../../src/shards/host/registry-watch.ts";
import { refuseStrange } from "../../../src/shards/member/evidence.ts";
import type { Member } from "../../../src/shards/member/member.ts";
import type { Membership } from "../../../src/shards/member/membership.ts";
import type { MemberRequest } from "../../../src/shards/protocol/messages.ts";
import { refused } from "../../../src/shards/protocol/refused-error.ts";
import type { Root } from "../../../src/shards/root/root.ts";

const EPOCH = 6;
const DRAIN: MemberRequest = {
  kind: "drain",
  operation: 3,
  token: "t3",
  registryEpoch: 5,
  budgetMs: 10,
};

/** A root at that epoch, whose operation 3 runs; and why it fell. */
function watch(): { readonly watched: RegistryWatch; readonly falls: string[] } {
  const falls: string[] = [];
  const member = {
    self: "ns",
    membership: {},
    fall: (kind: "registryLost", reason: string) => {
      falls.push(reason);
      return refused(kind, reason);
    },
  } as unknown as Member;
  const running = { id: 3, token: "t3", state: "running", step: "activate", attempt: 2 };
  const journal = {
    epoch: () => EPOCH,
    running: () => running,
    find: (id: number) => (id === running.id ? running : undefined),
    nextId: () => 4,
  };
  return {
    watched: new RegistryWatch({ member, root: { journal } as unknown as Root, namespace: "ns" }),
    falls,
  };
}

describe("writers 1: a root hears of", () => {
  it("an epoch that it has itself, from who refuses a late message of the running operation: no news", () => {
    const { watched, falls } = watch();
    watched.hearRefusal("a", DRAIN, { ...refusal("registryLost", "behind"), epoch: EPOCH });
    watched.hearRefusal("a", DRAIN, { ...refusal("staleEpoch", "older"), epoch: EPOCH - 1 });
    expect(falls).toEqual([]);
  });

  it("a newer epoch, whoever names it", () => {
    const { watched, falls } = watch();
    expect(() =>
      watched.hearRefusal("a", DRAIN, { ...refusal("staleEpoch", "newer"), epoch: EPOCH + 1 }),
    ).toThrow("a knows epoch 7");
    expect(() => watched.layout({ kind: "layout", epoch: EPOCH + 1 })).toThrow(
      "a caller knows epoch 7",
    );
    expect(falls).toHaveLength(2);
  });

  it("another operation of the running one's number, and of none that is over", () => {
    const { watched, falls } = watch();
    watched.hearRefusal(
      "a",
      { ...DRAIN, operation: 2, token: "t2" },
      refusal("registryLost", "another"),
    );
    expect(falls).toEqual([]);
    expect(() => watched.hearRefusal("a", DRAIN, refusal("registryLost", "another"))).toThrow(
      "another",
    );
  });

  it("operations that are not in its journal, and lifts no fence of theirs", () => {
    const { watched, falls } = watch();
    const ask = (operation: number, token: string) =>
      watched.resolve({ kind: "resolve", operation, token, attempt: 1 });
    expect(ask(2, "t2")).toEqual({ verdict: "pending" });
    expect(falls).toEqual([]);
    expect(ask(4, "t4")).toEqual({ verdict: "pending" });
    expect(ask(3, "other")).toEqual({ verdict: "pending" });
    expect(falls).toHaveLength(2);
  });
});

it("writers 1: a token that an older library has carried on is not of the newer operation", () => {
  const membership: Membership = {
    namespace: "ns",
    epoch: 5,
    layout: unshardedLayout("ns", 0),
    serving: true,
    retired: false,
    operation: 3,
    token: "t2",
    tokenOf: 2,
    ended: 3,
  };
  expect(refuseStrange("a", membership, undefined, DRAIN)).toBeNull();
  expect(refuseStrange("a", { ...membership, tokenOf: 3 }, undefined, DRAIN)?.kind).toBe(
    "registryLost",
  );
  expect(refuseStrange("a", { ...membership, epoch: EPOCH }, undefined, DRAIN)?.epoch).toBe(EPOCH);
});
