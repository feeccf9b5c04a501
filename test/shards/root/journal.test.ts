/**
 * The root's journal stays small: no row near the runtime's limit, and a history of bounded bytes.
 */
import { beforeEach, describe, expect, it } from "vitest";
import type { HashLayout } from "../../../src/model/layout/layout.ts";
import type { Move } from "../../../src/model/layout/moves.ts";
import { Journal, type Wave } from "../../../src/shards/root/journal.ts";
import type { OperationRecord } from "../../../src/shards/root/operation-record.ts";
import { ensureSchema } from "../../../src/shards/storage/schema.ts";
import type { Sql } from "../../../src/shards/storage/storage.ts";
import { openSql } from "../support/node-storage.ts";
import { operationRecord } from "../support/operation-record.ts";

const ROW_BYTES_MAX = 2_000_000;
const HISTORY_BYTES_MAX = 8 * 1024 * 1024;

let sql: Sql;
let journal: Journal;
beforeEach(() => {
  sql = openSql();
  ensureSchema(sql);
  journal = new Journal(sql, "orders");
});

describe("waves", () => {
  const move: Move = {
    source: "orders-g1-shard-0",
    target: "orders-g1-shard-1",
    range: { kind: "slots", from: 0, to: 1 },
  };
  const waves = Array.from({ length: 30_000 }, (_, rows): Wave => ({ moves: [move], rows }));

  it("are no part of the record, however many there are", () => {
    const record = recordOf(1);
    journal.insert(record);
    journal.putWaves(1, waves);
    journal.update({ ...record, waveCount: waves.length });
    const largest = sql.first<{ bytes: number }>(
      "SELECT max(bytes) AS bytes FROM (SELECT octet_length(record) AS bytes FROM shardctl_operations UNION ALL SELECT octet_length(moves) FROM shardctl_waves)",
    );
    expect(largest?.bytes).toBeLessThan(ROW_BYTES_MAX / 100);
    expect(journal.find(1)?.waveCount).toBe(30_000);
    expect(journal.status({ ...record, mode: "shift", waveCount: 30_000 })).toMatchObject({
      wave: 1,
      waves: 30_000,
    });
  });

  it.each([
    ["the first", 0, 2, [0, 1]],
    ["some", 29_000, 3, [29_000, 29_001, 29_002]],
    ["fewer than asked for, at the end", 29_998, 4, [29_998, 29_999]],
    ["none, after it", 30_000, 4, []],
  ])("are read as they are needed: %s", (_, from, count, rows) => {
    journal.insert(recordOf(1));
    journal.putWaves(1, waves);
    expect(journal.waves(1, from, count).map((wave) => wave.rows)).toEqual(rows);
    expect(journal.waves(1, from, count).every((wave) => wave.moves.length === 1)).toBe(true);
    expect(journal.waves(2, from, count)).toEqual([]);
  });

  it("are replaced from the one in work on", () => {
    journal.insert(recordOf(1));
    journal.putWaves(1, waves.slice(0, 3));
    const parts = [7, 8, 9].map((rows) => ({ moves: [], rows }));
    journal.replaceWaves(1, 1, parts);
    expect(journal.waves(1, 0, -1)).toEqual([...waves.slice(0, 1), ...parts]);
  });

  it("are planned anew", () => {
    journal.insert(recordOf(1));
    journal.putWaves(1, waves);
    journal.putWaves(1, waves.slice(0, 2));
    expect(journal.waves(1, 0, 10)).toHaveLength(2);
  });

  it.each(["completed", "failed", "cancelled"] as const)("go when the operation is %s", (state) => {
    const record = recordOf(1);
    journal.insert(record);
    journal.putWaves(1, waves.slice(0, 3));
    journal.update({ ...record, wavesDone: 1 });
    expect(journal.waves(1, 0, 10)).toHaveLength(3);
    journal.update({ ...record, state });
    expect(journal.waves(1, 0, 10)).toEqual([]);
  });
});

describe("the history", () => {
  const insertEnded = (count: number, membersCount: number): void => {
    for (let n = 0; n < count; n++) {
      const record = recordOf(journal.nextId(), membersCount);
      journal.insert(record);
      journal.update({ ...record, state: "completed" });
    }
  };
  const bytes = (): number =>
    sql.first<{ n: number }>("SELECT sum(octet_length(record)) AS n FROM shardctl_operations")?.n ??
    0;

  it("keeps the newest thousand operations", () => {
    insertEnded(1_010, 1);
    const ids = journal.history(2_000).map((record) => record.id);
    expect(ids).toEqual(Array.from({ length: 1_000 }, (_, index) => 1_010 - index));
  });

  it("keeps fewer when their layouts are large", () => {
    insertEnded(150, 1_000);
    const kept = journal.history(2_000).map((record) => record.id);
    expect(bytes()).toBeLessThanOrEqual(HISTORY_BYTES_MAX);
    expect(bytes()).toBeGreaterThan(HISTORY_BYTES_MAX / 2);
    expect(kept[0]).toBe(150);
    expect(kept).toEqual(Array.from({ length: kept.length }, (_, index) => 150 - index));
  });

  it("never loses the operation that runs", () => {
    journal.insert(recordOf(1, 40_000));
    expect(bytes()).toBeGreaterThan(HISTORY_BYTES_MAX / 2);
    insertEnded(60, 1_000);
    expect(journal.running()?.id).toBe(1);
    expect(journal.nextId()).toBe(62);
  });
});

function recordOf(id: number, membersCount = 1): OperationRecord {
  const members = Array.from({ length: membersCount }, (_, index) => `orders-g1-shard-${index}`);
  const layout: HashLayout = {
    kind: "hash",
    shardKey: "customer",
    generation: 1,
    members,
    ranges: members.map((member, index) => ({ end: index + 1, member })),
  };
  const changes = {
    id,
    kind: "rebalance",
    mode: "shift",
    step: "verify",
    epochFrom: 1,
    epoch: 1,
  } as const;
  return operationRecord(
    { from: layout, to: layout },
    { ...changes, correlationId: `operation ${id}` },
  );
}
