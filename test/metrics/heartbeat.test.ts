/** Heartbeat: ticks must come as often as the Worker's cron says. */
import { describe, expect, it } from "vitest";

import {
  newEnvironmentState,
  type EnvironmentState,
} from "../../src/reconcile/environment-state.ts";
import { beat, type Heartbeat, isBeating } from "../../src/metrics/heartbeat.ts";

const NOW = Date.UTC(2026, 10, 24, 12);
const MINUTE_MS = 60_000;

function ended(checkedAt: number | null): EnvironmentState {
  return { ...newEnvironmentState("production"), checkedAt };
}

function underWay(startedAt: number): EnvironmentState {
  const state = newEnvironmentState("production");
  return { ...state, pass: { ...state.pass, phase: "look", startedAt } };
}

/** A heartbeat after events at the given minutes. */
function beats(...events: readonly (readonly [cron: string, minute: number])[]): Heartbeat | null {
  return events.reduce<Heartbeat | null>(
    (before, [cron, minute]) => beat(before, cron, NOW + minute * MINUTE_MS),
    null,
  );
}

describe("is", () => {
  it.each([
    {
      name: "well before the first event",
      heartbeat: null,
      states: [],
      minute: 1000,
      isWell: true,
    },
    {
      name: "well within three minutes",
      heartbeat: beats(["* * * * *", 0]),
      states: [],
      minute: 3,
      isWell: true,
    },
    {
      name: "ill after that",
      heartbeat: beats(["* * * * *", 0]),
      states: [],
      minute: 3.1,
      isWell: false,
    },
    {
      name: "well for half an hour with a slower cron",
      heartbeat: beats(["*/10 * * * *", 0]),
      states: [],
      minute: 30,
      isWell: true,
    },
    {
      name: "ill after that, too",
      heartbeat: beats(["*/10 * * * *", 0]),
      states: [],
      minute: 31,
      isWell: false,
    },
    {
      name: "judged by the shortest of several crons",
      heartbeat: beats(["* * * * *", 0], ["0 3 * * *", 0]),
      states: [],
      minute: 4,
      isWell: false,
    },
    {
      name: "not judged by a cron that was taken out",
      heartbeat: beats(["* * * * *", 0], ["*/30 * * * *", 10], ["*/30 * * * *", 40]),
      states: [],
      minute: 100,
      isWell: true,
    },
    {
      name: "ill when a cron cannot be read and three hours are over",
      heartbeat: beats(["? 1L", 0]),
      states: [],
      minute: 181,
      isWell: false,
    },
    {
      name: "ill when no pass ended",
      heartbeat: beats(["* * * * *", 9]),
      states: [ended(NOW)],
      minute: 10,
      isWell: false,
    },
    {
      name: "well when the last pass has just ended",
      heartbeat: beats(["* * * * *", 9]),
      states: [ended(NOW + 8 * MINUTE_MS)],
      minute: 10,
      isWell: true,
    },
    {
      name: "well while a long pass is under way",
      heartbeat: beats(["* * * * *", 29]),
      states: [underWay(NOW)],
      minute: 30,
      isWell: true,
    },
    {
      name: "ill when it does not end",
      heartbeat: beats(["* * * * *", 40]),
      states: [underWay(NOW)],
      minute: 41,
      isWell: false,
    },
    {
      name: "ill when one of several environments is",
      heartbeat: beats(["* * * * *", 10]),
      states: [ended(NOW + 10 * MINUTE_MS), ended(NOW)],
      minute: 10,
      isWell: false,
    },
  ])("$name", ({ heartbeat, states, minute, isWell }) => {
    expect(isBeating(heartbeat, states, NOW + minute * MINUTE_MS)).toBe(isWell);
  });

  it("kept small, whatever expressions come", () => {
    let heartbeat: Heartbeat | null = null;
    for (let minute = 0; minute < 1000; minute++)
      heartbeat = beat(heartbeat, `${minute % 60} * * * *`, NOW + minute * 60 * MINUTE_MS);
    expect(heartbeat?.crons.length).toBeLessThan(10);
  });
});
