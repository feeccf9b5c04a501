/**
 * Operations that no run tells of: each start and end becomes one event, whatever looks saw of it.
 */
import { describe, expect, it } from "vitest";

import type { NewEvent } from "../../src/history/make-event.ts";
import type { Run, RunAction } from "../../src/model/api.ts";
import type { LiveNamespace } from "../../src/model/live.ts";
import type { OperationStatus } from "../../src/model/operation.ts";
import { failure, success } from "../../src/model/result.ts";
import { MISSED_MAX, WatchedOperations } from "../../src/history/watched-operations.ts";
import { openNodeSql } from "../support/node-sql.ts";
import {
  COUNTED_AT,
  hashOf,
  liveNamespace,
  rowsOf,
  runningOperation,
  world,
} from "../support/state.ts";

const ORDERS = world("orders", { layout: hashOf("orders", 4), rows: rowsOf(400) });
const RUN = "run-mgr1a2b3-4c5d6e7f";
const MINUTE_MS = 60_000;

function operation(id: number, changes: Partial<OperationStatus> = {}): OperationStatus {
  return runningOperation(ORDERS, hashOf("orders", 6), {
    id,
    kind: "rebalance",
    correlationId: `by-hand-${id}`,
    requestedBy: "ada",
    rowsCopied: 120,
    startedAt: COUNTED_AT + id * MINUTE_MS,
    updatedAt: COUNTED_AT + id * MINUTE_MS,
    ...changes,
  });
}

function ended(id: number, changes: Partial<OperationStatus> = {}): OperationStatus {
  return operation(id, {
    state: "completed",
    step: "cleanUp",
    finishedAt: COUNTED_AT + id * MINUTE_MS + 12_000,
    ...changes,
  });
}

const ofRun = { correlationId: `${RUN}:orders`, requestedBy: "ci" } as const;

/** A run with one action, whose operation is the one given. */
function run(
  state: RunAction["state"],
  of: OperationStatus | null,
  runState: Run["state"] = "running",
): Run {
  return {
    id: RUN,
    environment: "production",
    state: runState,
    actions: [
      {
        namespace: "orders",
        object: ORDERS.object,
        kind: "rebalance",
        state,
        operation: of,
        error: null,
      },
    ],
  } as unknown as Run;
}

class Place {
  readonly sql = openNodeSql();
  readonly events: NewEvent[] = [];
  readonly endings: string[] = [];
  readonly asked: number[] = [];
  active: readonly Run[] = [];
  /** Newest first; null when the namespace does not answer that. */
  history: readonly OperationStatus[] | null = [];
  watch = this.open();

  /** As after a restart. */
  open(): WatchedOperations {
    this.watch = new WatchedOperations(this.sql, {
      activeRuns: () => this.active,
      record: (event) => void this.events.push(event),
      onEnd: (environment, { id, state }) =>
        void this.endings.push(`${environment} ${id} ${state}`),
    });
    return this.watch;
  }

  async look(seen: OperationStatus | null, environment = "production"): Promise<void> {
    const live: LiveNamespace = { ...liveNamespace(ORDERS), operation: seen };
    const { history } = this;
    const readHistory = async (limit: number) => {
      this.asked.push(limit);
      return history === null
        ? failure({ kind: "unreachable" as const, message: "no answer" })
        : success(history.slice(0, limit));
    };
    await this.watch.noteLive(environment, live, readHistory, COUNTED_AT);
  }

  said(): (readonly [string, string])[] {
    return this.events.map(({ summary, actor }) => [summary, actor]);
  }
}

describe("an operation by hand", () => {
  it("is told when it starts and when it ends, with what it moved and how long it took", async () => {
    const place = new Place();
    await place.look(null);
    await place.look(operation(1));
    await place.look(operation(1, { step: "verify", rowsVerified: 10 }));
    place.open();
    await place.look(ended(1));
    await place.look(ended(1));
    expect(place.said()).toEqual([
      ["rebalance 4 → 6 members, operation 1 started without a run", "ada"],
      ["rebalance 4 → 6 members, operation 1 completed", "ada"],
    ]);
    expect(place.events[1]).toEqual({
      at: COUNTED_AT,
      environment: "production",
      kind: "operation",
      namespace: "orders",
      summary: "rebalance 4 → 6 members, operation 1 completed",
      actor: "ada",
      commit: null,
      pull: null,
      fingerprint: null,
      run: null,
      rowsMoved: 120,
      durationMs: 12_000,
    });
    expect(place.endings).toEqual(["production 1 completed"]);
    expect(place.asked).toEqual([]);
  });

  it("that failed says why, and moved nothing", async () => {
    const place = new Place();
    await place.look(null);
    await place.look(
      ended(1, {
        state: "failed",
        fault: { kind: "missingKey", message: "3 rows lack the shard key" },
      }),
    );
    expect(place.events).toMatchObject([
      {
        summary: "rebalance 4 → 6 members, operation 1 failed: 3 rows lack the shard key",
        rowsMoved: 0,
      },
    ]);
  });

  it("that was over before anybody looked is no news, and one that runs then is", async () => {
    const place = new Place();
    await place.look(ended(4));
    await place.look(ended(4));
    expect(place.said()).toEqual([]);
    const other = new Place();
    await other.look(operation(4));
    expect(other.said()).toEqual([
      ["rebalance 4 → 6 members, operation 4 started without a run", "ada"],
    ]);
  });

  it("between two looks is found in the namespace's own history, which is asked for no more than that", async () => {
    const place = new Place();
    await place.look(operation(1));
    place.history = [operation(4), ended(3, { state: "cancelled" }), ended(2), ended(1)];
    await place.look(operation(4));
    expect(place.asked).toEqual([4]);
    expect(place.said().map(([summary]) => summary.replace(/^.*operation /, ""))).toEqual([
      "1 started without a run",
      "1 completed",
      "2 completed",
      "3 cancelled",
      "4 started without a run",
    ]);
    await place.look(operation(4));
    expect(place.asked).toEqual([4]);
  });

  it("is found there, too, when the namespace names no operation once it is over", async () => {
    const place = new Place();
    await place.look(operation(1));
    place.history = [ended(1)];
    await place.look(null);
    await place.look(null);
    expect(place.endings).toEqual(["production 1 completed"]);
    expect(place.asked).toEqual([MISSED_MAX]);
  });

  it("is told later when that history cannot be read now", async () => {
    const place = new Place();
    await place.look(null);
    place.history = null;
    await place.look(ended(2));
    expect(place.said()).toEqual([]);
    place.history = [ended(2), ended(1)];
    await place.look(ended(2));
    expect(place.endings).toEqual(["production 1 completed", "production 2 completed"]);
  });

  it("one of very many is told of the newest only", async () => {
    const place = new Place();
    await place.look(null);
    place.history = Array.from({ length: 1000 }, (_, index) => ended(1000 - index));
    await place.look(ended(1000));
    expect(place.asked).toEqual([MISSED_MAX]);
    expect(place.events).toHaveLength(MISSED_MAX);
  });

  it("is told again when its namespace begins anew, and counts from 1", async () => {
    const place = new Place();
    await place.look(null);
    await place.look(ended(1));
    await place.look(ended(2));
    await place.look(
      ended(1, { startedAt: COUNTED_AT + 60 * MINUTE_MS, finishedAt: COUNTED_AT + 61 * MINUTE_MS }),
    );
    expect(place.endings).toHaveLength(3);
  });

  it("is not told again by an answer that comes late", async () => {
    const place = new Place();
    await place.look(null);
    await place.look(operation(1));
    await place.look(ended(1));
    await place.look(operation(2));
    await place.look(operation(1));
    await place.look(ended(1));
    expect(place.events).toHaveLength(3);
  });

  it("is told once in each environment that knows the namespace", async () => {
    const place = new Place();
    for (const environment of ["production", "staging"]) {
      await place.look(null, environment);
      await place.look(ended(1), environment);
    }
    expect(place.endings).toEqual(["production 1 completed", "staging 1 completed"]);
  });
});

describe("an operation of a run", () => {
  it.each(["pending", "running"] as const)(
    "whose action is %s is told by the run",
    async (state) => {
      const place = new Place();
      place.active = [run(state, null)];
      await place.look(null);
      await place.look(operation(1, ofRun));
      await place.look(ended(1, ofRun));
      expect(place.said()).toEqual([]);
      const done = run("done", ended(1, ofRun), "succeeded");
      place.watch.noteRun(done, run("running", operation(1, ofRun)));
      place.active = [];
      await place.look(ended(1, ofRun));
      expect(place.said()).toEqual([]);
    },
  );

  it("that the run let go of is told when it ends, under the run's id", async () => {
    const place = new Place();
    await place.look(null);
    place.active = [run("failed", operation(1, ofRun))];
    await place.look(operation(1, ofRun));
    expect([...place.watch.running(["production"])]).toEqual([["copy", 1]]);
    place.active = [];
    await place.look(ended(1, ofRun));
    expect(place.events).toMatchObject([
      { summary: "rebalance 4 → 6 members, operation 1 completed", actor: "ci", run: RUN },
    ]);
  });

  it("does not hide the one by hand that follows it", async () => {
    const place = new Place();
    place.watch.noteRun(
      run("done", ended(1, ofRun), "succeeded"),
      run("running", operation(1, ofRun)),
    );
    await place.look(operation(2));
    expect(place.said()).toEqual([
      ["rebalance 4 → 6 members, operation 2 started without a run", "ada"],
    ]);
  });
});

it("knows what runs without a run, by step, of the environments that are asked for", async () => {
  const place = new Place();
  await place.look(operation(1, { step: "cutover" }));
  expect([...place.watch.running(["production", "staging"])]).toEqual([["cutover", 1]]);
  expect([...place.watch.running(["staging"])]).toEqual([]);
  await place.look(operation(1, { step: "cleanUp" }));
  expect([...place.watch.running(["production"])]).toEqual([["cleanUp", 1]]);
  await place.look(ended(1));
  expect([...place.watch.running(["production"])]).toEqual([]);
});
