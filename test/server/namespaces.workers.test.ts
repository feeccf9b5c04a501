import { describe, expect, it } from "vitest";

import type { NamespaceList, NamespaceReport, OperationList } from "../../src/model/api.ts";
import {
  applyPlan,
  call,
  controlsOf,
  followRun,
  makePlan,
  desired,
  refusal,
  spec,
} from "../support/control-api.ts";

const token = "read-token";

describe("GET /v1/namespaces", () => {
  it("reports what was planned and could be read, by environment", async () => {
    await makePlan("ns-1", [spec("n1-b"), spec("n1-a")]);
    const typo = spec("n1-typo", { object: "ODERS" });
    const body_ = { desired: desired("ns-1", [spec("n1-b"), spec("n1-a"), typo]) };
    expect(await refusal("POST", "/v1/plans", { body: body_ })).toMatchObject({ status: 409 });
    const { body } = await call<NamespaceList>("GET", "/v1/namespaces?environment=ns-1", { token });
    expect(body.namespaces).toMatchObject([
      {
        kind: "live",
        namespace: { name: "n1-a", object: "ORDERS", epoch: 1, members: [{ rows: 3 }] },
      },
      { kind: "live", namespace: { name: "n1-b" } },
    ]);
    expect(
      (await call<NamespaceList>("GET", "/v1/namespaces?environment=none", { token })).body
        .namespaces,
    ).toEqual([]);
    const all = await call<NamespaceList>("GET", "/v1/namespaces", { token });
    expect(all.body.namespaces).toHaveLength(2);
  });

  it("keeps a namespace in the list when it cannot be read", async () => {
    await makePlan("ns-2", [spec("n2-orders")]);
    await controlsOf("n2-orders").breakCalls({ kind: "unreachable", message: "" }, 1);
    const { body } = await call<NamespaceList>("GET", "/v1/namespaces?environment=ns-2", { token });
    expect(body.namespaces).toMatchObject([
      {
        kind: "failed",
        name: "n2-orders",
        object: "ORDERS",
        failure: {
          kind: "unreachable",
          message: expect.stringContaining("could not be reached: (not shown)"),
        },
      },
    ]);
  });

  it("asks one that is not known, for import", async () => {
    const { body } = await call<NamespaceList>(
      "GET",
      "/v1/namespaces?object=ORDERS&name=n3-unknown",
      { token },
    );
    expect(body.namespaces).toMatchObject([{ kind: "live", namespace: { name: "n3-unknown" } }]);
    const bare = await call<NamespaceList>("GET", "/v1/namespaces?object=BARE&name=n3", { token });
    expect(bare.body.namespaces).toMatchObject([
      { kind: "failed", failure: { kind: "notShardable" } },
    ]);
    const gone = await call<NamespaceList>("GET", "/v1/namespaces?object=GONE&name=n3", { token });
    expect(gone.body.namespaces).toMatchObject([{ kind: "failed", failure: { kind: "unbound" } }]);
    const known = await call<NamespaceList>("GET", "/v1/namespaces?name=n3-unknown", { token });
    expect(known.body.namespaces).toEqual([]);
  });
});

describe("GET /v1/namespaces/:name", () => {
  it("finds a known namespace without its binding, and any with it", async () => {
    await makePlan("ns-4", [spec("n4/with slash & ümlaut")]);
    const path = `/v1/namespaces/${encodeURIComponent("n4/with slash & ümlaut")}`;
    expect((await call<NamespaceReport>("GET", path, { token })).body).toMatchObject({
      kind: "live",
      namespace: { name: "n4/with slash & ümlaut" },
    });
    expect(
      (await call<NamespaceReport>("GET", "/v1/namespaces/n4-new?object=ORDERS", { token })).body,
    ).toMatchObject({
      kind: "live",
    });
    expect(await refusal("GET", "/v1/namespaces/n4-new", { token })).toMatchObject({
      status: 404,
      body: { kind: "notFound", detail: expect.stringContaining("?object=") },
    });
  });
});

describe("GET /v1/namespaces/:name/history", () => {
  it("lists operations, newest first", async () => {
    await followRun((await applyPlan(await makePlan("ns-5", [spec("n5-orders")]))).id);
    await followRun(
      (await applyPlan(await makePlan("ns-5", [spec("n5-orders", { count: 3 })]))).id,
    );
    const { body } = await call<OperationList>("GET", "/v1/namespaces/n5-orders/history", {
      token,
    });
    expect(body.operations.map(({ id, kind, state }) => ({ id, kind, state }))).toEqual([
      { id: 2, kind: "rebalance", state: "completed" },
      { id: 1, kind: "shard", state: "completed" },
    ]);
    const one = await call<OperationList>("GET", "/v1/namespaces/n5-orders/history?limit=1", {
      token,
    });
    expect(one.body.operations.map(({ id }) => id)).toEqual([2]);
    expect(
      (await refusal("GET", "/v1/namespaces/n5-orders/history?limit=0", { token })).status,
    ).toBe(400);
  });

  it.each([
    ["GONE", 404, "notFound"],
    ["BARE", 409, "conflict"],
    ["ODD", 503, "unavailable"],
  ])("behind %s answers %i", async (object, status, kind) => {
    expect(
      await refusal("GET", `/v1/namespaces/n6/history?object=${object}`, { token }),
    ).toMatchObject({
      status,
      body: { kind },
    });
  });
});
