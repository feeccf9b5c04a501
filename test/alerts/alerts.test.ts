/**
 * Alerts with both channels: their order, their link, their outages, an environment that is
 * renamed, and a crash.
 */
import { describe, expect, it, vi } from "vitest";

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

describe("a state that was lost, or restored to an earlier time", () => {
  const told = (place: Place) => place.messages.map(({ text }) => text.split("\n")[0]);
  const edits = (place: Place) =>
    place.github.writes().filter((write) => /createIssue|updateIssue|comment/iu.test(write));
  const LATER: Drift = { ...ORDERS, firstSeenAt: 86_400_000, lastSeenAt: 86_400_000 };
  const CARTS: Drift = { ...LATER, namespace: "carts" };

  /** As the coordinator has them: digits that a text can name. */
  function open(): Place {
    const place = new Place();
    const factsOf = place.factsOf.bind(place);
    place.factsOf = (environment) => {
      const facts = factsOf(environment);
      const hex = Buffer.from(facts.fingerprint).toString("hex");
      return { ...facts, fingerprint: hex.padEnd(64, "0") };
    };
    return place;
  }

  it("tells nobody again what the issue says they were told", async () => {
    const place = open();
    await place.tick([ORDERS]);
    const before = edits(place);
    place.rows.clear();
    place.open();
    await place.tick([LATER]);
    await place.tick([LATER]);
    expect(told(place)).toHaveLength(1);
    expect(edits(place)).toEqual(before);
    expect(place.summaries).toHaveLength(2);
    // News after that is told, once.
    await place.tick([CARTS, LATER]);
    expect(told(place)).toHaveLength(2);
    await place.tick([]);
    expect(told(place)).toHaveLength(3);
  });

  it("is at yesterday, and says nothing of what was told since", async () => {
    const place = open();
    await place.tick([ORDERS]);
    const yesterday = new Map(place.rows);
    await place.tick([CARTS, ORDERS]);
    const before = edits(place);
    place.rows.clear();
    for (const [environment, state] of yesterday) place.rows.set(environment, state);
    place.open();
    await place.tick([CARTS, LATER]);
    expect(told(place)).toHaveLength(2);
    expect(edits(place)).toEqual(before);
  });

  it("is at a time when the drift was open, and says no second time that none is left", async () => {
    const place = open();
    await place.tick([ORDERS]);
    const yesterday = new Map(place.rows);
    await place.tick([]);
    const before = edits(place);
    for (const [environment, state] of yesterday) place.rows.set(environment, state);
    place.open();
    await place.tick([]);
    expect(told(place)).toHaveLength(2);
    expect(edits(place)).toEqual(before);
  });

  it("is no crash between the issue and the chat: then the chat is told", async () => {
    const place = open();
    place.status = 500;
    await place.tick([ORDERS]);
    const [[environment, state] = ["", newAlertState("")]] = place.rows;
    const { issue, webhook } = state.channels;
    // The issue was written, and the note of it was not.
    const begun = { fingerprint: state.target?.fingerprint ?? null };
    const channels = {
      webhook: { ...webhook, nextTryAt: 0 },
      issue: { ...issue, told: null, begun },
    };
    place.rows.set(environment, { ...state, channels });
    place.status = 200;
    place.open();
    await place.tick([ORDERS]);
    expect(told(place)).toHaveLength(1);
  });

  it("is no person who has closed the issue: the chat still hears of the end", async () => {
    const place = open();
    await place.tick([ORDERS]);
    const [issue] = place.github.issues;
    if (issue) place.github.issues[0] = { ...issue, state: "closed" };
    await place.tick([]);
    expect(told(place)).toHaveLength(2);
  });
});
