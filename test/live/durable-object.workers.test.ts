import { describe, expect, it } from "vitest";

import { unshardedLayout } from "../../src/model/layout/layout.ts";
import { createObjectAccess } from "../../src/live/durable-object.ts";
import { controlEnv, controlsOf } from "../support/control-api.ts";
import { shardChange } from "../support/apply-plans.ts";

const objects = { ORDERS: controlEnv.ORDERS, BARE: controlEnv.BARE, ODD: controlEnv.ODD };
const liveAccess = createObjectAccess(objects, { timeoutMs: 500 });

describe("createObjectAccess", () => {
  it("reads a namespace through its binding", async () => {
    const answer = await liveAccess.describe({ name: "orders", object: "ORDERS" });
    expect(answer).toMatchObject({
      ok: true,
      value: { name: "orders", object: "ORDERS", epoch: 1, layout: unshardedLayout("orders", 0) },
    });
    expect(answer.ok && answer.value.members).toMatchObject([{ name: "orders", rows: 3 }]);
  });

  it("counts by another key", async () => {
    const answer = await liveAccess.distribute(
      { name: "orders", object: "ORDERS" },
      { by: "keys", shardKey: "data.country", boundaries: [] },
    );
    expect(answer).toMatchObject({
      ok: true,
      value: { rows: 3, missing: 0, members: [{ member: "orders", keys: [{ rows: 3 }] }] },
    });
  });

  it("starts, polls, lists and cancels operations", async () => {
    const ref = { name: "moves", object: "ORDERS" };
    await controlsOf("moves").setPace(1000);
    const request = { ...shardChange("moves"), requestedBy: "test", refuseEmpty: false };
    const started = await liveAccess.start(ref, { ...request, correlationId: "one" });
    expect(started).toMatchObject({
      ok: true,
      value: { id: 1, state: "running", correlationId: "one" },
    });
    expect(await liveAccess.operation(ref, 1)).toMatchObject({
      ok: true,
      value: { id: 1, step: "copy" },
    });
    expect(await liveAccess.start(ref, { ...request, correlationId: "two" })).toMatchObject({
      ok: false,
      failure: { kind: "refused", reason: "operationRunning" },
    });
    expect(await liveAccess.cancel(ref, 1)).toMatchObject({
      ok: true,
      value: { state: "cancelled" },
    });
    expect(await liveAccess.history(ref, 10)).toMatchObject({
      ok: true,
      value: [{ id: 1, state: "cancelled" }],
    });
    expect(await liveAccess.operation(ref, 9)).toMatchObject({
      ok: false,
      failure: { kind: "refused", reason: "notFound" },
    });
  });

  it("names the bindings that exist when one does not", async () => {
    const answer = await liveAccess.describe({ name: "orders", object: "ODERS" });
    expect(answer).toMatchObject({ ok: false, failure: { kind: "unbound" } });
    expect(answer.ok ? "" : answer.failure.message).toContain("BARE, ODD, ORDERS");
  });

  it("does not take an inherited property for a binding", async () => {
    expect(await liveAccess.describe({ name: "orders", object: "toString" })).toMatchObject({
      ok: false,
      failure: { kind: "unbound" },
    });
  });

  it("says that a class without the method is not shardable", async () => {
    const answer = await liveAccess.describe({ name: "orders", object: "BARE" });
    expect(answer).toMatchObject({ ok: false, failure: { kind: "notShardable" } });
    expect(answer.ok ? "" : answer.failure.message).toContain("no shardctl() method");
  });

  it.each([
    ["undefined", "notShardable"],
    ["text", "notShardable"],
    ["halfReply", "notShardable"],
    ["otherName", "notShardable"],
    ["noMembers", "notShardable"],
    ["refuses", "refused"],
    ["throws", "unreachable"],
    ["silent", "unreachable"],
  ] as const)("an object that answers %s is a failure: %s", async (name, kind) => {
    expect(await liveAccess.describe({ name, object: "ODD" })).toMatchObject({
      ok: false,
      failure: { kind },
    });
  });

  it("tells an exception from silence", async () => {
    expect(await liveAccess.describe({ name: "throws", object: "ODD" })).toMatchObject({
      failure: { message: expect.stringContaining("(not shown): the log of the class has it") },
    });
    expect(await liveAccess.describe({ name: "silent", object: "ODD" })).toMatchObject({
      failure: { message: expect.stringContaining("no answer within 500 ms") },
    });
  });
});
