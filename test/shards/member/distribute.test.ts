/** Counting rows by a key in slices, and by a sample with its error, beside the exact counts. */
import { beforeEach, describe, expect, it } from "vitest";

import type { Key } from "../../../src/model/layout/key.ts";
import { shardNames, unshardedLayout } from "../../../src/model/layout/layout.ts";
import type { Layout } from "../../../src/model/layout/layout.ts";
import type { Distribution, DistributionRequest, LiveNamespace } from "../../../src/model/live.ts";
import { freshHashLayout } from "../../../src/model/strategies/hash.ts";
import { freshRangeLayout } from "../../../src/model/strategies/range.ts";
import { projectChange, rowsByMember } from "../../../src/planning/project-change.ts";
import { Distributor } from "../../../src/shards/member/distribute.ts";
import { Member } from "../../../src/shards/member/member.ts";
import { RowCounter } from "../../../src/shards/member/row-counter.ts";
import type { DistributeReply } from "../../../src/shards/protocol/replies.ts";
import { type Runtime, Sql, type SqlValue } from "../../../src/shards/storage/storage.ts";
import type { SimStorage } from "../../sim/storage.ts";
import { openStorage, runAlone } from "../support/node-storage.ts";
import { sample } from "../../support/sample.ts";

const ROWS = 60_000;
const EVERY = 10;
const COUNT = 6;

/** Columns of the primary key, and the value of the id of row `i`. */
const TABLES: Readonly<Record<string, readonly [string, string]>> = {
  "a number for its key": ["(id INTEGER PRIMARY KEY, customer)", "i"],
  "numbers with gaps": ["(id INTEGER PRIMARY KEY, customer)", "i * i"],
  "a text for its key": [
    "(id TEXT PRIMARY KEY, customer)",
    "printf('%08x', i * 2654435761 % 4294967296)",
  ],
  "no rowid": ["(id TEXT PRIMARY KEY, customer) WITHOUT ROWID", "printf('id-%08d', i)"],
};
/** The customer of row `i`. */
const CUSTOMERS: Readonly<Record<string, string>> = {
  sequential: "i",
  skewed: "CAST(1000 * pow((i * 7919 % 60000) / 60000.0, 4) AS INTEGER)",
  "clustered, 400 rows side by side": "(i / 400) * 7919 % 1009",
  "in a rhythm": "i % 250",
};

let storage: SimStorage;
let sql: Sql;
let now: number;
let pauses: number;
/** Runs in each pause between two slices. */
let between: () => void;
/** Rows that slices have read, each. */
let slices: number[];

beforeEach(() => {
  storage = openStorage();
  const { exec } = storage.sql;
  slices = [];
  storage.sql.exec = ((query: string, ...bindings: SqlValue[]) => {
    const cursor = exec(query, ...bindings);
    if (!query.includes("shardctl_cursor")) return cursor;
    const rows = cursor.toArray();
    slices.push(rows.length);
    return { toArray: () => rows };
  }) as typeof exec;
  sql = new Sql(storage);
  now = 1_000_000;
  pauses = 0;
  between = () => undefined;
});

const runtime: Runtime = {
  now: () => now,
  sleep: async (delayMs, signal) => {
    if (delayMs > 0)
      return new Promise((resolve) => {
        signal?.addEventListener("abort", () => {
          resolve();
        });
      });
    pauses++;
    between();
    await Promise.resolve();
  },
  digest: () => Promise.resolve(""),
};

function fill(definition: string, id: string, customer: string, rows = ROWS): void {
  sql.run(`CREATE TABLE t ${definition}`);
  sql.run(
    `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1) INSERT INTO t SELECT ${id}, ${customer} FROM n WHERE i <= ?1`,
    rows,
  );
}

function open(own: Runtime = runtime): {
  member: Member;
  counter: RowCounter;
  distributor: Distributor;
} {
  const specs = [{ name: "t" }];
  const member = new Member({
    sql,
    runtime: own,
    alone: runAlone,
    self: "ns",
    specs,
    localTables: [],
    partitioners: {},
    ask: () => Promise.reject(new Error("unused")),
  } as unknown as ConstructorParameters<typeof Member>[0]);
  const counter = new RowCounter(member, { specs, localTables: [] });
  return { member, counter, distributor: new Distributor(member, counter, {}) };
}

function distributionOf(
  request: DistributionRequest,
  reply: DistributeReply,
  every: number,
): Distribution {
  const { distribution, rows, bytes, missing, clustering } = reply;
  const sampledEvery = every === 1 ? null : every;
  const found = { request, rows, bytes, missing, members: [distribution], sampledEvery };
  return { ...found, ...(clustering !== undefined && { clustering }), countedAt: now };
}

const bounds = [120, 240, 360, 480, 600].map((text): Key => ({ type: "integer", text: `${text}` }));
const sequentialBounds = bounds.map(({ text }): Key => ({
  type: "integer",
  text: `${Number(text) * 84}`,
}));

describe.each(Object.entries(TABLES))("a sample of a table with %s", (_, [definition, id]) => {
  it.each(sample(Object.entries(CUSTOMERS), 3))(
    "of keys that are %s has the error that it states",
    async (kind, customer) => {
      fill(definition, id, customer);
      const members = shardNames("ns", 1, COUNT);
      const points = kind === "sequential" ? sequentialBounds : bounds;
      const wanted: readonly [DistributionRequest, Layout][] = [
        [{ by: "slots", shardKey: "customer" }, freshHashLayout("customer", 1, members)],
        [
          { by: "keys", shardKey: "customer", boundaries: points },
          freshRangeLayout("customer", 1, members, points),
        ],
      ];
      const { counter, distributor } = open();
      await counter.count(1);
      const live = { layout: unshardedLayout("ns", 0), members: [{ name: "ns" }] };
      for (const [request, to] of wanted) {
        const exact = distributionOf(request, await distributor.distribute(request, 1), 1);
        slices = [];
        const reply = await distributor.distribute(request, EVERY);
        const read = slices.reduce((sum, rows) => sum + rows, 0);
        expect(read).toBeGreaterThan((0.9 * ROWS) / EVERY);
        expect(read).toBeLessThan((1.1 * ROWS) / EVERY);
        const sampled = distributionOf(request, reply, EVERY);
        expect(Math.abs(sampled.rows / ROWS - 1)).toBeLessThan(0.01);
        const real = rowsByMember(to, exact);
        expect(real.reduce((sum, rows) => sum + rows, 0)).toBe(ROWS);
        const { estimate } = projectChange(live as unknown as LiveNamespace, to, sampled);
        const most = Math.max(...rowsByMember(to, sampled));
        const wrong = rowsByMember(to, sampled).map((rows, index) =>
          Math.abs(rows - (real[index] ?? 0)),
        );
        // Of the fullest member, as guards compare it, and of each other in rows.
        expect(Math.max(...wrong)).toBeLessThanOrEqual((estimate?.error ?? 0) * most);
        expect(estimate?.error).toBeLessThan(kind.startsWith("clustered") ? 0.6 : 0.2);
      }
    },
  );
});

it("measures that rows which stand side by side are alike", async () => {
  fill(
    "(id INTEGER PRIMARY KEY, customer)",
    "i",
    CUSTOMERS["clustered, 400 rows side by side"] ?? "",
  );
  const { counter, distributor } = open();
  await counter.count(1);
  const alike = await distributor.distribute({ by: "slots", shardKey: "customer" }, EVERY);
  expect(alike.clustering).toBeGreaterThan(10);
  const scattered = await distributor.distribute({ by: "slots", shardKey: "id" }, EVERY);
  expect((alike.clustering ?? 1) / (scattered.clustering ?? 1)).toBeGreaterThan(5);
});

it.each([0, 1, 1_499, 1_500, 1_501, 9_999])("counts every one of %d rows", async (rows) => {
  fill("(id INTEGER PRIMARY KEY, customer)", "i", "nullif(i % 3, 0)", rows);
  const { distributor } = open();
  for (const every of [1, EVERY]) {
    const request = { by: "keys", shardKey: "customer", boundaries: [] } as const;
    const reply = await distributor.distribute(request, every);
    expect(reply).toMatchObject({ rows, missing: Math.floor(rows / 3) });
    expect(reply.clustering).toBeUndefined();
    expect(reply.distribution.keys?.reduce((sum, bucket) => sum + bucket.rows, 0) ?? 0).toBe(rows);
  }
});

it("lets others come between slices of few rows, and counts once for all who ask", async () => {
  fill("(id INTEGER PRIMARY KEY, customer)", "i", "i % 250", 10_000);
  const { distributor } = open();
  const request = { by: "slots", shardKey: "customer" } as const;
  const [first, second] = await Promise.all([
    distributor.distribute(request, 1),
    distributor.distribute(request, 1),
  ]);
  expect(second).toBe(first);
  expect(slices).toEqual([...Array<number>(6).fill(1_500), 1_000]);
  expect(pauses).toBe(6);
});

it("is refused once its part is another, and counts again for the next", async () => {
  fill("(id INTEGER PRIMARY KEY, customer)", "i", "i % 250", 10_000);
  const { distributor, member } = open();
  const request = { by: "slots", shardKey: "customer" } as const;
  const { membership } = member;
  between = () => {
    Object.defineProperty(member, "membership", {
      configurable: true,
      value: { ...membership, epoch: 1 },
    });
  };
  const refused = await distributor.distribute(request, 1).catch((error: unknown) => error);
  expect(refused).toMatchObject({ reason: { kind: "moving", retryable: true } });
  expect(await distributor.distribute(request, 1)).toMatchObject({ rows: 10_000 });
});

it("that takes too long is refused, goes on, and is there for the next who asks", async () => {
  fill("(id INTEGER PRIMARY KEY, customer)", "i", "i % 250", 10_000);
  let goOn = (): void => undefined;
  const stopped = new Promise<void>((resolve) => (goOn = resolve));
  const { distributor } = open({
    ...runtime,
    sleep: (delayMs) => (delayMs > 0 ? Promise.resolve() : stopped),
  });
  const request = { by: "slots", shardKey: "customer" } as const;
  await expect(distributor.distribute(request, 1)).rejects.toThrow(/by the key \(1500 so far\)/);
  now += 150_000;
  goOn();
  await expect.poll(() => slices.length).toBe(7);
  await Promise.resolve();
  expect(await distributor.distribute(request, 1)).toMatchObject({ rows: 10_000 });
  expect(slices).toHaveLength(7);
  now += 700_000;
  await distributor.distribute(request, 1).catch(() => undefined);
  await expect.poll(() => slices.length).toBe(14);
});
