/**
 * Alerts with both channels: their order, their link, their outages, an environment that is
 * renamed, and a crash.
 */
import { expect, it, vi } from "vitest";

import type { Drift } from "../../src/model/drift.ts";
import { type AlertFacts, type AlertState, newAlertState } from "../../src/alerts/alert-state.ts";
import { Alerts, type AlertParts } from "../../src/alerts/alerts.ts";
import { MemoryGithub } from "../support/memory-github.ts";

const ORDERS: Drift = {
  kind: "spec",
  namespace: "orders",
  object: "ORDERS",
  state: "open",
  reason: "live was changed",
  detail: null,
  remedy: "look",
  firstSeenAt: 0,
  lastSeenAt: 0,
};

class Place {
  readonly github = new MemoryGithub();
  readonly rows = new Map<string, AlertState>();
  readonly messages: { readonly text: string }[] = [];
  readonly summaries: string[] = [];
  readonly tries: string[] = [];
  environments: readonly string[] = ["production"];
  status = 200;
  alerts = this.open();

  /** As after a restart: only the rows stay. */
  open(changes: Partial<AlertParts> = {}): Alerts {
    const store = {
      read: (environment: string) => this.rows.get(environment) ?? newAlertState(environment),
      write: (state: AlertState) => void this.rows.set(state.environment, state),
      list: () => [...this.rows.values()],
    };
    this.alerts = new Alerts(store, {
      environments: () => this.environments,
      github: () => this.github,
      issueEnvironment: () => this.environments[0] ?? null,
      webhookUrl: () => "https://chat.example/webhook",
      facts: async (environment) => this.factsOf(environment),
      send: async (_, init) => {
        if (this.status === 200)
          this.messages.push(JSON.parse(init?.body as string) as { text: string });
        return new Response(null, { status: this.status });
      },
      record: ({ summary }) => void this.summaries.push(summary),
      correlationId: (environment) => `tick-${environment}-17`,
      onTry: (_, channel, outcome) => void this.tries.push(`${channel} ${outcome}`),
      onChange: () => undefined,
      ...changes,
    });
    return this.alerts;
  }

  drifts: readonly Drift[] = [];

  factsOf(environment: string): AlertFacts {
    const fingerprint = this.drifts.map(({ namespace }) => namespace).join("+");
    return { environment, commit: null, isComplete: true, fingerprint, drifts: this.drifts };
  }

  /** The end of a tick, and of what it gives rise to. */
  async tick(drifts: readonly Drift[]): Promise<void> {
    this.drifts = drifts;
    for (const environment of this.environments) this.alerts.noteTick(environment);
    await this.rest();
  }

  async rest(): Promise<void> {
    const isWorking = (): boolean => (this.alerts.nextAt(0) ?? Number.POSITIVE_INFINITY) === 5000;
    await vi.waitUntil(() => !isWorking(), { interval: 5 });
  }

  issues(): (readonly [string, string])[] {
    return this.github.issues.map(({ state, body }) => [state, body.split("\n")[0] ?? ""]);
  }
}

it("tells the issue first and the chat with its address, once for each change, and rests in between", async () => {
  const place = new Place();
  await place.tick([ORDERS]);
  await place.tick([ORDERS]);
  await place.tick([]);
  await place.tick([]);
  expect(place.tries).toEqual(["issue told", "webhook told", "issue told", "webhook told"]);
  expect(place.messages.map(({ text }) => text.split("\n").at(-1))).toEqual([
    "https://github.com/acme/shop/issues/1000",
    "https://github.com/acme/shop/issues/1000",
  ]);
  expect(place.summaries).toEqual([
    "the alert was opened: issue #1000",
    "the alert webhook was told: 1 open",
    "the alert was closed: issue #1000",
    "the alert webhook was told: no drift is left",
  ]);
  expect(place.alerts.nextAt(Date.now())).toBeNull();
});

it("opens the same issue again, rather than another", async () => {
  const place = new Place();
  await place.tick([ORDERS]);
  await place.tick([]);
  await place.tick([ORDERS]);
  expect(place.issues()).toEqual([["open", "<!-- shardctl:alert:production -->"]]);
  expect(place.summaries.filter((summary) => summary.includes("issue"))).toEqual([
    "the alert was opened: issue #1000",
    "the alert was closed: issue #1000",
    "the alert was opened again: issue #1000",
  ]);
});

it("one channel that is down does not keep the other from telling, and is not asked again at once", async () => {
  const place = new Place();
  place.github.failing.set("issuesWith", {
    kind: "rateLimited",
    message: "slow down",
    retryAt: Date.now() + 3_600_000,
  });
  await place.tick([ORDERS]);
  await place.tick([ORDERS]);
  expect(place.tries).toEqual(["issue failed", "webhook told"]);
  const nextAt = place.alerts.nextAt(Date.now()) ?? 0;
  expect(nextAt - Date.now()).toBeGreaterThan(3_500_000);
  expect(place.issues()).toEqual([]);
});

it("a chat that was down is told again when its time has come, once, and how it is by then", async () => {
  const place = new Place();
  place.status = 503;
  await place.tick([ORDERS]);
  await place.tick([ORDERS]);
  expect(place.tries).toEqual(["issue told", "webhook failed"]);
  const [state] = place.alerts.list();
  expect(state?.channels.webhook).toMatchObject({
    failures: 1,
    lastError: "the alert webhook answered 503",
  });
  await place.tick([ORDERS, { ...ORDERS, namespace: "carts" }]);
  place.status = 200;
  // Its time has not come yet.
  place.alerts.start(Date.now());
  expect(place.messages).toEqual([]);
  for (const [name, row] of place.rows) {
    place.rows.set(name, {
      ...row,
      channels: { ...row.channels, webhook: { ...row.channels.webhook, nextTryAt: 0 } },
    });
  }
  place.alerts.start(Date.now());
  await place.rest();
  expect(place.messages.map(({ text }) => text.split("\n")[0])).toEqual([
    "shardctl: production has drifted, 2 drifts are open",
  ]);
  expect(place.alerts.nextAt(Date.now())).toBeNull();
});

it("after a crash between telling and writing, the issue is found as it should be", async () => {
  const place = new Place();
  await place.tick([ORDERS]);
  place.rows.clear();
  place.open();
  await place.tick([ORDERS]);
  expect(place.issues()).toEqual([["open", "<!-- shardctl:alert:production -->"]]);
  expect(
    place.github.writes().filter((write) => write === "createIssue" || write === "updateIssue"),
  ).toEqual(["createIssue"]);
});

it("closes the issue of an environment that was renamed, and opens one for the new name", async () => {
  const place = new Place();
  await place.tick([ORDERS]);
  place.environments = ["live"];
  await place.tick([ORDERS]);
  expect(place.issues()).toEqual([
    ["closed", "<!-- shardctl:alert:production -->"],
    ["open", "<!-- shardctl:alert:live -->"],
  ]);
  expect(place.messages.map(({ text }) => text.split("\n")[0])).toContain(
    "shardctl: production is not reconciled here any more",
  );
});

it("a defect ends the pass, is logged, and is not run into again at once", async () => {
  const logged = vi.spyOn(console, "error").mockImplementation(() => undefined);
  const place = new Place();
  place.open({ facts: () => Promise.reject(new Error("storage is gone")) });
  await place.tick([ORDERS]);
  expect(logged.mock.calls.map(([line]) => JSON.parse(String(line)) as unknown)).toMatchObject([
    { event: "alert.pass.failed", error: "storage is gone" },
  ]);
  place.alerts.noteTick("production");
  expect(logged).toHaveBeenCalledTimes(1);
  expect((place.alerts.nextAt(0) ?? 0) - Date.now()).toBeGreaterThan(50_000);
  logged.mockRestore();
});
