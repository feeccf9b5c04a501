/**
 * The log of captured keys has one entry a key, and is drained while the rows are copied: it never
 * holds more than was written since.
 */
import { describe, expect, it } from "vitest";
import { freshHashLayout } from "../../../src/model/strategies/hash.ts";
import { keepCapture } from "../../../src/shards/move/capture.ts";
import { drainSlice } from "../../../src/shards/move/drain.ts";
import { buildMovePlan } from "../../../src/shards/move/move-plan.ts";
import type { SourceContext } from "../../../src/shards/move/source-context.ts";
import { walkSlice } from "../../../src/shards/move/walk.ts";
import { refusal } from "../../../src/model/wire/protocol-failure.ts";
import { RefusedError } from "../../../src/shards/protocol/refused-error.ts";
import { EngineFault } from "../../../src/shards/storage/faults.ts";
import { ensureSchema } from "../../../src/shards/storage/schema.ts";
import type { Sql } from "../../../src/shards/storage/storage.ts";
import { resolveTables } from "../../../src/shards/storage/tables.ts";
import { movingOf } from "../support/moving.ts";
import { openSql } from "../support/node-storage.ts";
import { createRig, startRebalance } from "../support/root-rig.ts";

const MOVING = movingOf({
  to: freshHashLayout("region", 0, ["s-0", "s-1"]),
  rowsPerSecondMax: 100,
});
const SPECS = [{ name: "items" }, { name: "parts", follows: "items", by: "item" }];
const ROWS = 400;

interface Entry extends Record<string, string | number> {
  pk: string;
  is_moved: number;
}

interface SentPart {
  readonly table: string;
  readonly keys: string;
}

function openSource(rows = ROWS): Sql {
  const sql = openSql();
  ensureSchema(sql);
  sql.run("CREATE TABLE items (id TEXT PRIMARY KEY, region TEXT, mail TEXT UNIQUE, n INTEGER)");
  sql.run("CREATE TABLE parts (item TEXT, part INTEGER, PRIMARY KEY (item, part))");
  for (let n = 0; n < rows; n++)
    sql.run("INSERT INTO items VALUES (?, ?, ?, 0)", `i${n}`, `r${n % 7}`, `mail-${n}`);
  sql.run("INSERT INTO parts SELECT id, 1 FROM items WHERE id IN ('i1', 'i2')");
  keepCapture(sql, resolveTables(sql, SPECS), "region");
  return sql;
}

function entriesOf(sql: Sql): Entry[] {
  return sql.rows<Entry>("SELECT pk, is_moved FROM shardctl_captured ORDER BY id");
}

/**
 * A source whose clock goes on by a second for each message; `answer` may say that a message fails,
 * and write meanwhile. Whoever waits for an answer has waited long enough when `silence` ends.
 */
function contextOf(
  sql: Sql,
  answer: (parts: readonly SentPart[]) => Promise<void> | void,
  silence: Promise<void> = new Promise(() => undefined),
): SourceContext {
  let now = 0;
  return {
    sql,
    self: "root",
    life: 0,
    runtime: {
      now: () => now,
      sleep: (_delayMs, signal) => (signal ? silence : Promise.resolve()),
      digest: () => Promise.resolve("same"),
    },
    plan: () => buildMovePlan(sql, MOVING, resolveTables(sql, SPECS), {}),
    ask: async (_target, request) => {
      const { parts } = request as { readonly parts: readonly SentPart[] };
      now += 1_000;
      await answer(parts);
      return {
        duplicates: [],
        digests: parts.map(() => "same"),
        unsettled: [],
        mismatch: -1,
      } as never;
    },
  };
}

describe("writers 5: the log of captured keys", () => {
  it("has one entry a key, however often and in whichever way it is written", () => {
    const sql = openSource();
    for (let round = 0; round < 50; round++) {
      for (let n = 0; n < 20; n++)
        sql.run(
          "UPDATE items SET n = n + 1, mail = 'new-' || ? || id WHERE id = ?",
          round,
          `i${n}`,
        );
      sql.run(
        "INSERT INTO items VALUES ('i0', 'r0', NULL, 1) ON CONFLICT (id) DO UPDATE SET n = n + 1",
      );
      sql.run("REPLACE INTO items VALUES ('i1', 'r1', 'other', 1)");
      sql.run("DELETE FROM items WHERE id = 'i2'");
      sql.run("INSERT INTO items (rowid, id, region) VALUES (-5, 'i2', 'r2')");
    }
    const keys = entriesOf(sql).map(({ pk }) => pk);
    expect(new Set(keys).size).toBe(20);
    expect(keys).toHaveLength(20);
  });

  it("still knows that a row may have moved, when it is written again", () => {
    const sql = openSource();
    sql.run("UPDATE items SET n = 1 WHERE id = 'i1'");
    expect(entriesOf(sql)).toEqual([{ pk: '["i1",null]', is_moved: 0 }]);
    sql.run("UPDATE items SET region = 'elsewhere' WHERE id = 'i1'");
    sql.run("UPDATE items SET n = 2 WHERE id = 'i1'");
    expect(entriesOf(sql)).toEqual([{ pk: '["i1",null]', is_moved: 1 }]);
  });

  it("keeps a key that is written again while its page is on its way, and sends it again", async () => {
    const sql = openSource();
    sql.run("UPDATE items SET n = 1 WHERE id IN ('i1', 'i3')");
    let messages = 0;
    const context = contextOf(sql, () => {
      if (messages++ === 0) sql.run("UPDATE items SET n = 2 WHERE id = 'i3'");
    });
    await drainSlice(context, 1, 500);
    expect(entriesOf(sql).map(({ pk }) => pk)).toEqual(['["i3",null]']);
    expect((await drainSlice(context, 1, 500)).backlog).toBe(0);
    expect(messages).toBeGreaterThan(1);
  });

  it.each(["copy", "verify"] as const)(
    "holds at most twice the keys written since the last slice of step %s",
    async (step) => {
      const sql = openSource(1_000);
      let written = new Set<string>();
      let fresh = 0;
      let slices = 0;
      let most = 0;
      const look = (): void => {
        const entries = entriesOf(sql).length;
        expect(entries).toBeLessThanOrEqual(2 * written.size);
        most = Math.max(most, entries);
      };
      const context = contextOf(sql, () => {
        for (let n = 0; n < 20; n++) {
          sql.run("UPDATE items SET n = n + 1 WHERE id = ?", `i${n}`);
          written.add(`i${n}`);
        }
        for (let n = 0; n < 5; n++) {
          sql.run("INSERT INTO items VALUES (?, 'r', NULL, 0)", `fresh-${fresh}`);
          written.add(`fresh-${fresh++}`);
        }
        look();
      });
      if (step === "verify")
        sql.run("INSERT INTO shardctl_outgoing VALUES ('s-0', 'items', 10, 10, 0)");
      for (let isDone = false; !isDone && slices < 60; slices++) {
        written = new Set();
        ({ isDone } = await walkSlice(context, 1, step, 1_500));
        // The log may hold only entries written during the last slice.
        look();
      }
      expect(slices).toBeGreaterThan(3);
      expect(fresh).toBeGreaterThan(most);
    },
  );

  it("does not grow while rows have rivals on a target, whatever is written meanwhile", async () => {
    const sql = openSource();
    const context = contextOf(sql, (parts) => {
      for (let n = 0; n < 20; n++)
        sql.run("UPDATE items SET n = n + 1, region = 'r' || (n % 3) WHERE id = ?", `i${n}`);
      if (parts.some(({ keys }) => keys.includes('"i1"')))
        throw new EngineFault("duplicateId", "a rival");
    });
    sql.run("UPDATE items SET region = 'elsewhere' WHERE id IN ('i1', 'i2')");
    for (let slice = 0; slice < 30; slice++)
      await expect(drainSlice(context, 1, 5_000)).rejects.toThrow("a rival");
    const keys = entriesOf(sql).map(({ pk }) => pk);
    expect(keys.length).toBe(new Set(keys).size);
    expect(keys.length).toBeLessThanOrEqual(22);
  });

  it("is read once more when a later page has taken the rival away", async () => {
    const sql = openSource(1_500);
    sql.run("UPDATE items SET n = 1");
    let isFreed = false;
    const context = contextOf(sql, (parts) => {
      if (parts.some(({ keys }) => keys.includes('"i1499"'))) isFreed = true;
      if (!isFreed && parts.some(({ keys }) => keys.includes('"i1"')))
        throw new EngineFault("duplicateId", "a rival");
    });
    expect((await drainSlice(context, 1, 60_000)).backlog).toBe(0);
  });
});

describe("writers 5: a drain in the middle of a walk", () => {
  /** Copies all of a source; what was captured goes to a target that does `answer`. */
  async function copyAll(
    answer: () => Promise<void>,
  ): Promise<{ readonly isDone: boolean; readonly left: number }> {
    const sql = openSource(10);
    sql.run("UPDATE items SET n = 1 WHERE id = 'i3'");
    let isCopied = false;
    const plain = contextOf(
      sql,
      () => (isCopied ? answer() : undefined),
      new Promise((resolve) => setImmediate(resolve)),
    );
    const context: SourceContext = {
      ...plain,
      plan: (operation) => {
        isCopied = sql.first("SELECT 1 AS found FROM shardctl_walk WHERE done = 0") === undefined;
        return plain.plan(operation);
      },
    };
    sql.run(
      "INSERT INTO shardctl_walk (step, table_name, cursor, ordinal, done) VALUES ('copy', 'items', NULL, 0, 0)",
    );
    sql.run(
      "INSERT INTO shardctl_walk (step, table_name, cursor, ordinal, done) VALUES ('copy', 'parts', NULL, 0, 0)",
    );
    const { isDone } = await walkSlice(context, 1, "copy", 500_000);
    return { isDone, left: entriesOf(sql).length };
  }

  it("does not keep the answer waiting for a target that is silent, or cannot be reached", async () => {
    expect(await copyAll(() => new Promise(() => undefined))).toEqual({ isDone: true, left: 1 });
    expect(await copyAll(() => Promise.reject(new Error("Network connection lost")))).toEqual({
      isDone: true,
      left: 1,
    });
  });

  it("passes on what a target refuses, and what fails here", async () => {
    await expect(
      copyAll(() => Promise.reject(new RefusedError(refusal("tablesChanged", "other tables")))),
    ).rejects.toThrow("other tables");
    await expect(
      copyAll(() => Promise.reject(new EngineFault("cancelled", "it is over"))),
    ).rejects.toThrow("it is over");
  });
});

describe("writers 5: a rival whose row has followers", () => {
  it.each([2, 1_500])(
    "ends the drain after a few messages, whatever the time allows (%i followers)",
    async (followers) => {
      const sql = openSource();
      for (let part = 2; part <= followers; part++)
        sql.run("INSERT INTO parts VALUES ('i1', ?)", part);
      sql.run("DELETE FROM shardctl_captured");
      sql.run("UPDATE items SET region = 'elsewhere' WHERE id = 'i1'");
      let messages = 0;
      const context = contextOf(sql, (parts) => {
        // Would go on for as long as the budget lasts otherwise.
        if (++messages > 40) throw new Error("the drain does not end");
        if (parts.some(({ table }) => table === "items"))
          throw new EngineFault("duplicateId", "a rival");
      });
      for (let tries = 0; tries < 2; tries++) {
        messages = 0;
        await expect(drainSlice(context, 1, 60_000_000)).rejects.toThrow("a rival");
        // Only the rival is left waiting: its followers were sent.
        expect(entriesOf(sql).map(({ pk }) => pk)).toEqual(['["i1",null]']);
      }
    },
  );

  it("takes its followers along again when it is written again meanwhile", async () => {
    const sql = openSource();
    sql.run("UPDATE items SET region = 'elsewhere' WHERE id = 'i1'");
    const sent: string[] = [];
    let isFree = false;
    const context = contextOf(sql, (parts) => {
      const tables = [...new Set(parts.map(({ table }) => table))].join(" and ");
      if (sent.at(-1) !== tables) sent.push(tables);
      if (!isFree && tables === "items") throw new EngineFault("duplicateId", "a rival");
      if (!isFree) sql.run("UPDATE items SET region = 'further' WHERE id = 'i1'");
      isFree = true;
    });
    expect((await drainSlice(context, 1, 60_000)).backlog).toBe(0);
    expect(sent).toEqual(["items", "parts", "items", "parts"]);
  });
});

describe("writers 5: the log of a source that has copied all it has", () => {
  it("is drained while others copy, and a rival there fails nothing", async () => {
    const rig = createRig();
    startRebalance(rig);
    let slices = 0;
    const drained: number[] = [];
    rig.ask = (member, request) => {
      if (request.kind === "copy" && member === "m1")
        return { isDone: ++slices >= 5, rows: 5, bytes: 5, outgoing: [] };
      if (request.kind === "drain" && member === "m0" && slices < 5) {
        drained.push(slices);
        throw new EngineFault("duplicateId", "a rival");
      }
      return undefined;
    };
    for (let alarms = 0; alarms < 8; alarms++) {
      await rig.work();
      rig.clock.now += 1_000;
    }
    expect(slices).toBeGreaterThanOrEqual(5);
    expect(drained.length).toBeGreaterThanOrEqual(3);
    expect(rig.record().retries).toBe(0);
  });

  it("keeps nobody waiting when it is silent, and is not asked again before it has answered", async () => {
    const rig = createRig();
    startRebalance(rig);
    let slices = 0;
    let asked = 0;
    let answer: () => void = () => undefined;
    rig.sleep = () => new Promise((resolve) => setImmediate(resolve));
    rig.ask = (member, request) => {
      if (request.kind === "copy" && member === "m1") {
        if (++slices === 5) answer();
        return { isDone: slices >= 9, rows: 5, bytes: 5, outgoing: [] };
      }
      if (request.kind !== "drain" || member !== "m0" || slices >= 9) return undefined;
      asked++;
      return new Promise((resolve) => {
        answer = () => resolve({ backlog: 0 });
      });
    };
    for (let alarms = 0; alarms < 4; alarms++) {
      await rig.work();
      rig.clock.now += 1_000;
    }
    expect(slices).toBeGreaterThanOrEqual(9);
    expect(asked).toBe(2);
  });
});
