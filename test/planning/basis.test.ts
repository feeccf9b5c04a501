import { describe, expect, it } from "vitest";

import { toKey } from "../../src/model/layout/key.ts";
import type { NamespaceSpec } from "../../src/model/spec.ts";
import { checkPlan, planOf } from "../support/check-plan.ts";
import {
  type NamespaceFixture,
  desired,
  hashOf,
  integerRows,
  rangeOf,
  rowsOf,
  spec,
  world,
} from "../support/state.ts";

const quantiles = spec("orders", { strategy: "range", count: 4 });
const reviewedRows = integerRows(1000);
/** More rows at the end, as sequential keys bring: the quantiles move. */
const mergedRows = integerRows(1100);

async function replan(
  reviewed: NamespaceSpec,
  before: NamespaceFixture,
  merged: NamespaceSpec,
  after: NamespaceFixture,
) {
  const first = await planOf(desired(reviewed), [before]);
  const fresh = await planOf(desired(merged), [after]);
  const second = await planOf(desired(merged), [after], first);
  return { first, fresh, second };
}

describe("choices that follow the counts stay as reviewed", () => {
  it("quantiles", async () => {
    const { first, fresh, second } = await replan(
      quantiles,
      world("orders", { rows: reviewedRows }),
      quantiles,
      world("orders", { rows: mergedRows }),
    );
    expect(fresh.fingerprint).not.toBe(first.fingerprint);
    expect(second.fingerprint).toBe(first.fingerprint);
    expect(second.changes[0]?.to).toEqual(first.changes[0]?.to);
    expect(second.changes[0]?.rowsTotal).toBe(1100);
    expect(
      await checkPlan(desired(quantiles), [world("orders", { rows: mergedRows })], second),
    ).toBe(1);
  });

  it("slots moved for skew, also when the skew has sunk below the policy meanwhile", async () => {
    const layout = rangeOf("orders", [100, 200, 300]);
    const wanted = spec("orders", { strategy: "range", count: 4, policy: { maxSkew: 2.2 } });
    const starts = [0, 100, 250, 300];
    const even = starts.flatMap((start) => integerRows(50, start));
    const { first, fresh, second } = await replan(
      wanted,
      world("orders", { rows: integerRows(1000), layout }),
      wanted,
      world("orders", { rows: even, layout }),
    );
    expect(first.changes[0]?.reason).toBe("skew 2.80 is above 2.2");
    expect(fresh.changes).toEqual([]);
    expect(second.fingerprint).toBe(first.fingerprint);
    expect(second.changes[0]?.to).toEqual(first.changes[0]?.to);
  });

  it("slots moved for skew, but not once the move would make it worse than the policy allows", async () => {
    const layout = rangeOf("orders", [100, 200, 300]);
    const wanted = spec("orders", { strategy: "range", count: 4 });
    const { first, fresh, second } = await replan(
      wanted,
      world("orders", { rows: integerRows(1000), layout }),
      wanted,
      world("orders", { rows: [...integerRows(300), ...integerRows(100, 300)], layout }),
    );
    expect(second.fingerprint).not.toBe(first.fingerprint);
    expect(second).toEqual(fresh);
  });

  it("a namespace that was in sync is not drawn in by skew that came later", async () => {
    const layout = rangeOf("orders", [100, 200, 300]);
    const wanted = spec("orders", { strategy: "range", count: 4 });
    const { first, fresh, second } = await replan(
      wanted,
      world("orders", { rows: integerRows(400), layout }),
      wanted,
      world("orders", { rows: integerRows(1000), layout }),
    );
    expect(first.changes).toEqual([]);
    expect(fresh.changes).toHaveLength(1);
    expect(second.fingerprint).toBe(first.fingerprint);
    expect(second.changes).toEqual([]);
  });
});

describe("choices are made anew", () => {
  const before = world("orders", { rows: reviewedRows });
  const after = world("orders", { rows: mergedRows });
  it.each([
    ["the epoch moved", quantiles, { ...after, epoch: after.epoch + 1 }],
    ["the count changed", { ...quantiles, count: 5 }, after],
    [
      "the key changed",
      { ...quantiles, shardKey: "other" },
      { ...after, rows: mergedRows.map((row) => ({ ...row, other: row.key })) },
    ],
    ["the strategy changed", spec("orders", { count: 4 }), after],
    [
      "split points were declared",
      {
        ...quantiles,
        splitPoints: [toKey(1), toKey(2), toKey(3)],
        policy: { ...quantiles.policy, maxSkew: 4 },
      },
      after,
    ],
    ["the live layout changed", quantiles, { ...after, layout: hashOf("orders", 2) }],
    [
      "the reviewed change was of another kind",
      quantiles,
      { ...after, layout: rangeOf("orders", [500]) },
    ],
  ] as const)("when %s", async (_name, merged, live) => {
    const { first, fresh, second } = await replan(quantiles, before, merged, live);
    expect(second.fingerprint).toBe(fresh.fingerprint);
    expect(second.fingerprint).not.toBe(first.fingerprint);
  });

  it("for the namespace concerned only: another one keeps its choice", async () => {
    const users = spec("users", { strategy: "range", count: 2 });
    const first = await planOf(desired(quantiles, users), [
      before,
      world("users", { rows: reviewedRows }),
    ]);
    const second = await planOf(
      desired(quantiles, users),
      [{ ...after, epoch: 9 }, world("users", { rows: mergedRows })],
      first,
    );
    expect(second.fingerprint).not.toBe(first.fingerprint);
    expect(second.changes.map(({ to }) => to)).not.toContainEqual(first.changes[0]?.to);
    expect(second.changes.map(({ to }) => to)).toContainEqual(first.changes[1]?.to);
  });
});

it("deterministic choices do not need a basis", async () => {
  const wanted = spec("orders", { count: 12, policy: { maxSkew: 3 } });
  const layout = hashOf("orders", 8);
  const { fresh, second, first } = await replan(
    wanted,
    world("orders", { rows: rowsOf(100), layout }),
    wanted,
    world("orders", { rows: rowsOf(900), layout }),
  );
  expect(new Set([first, fresh, second].map(({ fingerprint }) => fingerprint)).size).toBe(1);
});
