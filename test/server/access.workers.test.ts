import { createExecutionContext, SELF } from "cloudflare:test";
import { afterEach, describe, expect, it, vi } from "vitest";

import type { Problem } from "../../src/model/api.ts";
import { createReconciler } from "../../src/server/index.ts";
import worker, { switches, type ControlEnv } from "../support/control-worker.ts";
import { call, controlEnv, refusal } from "../support/control-api.ts";

const FINGERPRINT = "0".repeat(64);

afterEach(() => {
  switches.areObjectsBroken = false;
});

async function askWith(
  tokens: string | undefined,
  authorization?: string,
): Promise<{ status: number; body: Problem }> {
  const { SHARDCTL_TOKENS: _configured, ...rest } = controlEnv;
  const env = tokens === undefined ? rest : { ...rest, SHARDCTL_TOKENS: tokens };
  const request = new Request(
    "http://control.test/v1/runs",
    authorization === undefined ? {} : { headers: { authorization } },
  );
  const response = await worker.fetch(request, env, createExecutionContext());
  return { status: response.status, body: await response.json() };
}

describe("roles", () => {
  const endpoints = [
    ["GET", "/v1/namespaces", "read"],
    ["GET", "/v1/namespaces/orders?object=ORDERS", "read"],
    ["GET", "/v1/namespaces/orders/history?object=ORDERS", "read"],
    ["POST", "/v1/plans", "plan"],
    ["GET", `/v1/plans/${FINGERPRINT}`, "read"],
    ["POST", `/v1/plans/${FINGERPRINT}/apply`, "apply"],
    ["PUT", "/v1/reviews", "plan"],
    ["GET", "/v1/reviews", "read"],
    ["PUT", "/v1/reviews/7/release", "apply"],
    ["GET", "/v1/runs", "read"],
    ["GET", "/v1/runs/run-0", "read"],
    ["POST", "/v1/runs/run-0/cancel", "apply"],
    ["GET", "/v1/namespaces/orders/repair?object=ORDERS", "plan"],
    ["POST", "/v1/namespaces/orders/repair?object=ORDERS", "apply"],
  ] as const;
  const order = ["read", "plan", "apply"];

  it.each(endpoints)("%s %s needs %s", async (method, path, needed) => {
    const refused: string[] = [];
    for (const role of order) {
      const { status, body } = await refusal(method, path, { token: `${role}-token` });
      if (status === 403 && body.detail.includes(`needs ${needed}`)) refused.push(role);
    }
    expect(refused).toEqual(order.slice(0, order.indexOf(needed)));
  });

  it.each(endpoints)(
    "%s %s is closed without a token, or with a wrong one",
    async (method, path) => {
      for (const token of [null, "wrong-token", "", "apply-token-", "x".repeat(5000)]) {
        const answer = await refusal(method, path, { token });
        expect(answer).toMatchObject({ status: 401, body: { kind: "unauthenticated" } });
        expect(answer.headers.get("www-authenticate")).toContain("Bearer");
      }
    },
  );

  it("wants the scheme Bearer, in any case", async () => {
    const ask = (authorization: string): Promise<Response> =>
      SELF.fetch("http://control.test/v1/runs", { headers: { authorization } });
    expect((await ask("bearer read-token")).status).toBe(200);
    expect((await ask("Basic read-token")).status).toBe(401);
    expect((await ask("read-token")).status).toBe(401);
  });
});

describe("SHARDCTL_TOKENS", () => {
  it.each([undefined, "", "  "])(
    "as %j closes the Worker and says how to open it",
    async (tokens) => {
      const answer = await askWith(tokens, "Bearer apply-token");
      expect(answer).toMatchObject({ status: 401, body: { kind: "unauthenticated" } });
      expect(answer.body.detail).toContain("Set the secret SHARDCTL_TOKENS");
    },
  );

  it.each([
    ["no JSON", "hunter2"],
    ["an object", '{"name":"ci"}'],
    ["an entry without a role", '[{"name":"ci","sha256":"hunter2"}]'],
    ["an unknown role", `[{"name":"ci","role":"root","sha256":"${"0".repeat(64)}"}]`],
    ["a token in the clear", '[{"name":"ci","role":"apply","token":"hunter2"}]'],
    [
      "the Worker's own name",
      `[{"name":"shardctl reconciler","role":"apply","sha256":"${"0".repeat(64)}"}]`,
    ],
    ["a short hash", '[{"name":"ci","role":"apply","sha256":"abcd"}]'],
  ])("with %s closes the Worker, and repeats nothing of the secret", async (_name, tokens) => {
    const answer = await askWith(tokens, "Bearer hunter2");
    expect(answer).toMatchObject({ status: 401, body: { kind: "unauthenticated" } });
    expect(answer.body.detail).toContain("SHARDCTL_TOKENS is not");
    expect(answer.body.detail).not.toContain("hunter2");
  });

  it("accepts hashes in upper case", async () => {
    const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode("loud"));
    const sha256 = [...new Uint8Array(digest)]
      .map((byte) => byte.toString(16).padStart(2, "0"))
      .join("")
      .toUpperCase();
    expect(
      (await askWith(JSON.stringify([{ name: "loud", role: "read", sha256 }]), "Bearer loud"))
        .status,
    ).toBe(200);
  });
});

describe("a Worker that is set up wrongly", () => {
  it("says which option is wrong, whatever is asked", async () => {
    const wrong = createReconciler<ControlEnv>({
      objects: () => ({}),
      coordinator: (env) => env.SHARDCTL,
      github: () => ({
        repository: "shop",
        repositoryId: 1,
        ownerId: 2,
        environment: "production",
        webhookSecret: "hunter2",
      }),
    });
    for (const path of ["/healthz", "/v1/runs", "/nothing"]) {
      const response = await wrong.fetch(
        new Request(`http://control.test${path}`),
        controlEnv,
        createExecutionContext(),
      );
      expect(response.status).toBe(503);
      const { detail } = await response.json<Problem>();
      expect(detail).toContain("github.repository: must be owner/name; github.webhookSecret");
      expect(detail).not.toContain("hunter2");
    }
  });
});

describe("everything else", () => {
  it.each(["/v1", "/v1/nothing", "/v1/plans/a/b/c", "/data/ORDERS/orders/things", "/V1/runs"])(
    "GET %s is not there",
    async (path) => {
      const answer = await refusal("GET", path);
      expect(answer).toMatchObject({
        status: 404,
        body: { kind: "notFound", detail: expect.stringContaining(path) },
      });
      expect(answer.headers.get("content-type")).toBe("application/problem+json");
    },
  );

  it.each([
    ["DELETE", "/v1/namespaces", "GET, HEAD"],
    ["GET", "/v1/plans", "POST"],
    ["PUT", `/v1/plans/${FINGERPRINT}`, "GET, HEAD"],
    ["GET", `/v1/plans/${FINGERPRINT}/apply`, "POST"],
    ["POST", "/v1/runs/run-0", "GET, HEAD"],
    ["GET", "/v1/runs/run-0/cancel", "POST"],
    ["POST", "/healthz", "GET, HEAD"],
  ])("%s %s is the wrong method", async (method, path, allowed) => {
    const answer = await refusal(method, path);
    expect(answer).toMatchObject({ status: 405, body: { kind: "methodNotAllowed" } });
    expect(answer.headers.get("allow")).toBe(allowed);
  });

  it("says that it is healthy, to anybody", async () => {
    const answer = await call("GET", "/healthz", { token: null });
    expect(answer).toMatchObject({ status: 200, body: { status: "ok" } });
  });

  it("hides an unexpected exception behind an id that the log has", async () => {
    const log = vi.spyOn(console, "error").mockImplementation(() => undefined);
    switches.areObjectsBroken = true;
    const answer = await refusal("GET", "/v1/runs");
    const lines = log.mock.calls.map(([line]) => String(line));
    log.mockRestore();
    expect(answer).toMatchObject({ status: 500, body: { kind: "internal" } });
    expect(JSON.stringify(answer.body)).not.toContain("secret internals");
    const id = /id ([0-9a-f-]{36})/.exec(answer.body.detail)?.[1];
    expect(lines.find((line) => line.includes(String(id)))).toContain("secret internals");
  });

  it("keeps answers out of caches", async () => {
    expect((await call("GET", "/v1/runs")).headers.get("cache-control")).toBe("no-store");
    expect((await call("GET", "/v1/nothing")).headers.get("cache-control")).toBe("no-store");
  });
});
