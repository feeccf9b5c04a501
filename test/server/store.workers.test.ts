import { runInDurableObject } from "cloudflare:test";
import { describe, expect, it } from "vitest";

import { createRun, requestRunCancel, type RunRecord } from "../../src/runs/run-record.ts";
import {
  CoordinatorStore,
  decodeJson,
  encodeJson,
  PLAN_AGE_MAX_MS,
  PLANS_MAX,
  RUNS_MAX,
} from "../../src/runs/store.ts";
import { ONCE_MAX, OnceStore } from "../../src/server/coordinator/once-store.ts";
import {
  REVIEW_AGE_MAX_MS,
  ReviewsStore,
  type NewReview,
} from "../../src/reviews/reviews-store.ts";
import { TASKS_MAX, TasksStore } from "../../src/pulls/tasks-store.ts";
import { controlEnv } from "../support/control-api.ts";
import { planOf, shardChange } from "../support/apply-plans.ts";

const NOW = Date.UTC(2026, 2, 1);

function withStore(
  name: string,
  use: (store: CoordinatorStore, sql: SqlStorage) => void,
): Promise<void> {
  const stub = controlEnv.BARE.getByName(`store-${name}`);
  return runInDurableObject(stub, (_instance, state) =>
    use(new CoordinatorStore(state.storage.sql), state.storage.sql),
  );
}

function putPlan(store: CoordinatorStore, fingerprint: string, now: number): void {
  store.putPlan(
    {
      fingerprint,
      environment: "test",
      body: encodeJson({ fingerprint }),
      desired: encodeJson({}),
    },
    [],
    now,
  );
}

function newReview(pull: number, digits: string, reviewedAt = NOW): NewReview {
  const fingerprint = digits.padEnd(64, "0");
  return {
    environment: "test",
    pull,
    fingerprint,
    headSha: "a".repeat(40),
    runUrl: null,
    requestedBy: "test",
    reviewedAt,
  };
}

function newRun(id: string, now: number, fingerprint = "f".repeat(64)): RunRecord {
  const plan = { ...planOf([shardChange("a"), shardChange("b")]), fingerprint };
  return createRun(plan, {
    id,
    requestedBy: "test",
    overrides: ["skew"],
    origin: null,
    leaseToken: 1,
    shown: null,
    now,
  });
}

function ended(record: RunRecord): RunRecord {
  return { ...record, run: { ...record.run, state: "succeeded" } };
}

/** Faster than an assertion that walks three million elements. */
function sameBytes(left: Uint8Array | null, right: Uint8Array): boolean {
  return (
    left !== null && left.length === right.length && left.every((byte, at) => byte === right[at])
  );
}

function count(sql: SqlStorage, query: string): number {
  return Number(sql.exec(query).one()["n"]);
}

describe("CoordinatorStore", () => {
  it("keeps bodies of several megabytes byte for byte", () =>
    withStore("large", (store) => {
      const body = encodeJson({ text: "ü€😀".repeat(400_000) });
      expect(body.length).toBeGreaterThan(3_000_000);
      store.putPlan(
        { fingerprint: "large", environment: "test", body, desired: encodeJson([1]) },
        [],
        NOW,
      );
      expect(sameBytes(store.getPlan("large"), body)).toBe(true);
      expect(decodeJson(store.getDesired("large") ?? new Uint8Array())).toEqual([1]);
      store.putPlan(
        {
          fingerprint: "large",
          environment: "test",
          body: encodeJson({}),
          desired: encodeJson([]),
        },
        [],
        NOW,
      );
      expect(store.getPlan("large")).toEqual(encodeJson({}));
    }));

  it("forgets plans that are too old, or too many, with all their parts", () =>
    withStore("plans", (store, sql) => {
      putPlan(store, "old", NOW - PLAN_AGE_MAX_MS - 1);
      for (let index = 0; index < PLANS_MAX; index++) putPlan(store, `plan-${index}`, NOW + index);
      expect(store.getPlan("old")).toBeNull();
      expect(store.getPlan("plan-0")).not.toBeNull();
      putPlan(store, "one-more", NOW + PLANS_MAX);
      expect(store.getPlan("plan-0")).toBeNull();
      expect(store.getPlan("plan-1")).not.toBeNull();
      expect(count(sql, "SELECT count(*) AS n FROM plans")).toBe(PLANS_MAX);
      expect(count(sql, "SELECT count(*) AS n FROM documents")).toBe(PLANS_MAX * 2);
    }));

  it("keeps the plan of an active run, however old", () =>
    withStore("active", (store) => {
      putPlan(store, "applied", NOW);
      const run = newRun("run-1", NOW, "applied");
      store.putRun(run, null, 0);
      putPlan(store, "later", NOW + PLAN_AGE_MAX_MS * 2);
      expect(store.getPlan("applied")).not.toBeNull();
      store.putRun(ended(run), run, 0);
      putPlan(store, "later still", NOW + PLAN_AGE_MAX_MS * 2);
      expect(store.getPlan("applied")).toBeNull();
    }));

  it("keeps the plan that was applied last, which is what is desired without a repository", () =>
    withStore("last-applied", (store) => {
      putPlan(store, "first", NOW);
      store.rememberApplied("test", "first", encodeJson({}));
      putPlan(store, "later", NOW + PLAN_AGE_MAX_MS * 2);
      expect(store.getDesired("first")).not.toBeNull();
      store.rememberApplied("test", "later", encodeJson({}));
      putPlan(store, "last", NOW + PLAN_AGE_MAX_MS * 2 + 1);
      expect(store.getDesired("first")).toBeNull();
    }));

  it("reads runs back as they were written, with what only the next step needs", () =>
    withStore("runs", (store) => {
      const run: RunRecord = {
        ...newRun("run-1", NOW),
        attempts: { a: { failures: 2, notBefore: NOW + 500 } },
      };
      store.putRun(run, null, 3);
      expect(store.getRun("run-1")).toEqual(run);
      expect(store.listActiveRuns()).toEqual([
        {
          id: "run-1",
          fingerprint: "f".repeat(64),
          environment: "test",
          state: "running",
          faults: 3,
        },
      ]);
      const cancelled = requestRunCancel(run);
      store.putRun(cancelled, run, 0);
      expect(store.getRun("run-1")).toEqual(cancelled);
      store.putRun(ended(cancelled), cancelled, 0);
      expect(store.listActiveRuns()).toEqual([]);
      expect(store.getRun("run-2")).toBeNull();
    }));

  it("forgets the oldest runs that have ended, with their actions, and no active one", () =>
    withStore("many", (store, sql) => {
      store.putRun(newRun("run-active", NOW), null, 0);
      for (let index = 0; index <= RUNS_MAX; index++)
        store.putRun(ended(newRun(`run-${index}`, NOW + 1 + index)), null, 0);
      expect(store.getRun("run-active")).not.toBeNull();
      expect(store.getRun("run-0")).toBeNull();
      expect(store.getRun("run-1")).not.toBeNull();
      expect(count(sql, "SELECT count(*) AS n FROM runs")).toBe(RUNS_MAX + 1);
      expect(count(sql, "SELECT count(*) AS n FROM documents WHERE kind = 'action'")).toBe(
        (RUNS_MAX + 1) * 2,
      );
    }));

  it("remembers each namespace once an environment", () =>
    withStore("namespaces", (store) => {
      store.rememberNamespaces("one", [
        { name: "b", object: "B" },
        { name: "a", object: "A" },
        { name: "a", object: "A" },
      ]);
      store.rememberNamespaces("two", [{ name: "a", object: "A" }]);
      expect(store.listNamespaces(null)).toEqual([
        { name: "a", object: "A" },
        { name: "b", object: "B" },
      ]);
      expect(store.listNamespaces("two")).toEqual([{ name: "a", object: "A" }]);
    }));
});

describe("ReviewsStore", () => {
  const open = (
    name: string,
    use: (reviews: ReviewsStore, sql: SqlStorage) => void,
  ): Promise<void> =>
    withStore(`reviews-${name}`, (_store, sql) => use(new ReviewsStore(sql), sql));

  it("has the last one as the newest, also when it was there before, and keeps its release", () =>
    open("order", (reviews) => {
      const release = {
        releasedBy: "ada",
        releasedAt: NOW,
        expiresAt: NOW + 1,
        overrides: ["skew" as const],
      };
      reviews.put(newReview(7, "1"), true);
      expect(reviews.release(newReview(7, "1"), release)).toBe(true);
      expect(reviews.release(newReview(8, "1"), release)).toBe(false);
      reviews.put(newReview(7, "2"), true);
      expect(reviews.newest("test", 7)?.fingerprint).toMatch(/^2/);
      reviews.put(newReview(7, "1"), true);
      expect(reviews.newest("test", 7)).toMatchObject({
        fingerprint: "1".padEnd(64, "0"),
        release,
      });
      expect(reviews.newest("other", 7)).toBeNull();
    }));

  it("does not count what was shown after the merge, unless it had counted before", () =>
    open("counts", (reviews) => {
      reviews.put(newReview(7, "1"), true);
      reviews.put(newReview(7, "2"), false);
      expect(reviews.newest("test", 7)?.fingerprint).toMatch(/^1/);
      reviews.put(newReview(7, "1"), false);
      expect(reviews.newest("test", 7)?.fingerprint).toMatch(/^1/);
    }));

  it("is not made to count what an earlier commit has shown, by showing it again after the merge", () =>
    open("again", (reviews) => {
      reviews.put(newReview(7, "1"), true);
      reviews.put(newReview(7, "2"), true);
      reviews.put(newReview(7, "1"), false);
      expect(reviews.newest("test", 7)?.fingerprint).toMatch(/^2/);
    }));

  it("keeps the plans of the newest reviews from being forgotten", () =>
    open("kept", (reviews, sql) => {
      const store = new CoordinatorStore(sql);
      const [shown, replaced] = [newReview(7, "5").fingerprint, newReview(7, "4").fingerprint];
      for (const fingerprint of [shown, replaced]) putPlan(store, fingerprint, NOW);
      reviews.put(newReview(7, "4"), true);
      reviews.put(newReview(7, "5"), true);
      const later = NOW + PLAN_AGE_MAX_MS + 1;
      const plan = {
        fingerprint: "new",
        environment: "test",
        body: encodeJson({}),
        desired: encodeJson({}),
      };
      store.putPlan(plan, reviews.keptPlans(), later);
      expect(store.getPlan(shown)).not.toBeNull();
      expect(store.getPlan(replaced)).toBeNull();
    }));

  it("forgets old ones, and a pull request as a whole", () =>
    open("forget", (reviews) => {
      reviews.put(newReview(7, "1"), true);
      reviews.put(newReview(8, "1"), true);
      reviews.forgetPull("test", 8);
      expect(reviews.list({ environment: null, pull: null }, 10)).toHaveLength(1);
      reviews.put(newReview(9, "1", NOW + REVIEW_AGE_MAX_MS + 1), true);
      expect(reviews.list({ environment: "test", pull: null }, 10).map(({ pull }) => pull)).toEqual(
        [9],
      );
    }));
});

describe("OnceStore", () => {
  it("gives a thing to the first that claims it, until it expires", () =>
    withStore("once", (_store, sql) => {
      const once = new OnceStore(sql);
      expect(
        once.claim({ kind: "token", id: "jti", claim: "first", expiresAt: NOW + 1000 }, NOW),
      ).toBe(true);
      expect(
        once.claim({ kind: "token", id: "jti", claim: "first", expiresAt: NOW + 1000 }, NOW),
      ).toBe(true);
      expect(
        once.claim({ kind: "token", id: "jti", claim: "second", expiresAt: NOW + 1000 }, NOW),
      ).toBe(false);
      expect(
        once.claim({ kind: "delivery", id: "jti", claim: "second", expiresAt: NOW + 1000 }, NOW),
      ).toBe(true);
      expect(
        once.claim(
          { kind: "token", id: "jti", claim: "second", expiresAt: NOW + 2000 },
          NOW + 1000,
        ),
      ).toBe(true);
    }));

  it("says no when it is full of what has not expired, and takes new things again later", () =>
    withStore("once-full", (_store, sql) => {
      const once = new OnceStore(sql);
      sql.exec(
        `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
         INSERT INTO once SELECT 'token', 'id-' || i, 'c', ? FROM n`,
        ONCE_MAX,
        NOW + 1000,
      );
      expect(
        once.claim({ kind: "token", id: "new", claim: "first", expiresAt: NOW + 1000 }, NOW),
      ).toBe(false);
      expect(
        once.claim({ kind: "token", id: "new", claim: "first", expiresAt: NOW + 9000 }, NOW + 1000),
      ).toBe(true);
    }));

  it("keeps tokens and deliveries apart: a flood of one leaves the other alone", () =>
    withStore("once-apart", (_store, sql) => {
      const once = new OnceStore(sql);
      sql.exec(
        `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
         INSERT INTO once SELECT 'delivery', 'id-' || i, 'c', ? FROM n`,
        ONCE_MAX,
        NOW + 1000,
      );
      expect(once.claimDelivery("new", NOW)).toBe(false);
      expect(
        once.claim({ kind: "token", id: "new", claim: "first", expiresAt: NOW + 1000 }, NOW),
      ).toBe(true);
    }));
});

describe("TasksStore", () => {
  const open = (name: string, use: (tasks: TasksStore<string>) => void): Promise<void> =>
    withStore(`tasks-${name}`, (_store, sql) => use(new TasksStore<string>(sql)));

  it("does what is asked for twice once, and again when it was asked for meanwhile", () =>
    open("twice", (tasks) => {
      tasks.put("a", "first", NOW + 5);
      tasks.put("a", "second", NOW);
      const [task, ...more] = tasks.due(NOW, 10);
      expect([task?.body, more]).toEqual(["second", []]);
      tasks.put("a", "third", NOW + 100);
      if (task) tasks.complete(task, NOW + 1);
      expect(tasks.due(NOW + 1, 10).map(({ body }) => body)).toEqual(["third"]);
      for (const again of tasks.due(NOW + 1, 10)) tasks.complete(again, NOW + 1);
      expect(tasks.nextDueAt()).toBeNull();
    }));

  it("waits longer after each failure, as long as it is told to, and gives up in the end", () =>
    open("failures", (tasks) => {
      tasks.put("a", "work", NOW);
      const waits: number[] = [];
      let now = NOW;
      for (;;) {
        const [task] = tasks.due(now, 1);
        if (!task || !tasks.postpone(task, null, now)) break;
        const next = tasks.nextDueAt() ?? 0;
        waits.push(next - now);
        now = next;
      }
      expect(tasks.nextDueAt()).toBeNull();
      expect(waits.slice(0, 3)).toEqual([5_000, 10_000, 20_000]);
      expect(Math.max(...waits)).toBe(60 * 60 * 1000);
      expect(now - NOW).toBeGreaterThan(24 * 60 * 60 * 1000);
      tasks.put("b", "limited", NOW);
      const [limited] = tasks.due(NOW, 1);
      if (limited) tasks.postpone(limited, NOW + 3_600_000, NOW);
      expect(tasks.nextDueAt()).toBe(NOW + 3_600_000);
    }));

  it("is not put off by a clock that was ahead once", () =>
    open("clock", (tasks) => {
      tasks.put("a", "work", NOW + 365 * 24 * 3_600_000);
      tasks.put("b", "later", NOW + 3_600_000);
      expect(tasks.due(NOW, 10).map(({ key }) => key)).toEqual(["a"]);
    }));

  it("takes no more than it can keep, and what it has still", () =>
    open("full", (tasks) => {
      for (let index = 0; index < TASKS_MAX; index++) tasks.put(`pull:${index}`, "work", NOW);
      expect(tasks.put("pull:more", "work", NOW)).toBe(false);
      expect(tasks.put("pull:0", "work", NOW)).toBe(true);
    }));
});
