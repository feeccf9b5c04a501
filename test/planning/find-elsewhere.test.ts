/**
 * The guard `object`: a manifest that names another binding for a name that lives elsewhere, by
 * the cases of `find-elsewhere.ts`.
 */
import { describe, expect, it } from "vitest";

import type { LiveFailure } from "../../src/model/live.ts";
import { buildPlan } from "../../src/planning/build-plan.ts";
import { standingBlocks } from "../../src/planning/check-safety.ts";
import type { LiveEntry } from "../../src/planning/decide-namespace.ts";
import { failure, success } from "../../src/model/result.ts";
import {
  desired,
  hashOf,
  liveEntry,
  liveNamespace,
  rowsOf,
  runningOperation,
  spec,
  type NamespaceFixture,
  world,
} from "../support/state.ts";

const MOVED = spec("orders", { object: "CUSTOMERS", count: 2 });
/** Behind the new binding: an object that was only ever asked. */
const NEW = world("orders", { object: "CUSTOMERS", epoch: 0 });
const SHARDED = world("orders", { epoch: 5, layout: hashOf("orders", 8), rows: rowsOf(3050) });

function plan(here: NamespaceFixture, others: readonly LiveEntry[], wanted = MOVED) {
  return buildPlan({
    desired: desired(wanted),
    live: { namespaces: [liveEntry(here, wanted), ...others] },
  });
}

function elsewhere(there: NamespaceFixture): LiveEntry {
  return liveEntry(there, undefined);
}

function unread(kind: LiveFailure["kind"], object = "ORDERS"): LiveEntry {
  return {
    ref: { name: "orders", object },
    namespace: failure({ kind, message: "no answer within 30000 ms" }),
    decided: null,
    distribution: null,
  };
}

describe("a changed spec.object", () => {
  it.each<[string, LiveEntry, string]>([
    ["sharded", elsewhere(SHARDED), "where it is sharded"],
    ["unsharded, with rows", elsewhere(world("orders", { rows: rowsOf(3) })), "where it has rows"],
    [
      "in an operation",
      elsewhere(world("orders", { operation: runningOperation(world("orders"), SHARDED.layout) })),
      "where it runs an operation",
    ],
    ["silent", unread("unreachable"), "which could not be read"],
    ["no host of shardctl any more", unread("notShardable"), "which could not be read"],
    ["gone", unread("unbound"), "shardctl forget orders --object ORDERS"],
  ])("is blocked while the name lives behind another binding: %s", async (_state, other, words) => {
    const { changes, blocks } = await plan(NEW, [other]);
    expect(changes).toMatchObject([{ kind: "shard", object: "CUSTOMERS" }]);
    const [block] = blocks;
    expect(blocks).toMatchObject([{ guard: "object", namespace: "orders", overridable: true }]);
    expect(block?.message).toContain(words);
    expect(block?.message).toContain("set spec.object back to ORDERS");
    expect(block?.message).toContain("--override object");
    // It is under the fingerprint, and what is under it does not change by the minute.
    expect(block?.message).not.toMatch(/\d/);
    expect(standingBlocks({ blocks }, ["object"])).toEqual([]);
  });

  it("names each of several places", async () => {
    const { blocks } = await plan(NEW, [unread("unbound", "ZOO"), elsewhere(SHARDED)]);
    expect(blocks).toHaveLength(1);
    expect(blocks[0]?.message).toContain("set spec.object back to ORDERS or ZOO");
  });

  it.each<[string, NamespaceFixture, LiveEntry]>([
    [
      "of a binding that was renamed: its registry is behind the new name",
      { ...SHARDED, object: "CUSTOMERS" },
      unread("unbound"),
    ],
    [
      "to one that was sharded before: the other one is unmanaged, as ever",
      { ...SHARDED, object: "CUSTOMERS" },
      elsewhere(SHARDED),
    ],
    ["of one that is unsharded and empty", NEW, elsewhere(world("orders"))],
    ["of one that is only a name", NEW, elsewhere(world("orders", { epoch: 0 }))],
    ["of another name", NEW, elsewhere({ ...SHARDED, name: "carts" })],
  ])("is free %s", async (_case, here, other) => {
    const { blocks } = await plan(here, [other]);
    expect(blocks).toEqual([]);
  });

  it("has another fingerprint than the same plan without it, whatever the place is in", async () => {
    const free = await plan(NEW, []);
    const blocked = await plan(NEW, [elsewhere(SHARDED)]);
    const silent = await plan(NEW, [unread("unreachable")]);
    expect(blocked.fingerprint).not.toBe(free.fingerprint);
    expect(silent.fingerprint).toBe(blocked.fingerprint);
  });

  it("blocks nothing where the name needs no change", async () => {
    const unsharded = spec("orders", { object: "CUSTOMERS", strategy: "none", shardKey: null });
    const { changes, blocks } = await plan(NEW, [elsewhere(SHARDED)], unsharded);
    expect({ changes, blocks }).toEqual({ changes: [], blocks: [] });
  });
});

describe("an object that was only ever asked", () => {
  it("is told as unmanaged no more than it is a namespace", async () => {
    const typo = elsewhere(world("ordres", { epoch: 0 }));
    const kept = elsewhere(world("carts", { epoch: 2 }));
    const live = liveNamespace(world("hall", { epoch: 0 }));
    const members = live.members.map((one) => ({ ...one, healthy: false, error: "no answer" }));
    const unhealthy = { ...elsewhere(world("hall")), namespace: success({ ...live, members }) };
    const { notices } = await plan(NEW, [typo, kept, unhealthy]);
    expect(notices.map(({ namespace }) => namespace)).toEqual(["carts", "hall"]);
  });
});
