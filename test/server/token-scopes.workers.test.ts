/**
 * Tokens that hold for some namespaces: every route is tried with tokens for A on what is B's. A
 * route that is not in the table fails here: say how its scope is judged, and add a row.
 */
import { runInDurableObject } from "cloudflare:test";
import { beforeAll, describe, expect, it } from "vitest";

import type { Run } from "../../src/model/api.ts";
import type { DriftReport } from "../../src/model/drift.ts";
import type { EventList } from "../../src/model/event.ts";
import type { Plan } from "../../src/model/plan.ts";
import type { RoleCheck } from "../../src/server/access/authorize.ts";
import type { RouteScope } from "../../src/server/access/caller-scope.ts";
import { createHttpApi } from "../../src/server/http-api.ts";
import { addThingRoutes } from "../../src/server/routes/things.ts";
import {
  applyPlan,
  call,
  controlsOf,
  coordinatorStub,
  desired,
  followRun,
  spec,
} from "../support/control-api.ts";
import { ask, type Entry } from "../support/scoped-tokens.ts";

const ENVIRONMENT = "scoped";
const OTHER = "elsewhere";
const A = "scope-a";
const B = "scope-b";

/** Tokens that hold for A and not for B, in every way in which one may. */
const FOR_A: readonly [string, Entry][] = [
  ["by name", { name: "a-by-name", namespaces: [A] }],
  ["by name and environment", { name: "a-there", namespaces: [A], environments: [ENVIRONMENT] }],
  ["by label", { name: "a-by-label", labels: { team: "a" } }],
  ["by label and another name", { name: "a-both", labels: { team: "a" }, namespaces: ["none"] }],
];
/** Tokens that hold for none of the environment. */
const FOR_NONE: readonly [string, Entry][] = [
  ["of another environment", { name: "elsewhere", environments: [OTHER] }],
  ["of both names elsewhere", { name: "ab", namespaces: [A, B], environments: [OTHER] }],
  ["of another label", { name: "c", labels: { team: "c" } }],
  ["of one label of two", { name: "ac", labels: { team: "a", tier: "1" } }],
];

const DRIFT = {
  kind: "orphan",
  state: "open",
  detail: null,
  firstSeenAt: 1,
  lastSeenAt: 1,
  remedy: "look",
  pass: 1,
};

const declared = (name: string, team: string) =>
  spec(name, { labels: { team }, policy: { ...spec(name).policy, selfHeal: "off" } });

/** Made before the tests by somebody with a token for everything. */
const made = { planA: "", planB: "", planBoth: "", runA: "", runB: "" };

async function plan(names: readonly string[], count: number): Promise<Plan> {
  const namespaces = names.map((name) => ({ ...declared(name, name === A ? "a" : "b"), count }));
  const answer = await call<Plan>("POST", "/v1/plans", {
    body: { desired: desired(ENVIRONMENT, namespaces) },
  });
  if (answer.status !== 200) throw new Error(`No plan: ${JSON.stringify(answer.body)}`);
  return answer.body;
}

beforeAll(async () => {
  const first = await plan([A, B], 2);
  await followRun((await applyPlan(first)).id);
  const drift = await call("POST", `/v1/reconcile?environment=${ENVIRONMENT}&wait=20`);
  if (drift.status !== 200) throw new Error(`No tick: ${JSON.stringify(drift.body)}`);
  made.planBoth = (await plan([A, B], 3)).fingerprint;
  const onlyB = await plan([B], 3);
  made.planB = onlyB.fingerprint;
  // Plans that tell of nobody else, as a token for A alone makes them.
  const own = await ask({ name: "a", namespaces: [A] }, "POST", "/v1/plans", {
    desired: desired(ENVIRONMENT, [{ ...declared(A, "a"), count: 3 }]),
  });
  made.planA = (JSON.parse(own.text) as Plan).fingerprint;
  for (const [pull, fingerprint] of [
    [7, made.planB],
    [8, made.planA],
  ] as const)
    await call("PUT", "/v1/reviews", {
      body: { fingerprint, pull, headSha: "a".repeat(40), runUrl: null },
    });
  const runA = await ask(
    { name: "a", namespaces: [A] },
    "POST",
    `/v1/plans/${made.planA}/apply`,
    {},
  );
  if (runA.status !== 202) throw new Error(`No run: ${runA.text}`);
  made.runA = (await followRun((JSON.parse(runA.text) as Run).id)).id;
  made.runB = (await followRun((await applyPlan(onlyB)).id)).id;
}, 60_000);

interface Row {
  readonly route: string;
  readonly scope: RouteScope | "public" | "page";
  /** A request about B; absent where nobody can ask about one namespace. */
  readonly ofB?: () => { readonly path: string; readonly body?: unknown };
  /** The same about A, which a token for A is not refused. */
  readonly ofA?: () => { readonly path: string; readonly body?: unknown };
  /** True where B is left out of the answer, instead of a refusal. */
  readonly filters?: boolean;
}

const about = (path: string, body?: unknown) => (name: string) => () => ({
  path: path.replace("NAME", name),
  ...(body === undefined ? {} : { body }),
});
const both = (path: string, body?: unknown) => ({
  ofA: about(path, body)(A),
  ofB: about(path, body)(B),
});
const reason = { reason: "a test" };
const repair = { fingerprint: "0".repeat(16) };

const ROUTES: readonly Row[] = [
  { route: "GET /healthz", scope: "public" },
  { route: "POST /github/webhook", scope: "public" },
  { route: "GET /login", scope: "public" },
  { route: "POST /login", scope: "public" },
  { route: "POST /logout", scope: "public" },
  { route: "GET /assets/:file", scope: "public" },
  { route: "GET /metrics", scope: "everything", ofB: () => ({ path: "/metrics" }) },
  { route: "PUT /v1/pause", scope: "everything", ofB: () => ({ path: "/v1/pause", body: reason }) },
  { route: "DELETE /v1/pause", scope: "everything", ofB: () => ({ path: "/v1/pause" }) },
  {
    route: "GET /v1/events",
    scope: "checked",
    filters: true,
    ofA: () => ({ path: `/v1/events?environment=${ENVIRONMENT}` }),
    ofB: () => ({ path: `/v1/events?environment=${ENVIRONMENT}&limit=1000` }),
  },
  {
    route: "GET /v1/namespaces",
    scope: "checked",
    filters: true,
    ofA: () => ({ path: `/v1/namespaces?environment=${ENVIRONMENT}` }),
    ofB: () => ({ path: `/v1/namespaces` }),
  },
  { route: "GET /v1/namespaces/:name", scope: "namespace", ...both("/v1/namespaces/NAME") },
  {
    route: "GET /v1/namespaces/:name/history",
    scope: "namespace",
    ...both("/v1/namespaces/NAME/history?object=ORDERS"),
  },
  { route: "GET /v1/namespaces/:name/ids", scope: "namespace", ...both("/v1/namespaces/NAME/ids") },
  {
    route: "GET /v1/namespaces/:name/repair",
    scope: "namespace",
    ...both("/v1/namespaces/NAME/repair?object=ORDERS"),
  },
  {
    route: "POST /v1/namespaces/:name/repair",
    scope: "namespace",
    ...both("/v1/namespaces/NAME/repair", repair),
  },
  {
    route: "PUT /v1/namespaces/:name/pause",
    scope: "namespace",
    ...both("/v1/namespaces/NAME/pause", reason),
  },
  {
    route: "DELETE /v1/namespaces/:name/pause",
    scope: "namespace",
    ...both("/v1/namespaces/NAME/pause"),
  },
  {
    route: "GET /v1/namespaces/:name/forget",
    scope: "namespace",
    ...both("/v1/namespaces/NAME/forget"),
  },
  {
    route: "POST /v1/namespaces/:name/forget",
    scope: "namespace",
    ...both("/v1/namespaces/NAME/forget"),
  },
  ...["GET /v1/state", "GET /v1/state/:table", "POST /v1/state/imports"].map(stateRow),
  ...["PUT /v1/state/imports/:id/:table", "GET /v1/state/imports/:id"].map(stateRow),
  stateRow("POST /v1/state/imports/:id/apply"),
  {
    route: "POST /v1/plans",
    scope: "checked",
    ofA: () => ({ path: "/v1/plans", body: { desired: desired(ENVIRONMENT, [declared(A, "a")]) } }),
    ofB: () => ({ path: "/v1/plans", body: { desired: desired(ENVIRONMENT, [declared(B, "a")]) } }),
  },
  {
    route: "GET /v1/plans/:fingerprint",
    scope: "checked",
    ofA: () => ({ path: `/v1/plans/${made.planA}` }),
    ofB: () => ({ path: `/v1/plans/${made.planB}` }),
  },
  {
    route: "POST /v1/plans/:fingerprint/apply",
    scope: "checked",
    ofA: () => ({ path: `/v1/plans/${made.planA}/apply`, body: {} }),
    ofB: () => ({ path: `/v1/plans/${made.planBoth}/apply`, body: {} }),
  },
  {
    route: "PUT /v1/reviews",
    scope: "checked",
    ofA: () => review(made.planA),
    ofB: () => review(made.planB),
  },
  {
    route: "GET /v1/reviews",
    scope: "checked",
    filters: true,
    ofA: () => ({ path: "/v1/reviews" }),
    ofB: () => ({ path: "/v1/reviews?pull=7" }),
  },
  {
    route: "PUT /v1/reviews/:pull/release",
    scope: "checked",
    ofA: () => release(8, made.planA),
    ofB: () => release(7, made.planB),
  },
  {
    route: "GET /v1/runs",
    scope: "checked",
    filters: true,
    ofA: () => ({ path: "/v1/runs" }),
    ofB: () => ({ path: `/v1/runs?environment=${ENVIRONMENT}&limit=1000` }),
  },
  {
    route: "GET /v1/runs/:id",
    scope: "checked",
    ofA: () => ({ path: `/v1/runs/${made.runA}` }),
    ofB: () => ({ path: `/v1/runs/${made.runB}?wait=1` }),
  },
  {
    route: "POST /v1/runs/:id/cancel",
    scope: "checked",
    ofA: () => ({ path: `/v1/runs/${made.runA}/cancel` }),
    ofB: () => ({ path: `/v1/runs/${made.runB}/cancel` }),
  },
  {
    route: "GET /v1/drift",
    scope: "checked",
    filters: true,
    ofA: () => ({ path: `/v1/drift?environment=${ENVIRONMENT}` }),
    ofB: () => ({ path: `/v1/drift?environment=${ENVIRONMENT}` }),
  },
  {
    route: "POST /v1/reconcile",
    scope: "checked",
    ofB: () => ({ path: `/v1/reconcile?environment=${ENVIRONMENT}` }),
  },
  {
    route: "GET /",
    scope: "page",
    filters: true,
    ofA: () => ({ path: `/?environment=${ENVIRONMENT}` }),
    ofB: () => ({ path: `/?environment=${ENVIRONMENT}` }),
  },
  {
    route: "GET /namespaces/:object/:name",
    scope: "page",
    ...both(`/namespaces/ORDERS/NAME?environment=${ENVIRONMENT}`),
  },
  { route: "POST /data/:binding/:namespace/things", scope: "namespace" },
  { route: "GET /data/:binding/:namespace/things", scope: "namespace" },
  { route: "GET /data/:binding/:namespace/things/:id", scope: "namespace" },
  { route: "DELETE /data/:binding/:namespace/things/:id", scope: "namespace" },
];

/** The Worker's own state is about every namespace. */
function stateRow(route: string): Row {
  const path = route.split(" ")[1] ?? "";
  const asked = () => ({ path: path.replace(":id", "an-import").replace(":table", "plans") });
  return { route, scope: "everything", ofB: asked };
}

function review(fingerprint: string) {
  const body = { fingerprint, pull: 9, headSha: "b".repeat(40), runUrl: null };
  return { path: "/v1/reviews", body };
}

function release(pull: number, fingerprint: string) {
  const body = { fingerprint, releasedBy: "octocat", overrides: [] };
  return { path: `/v1/reviews/${pull}/release`, body };
}

/** The text of A that a list shows. */
function shownOf({ filters, route }: Row): string {
  if (filters !== true) return "";
  return route.includes("reviews") ? made.planA : A;
}

const methodOf = ({ route }: Row): string => route.split(" ")[0] ?? "";

it("every route says how the scope of a token is judged", () => {
  const unused = (): never => {
    throw new Error("Nothing is asked here");
  };
  const api = createHttpApi({
    settings: unused,
    liveAccess: unused,
    coordinator: unused,
    tokens: unused,
    openVerifier: unused,
    openAccess: unused,
    allowAnonymous: false,
    extend: (extended, requireRole) => addThingRoutes(extended, requireRole, unused),
  });
  const routes = api.routes.filter(({ method }) => method !== "ALL");
  const declaredBy = new Map<string, RouteScope | null>();
  for (const { method, path, handler } of routes) {
    const route = `${method} ${path}`;
    const { scope } = handler as Partial<RoleCheck>;
    declaredBy.set(route, scope ?? declaredBy.get(route) ?? null);
  }
  const expected = ROUTES.map(({ route, scope }): [string, RouteScope | null] => [
    route,
    scope === "public" || scope === "page" ? null : scope,
  ]);
  expect(declaredBy).toEqual(new Map(expected));
});

const asked = ROUTES.filter(({ ofB }) => ofB !== undefined);

describe.each([...FOR_A, ...FOR_NONE])("a token %s", (_name, entry) => {
  it.each(asked.map((row) => [row.route, row] as const))(
    "%s: nothing of B",
    async (_route, row) => {
      const { path, body } = row.ofB?.() ?? { path: "" };
      const answer = await ask(entry, methodOf(row), path, body);
      // A list leaves B out; everything else is refused.
      expect(row.filters === true ? [200, 403, 404] : [403, 404]).toContain(answer.status);
      // A refusal repeats the name that was asked for; nothing else of B is told.
      const told = answer.status === 200 ? answer.text : "";
      for (const secret of [B, made.planB, made.planBoth, made.runB])
        expect(told).not.toContain(secret);
    },
  );
});

describe.each(FOR_A)("a token for A %s", (_name, entry) => {
  const ofA = ROUTES.filter((row) => row.ofA !== undefined);
  it.each(ofA.map((row) => [row.route, row] as const))(
    "%s: is not refused A",
    async (_route, row) => {
      const { path, body } = row.ofA?.() ?? { path: "" };
      const answer = await ask(entry, methodOf(row), path, body);
      expect([200, 202, 204, 409]).toContain(answer.status);
      expect(answer.text).toContain(shownOf(row));
    },
  );
});

describe.each(FOR_NONE)("a token %s", (_name, entry) => {
  const ofA = ROUTES.filter((row) => row.ofA !== undefined);
  it.each(ofA.map((row) => [row.route, row] as const))("%s: nothing of A", async (_route, row) => {
    const { path, body } = row.ofA?.() ?? { path: "" };
    const answer = await ask(entry, methodOf(row), path, body);
    expect(row.filters === true ? [200, 403, 404] : [403, 404]).toContain(answer.status);
    expect(answer.status === 200 ? answer.text : "").not.toContain(A);
  });
});

describe("a plan by a token for A", () => {
  it("tells of no other namespace, not even that there is one", async () => {
    const answer = await ask({ name: "a", namespaces: [A] }, "POST", "/v1/plans", {
      desired: desired(ENVIRONMENT, [declared(A, "a")]),
    });
    expect(answer.status).toBe(200);
    expect((JSON.parse(answer.text) as Plan).notices).toEqual([]);
    expect(answer.text).not.toContain(B);
  });

  it("is not made on the choices of a plan that it may not see", async () => {
    const body = { desired: desired(ENVIRONMENT, [declared(A, "a")]), basis: made.planB };
    const answer = await ask({ name: "a", namespaces: [A] }, "POST", "/v1/plans", body);
    expect(answer.status).toBe(403);
  });

  it("applies nothing of an environment that it does not hold for", async () => {
    const entry = { name: "there", namespaces: [A], environments: [ENVIRONMENT] };
    const body = { desired: desired(OTHER, [declared(A, "a")]) };
    const answer = await ask(entry, "POST", "/v1/plans", body);
    expect(answer).toMatchObject({ status: 403, text: expect.stringContaining(`'${OTHER}'`) });
  });

  it("applies no policy of a namespace that it does not hold for, alone or beside its own", async () => {
    const environment = "policies";
    const specs = ["pol-a", "pol-b"].map((name) => declared(name, name));
    const first = await call<Plan>("POST", "/v1/plans", {
      body: { desired: desired(environment, specs) },
    });
    await followRun((await applyPlan(first.body)).id);
    const entry = { name: "pol", namespaces: ["pol-a"] };
    const [own, other] = specs;
    if (!own || !other) throw new Error("There are two");
    const loose = { ...other, policy: { ...other.policy, selfHeal: "apply" as const } };
    for (const mine of [own, { ...own, count: 3 }]) {
      const { body } = await call<Plan>("POST", "/v1/plans", {
        body: { desired: desired(environment, [mine, loose]) },
      });
      expect(body.policies).toMatchObject([{ namespace: "pol-b" }]);
      const answer = await ask(entry, "POST", `/v1/plans/${body.fingerprint}/apply`, {});
      expect(answer.status).toBe(403);
    }
    const onlyPolicy = await call<Plan>("POST", "/v1/plans", {
      body: { desired: desired(environment, [own, loose]) },
    });
    const run = await applyPlan(onlyPolicy.body);
    expect((await ask(entry, "GET", `/v1/runs/${run.id}`)).status).toBe(403);
  });

  it("leaves what others have applied declared, without a repository", async () => {
    const environment = "kept";
    const specs = ["kept-a", "kept-b"].map((name) => declared(name, name));
    const first = await call<Plan>("POST", "/v1/plans", {
      body: { desired: desired(environment, specs) },
    });
    await followRun((await applyPlan(first.body)).id);
    const entry = { name: "kept", namespaces: ["kept-a"] };
    const own = { ...declared("kept-a", "kept-a"), count: 3 };
    const planned = await ask(entry, "POST", "/v1/plans", {
      desired: desired(environment, [own]),
    });
    const { fingerprint } = JSON.parse(planned.text) as Plan;
    const applied = await ask(entry, "POST", `/v1/plans/${fingerprint}/apply`, {});
    await followRun((JSON.parse(applied.text) as Run).id);
    const report = await call<DriftReport>(
      "POST",
      `/v1/reconcile?environment=${environment}&wait=20`,
    );
    expect(report.body.drifts).toEqual([]);
    expect(report.body.conditions).toMatchObject([
      { namespace: "kept-a", reason: "InSync" },
      { namespace: "kept-b", reason: "InSync" },
    ]);
  });
});

describe("an apply, without a repository", () => {
  it.each<[string, object]>([
    ["names", { namespaces: ["gone1-a", "gone1-c"] }],
    ["an environment and names", { environments: ["gone2"], namespaces: ["gone2-a", "gone2-c"] }],
    ["a label", { labels: { team: "gone3-ac" } }],
  ])(
    "by %s takes away what it holds for and declares no more, and nothing else",
    async (_, scope) => {
      const environment = (/gone\d/.exec(JSON.stringify(scope)) ?? [""])[0];
      const named = (name: string, team: string) =>
        declared(`${environment}-${name}`, `${environment}-${team}`);
      const [a, b, c] = [named("a", "ac"), named("b", "b"), named("c", "ac")] as const;
      const first = await call<Plan>("POST", "/v1/plans", {
        body: { desired: desired(environment, [a, b, c]) },
      });
      await followRun((await applyPlan(first.body)).id);
      const reconcile = () =>
        call<DriftReport>("POST", `/v1/reconcile?environment=${environment}&wait=20`);
      await reconcile();
      const entry = { name: "gone", ...scope };
      const planned = await ask(entry, "POST", "/v1/plans", {
        desired: desired(environment, [{ ...a, count: 3 }]),
      });
      const { fingerprint } = JSON.parse(planned.text) as Plan;
      const applied = await ask(entry, "POST", `/v1/plans/${fingerprint}/apply`, {});
      await followRun((JSON.parse(applied.text) as Run).id);
      expect((await reconcile()).body.conditions.map(({ namespace }) => namespace)).toEqual([
        `${environment}-a`,
        `${environment}-b`,
      ]);
    },
  );
});

describe("a token for A in one environment", () => {
  const name = "voice-a";
  const other = "voice-other";
  const here = { name: "voice", namespaces: [name], environments: ["voice-1"] };
  const there = { name: "voice-there", namespaces: [name], environments: ["voice-2"] };
  const statusOf = async (entry: Entry) =>
    (await ask(entry, "GET", `/v1/namespaces/${name}`)).status;
  const planIn = (environment: string, names: readonly string[], token = "plan-token") =>
    call<Plan>("POST", "/v1/plans", {
      token,
      body: {
        desired: desired(
          environment,
          names.map((one) => declared(one, one)),
        ),
      },
    });
  const tick = async (environment: string) =>
    call("POST", `/v1/reconcile?environment=${environment}&wait=20`);

  beforeAll(async () => {
    await followRun((await applyPlan((await planIn("voice-1", [name])).body)).id);
    await tick("voice-1");
    await followRun((await applyPlan((await planIn("voice-2", [other])).body)).id);
    await tick("voice-2");
  }, 60_000);

  it("holds for it whatever somebody plans in other environments, which claims nothing", async () => {
    expect(await statusOf(here)).toBe(200);
    expect((await planIn("voice-made-up", [name])).status).toBe(200);
    expect(await statusOf(here)).toBe(200);
    // One that is followed looks at what plans have remembered.
    expect((await planIn("voice-2", [name, other])).status).toBe(200);
    await tick("voice-2");
    expect(await statusOf(here)).toBe(200);
    expect(await statusOf(there)).toBe(403);
    const shown = await ask(here, "GET", "/v1/namespaces");
    expect(shown.text).toContain(name);
  });

  it("holds for it after its manifest is gone, and a token of another one does not", async () => {
    const [only] = ["voice-rest"];
    await followRun((await applyPlan((await planIn("voice-1", [only], "apply-token")).body)).id);
    await tick("voice-1");
    expect(await statusOf(here)).toBe(200);
    expect(await statusOf(there)).toBe(403);
    // Nor does it by a plan of its own.
    const own = { desired: desired("voice-2", [declared(name, name)]) };
    expect((await ask(there, "POST", "/v1/plans", own)).status).toBe(403);
  });

  it("loses it once another environment has run a change of it", async () => {
    const changed = await call<Plan>("POST", "/v1/plans", {
      body: { desired: desired("voice-2", [{ ...declared(name, name), count: 3 }]) },
    });
    await followRun((await applyPlan(changed.body)).id);
    expect(await statusOf(here)).toBe(403);
    expect(await statusOf({ ...here, environments: ["voice-1", "voice-2"] })).toBe(200);
  });
});

describe("a token by label, where its name is behind two bindings", () => {
  const environment = "twins";
  const name = "twin";
  const entry = { name: "twin-token", labels: { team: "twin" } };
  const secret = "of-the-other-binding";

  beforeAll(async () => {
    const specs = [declared(name, "twin"), declared("twin-alone", "twin")];
    const { body } = await call<Plan>("POST", "/v1/plans", {
      body: { desired: desired(environment, specs) },
    });
    await followRun((await applyPlan(body)).id);
    await call("POST", `/v1/reconcile?environment=${environment}&wait=20`);
    // Live, and without a manifest: nobody has given it a label.
    await runInDurableObject(coordinatorStub(), (_instance, { storage: { sql } }) => {
      const drift = JSON.stringify({ ...DRIFT, namespace: name, object: "REAL", reason: secret });
      sql.exec(
        `INSERT INTO reconciledNames SELECT environment, name, 'REAL', 9e15, pass, NULL, 0, 0, 0,
          json_set(body, '$.object', 'REAL', '$.spec', null, '$.faults', json_array(json(?))) FROM reconciledNames WHERE environment = ? AND name = ?`,
        drift,
        environment,
        name,
      );
      sql.exec("INSERT INTO namespaces VALUES (?, ?, 'MORE')", environment, name);
      sql.exec(
        `INSERT INTO events (at, environment, kind, namespace, body) VALUES (1, ?, 'drift', ?, ?)`,
        environment,
        name,
        JSON.stringify({
          summary: secret,
          commit: null,
          pull: null,
          run: null,
          fingerprint: null,
          actor: "ci",
        }),
      );
    });
  }, 60_000);

  it.each([
    ["namespaces", `/v1/namespaces?environment=${environment}`, "twin-alone", "MORE"],
    ["drifts", `/v1/drift?environment=${environment}`, "twin-alone", secret],
    ["events", `/v1/events?environment=${environment}&limit=1000`, "twin-alone", secret],
    ["the page", `/?environment=${environment}`, "twin-alone", secret],
    ["the page, by name", `/?environment=${environment}&search=twin&state=Unknown`, "", "MORE"],
  ])("is shown its own one in %s, and nothing of the other", async (_what, path, own, all) => {
    const { status, text } = await ask(entry, "GET", path);
    expect(status).toBe(200);
    for (const other of [secret, "REAL", "MORE"]) expect(text).not.toContain(other);
    expect(text).toContain(own);
    expect((await ask({ name: "all" }, "GET", path)).text).toContain(all);
  });
});

describe("a token by label, where another environment declares it without the label", () => {
  it("is shown nothing of it in lists either: it is one set of objects", async () => {
    const entry = { name: "label-twice", labels: { team: "label-twice" } };
    const listed = async () =>
      (await ask(entry, "GET", "/v1/drift?environment=label-1")).text.includes('"label-a"');
    for (const [environment, team, count] of [
      ["label-1", "label-twice", 2],
      ["label-2", "others", 3],
    ] as const) {
      const { body } = await call<Plan>("POST", "/v1/plans", {
        body: { desired: desired(environment, [{ ...declared("label-a", team), count }]) },
      });
      await followRun((await applyPlan(body)).id);
      await call("POST", `/v1/reconcile?environment=${environment}&wait=20`);
      expect(await listed()).toBe(environment === "label-1");
    }
    expect((await ask(entry, "GET", "/v1/namespaces/label-a")).status).toBe(403);
  });
});

describe("a run of A and B", () => {
  it("is shown with what the token holds for, and ended by none that holds for less", async () => {
    await controlsOf("mixed-a").setPace(10_000);
    const specs = ["mixed-a", "mixed-b"].map((name) => declared(name, name));
    const planned = await call<Plan>("POST", "/v1/plans", {
      body: { desired: desired("mixed", specs) },
    });
    const { id } = await applyPlan(planned.body);
    await followRun(id, ({ actions }) => actions.some(({ state }) => state === "running"));
    const entry = { name: "mixed", namespaces: ["mixed-a"] };
    const shown = await ask(entry, "GET", `/v1/runs/${id}`);
    expect((JSON.parse(shown.text) as Run).actions.map(({ namespace }) => namespace)).toEqual([
      "mixed-a",
    ]);
    expect(shown.text).not.toContain("mixed-b");
    expect((await ask(entry, "POST", `/v1/runs/${id}/cancel`)).status).toBe(403);
    // Nor does the lock tell whose it is.
    const own = await ask(entry, "POST", "/v1/plans", {
      desired: desired("mixed", [{ ...declared("mixed-a", "mixed-a"), count: 5 }]),
    });
    const { fingerprint } = JSON.parse(own.text) as Plan;
    const locked = await ask(entry, "POST", `/v1/plans/${fingerprint}/apply`, {});
    expect(locked).toMatchObject({ status: 409, text: expect.stringContaining("locked") });
    expect(locked.text).not.toContain(id);
    // The history has the caller who has ended it.
    const whole = { name: "boss", namespaces: ["mixed-a", "mixed-b"] };
    expect((await ask(whole, "POST", `/v1/runs/${id}/cancel`)).status).toBe(202);
    const events = await call<EventList>("GET", "/v1/events?environment=mixed&kind=run");
    expect(events.body.events).toContainEqual(
      expect.objectContaining({ run: id, summary: "the run was asked to end", actor: "boss" }),
    );
    await controlsOf("mixed-a").setPace(2);
    await followRun(id);
  });
});

describe("a review by a token for A", () => {
  it("takes the place of none that shows another namespace", async () => {
    const { body } = review(made.planA);
    const own = await ask({ name: "a", namespaces: [A] }, "PUT", "/v1/reviews", {
      ...body,
      pull: 7,
    });
    expect(own).toMatchObject({ status: 403, text: expect.stringContaining("pull request #7") });
  });

  it("is released under the token's name, whoever its holder claims to be", async () => {
    const { path, body } = release(8, made.planA);
    const released = await ask({ name: "ana", namespaces: [A] }, "PUT", path, body);
    expect(JSON.parse(released.text)).toMatchObject({
      release: { releasedBy: "ana (octocat)" },
    });
  });
});

describe("a repair of A", () => {
  it.each([
    ["shows", "GET", `/v1/namespaces/${A}/repair?object=ORDERS&member=${B}-shard-0`, undefined],
    [
      "accepts the loss of",
      "GET",
      `/v1/namespaces/${A}/repair?object=ORDERS&acceptLoss=${B}`,
      undefined,
    ],
    ["applies to", "POST", `/v1/namespaces/${A}/repair?object=ORDERS`, { ...repair, members: [B] }],
  ] as const)("%s no object of B", async (_name, method, path, body) => {
    const answer = await ask({ name: "a", namespaces: [A] }, method, path, body);
    expect(answer).toMatchObject({ status: 403, text: expect.stringContaining("no shard of") });
  });

  it("asks the objects that A's shards may be", async () => {
    const path = `/v1/namespaces/${A}/repair?object=ORDERS&member=${A}-shard-9&member=${A}-g2-shard-0`;
    expect((await ask({ name: "a", namespaces: [A] }, "GET", path)).status).not.toBe(403);
  });
});
