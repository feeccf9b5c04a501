/** A call to all members meets every row once, whatever is cut over while it runs. */
import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";

import type { MemberRequest } from "../../../src/shards/protocol/messages.ts";
import { connect } from "../../../src/shards/router.ts";
import { sample } from "../../support/sample.ts";
import type { Cases, ShardsEnv } from "../../support/shards-worker.ts";
import { beforeFirst } from "../support/intercept.ts";
import { TestNamespace } from "../support/namespace.ts";

const { CASES } = env as unknown as ShardsEnv;
const ROWS = 300;
const ADD = "UPDATE names SET n = n + 1";
let namespaces = 0;

async function openRows(members: number): Promise<TestNamespace<Cases>> {
  const namespace = new TestNamespace(CASES, `nocase~fan-out-${namespaces++}`);
  await namespace.sql(
    namespace.name,
    `INSERT INTO names (id, region, n) WITH RECURSIVE i (v) AS (SELECT 1 UNION ALL SELECT v + 1 FROM i WHERE v < ${ROWS}) SELECT 'id-' || v, 'r', 0 FROM i`,
  );
  await namespace.toHash("id", members);
  return namespace;
}

/**
 * Moves, and calls when a message of this kind is first sent, or in the end if none is. The call is
 * the test's own: an object could not wait for it.
 */
async function callAt(
  namespace: string,
  kind: MemberRequest["kind"],
  move: () => Promise<unknown>,
  call: () => Promise<unknown>,
): Promise<void> {
  const moment = beforeFirst(namespace, kind, () => undefined);
  const state = { isOver: false };
  const moved = move().finally(() => (state.isOver = true));
  while (!moment.done && !state.isOver) await new Promise((resolve) => setTimeout(resolve, 1));
  await Promise.all([moved, call()]);
}

/** How often rows were met: for each count, how many. */
async function countsOf(namespace: TestNamespace<Cases>): Promise<Record<string, number>> {
  const { layout } = await namespace.live();
  const counts: Record<string, number> = {};
  for (const member of layout.members) {
    const found = await namespace.sql(
      member,
      "SELECT CAST(n AS TEXT) AS n, count(*) AS found FROM names GROUP BY n",
    );
    for (const row of found) {
      const n = row["n"] as string;
      counts[n] = (counts[n] ?? 0) + Number(row["found"]);
    }
  }
  return counts;
}

describe("writers 4: calls to all members under rebalances", { timeout: 60_000 }, () => {
  it.each(sample([60, 300, 4], 1))(
    "six under five of them meet every row six times, also rows that moved: waves of %i rows",
    async (waveRowsMax) => {
      const namespace = await openRows(2);
      const router = connect<Cases>(CASES, namespace.name);
      const add = (): Promise<unknown> => router.callAll("write", ADD);
      await add();
      const moments: readonly MemberRequest["kind"][] = [
        "promote",
        "fence",
        "promote",
        "activate",
        "promote",
      ];
      for (const [index, members] of [4, 3, 6, 5, 2].entries())
        await callAt(
          namespace.name,
          moments[index] ?? "fence",
          () => namespace.toHash("id", members, { waveRowsMax }),
          add,
        );
      expect(await countsOf(namespace)).toEqual({ "6": ROWS });
      expect(await namespace.leftovers()).toEqual([]);
    },
  );

  it("one after the other keep no rebalance from its end and meet each row as often as they were acknowledged", async () => {
    const namespace = await openRows(3);
    const router = connect<Cases>(CASES, namespace.name);
    const state = { isOver: false, acknowledged: 0 };
    const callers = [0, 1].map(async () => {
      while (!state.isOver) {
        await router.callAll("write", ADD);
        state.acknowledged++;
        // Without a pause no timer of the local runtime would ever fire.
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
    });
    for (const members of [5, 2, 4]) await namespace.toHash("id", members);
    state.isOver = true;
    await Promise.all(callers);
    expect(state.acknowledged).toBeGreaterThan(5);
    expect(await countsOf(namespace)).toEqual({ [String(state.acknowledged)]: ROWS });
  });

  it("under a rekey and an unshard too", async () => {
    const namespace = await openRows(3);
    const router = connect<Cases>(CASES, namespace.name);
    const mark = (): Promise<unknown> =>
      router.callAll("write", "UPDATE names SET n = n + 1, region = 'r'");
    await callAt(namespace.name, "fence", () => namespace.toHash("region", 2), mark);
    await callAt(namespace.name, "fence", () => namespace.unshard(), mark);
    expect(await countsOf(namespace)).toEqual({ "2": ROWS });
  });
});
