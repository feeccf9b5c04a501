/**
 * The timing of alerts: once for each change, nothing while nobody knows, and one message after an
 * outage of a day.
 */
import { describe, expect, it } from "vitest";

import type { Drift, DriftState } from "../../src/model/drift.ts";
import {
  afterFailure,
  afterTelling,
  type AlertFacts,
  type AlertState,
  type ChannelName,
  decideAlert,
  isBehind,
  newAlertState,
  nextTryAt,
  retireAlert,
} from "../../src/alerts/alert-state.ts";

const NOW = Date.UTC(2026, 10, 24);
const MINUTE_MS = 60_000;
const DAY_MINUTES = 24 * 60;

function drift(namespace: string, state: DriftState = "open"): Drift {
  return {
    kind: "spec",
    namespace,
    object: "ORDERS",
    state,
    reason: "live was changed",
    detail: null,
    remedy: "look",
    firstSeenAt: NOW,
    lastSeenAt: NOW,
  };
}

/** The fingerprint names the open drifts, as the report's does. */
function tick(drifts: readonly Drift[] = [], isComplete = true): AlertFacts {
  const open = drifts.filter(({ state }) => state === "open").map(({ namespace }) => namespace);
  return {
    environment: "production",
    commit: "3f9c2e1",
    isComplete,
    fingerprint: open.join("+"),
    drifts,
  };
}

/**
 * A channel that tells at once whatever it is behind with, and what it told: the fingerprint, or
 * "closed".
 */
function play(ticks: readonly AlertFacts[], name: ChannelName = "webhook"): string[] {
  const told: string[] = [];
  let state = newAlertState("production");
  for (const facts of ticks) {
    state = decideAlert(state, facts);
    if (!isBehind(state, name) || state.target === null) continue;
    told.push(state.target.fingerprint ?? "closed");
    state = afterTelling(state, name, state.target, null);
  }
  return told;
}

describe("what is told", () => {
  const orders = drift("orders");
  const carts = drift("carts");
  it.each([
    { name: "nothing, when all is well", ticks: [tick(), tick()], told: [] },
    {
      name: "nothing of what was seen once",
      ticks: [tick([drift("orders", "watching")]), tick()],
      told: [],
    },
    {
      name: "nothing of what heals by itself",
      ticks: [tick([drift("orders", "healing")]), tick()],
      told: [],
    },
    {
      name: "nothing of a warning",
      ticks: [tick([drift("orders", "warning")]), tick([drift("orders", "warning")])],
      told: [],
    },
    {
      name: "the end of a drift that is a warning again",
      ticks: [tick([orders]), tick([drift("orders", "warning")])],
      told: ["orders", "closed"],
    },
    {
      name: "a drift, once",
      ticks: [tick([orders]), tick([orders]), tick([orders])],
      told: ["orders"],
    },
    {
      name: "another one",
      ticks: [tick([orders]), tick([orders, carts])],
      told: ["orders", "orders+carts"],
    },
    {
      name: "one that is gone",
      ticks: [tick([orders, carts]), tick([carts])],
      told: ["orders+carts", "carts"],
    },
    { name: "the end", ticks: [tick([orders]), tick(), tick()], told: ["orders", "closed"] },
    {
      name: "the same again",
      ticks: [tick([orders]), tick(), tick([orders])],
      told: ["orders", "closed", "orders"],
    },
    {
      name: "no end while something could not be read",
      ticks: [tick([orders]), tick([], false)],
      told: ["orders"],
    },
    {
      name: "no end while it is being mended",
      ticks: [tick([orders]), tick([drift("orders", "healing")])],
      told: ["orders"],
    },
    {
      name: "no end while something else was seen once",
      ticks: [tick([orders]), tick([drift("carts", "watching")])],
      told: ["orders"],
    },
    {
      name: "nothing new about another detail",
      ticks: [tick([orders]), tick([{ ...orders, detail: "12 rows", lastSeenAt: NOW + 1 }])],
      told: ["orders"],
    },
  ])("is $name", ({ ticks, told }) => {
    expect(play(ticks)).toEqual(told);
  });

  it("closes an issue that is left from before, without a word in the chat", () => {
    const state = decideAlert(newAlertState("production"), tick());
    expect([isBehind(state, "issue"), isBehind(state, "webhook")]).toEqual([true, false]);
    expect(play([tick(), tick()], "issue")).toEqual(["closed"]);
  });

  it("lists a bounded number, and counts all", () => {
    const many = Array.from({ length: 10_000 }, (_, index) => drift(`n${index}`));
    const { target } = decideAlert(newAlertState("production"), tick(many));
    expect(target?.driftCount).toBe(10_000);
    expect(JSON.stringify(target).length).toBeLessThan(1_000_000);
  });

  it("closes the alert of an environment that is not reconciled any more", () => {
    const open = decideAlert(newAlertState("production"), tick([orders]));
    const retired = retireAlert(open);
    expect(retired.target).toMatchObject({ cause: "retired", fingerprint: null, drifts: [] });
    expect(retireAlert(retired)).toBe(retired);
    expect(retireAlert(newAlertState("production"))).toEqual(newAlertState("production"));
  });
});

describe("an outage", () => {
  /**
   * A day of ticks in which the channel fails, and what the drifts are in each. Gives the tries and
   * the state after it.
   */
  function outage(factsOf: (minute: number) => AlertFacts): {
    readonly tries: number;
    readonly state: AlertState;
  } {
    let state = newAlertState("production");
    let tries = 0;
    for (let minute = 0; minute < DAY_MINUTES; minute++) {
      const now = NOW + minute * MINUTE_MS;
      state = decideAlert(state, factsOf(minute));
      const at = nextTryAt(state, "webhook", now);
      if (at === null || at > now) continue;
      tries++;
      state = afterFailure(
        state,
        "webhook",
        { message: "answered 503", retryAt: null },
        { now, random: 0.5 },
      );
    }
    return { tries, state };
  }

  it("of a day is tried about once an hour, and ends with one message about how it is then", () => {
    const { tries, state } = outage((minute) =>
      tick(minute % 2 === 0 ? [drift("orders")] : [drift("orders"), drift("carts")]),
    );
    expect(tries).toBeGreaterThan(20);
    expect(tries).toBeLessThan(50);
    expect(JSON.stringify(state).length).toBeLessThan(3000);
    const at = nextTryAt(state, "webhook", NOW) ?? 0;
    expect(at - NOW).toBeLessThanOrEqual((DAY_MINUTES + 61) * MINUTE_MS);
    if (state.target === null) throw new Error("There should be something to say");
    expect(state.target.fingerprint).toBe("orders+carts");
    const told = afterTelling(state, "webhook", state.target, null);
    expect(isBehind(told, "webhook")).toBe(false);
    expect(told.channels.webhook).toMatchObject({ failures: 0, lastError: null });
  });

  it("in which a drift came and went leaves nothing to say", () => {
    const { state } = outage((minute) => tick(minute < 60 ? [drift("orders")] : []));
    expect(isBehind(state, "webhook")).toBe(false);
  });

  it("of one channel is none of the other", () => {
    const open = decideAlert(newAlertState("production"), tick([drift("orders")]));
    const failed = afterFailure(
      open,
      "issue",
      { message: "down", retryAt: NOW + 50 * MINUTE_MS },
      { now: NOW, random: 0 },
    );
    expect(nextTryAt(failed, "issue", NOW)).toBe(NOW + 50 * MINUTE_MS);
    expect(nextTryAt(failed, "webhook", NOW)).toBe(0);
  });

  it("is not made longer by a clock that was ahead", () => {
    const open = decideAlert(newAlertState("production"), tick([drift("orders")]));
    const ahead = NOW + 365 * DAY_MINUTES * MINUTE_MS;
    const failed = afterFailure(
      open,
      "issue",
      { message: "down", retryAt: null },
      { now: ahead, random: 0 },
    );
    expect(nextTryAt(failed, "issue", NOW)).toBe(NOW);
  });

  it("what came up while something was told is told afterwards", () => {
    const open = decideAlert(newAlertState("production"), tick([drift("orders")]));
    if (open.target === null) throw new Error("There should be something to say");
    const meanwhile = decideAlert(open, tick([drift("carts")]));
    const told = afterTelling(
      meanwhile,
      "issue",
      open.target,
      "https://github.com/acme/data/issues/7",
    );
    expect(isBehind(told, "issue")).toBe(true);
    expect(told.target?.fingerprint).toBe("carts");
  });
});
