import {
  createExecutionContext,
  runInDurableObject,
  SELF,
  waitOnExecutionContext,
} from "cloudflare:test";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { beforeAll, describe, expect, it } from "vitest";

import { createAccessVerifier } from "../../src/server/access/access-verifier.ts";
import { createReconciler } from "../../src/server/index.ts";
import type { ControlEnv } from "../support/control-worker.ts";
import {
  applyPlan,
  controlEnv,
  controlsOf,
  coordinatorStub,
  followRun,
  makePlan,
  spec,
} from "../support/control-api.ts";

const ORIGIN = "https://control.test";
const AUDIENCE = "a".repeat(64);
const ISSUER = "https://acme.cloudflareaccess.com";

function ask(path: string, init: RequestInit = {}): Promise<Response> {
  return SELF.fetch(`${ORIGIN}${path}`, { redirect: "manual", ...init });
}

function signIn(
  fields: Record<string, string>,
  headers: Record<string, string> = {},
): Promise<Response> {
  return ask("/login", {
    method: "POST",
    body: new URLSearchParams(fields).toString(),
    headers: { "content-type": "application/x-www-form-urlencoded", origin: ORIGIN, ...headers },
  });
}

async function read(path: string): Promise<string> {
  const response = await ask(path, { headers: { authorization: "Bearer read-token" } });
  if (response.status !== 200)
    throw new Error(`${path}: ${response.status} ${await response.text()}`);
  return response.text();
}

beforeAll(async () => {
  await followRun((await applyPlan(await makePlan("page", [spec("p-orders")]))).id);
});

describe("who may look", () => {
  it.each(["/", "/?search=x", "/namespaces/ORDERS/p-orders?environment=page"])(
    "%s sends whom it does not know to sign in",
    async (path) => {
      const response = await ask(path);
      expect(response.status).toBe(303);
      expect(new URL(response.headers.get("location") ?? "", ORIGIN).searchParams.get("next")).toBe(
        path,
      );
      expect((await ask(`${path}${path.includes("?") ? "&" : "?"}part=main`)).status).toBe(401);
    },
  );

  it.each(["read-token", "plan-token", "apply-token"])(
    "lets %s in, by header and by cookie",
    async (token) => {
      expect((await ask("/", { headers: { authorization: `Bearer ${token}` } })).status).toBe(200);
      const signedIn = await signIn({ token, next: "/?environment=page" });
      expect(signedIn.status).toBe(303);
      expect(signedIn.headers.get("location")).toBe("/?environment=page");
      const cookie = signedIn.headers.get("set-cookie") ?? "";
      expect(cookie).toMatch(/^__Host-shardctl=/);
      for (const part of ["HttpOnly", "Secure", "SameSite=Strict", "Path=/"])
        expect(cookie).toContain(part);
      const page = await ask("/", { headers: { cookie: cookie.split(";")[0] ?? "" } });
      expect(page.status).toBe(200);
      expect(await page.text()).toContain("Sign out");
    },
  );

  it.each(["wrong", "", "  ", "two words", "x".repeat(2000)])(
    "refuses a wrong token and keeps nothing of it (%#)",
    async (token) => {
      const response = await signIn({ token, next: "/" });
      expect(response.status).toBe(401);
      expect(response.headers.get("set-cookie")).toBeNull();
      const html = await response.text();
      expect(html).toContain('role="alert"');
      expect(html).not.toContain(`value="${token === "" ? "none" : token}"`);
    },
  );

  it("says so when the token of a cookie no longer counts", async () => {
    const response = await ask("/", { headers: { cookie: "__Host-shardctl=taken-away" } });
    expect(response.status).toBe(401);
    expect(await response.text()).toContain("The token is not known");
  });

  it("takes no cookie under the name that a loopback address uses", async () => {
    expect((await ask("/", { headers: { cookie: "shardctl=read-token" } })).status).toBe(303);
  });

  it.each([
    ["https://evil.test/", "/"],
    ["//evil.test/", "/"],
    ["/\\evil.test", "/"],
    ["javascript:alert(1)", "/"],
    ["/login?next=/", "/"],
    ["/namespaces/ORDERS/a%2Fb", "/namespaces/ORDERS/a%2Fb"],
  ])("goes from signing in at %s to %s", async (next, expected) => {
    expect((await signIn({ token: "read-token", next })).headers.get("location")).toBe(expected);
    expect(
      await (await ask(`/login?${new URLSearchParams({ next }).toString()}`)).text(),
    ).toContain(`name="next" value="${expected}"`);
  });

  it.each(["https://evil.test", "null", "http://control.test"])(
    "signs nobody in or out for a form of %s",
    async (origin) => {
      expect((await signIn({ token: "read-token", next: "/" }, { origin })).status).toBe(403);
      expect((await ask("/logout", { method: "POST", headers: { origin } })).status).toBe(403);
    },
  );

  it("forgets the token at signing out", async () => {
    const response = await ask("/logout", { method: "POST", headers: { origin: ORIGIN } });
    expect(response.status).toBe(303);
    expect(response.headers.get("set-cookie")).toMatch(/^__Host-shardctl=; Max-Age=0/);
  });
});

describe("Cloudflare Access", () => {
  const { Reconciler: _unused, ...worker } = createReconciler<ControlEnv>(
    {
      objects: (env) => ({ ORDERS: env.ORDERS }),
      coordinator: (env) => env.SHARDCTL,
      access: () => ({ team: "acme", audience: AUDIENCE }),
    },
    {
      openGithub: () => {
        throw new Error("not used");
      },
      openVerifier: () => {
        throw new Error("not used");
      },
      openAccess: (settings) => createAccessVerifier(settings, { fetch: fetchKeys }),
    },
  );
  let keys: Awaited<ReturnType<typeof generateKeyPair>>;
  let stranger: Awaited<ReturnType<typeof generateKeyPair>>;
  let isDown = false;
  const asked: string[] = [];

  async function fetchKeys(url: unknown): Promise<Response> {
    asked.push(String(url));
    if (isDown) return new Response("down", { status: 503 });
    return Response.json({
      keys: [{ ...(await exportJWK(keys.publicKey)), kid: "k", alg: "RS256", use: "sig" }],
    });
  }

  beforeAll(async () => {
    keys = await generateKeyPair("RS256", { extractable: true });
    stranger = await generateKeyPair("RS256", { extractable: true });
  });

  async function token(claims: Record<string, unknown> = {}, byStranger = false): Promise<string> {
    const now = Math.floor(Date.now() / 1000);
    const all = {
      iss: ISSUER,
      aud: [AUDIENCE],
      iat: now,
      exp: now + 300,
      email: "ada@acme.test",
      ...claims,
    };
    return new SignJWT(all)
      .setProtectedHeader({ alg: "RS256", kid: "k" })
      .sign(byStranger ? stranger.privateKey : keys.privateKey);
  }

  async function enter(assertion: string, path = "/"): Promise<Response> {
    const context = createExecutionContext();
    const request = new Request(`${ORIGIN}${path}`, {
      headers: { "cf-access-jwt-assertion": assertion },
    });
    const response = await worker.fetch(request, controlEnv, context);
    await waitOnExecutionContext(context);
    return response;
  }

  it("lets in whom the team's keys vouch for, and reads the keys of the team once", async () => {
    expect((await enter(await token())).status).toBe(200);
    expect((await enter(await token({ email: undefined, common_name: "robot" }))).status).toBe(200);
    expect(asked).toEqual([`${ISSUER}/cdn-cgi/access/certs`]);
  });

  it.each([
    ["of another application", { aud: ["b".repeat(64)] }, /claim aud/],
    ["of another team", { iss: "https://other.cloudflareaccess.com" }, /claim iss/],
    ["that has expired", { exp: 1_000_000 }, /expired/],
    ["that never ends", { exp: undefined }, /claim exp/],
    ["that names nobody", { email: undefined }, /names no user/],
  ])("refuses a token %s", async (_name, claims, reason) => {
    const response = await enter(await token(claims));
    expect(response.status).toBe(401);
    expect(await response.text()).toMatch(reason);
  });

  it("refuses what the team did not sign", async () => {
    for (const assertion of [await token({}, true), "x", "a.b.c", "y".repeat(20_000)]) {
      expect((await enter(assertion)).status).toBe(401);
    }
  });

  it("opens the page only, not the API", async () => {
    expect((await enter(await token(), "/v1/runs")).status).toBe(401);
  });

  it("tells a team whose keys cannot be read from a wrong token", async () => {
    const fresh = createAccessVerifier(
      { issuer: ISSUER, audience: AUDIENCE },
      { fetch: fetchKeys },
    );
    isDown = true;
    const verified = await fresh.verify(await token(), Date.now());
    isDown = false;
    expect(verified).toMatchObject({
      ok: false,
      failure: expect.stringContaining("could not be read"),
    });
  });

  it("means nothing to a Worker without the option", async () => {
    const response = await ask("/", { headers: { "cf-access-jwt-assertion": await token() } });
    expect(response.status).toBe(303);
  });

  it.each([
    [{ team: "acme.example.com", audience: AUDIENCE }, "access.team"],
    [{ team: "acme", audience: "short" }, "access.audience"],
  ])("refuses the option %j", async (access, expected) => {
    const wrong = createReconciler<ControlEnv>({
      objects: () => ({}),
      coordinator: (env) => env.SHARDCTL,
      access: () => access,
    });
    const response = await wrong.fetch(new Request(ORIGIN), controlEnv, createExecutionContext());
    expect(response.status).toBe(503);
    expect(await response.text()).toContain(expected);
  });
});

describe("answers", () => {
  it.each([
    "/",
    "/namespaces/ORDERS/p-orders?environment=page",
    "/login",
    "/namespaces/ORDERS/nobody",
  ])("%s has a strict policy and no cache", async (path) => {
    const { headers } = await ask(path, { headers: { authorization: "Bearer read-token" } });
    expect(headers.get("content-security-policy")).toBe(
      "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'",
    );
    expect(headers.get("x-content-type-options")).toBe("nosniff");
    expect(headers.get("referrer-policy")).toBe("same-origin");
    expect(headers.get("strict-transport-security")).toBeNull();
    expect(headers.get("cache-control")).toBe("no-store");
    expect(headers.get("content-type")).toBe("text/html; charset=utf-8");
  });

  it("keep stylesheet and script for ever, under names that change with them", async () => {
    const html = await read("/?environment=page");
    for (const [, path] of html.matchAll(/(?:src|href)="(\/assets\/[^"]+)"/g)) {
      const file = await ask(path ?? "");
      expect(file.status).toBe(200);
      expect(file.headers.get("cache-control")).toBe("public, max-age=31536000, immutable");
      expect(file.headers.get("content-type")).toMatch(/^text\/(css|javascript); charset=utf-8$/);
    }
    expect((await ask("/assets/0000000000000000.css")).status).toBe(404);
  });

  it("give the main part with a tag, and nothing while it is the same", async () => {
    const headers = { authorization: "Bearer read-token" };
    await read("/namespaces/ORDERS/p-orders?environment=page");
    const path = "/?environment=page&part=main";
    const first = await ask(path, { headers });
    const etag = first.headers.get("etag") ?? "";
    expect(await first.text()).toMatch(/^<main id="main"[\s\S]*<\/main>$/);
    expect((await ask(path, { headers: { ...headers, "if-none-match": etag } })).status).toBe(304);
    expect(
      (await read("/?environment=page"))
        .match(/data-etag="([^"]*)"/)?.[1]
        ?.replaceAll("&quot;", '"'),
    ).toBe(etag);
    await makePlan("page", [spec("p-orders", { count: 5 })]);
    expect((await ask(path, { headers: { ...headers, "if-none-match": etag } })).status).toBe(200);
  });

  it("say as a page what was asked wrongly", async () => {
    const response = await ask("/?page=x", { headers: { authorization: "Bearer read-token" } });
    expect(response.status).toBe(400);
    expect(await response.text()).toContain("?page= must be a whole number");
    expect(
      (await ask("/namespaces/ORDERS/nobody", { headers: { authorization: "Bearer read-token" } }))
        .status,
    ).toBe(404);
  });
});

describe("what is asked for a page", () => {
  it("is no namespace that was read lately, and none but those on the screen", async () => {
    const names = Array.from({ length: 60 }, (_, index) => `p${String(index).padStart(2, "0")}`);
    await makePlan(
      "many",
      names.map((name) => spec(name)),
    );
    for (
      let tries = 0;
      tries < 10 && (await read("/?environment=many")).includes("not seen yet");
      tries++
    ) {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    const verbs = await Promise.all(
      names.map(async (name) => (await controlsOf(name).verbs()).length),
    );
    const html = await read("/?environment=many");
    expect(html).toContain("Page 1 of 2, 60 namespaces");
    expect(
      await Promise.all(names.map(async (name) => (await controlsOf(name).verbs()).length)),
    ).toEqual(verbs);
    // Planning read each of them once; the page the first fifty, once more.
    const [shown, beyond] = [verbs.slice(0, 50), verbs.slice(50)];
    expect(new Set(shown)).toEqual(new Set([(beyond[0] ?? 0) + 1]));
  });

  it("waits for nobody who hangs", async () => {
    await makePlan("hangs", [spec("p-hangs"), spec("p-fine")]);
    await controlsOf("p-hangs").setDelay(6_000);
    const html = await read("/?environment=hangs");
    await controlsOf("p-hangs").setDelay(0);
    expect(html).toMatch(/p-fine[\s\S]*3 rows/);
    expect(html).toContain("not seen yet");
  }, 30_000);

  it("follows a running operation, and looks anew when it has ended", async () => {
    await controlsOf("p-moving").setPace(12);
    const run = await applyPlan(await makePlan("moves", [spec("p-moving")]));
    await followRun(run.id, ({ actions }) => actions[0]?.operation?.state === "running");
    const during = await read("/?environment=moves");
    expect(during).toContain('id="underway"');
    expect(during).toContain("Progress of p-moving");
    expect(during).toContain('data-refresh-ms="2000"');
    expect(during).toContain(run.id);
    await followRun(run.id);
    const after = await read("/?environment=moves");
    expect(after).not.toContain('id="underway"');
    expect(after).toContain("hash(id) × 2");
    expect(after).toMatch(
      /What happened[\s\S]*the run succeeded: 1 done[\s\S]*shard 1 → 2 members, operation 1 completed/,
    );
    expect(await read("/namespaces/ORDERS/p-moving?environment=moves")).toMatch(
      /#1 shard[\s\S]*3 rows moved[\s\S]*What happened[\s\S]*operation 1 completed/,
    );
  }, 60_000);
});

describe("the list of 10,000 namespaces", () => {
  it("is read from an index, a page at a time, what needs somebody first", async () => {
    await runInDurableObject(coordinatorStub(), (_instance, state) => {
      const insert = (name: string, type: string, faults: readonly unknown[]): void => {
        const condition = {
          namespace: name,
          object: "ORDERS",
          type,
          reason: "InSync",
          message: "m",
          since: 1,
          failures: 0,
          nextTryAt: null,
        };
        state.storage.sql.exec(
          "INSERT INTO reconciledNames VALUES ('big', ?, 'ORDERS', 0, 0, 'x', 0, 0, 0, ?)",
          name,
          JSON.stringify({
            name,
            object: "ORDERS",
            spec: null,
            condition,
            faults,
            differences: [],
            padding: "x".repeat(2000),
          }),
        );
      };
      for (let index = 0; index < 10_000; index++) {
        const isStalled = index % 2_500 === 7;
        const drift = {
          kind: "orphan",
          namespace: `n${index}`,
          object: "ORDERS",
          state: "open",
          reason: "r",
          detail: null,
          remedy: "m",
          firstSeenAt: 1,
          lastSeenAt: 1,
          pass: 1,
        };
        insert(
          `n${String(index).padStart(5, "0")}`,
          isStalled ? "Stalled" : "Ready",
          isStalled ? [drift] : [],
        );
      }
      const plan = (query: string): string =>
        state.storage.sql
          .exec<{ detail: string }>(`EXPLAIN QUERY PLAN ${query}`)
          .toArray()
          .map(({ detail }) => detail)
          .join("; ");
      const of = "FROM listedNames INDEXED BY listedByRank WHERE environment = 'big'";
      const covered = /^SEARCH listedNames USING COVERING INDEX listedByRank \(environment=\?\)$/;
      expect(plan(`SELECT listRank, count(*) ${of} GROUP BY listRank`)).toMatch(covered);
      expect(plan(`SELECT name, object ${of} ORDER BY listRank, name, object LIMIT 50`)).toMatch(
        covered,
      );
    });
    const first = await read("/?environment=big");
    expect(first).toContain("Namespaces: 4 stalled, 9,996 ready");
    expect(first).toContain("Page 1 of 200, 10,000 namespaces");
    expect(first.indexOf(">n07507<")).toBeLessThan(first.indexOf(">n00000<"));
    expect(first).toContain("Drift (4)");
    expect(await read("/?environment=big&state=Stalled")).not.toContain(">n00000<");
    const found = await read("/?environment=big&search=N0999");
    expect(found).toContain(">n09999<");
    expect(found).not.toContain(">n00000<");
    expect(await read("/?environment=big&page=999")).toContain("Page 200 of 200");
  }, 60_000);
});
