import { createExecutionContext } from "cloudflare:test";
import { describe, expect, it } from "vitest";

import dev from "../../src/server/dev.ts";
import { controlEnv, desired, spec } from "../support/control-api.ts";

async function ask(
  method: string,
  path: string,
  init: { body?: unknown; host?: string; headers?: Record<string, string> } = {},
): Promise<{ status: number; body: unknown }> {
  const { body, host = "127.0.0.1:8787", headers = {} } = init;
  const request = new Request(`http://${host}${path}`, {
    method,
    headers,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const response = await dev.fetch(request, controlEnv, createExecutionContext());
  const text = await response.text();
  return { status: response.status, body: text === "" ? null : JSON.parse(text) };
}

describe("the development Worker", () => {
  it("finds its bindings by itself and needs no token", async () => {
    const plan = await ask("POST", "/v1/plans", {
      body: {
        desired: desired("dev", [
          spec("d1-orders"),
          spec("d1-coordinator", { object: "SHARDCTL_COORDINATOR" }),
        ]),
      },
    });
    expect(plan).toMatchObject({
      status: 409,
      body: { kind: "conflict" },
    });
    expect(JSON.stringify(plan.body)).toMatch(
      /it has BARE, (?:[A-Z]+, )*ODD, ORDERS, (?:[A-Z]+, )*THINGS\b/,
    );
  });

  it.each(["localhost:8787", "[::1]:8787", "127.0.0.1"])("is open at %s", async (host) => {
    expect((await ask("GET", "/v1/runs", { host })).status).toBe(200);
  });

  it.each([
    "dev.example.com",
    "192.168.1.10:8787",
    "127.0.0.1.example.com",
    "localhost.example.com",
  ])("is closed at %s", async (host) => {
    expect(await ask("GET", "/v1/runs", { host })).toMatchObject({
      status: 401,
      body: { kind: "unauthenticated" },
    });
    expect(
      (await ask("GET", "/v1/runs", { host, headers: { authorization: "Bearer read-token" } }))
        .status,
    ).toBe(200);
  });

  it("is closed to web pages of others, and to wrong tokens", async () => {
    expect(
      (
        await ask("POST", "/data/THINGS/t/things", {
          body: [{ id: "x" }],
          headers: { origin: "https://evil.example" },
        })
      ).status,
    ).toBe(401);
    expect(
      (await ask("GET", "/v1/runs", { headers: { origin: "http://127.0.0.1:8787" } })).status,
    ).toBe(200);
    expect(
      (await ask("GET", "/v1/runs", { headers: { authorization: "Bearer wrong" } })).status,
    ).toBe(401);
  });
});

describe("/data", () => {
  const things = "/data/THINGS/shop/things";

  it("puts, pages, reads and deletes things", async () => {
    const put = await ask("POST", things, {
      body: [{ id: "a", data: { n: 1 } }, { id: "b" }, { id: "c/d" }],
    });
    expect(put).toEqual({ status: 200, body: { put: 3 } });
    expect(await ask("GET", `${things}?limit=2`)).toMatchObject({
      status: 200,
      body: [{ id: "a" }, { id: "b" }],
    });
    expect(await ask("GET", `${things}?after=b&limit=2`)).toMatchObject({ body: [{ id: "c/d" }] });
    expect(await ask("GET", `${things}/a`)).toEqual({
      status: 200,
      body: { id: "a", data: { n: 1 } },
    });
    expect((await ask("GET", `${things}/c%2Fd`)).status).toBe(200);
    expect((await ask("DELETE", `${things}/a`)).status).toBe(204);
    expect(await ask("GET", `${things}/a`)).toMatchObject({
      status: 404,
      body: { kind: "notFound" },
    });
  });

  it("keeps namespaces apart", async () => {
    await ask("POST", "/data/THINGS/one/things", { body: [{ id: "only-in-one" }] });
    expect((await ask("GET", "/data/THINGS/two/things/only-in-one")).status).toBe(404);
  });

  it.each([
    ["nothing", undefined],
    ["an empty list", []],
    ["one thing", { id: "a" }],
    ["a list of texts", ["a"]],
    ["a thing without an id", [{ data: {} }]],
    ["a thing with an unknown field", [{ id: "a", city: "Berlin" }]],
    ["a thing whose data is no object", [{ id: "a", data: [1] }]],
    ["too many", Array.from({ length: 10_001 }, () => ({ id: "a" }))],
  ])("refuses %s", async (_name, body) => {
    expect(await ask("POST", things, { body })).toMatchObject({
      status: 400,
      body: { kind: "invalid" },
    });
  });

  it("shows what the object says no with", async () => {
    expect(await ask("POST", things, { body: [{ id: "moving" }] })).toMatchObject({
      status: 503,
      body: {
        kind: "unavailable",
        detail: expect.stringContaining("'moving' is being moved: try again"),
      },
    });
  });

  it.each(["GONE", "SHARDCTL_COORDINATOR", "constructor"])("has no binding %s", async (binding) => {
    expect(await ask("GET", `/data/${binding}/shop/things`)).toMatchObject({
      status: 404,
      body: { kind: "notFound", detail: expect.stringContaining("it has: BARE") },
    });
  });
});
