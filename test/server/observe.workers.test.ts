/** History, metrics, health, alerts and the log of the control half, on the real runtime. */
import {
  createExecutionContext,
  createScheduledController,
  runInDurableObject,
} from "cloudflare:test";
import { afterEach, describe, expect, it, vi } from "vitest";

import { makeEvent, type NewEvent } from "../../src/history/make-event.ts";
import type { EventList, HistoryEvent } from "../../src/model/event.ts";
import type { DriftReport } from "../../src/model/drift.ts";
import { DEFAULT_OPERATION_POLICY, type StartOperation } from "../../src/model/operation.ts";
import { DEFAULT_POLICY } from "../../src/model/spec.ts";
import { createObjectAccess } from "../../src/live/durable-object.ts";
import { EVENT_AGE_MAX_MS, EVENTS_MAX, HistoryStore } from "../../src/history/history-store.ts";
import { hashOf } from "../support/state.ts";
import {
  applyPlan,
  call,
  controlEnv,
  controlsOf,
  coordinatorStub,
  desired,
  followRun,
  makePlan,
  refusal,
  spec,
} from "../support/control-api.ts";
import worker, { github } from "../support/control-worker.ts";
import { ask, gitopsStub, planFor, review } from "../support/gitops-api.ts";

afterEach(() => {
  vi.restoreAllMocks();
});

async function eventsOf(query: string): Promise<readonly HistoryEvent[]> {
  return (await call<EventList>("GET", `/v1/events?${query}`, { token: "read-token" })).body.events;
}

async function text(
  path: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<Response> {
  const request = new Request(`http://control.test${path}`, {
    headers: { authorization: "Bearer read-token", ...headers },
  });
  return worker.fetch(request, controlEnv, createExecutionContext());
}

async function reconcileNow(environment: string): Promise<DriftReport> {
  return (await call<DriftReport>("POST", `/v1/reconcile?environment=${environment}`)).body;
}

async function makeDue(stub: DurableObjectStub = coordinatorStub()): Promise<void> {
  await runInDurableObject(stub, (_instance, state) => {
    state.storage.sql.exec("UPDATE reconciledNames SET dueAt = 0");
  });
}

describe("the history", () => {
  it("tells of a plan, its run and what the run moved, each once, with who asked", async () => {
    const declared = [spec("e1-orders", { policy: DEFAULT_POLICY })];
    const plan = await makePlan("events-1", declared);
    await makePlan("events-1", declared);
    const run = await followRun((await applyPlan(plan)).id);
    const events = await eventsOf("environment=events-1");
    expect(events.map(({ kind, namespace, actor }) => [kind, namespace, actor])).toEqual([
      ["run", null, "ci"],
      ["operation", "e1-orders", "ci"],
      ["run", null, "ci"],
      ["plan", null, "ci"],
    ]);
    const moved = run.actions[0]?.operation?.rowsCopied ?? -1;
    expect(events[1]).toMatchObject({
      summary: "shard 1 → 2 members, operation 1 completed",
      rowsMoved: moved,
      run: run.id,
      fingerprint: plan.fingerprint,
    });
    expect(events[0]).toMatchObject({
      summary: "the run succeeded: 1 done",
      rowsMoved: moved,
      durationMs: expect.any(Number) as number,
    });
    expect(await eventsOf("environment=events-1&namespace=e1-orders")).toEqual([events[1]]);
    expect(await eventsOf("environment=events-1&kind=plan")).toEqual([events[3]]);
    expect(await eventsOf(`environment=events-1&before=${events[1]?.id}&limit=1`)).toEqual([
      events[2],
    ]);
    expect(await eventsOf(`environment=events-1&after=${events[2]?.id}`)).toEqual([
      events[1],
      events[0],
    ]);
  });

  it("tells of reviews, releases and pauses", async () => {
    const plan = await planFor([spec("al-orders")]);
    await review(71, plan.fingerprint);
    const release = { fingerprint: plan.fingerprint, releasedBy: "ada", overrides: ["skew"] };
    expect((await ask("PUT", "/v1/reviews/71/release", { body: release })).status).toBe(200);
    await ask("PUT", "/v1/pause", { body: { reason: "upgrade" } });
    await ask("DELETE", "/v1/pause");
    const { body } = await ask<EventList>("GET", "/v1/events?environment=production&limit=1000");
    const summaries = body.events.map(({ kind, pull, summary, actor }) => [
      kind,
      pull,
      summary,
      actor,
    ]);
    expect(summaries).toContainEqual([
      "review",
      71,
      "the plan was shown in pull request #71",
      "github-actions (octocat)",
    ]);
    expect(summaries).toContainEqual([
      "release",
      71,
      "the plan of pull request #71 was released, overriding skew",
      "ci (ada)",
    ]);
    expect(summaries).toContainEqual(["pause", null, "nothing is applied any more: upgrade", "ci"]);
    expect(summaries).toContainEqual(["pause", null, "reconciliation has resumed", "ci"]);
  });

  it("tells of an operation that was started by hand, once it is seen and once it is over", async () => {
    const policy = { ...DEFAULT_POLICY, maxSkew: 100 };
    await followRun(
      (await applyPlan(await makePlan("events-2", [spec("e2-orders", { policy })]))).id,
    );
    await reconcileNow("events-2");
    const before = (await eventsOf("environment=events-2&kind=operation")).length;
    await controlsOf("e2-orders").setPace(3);
    const operation: StartOperation = {
      kind: "rebalance",
      epoch: 2,
      to: hashOf("e2-orders", 3),
      policy: DEFAULT_OPERATION_POLICY,
      correlationId: "by-hand",
      requestedBy: "ada",
      refuseEmpty: false,
    };
    const ref = { name: "e2-orders", object: "ORDERS" };
    const liveAccess = createObjectAccess({ ORDERS: controlEnv.ORDERS });
    const started = await liveAccess.start(ref, operation);
    if (!started.ok) throw new Error(started.failure.message);
    const lookAgain = async (): Promise<number> => {
      await makeDue();
      await reconcileNow("events-2");
      return (await eventsOf("environment=events-2&kind=operation")).length - before;
    };
    expect(await lookAgain()).toBe(1);
    expect(await lookAgain()).toBe(1);
    await vi.waitUntil(async () => {
      const now = await liveAccess.operation(ref, started.value.id);
      return now.ok && now.value.state === "completed";
    });
    expect(await lookAgain()).toBe(2);
    const [ended, began] = await eventsOf("environment=events-2&kind=operation");
    expect(began).toMatchObject({
      namespace: "e2-orders",
      summary: "rebalance 2 → 3 members, operation 2 started without a run",
      actor: "ada",
      run: null,
      rowsMoved: null,
    });
    expect(ended).toMatchObject({
      namespace: "e2-orders",
      summary: "rebalance 2 → 3 members, operation 2 completed",
      actor: "ada",
      run: null,
      rowsMoved: expect.any(Number) as number,
      durationMs: expect.any(Number) as number,
    });
    expect(await lookAgain()).toBe(2);
  });

  it("with 100,000 events answers a page from an index, streams them all in order, and forgets the oldest", async () => {
    const total = 100_000;
    await runInDurableObject(coordinatorStub(), (_instance, state) => {
      const { sql } = state.storage;
      sql.exec(
        `WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?)
         INSERT INTO events (at, environment, kind, namespace, body)
           SELECT ?, CASE n % 1000 WHEN 0 THEN 'rare' ELSE 'crowded' END, 'operation', 'n' || (n % 500), '{"summary":"x","actor":"y"}' FROM numbers`,
        total,
        Date.now(),
      );
      const store = new HistoryStore(sql);
      const filter = {
        environment: null,
        namespace: null,
        kind: null,
        before: null,
        after: null,
        limit: 50,
      };
      for (const query of [
        { ...filter, environment: "rare" },
        { ...filter, environment: "crowded" },
        { ...filter, environment: "crowded", namespace: "n7" },
        { ...filter, environment: "crowded", kind: "plan" as const },
        { ...filter, environment: "crowded", before: total / 2 },
        filter,
      ]) {
        expect(store.list(query).length).toBeLessThanOrEqual(50);
      }
      const plan = (where: string) =>
        sql
          .exec<{ detail: string }>(
            `EXPLAIN QUERY PLAN SELECT id FROM events WHERE ${where} ORDER BY id DESC LIMIT 50`,
          )
          .toArray();
      for (const where of [
        "environment = 'a'",
        "environment = 'a' AND namespace = 'b'",
        "environment = 'a' AND kind = 'c'",
      ]) {
        const details = plan(where)
          .map(({ detail }) => detail)
          .join("; ");
        expect(details).toMatch(/USING (COVERING )?INDEX/);
        expect(details).not.toMatch(/TEMP B-TREE|SCAN/);
      }
    });
    const response = await text("/v1/events?environment=crowded", { accept: "application/jsonl" });
    expect(response.headers.get("content-type")).toBe("application/jsonl; charset=utf-8");
    const lines = new TextDecoder()
      .decode(await response.arrayBuffer())
      .trimEnd()
      .split("\n");
    expect(lines).toHaveLength(total - total / 1000);
    const ids = [lines[0], lines[5000], lines.at(-1)].map(
      (line) => (JSON.parse(line ?? "") as HistoryEvent).id,
    );
    expect(ids).toEqual(ids.toSorted((left, right) => left - right));
    const newest = await text("/v1/events?environment=crowded&limit=3", {
      accept: "application/jsonl",
    });
    expect(
      new TextDecoder()
        .decode(await newest.arrayBuffer())
        .trimEnd()
        .split("\n"),
    ).toEqual(lines.slice(-3));
  });

  it("is bounded by count and by age", async () => {
    await runInDurableObject(coordinatorStub(), (_instance, state) => {
      const { sql } = state.storage;
      const store = new HistoryStore(sql);
      const event = (at: number): NewEvent =>
        makeEvent({ at, environment: "bounded", kind: "plan", summary: "x", actor: "y" });
      const now = Date.now();
      const count = () =>
        sql.exec<{ count: number }>("SELECT count(*) AS count FROM events").one().count;
      store.put(event(now - EVENT_AGE_MAX_MS - 1));
      for (let puts = 0; puts < 200; puts++) store.put(event(now));
      expect(
        sql.exec("SELECT 1 FROM events WHERE environment = 'bounded' AND at < ?", now).toArray(),
      ).toEqual([]);
      sql.exec(
        `INSERT INTO events (at, environment, kind, namespace, body) WITH RECURSIVE counted(value) AS
          (SELECT 1 UNION ALL SELECT value + 1 FROM counted WHERE value < ?) SELECT ?, 'bounded', 'plan', NULL, '{}' FROM counted`,
        EVENTS_MAX,
        now,
      );
      for (let puts = 0; puts < 100; puts++) new HistoryStore(sql).put(event(now));
      expect(count()).toBeLessThanOrEqual(EVENTS_MAX + 100);
      sql.exec("DELETE FROM events WHERE environment = 'bounded'");
    });
  });

  it.each([
    ["kind=nonsense", 400],
    ["limit=0", 400],
    ["limit=1001", 400],
    ["before=x", 400],
  ])("refuses ?%s with %i", async (query, status) => {
    expect((await refusal("GET", `/v1/events?${query}`)).status).toBe(status);
  });
});

describe("GET /metrics", () => {
  const METRIC = /^(shardctl_\w+)(\{[^}]*\})? (\S+)$/;

  async function metrics(): Promise<Map<string, number>> {
    const response = await text("/metrics");
    expect(response.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
    const lines = (await response.text())
      .trimEnd()
      .split("\n")
      .filter((line) => !line.startsWith("#"));
    return new Map(
      lines.map((line) => {
        const [, name = line, labels = "", value = ""] = METRIC.exec(line) ?? [];
        return [`${name}${labels}`, Number(value)];
      }),
    );
  }

  it("counts ticks, drifts, conditions, operations and rows, and needs a token", async () => {
    const declared = spec("m1-orders", { policy: { ...DEFAULT_POLICY, maxSkew: 100 } });
    const run = await followRun((await applyPlan(await makePlan("metrics-1", [declared]))).id);
    await reconcileNow("metrics-1");
    await controlsOf("m1-orders").edit({ epoch: 9, layout: hashOf("m1-orders", 3) });
    await makeDue();
    await reconcileNow("metrics-1");
    await reconcileNow("metrics-1");
    const found = await metrics();
    expect(
      Object.fromEntries(
        [...found].filter(([name]) => name.includes('"metrics-1"') && !name.includes("seconds")),
      ),
    ).toMatchObject({
      'shardctl_drifts{environment="metrics-1",kind="spec",state="open"}': 1,
      'shardctl_drifts{environment="metrics-1",kind="skew",state="open"}': 0,
      'shardctl_conditions{environment="metrics-1",type="Stalled"}': 1,
      'shardctl_conditions{environment="metrics-1",type="Ready"}': 0,
      'shardctl_pending_changes{environment="metrics-1"}': 1,
      'shardctl_operations_ended_total{environment="metrics-1",kind="shard",state="completed"}': 1,
      'shardctl_rows_moved_total{environment="metrics-1"}':
        run.actions[0]?.operation?.rowsCopied ?? -1,
      'shardctl_runs_ended_total{environment="metrics-1",state="succeeded"}': 1,
    });
    expect(
      found.get('shardctl_reconcile_ticks_total{environment="metrics-1",outcome="complete"}'),
    ).toBeGreaterThanOrEqual(3);
    const buckets = found.get(
      'shardctl_reconcile_duration_seconds_bucket{environment="metrics-1",le="+Inf"}',
    );
    expect(buckets).toBe(
      found.get('shardctl_reconcile_duration_seconds_count{environment="metrics-1"}'),
    );
    expect(
      found.get('shardctl_reconcile_last_success_timestamp_seconds{environment="metrics-1"}'),
    ).toBeGreaterThan(1.7e9);
    expect(found.get("shardctl_paused")).toBe(0);
    expect((await call("GET", "/metrics", { token: null })).status).toBe(401);
  });

  it("has as many series with 10,000 namespaces as with a few", async () => {
    const series = (await metrics()).size;
    await runInDurableObject(coordinatorStub(), (_instance, state) => {
      state.storage.sql.exec(
        `WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 10000)
         INSERT INTO reconciledNames SELECT environment, 'many-' || n, object, ?, pass, specDigest, isPending, silences, rowCount, body
           FROM reconciledNames, numbers WHERE environment = 'metrics-1' AND name = 'm1-orders'`,
        Date.now() + 60_000,
      );
    });
    const found = await metrics();
    expect(found.size).toBe(series);
    expect(found.get('shardctl_conditions{environment="metrics-1",type="Stalled"}')).toBe(10_001);
    expect(found.get('shardctl_drifts{environment="metrics-1",kind="spec",state="open"}')).toBe(
      10_001,
    );
    await runInDurableObject(coordinatorStub(), (_instance, state) => {
      state.storage.sql.exec("DELETE FROM reconciledNames WHERE name LIKE 'many-%'");
    });
  });
});

describe("GET /healthz", () => {
  const status = async (): Promise<number> => {
    // The answer of a moment ago is kept.
    await new Promise((resolve) => setTimeout(resolve, 1100));
    return (await call("GET", "/healthz", { token: null })).status;
  };

  it("is well until ticks stay away, and says no more than that", async () => {
    await worker.scheduled(
      createScheduledController({ cron: "* * * * *" }),
      controlEnv,
      createExecutionContext(),
    );
    expect(await status()).toBe(200);
    const shift = (minutes: number) =>
      runInDurableObject(coordinatorStub(), (_instance, state) => {
        const { sql } = state.storage;
        const kept = sql
          .exec<{ body: string }>("SELECT body FROM reconcileDocuments WHERE kind = 'heartbeat'")
          .one().body;
        const heartbeat = JSON.parse(kept) as { at: number };
        sql.exec(
          "UPDATE reconcileDocuments SET body = ? WHERE kind = 'heartbeat'",
          JSON.stringify({ ...heartbeat, at: heartbeat.at + minutes * 60_000 }),
        );
      });
    await shift(-4);
    expect(await status()).toBe(503);
    const { body } = await refusal("GET", "/healthz", { token: null });
    expect(body).toMatchObject({ kind: "unavailable" });
    expect(JSON.stringify(body)).not.toMatch(/environment|cron|orders/);
    await shift(4);
    expect(await status()).toBe(200);
  });
});

describe("alerts", () => {
  it("open one issue after the second tick, outlast GitHub's outage, and close it after a clean run", async () => {
    const [name, path] = ["al-orders", "manifests/things.yaml"];
    const manifest = `apiVersion: shardctl.dev/v1\nkind: Namespace\nmetadata: { name: ${name} }\nspec: { object: ORDERS, strategy: hash, shardKey: id, count: 2, policy: { maxSkew: 100 } }\n`;
    github.pushMain({ [path]: manifest });
    const tick = async (): Promise<DriftReport> =>
      (await ask<DriftReport>("POST", "/v1/reconcile")).body;
    const until = (isThere: () => boolean): Promise<void> =>
      vi.waitFor(() => expect(isThere()).toBe(true), { timeout: 10_000, interval: 50 });
    const writes = (): number => github.writes().filter((write) => /Issue/.test(write)).length;

    github.failing.set("issuesWith", {
      kind: "unreachable",
      message: "GitHub did not answer",
      retryAt: null,
    });
    await tick();
    expect((await tick()).drifts).toMatchObject([{ kind: "spec", namespace: name, state: "open" }]);
    await until(() => github.journal.includes("issuesWith"));
    const asked = github.journal.filter((call_) => call_ === "issuesWith").length;
    await tick();
    await tick();
    expect(github.journal.filter((call_) => call_ === "issuesWith").length).toBe(asked);
    expect(github.issues).toEqual([]);

    github.failing.clear();
    await runInDurableObject(gitopsStub(), (_instance, state) => {
      const { body } = state.storage.sql.exec<{ body: string }>("SELECT body FROM alerts").one();
      state.storage.sql.exec(
        "UPDATE alerts SET body = ?",
        body.replace(/"nextTryAt":\d+/g, '"nextTryAt":0'),
      );
    });
    await tick();
    await until(() => github.issues.length === 1);
    expect(github.issues[0]).toMatchObject({
      state: "open",
      title: "shardctl: production has drifted",
    });
    expect(github.issues[0]?.body).toContain(name);

    const before = writes();
    await tick();
    await tick();
    expect(writes()).toBe(before);

    // Applied by hand: as declared.
    const { body: run } = await ask<{ id: string }>(
      "POST",
      `/v1/plans/${(await planFor([spec(name)])).fingerprint}/apply`,
      {
        body: {},
      },
    );
    await vi.waitFor(
      async () =>
        expect((await ask("GET", `/v1/runs/${run.id}`)).body).toMatchObject({ state: "succeeded" }),
      {
        timeout: 20_000,
        interval: 200,
      },
    );
    await makeDue(gitopsStub());
    await tick();
    await until(() => github.issues[0]?.state === "closed");
    expect(github.issues).toHaveLength(1);
    const { body } = await ask<EventList>("GET", "/v1/events?environment=production&kind=alert");
    expect(body.events.map(({ summary }) => summary)).toEqual([
      "the alert was closed: issue #1000",
      "the alert was opened: issue #1000",
    ]);
  });
});

describe("the log", () => {
  it("has one JSON text a line, an id in each line of a request, and no token", async () => {
    const lines: string[] = [];
    for (const method of ["log", "error", "warn", "info"] as const)
      vi.spyOn(console, method).mockImplementation(
        (...parts: unknown[]) => void lines.push(parts.map(String).join(" ")),
      );
    const secrets = [
      "apply-token",
      "plan-token",
      "not-a-known-token",
      "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.c2lnbmF0dXJl",
    ];
    for (const token of secrets)
      await call("POST", "/v1/plans", {
        token,
        body: { desired: desired("log-1", [spec("l1-orders")]) },
      });
    const answer = await call("POST", "/v1/plans?token=apply-token", { body: "{" });
    const run = await followRun((await applyPlan(await makePlan("log-1", [spec("l1-orders")]))).id);
    await reconcileNow("log-1");
    const entries = lines.map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>);
    const requests = entries.filter(({ event }) => event === "http.request");
    expect(requests).toContainEqual(
      expect.objectContaining({
        correlationId: answer.headers.get("x-request-id"),
        method: "POST",
        path: "/v1/plans",
        status: 400,
      }),
    );
    expect(requests.filter(({ status }) => status === 401).length).toBeGreaterThanOrEqual(2);
    expect(
      requests.every(
        ({ correlationId }) => typeof correlationId === "string" && correlationId !== "",
      ),
    ).toBe(true);
    expect(entries).toContainEqual(
      expect.objectContaining({ event: "history.run", correlationId: run.id }),
    );
    expect(entries).toContainEqual(
      expect.objectContaining({ event: "history.plan", correlationId: run.fingerprint }),
    );
    expect(
      entries.filter(
        ({ correlationId }) => typeof correlationId !== "string" || correlationId === "",
      ),
    ).toEqual([]);
    expect(entries).toContainEqual(
      expect.objectContaining({
        event: "reconcile.tick",
        correlationId: expect.stringMatching(/^tick-log-1-\d+$/) as string,
      }),
    );
    for (const secret of secrets) expect(lines.join("\n")).not.toContain(secret);
  });
});
