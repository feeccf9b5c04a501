/** The reviewed plans that the merged commit stands on, and how long a release lasts. */
import { describe, expect, it } from "vitest";

import type { Plan } from "../../src/model/plan.ts";
import { failure, success } from "../../src/model/result.ts";
import type { Release, Review } from "../../src/model/review.ts";
import type { GithubReader } from "../../src/github/port.ts";
import { MergeMemory } from "../../src/reviews/merge-memory.ts";
import { createReviewLookup } from "../../src/reviews/review-lookup.ts";

const NOON = Date.UTC(2026, 2, 2, 12);

const release = (expiresAt: number): Release => ({
  releasedBy: "octocat",
  releasedAt: NOON - 60_000,
  expiresAt,
  overrides: ["budget"],
});

const review = (pull: number, fingerprint: string, changes: Partial<Review> = {}): Review => ({
  environment: "production",
  pull,
  fingerprint,
  headSha: "a".repeat(40),
  runUrl: null,
  requestedBy: "octocat",
  reviewedAt: NOON - 3_600_000,
  release: null,
  ...changes,
});

/** Newest first, as they are stored. */
function lookup(
  reviews: readonly Review[],
  pulls: Readonly<Record<number, { state: string; baseRef: string } | "gone" | "down">>,
) {
  const asked: number[] = [];
  const clock = { now: NOON };
  const pull = (number: number) => {
    asked.push(number);
    const known = pulls[number] ?? "gone";
    if (known === "gone")
      return Promise.resolve(failure({ kind: "notFound", message: "gone", retryAt: null }));
    if (known === "down")
      return Promise.resolve(
        failure({ kind: "unavailable", message: "GitHub is down", retryAt: null }),
      );
    return Promise.resolve(success(known));
  };
  const found = createReviewLookup({ pull } as unknown as GithubReader, {
    environment: "production",
    defaultBranch: "main",
    list: () => reviews,
    newest: (_environment, number) => reviews.find((one) => one.pull === number) ?? null,
    readPlan: (fingerprint) => ({ fingerprint }) as Plan,
    figures: () => null,
    isOrdered: () => false,
    merged: new MergeMemory(),
    now: () => clock.now,
  });
  return { asked, clock, find: (commit = "c".repeat(40)) => found.find(commit) };
}

const MERGED = { state: "merged", baseRef: "main" };

describe("reviewed plans", () => {
  it("are the newest of each pull request that is merged into the default branch", async () => {
    const reviews = [
      review(4, "d"),
      review(3, "c"),
      review(2, "b2"),
      review(2, "b1"),
      review(1, "a"),
    ];
    const { find, asked } = lookup(reviews, {
      1: MERGED,
      2: MERGED,
      3: { state: "open", baseRef: "main" },
      4: { state: "merged", baseRef: "release" },
    });
    const answer = await find();
    expect(answer).toMatchObject({ kind: "found", requests: 4 });
    expect(answer.kind === "found" ? answer.plans : []).toEqual([
      { pull: 2, plan: { fingerprint: "b2" }, isOrdered: false, isReleased: false, overrides: [] },
      { pull: 1, plan: { fingerprint: "a" }, isOrdered: false, isReleased: false, overrides: [] },
    ]);
    // A merged pull request stays merged: only the others are asked about again.
    await find("d".repeat(40));
    expect(asked.slice(4)).toEqual([4, 3]);
  });

  it("that wait for a merge are asked about less and less often under one commit", async () => {
    const open = { state: "open", baseRef: "main" };
    const pulls: Record<number, { state: string; baseRef: string }> = { 1: open, 2: MERGED };
    const { find, asked, clock } = lookup([review(1, "a"), review(2, "b")], pulls);
    // Ten hours of ticks.
    for (let tick = 0; tick < 600; tick++) {
      await find();
      clock.now += 60_000;
    }
    expect(asked.filter((pull) => pull === 2)).toHaveLength(1);
    const hours = asked.filter((pull) => pull === 1).length;
    expect(hours).toBeGreaterThan(20);
    expect(hours).toBeLessThan(30);
    // A merge brings another commit.
    pulls[1] = MERGED;
    expect(await find("d".repeat(40))).toMatchObject({ plans: [{ pull: 1 }, { pull: 2 }] });
    expect(await find("d".repeat(40))).toMatchObject({ requests: 0 });
  });

  it("are asked about again soon when GitHub is late to say that one is merged", async () => {
    const pulls: Record<number, { state: string; baseRef: string }> = {
      1: { state: "open", baseRef: "main" },
    };
    const { find, clock } = lookup([review(1, "a")], pulls);
    expect(await find()).toMatchObject({ plans: [], requests: 1 });
    pulls[1] = MERGED;
    expect(await find()).toMatchObject({ plans: [], requests: 0 });
    clock.now += 60_000;
    expect(await find()).toMatchObject({ plans: [{ pull: 1 }] });
  });

  it("are asked about by a clock that went back", async () => {
    const { find, clock } = lookup([review(1, "a")], { 1: { state: "open", baseRef: "main" } });
    await find();
    clock.now -= 365 * 24 * 3_600_000;
    expect(await find()).toMatchObject({ requests: 1 });
  });

  it("that were released override what the release says until it expires, and not a moment longer", async () => {
    const reviews = [review(1, "newest"), review(1, "older", { release: release(NOON + 1) })];
    const { find, clock } = lookup(reviews, { 1: MERGED });
    expect(await find()).toMatchObject({
      plans: [
        { plan: { fingerprint: "newest" }, isOrdered: false, isReleased: false, overrides: [] },
        {
          plan: { fingerprint: "older" },
          isOrdered: false,
          isReleased: true,
          overrides: ["budget"],
        },
      ],
    });
    clock.now = NOON + 1;
    expect(await find()).toMatchObject({
      plans: [
        { plan: { fingerprint: "newest" }, isOrdered: false, isReleased: false, overrides: [] },
      ],
    });
  });

  it("whose own release has expired stand, without what it would override", async () => {
    const { find } = lookup([review(1, "newest", { release: release(NOON) })], { 1: MERGED });
    expect(await find()).toMatchObject({
      plans: [
        { plan: { fingerprint: "newest" }, isOrdered: false, isReleased: false, overrides: [] },
      ],
    });
  });

  it("are unknown while GitHub does not say which pull requests are merged; one that is gone is none", async () => {
    expect(
      await lookup([review(2, "b"), review(1, "a")], { 1: MERGED, 2: "down" }).find(),
    ).toMatchObject({
      kind: "failed",
      message: "GitHub is down",
    });
    expect(await lookup([review(2, "b"), review(1, "a")], { 1: MERGED }).find()).toMatchObject({
      kind: "found",
      plans: [{ pull: 1 }],
    });
  });
});
