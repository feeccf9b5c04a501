/** Counting by a key over all members: a sample of many rows, or every one. */
import { expect, it } from "vitest";

import { countMember, distributeOverMembers } from "../../../src/shards/root/count-members.ts";
import { stillCounting } from "../../../src/shards/protocol/refused-error.ts";
import type { Ask, MemberRequest } from "../../../src/shards/protocol/messages.ts";

const request = { by: "slots", shardKey: "id" } as const;

/** Members with so many rows each, the last of which an older library answers for. */
function askOf(rows: number): { ask: Ask; asked: MemberRequest[] } {
  const asked: MemberRequest[] = [];
  const ask = (member: string, sent: MemberRequest): Promise<unknown> => {
    asked.push(sent);
    const isOld = member === "old";
    if (sent.kind === "count")
      return Promise.resolve({
        tables: [{ table: "t", rows, bytes: rows }],
        undeclared: [],
        ...(!isOld && { countedAt: 400 }),
      });
    const distribution = { member, slots: [{ slot: 1, rows, bytes: rows }] };
    const found = { distribution, rows, bytes: rows, missing: 0 };
    return Promise.resolve({ ...found, ...(!isOld && { clustering: member === "a" ? 3 : 7 }) });
  };
  return { ask: ask as unknown as Ask, asked };
}

const runtime = {
  now: () => 1_000,
  sleep: () => Promise.resolve(),
  digest: () => Promise.resolve(""),
};
const members = ["a", "b", "old"];

it("samples more than 200,000 rows, and states the worst clustering and the oldest count", async () => {
  const { ask, asked } = askOf(200_000);
  expect(await distributeOverMembers({ ask, runtime }, members, request)).toMatchObject({
    rows: 600_000,
    sampledEvery: 3,
    clustering: 7,
    countedAt: 400,
  });
  expect(asked.at(-1)).toEqual({ kind: "distribute", distribution: request, sampleEvery: 3 });
});

it("reads every row when that is asked for, without a count before", async () => {
  const { ask, asked } = askOf(200_000);
  expect(await distributeOverMembers({ ask, runtime }, members, request, true)).toMatchObject({
    rows: 600_000,
    sampledEvery: null,
    countedAt: 1_000,
  });
  const exact = { kind: "distribute", distribution: request, sampleEvery: 1 };
  expect(asked).toEqual([exact, exact, exact]);
});

it("tells how far a member is that is still counting, and nothing of one that does not answer", async () => {
  const failing = (error: Error): Ask => {
    return async () => {
      throw error;
    };
  };
  const counting = stillCounting("a is still counting its rows (4000 so far)", 4_000);
  expect((await countMember({ ask: failing(counting), runtime }, "a")).status).toMatchObject({
    healthy: false,
    counting: 4_000,
  });
  const { status } = await countMember({ ask: failing(new Error("no answer")), runtime }, "a");
  expect(status).not.toHaveProperty("counting");
});
