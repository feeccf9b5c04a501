/** Tokens that expire, entries that are wrong, and a handler that forgets the scope of a token. */
import { createExecutionContext } from "cloudflare:test";
import { describe, expect, it } from "vitest";

import { EXPIRES_HEADER, type Problem } from "../../src/model/api.ts";
import { createReconciler } from "../../src/server/index.ts";
import { controlEnv } from "../support/control-api.ts";
import { ask, type Entry, tokensOf } from "../support/scoped-tokens.ts";

const A = "expiry-a";
const DAY = 24 * 3_600_000;

it("a handler that asks nothing answers no token with a scope", async () => {
  const { Reconciler: _class, ...extended } = createReconciler<typeof controlEnv>({
    objects: (env) => ({ ORDERS: env.ORDERS }),
    coordinator: (env) => env.SHARDCTL,
    tokens: () => tokens,
    extend: (api, requireRole) =>
      api.get("/forgetful", requireRole("read", "checked"), (context) => context.text("of B")),
  });
  let tokens = "";
  const get = async (entry: Entry): Promise<number> => {
    tokens = await tokensOf(entry);
    const headers = { authorization: `Bearer ${entry.name}` };
    const request = new Request("http://control.test/forgetful", { headers });
    return (await extended.fetch(request, controlEnv, createExecutionContext())).status;
  };
  expect(await get({ name: "everything" })).toBe(200);
  expect(await get({ name: "a", namespaces: [A] })).toBe(403);
});

describe("a token that expires", () => {
  const at = (ms: number): string => new Date(Date.now() + ms).toISOString();

  it.each(["/v1/runs", "/"])("is refused at %s from then on, and told so", async (path) => {
    const entry = { name: "old", expires: at(-1000) };
    const answer = await ask(entry, "GET", path);
    expect(answer).toMatchObject({
      status: 401,
      text: expect.stringContaining(`expired at ${entry.expires}`),
    });
    expect((await ask({ name: "young", expires: at(60_000) }, "GET", path)).status).toBe(200);
  });

  it("ends the session of a browser, too", async () => {
    const sha256 = { name: "old", expires: at(-1000) };
    const headers = { authorization: "", cookie: "__Host-shardctl=old; shardctl=old" };
    const answer = await ask(sha256, "GET", "/", undefined, headers);
    expect(answer.status).not.toBe(200);
  });

  it("says when, in the last week before", async () => {
    const soon = { name: "soon", expires: at(6 * DAY) };
    expect((await ask(soon, "GET", "/v1/runs")).headers.get(EXPIRES_HEADER)).toBe(soon.expires);
    const later = { name: "later", expires: at(8 * DAY) };
    expect((await ask(later, "GET", "/v1/runs")).headers.get(EXPIRES_HEADER)).toBeNull();
  });

  it("tells a wrong token nothing that it does not tell without one", async () => {
    const told: (Problem | null)[] = [];
    const without = { authorization: "" };
    for (const headers of [
      without,
      { authorization: "Bearer wrong" },
      { authorization: "Basic x" },
    ]) {
      const entry = { name: "old", expires: at(-1000) };
      const answer = await ask(entry, "GET", "/v1/runs", undefined, headers);
      expect(answer.status).toBe(401);
      told.push(JSON.parse(answer.text) as Problem);
    }
    expect(new Set(told.map((problem) => problem?.detail)).size).toBe(1);
    expect(told[0]?.detail).not.toContain("expired");
  });

  it.each(["tomorrow", "2027-02-30", "2027-13-01T00:00:00Z", "2027-01-31 12:00", "", "1801440000"])(
    "at %j closes the Worker",
    async (expires) => {
      const answer = await ask({ name: "odd", expires }, "GET", "/v1/runs");
      expect(answer).toMatchObject({ status: 401, text: expect.stringContaining("is not a list") });
    },
  );

  it.each([{ environments: [] }, { namespaces: [] }, { labels: {} }, { namespaces: "orders" }])(
    "and one with the scope %j closes it, rather than hold for everything",
    async (scope) => {
      const answer = await ask({ name: "odd", ...scope } as Entry, "GET", "/v1/runs");
      expect(answer).toMatchObject({ status: 401, text: expect.stringContaining("is not a list") });
    },
  );
});
