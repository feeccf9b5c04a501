/**
 * Migration steps on the real runtime: once per object, all or nothing, in order, and what a
 * rollback leaves.
 */
import { describe, expect, it } from "vitest";

import { ShardHost } from "../../../src/shards/index.ts";
import { runMigrations } from "../../../src/shards/host/migrations.ts";
import { WRITE_BLOCK_MESSAGES } from "../../../src/shards/move/write-blocks.ts";
import { refusal } from "../../support/refusal.ts";
import type { Step } from "../../support/migrated.ts";
import { CREATE, MARK, MigratedNamespace, STATUS } from "../support/migrated-namespace.ts";

const ROWS = 20;
let namespaces = 0;

async function open(): Promise<MigratedNamespace> {
  const namespace = new MigratedNamespace(`once-${namespaces++}`, "host");
  await namespace.load(ROWS);
  return namespace;
}

async function ids(
  namespace: MigratedNamespace,
  table = "shardctl_migrations",
): Promise<unknown[]> {
  return (await namespace.sql(namespace.name, `SELECT id FROM ${table} ORDER BY at`)).map(
    (row) => row["id"],
  );
}

/** Deploys the steps to the object, and lets it run them. */
async function deployed(namespace: MigratedNamespace, steps: readonly Step[]): Promise<void> {
  await namespace.deploy(steps, [namespace.name]);
  await namespace.sql(namespace.name, "SELECT 1");
}

/** Returns the error that the object's methods fail with while it cannot start. */
function failure(namespace: MigratedNamespace): Promise<string> {
  return refusal(async () => namespace.stub().put("late", "r1"));
}

describe("shards.migrate", { timeout: 60_000 }, () => {
  it("runs a step once per object, and writes nothing when all have run", async () => {
    const namespace = await open();
    await deployed(namespace, [CREATE, MARK]);
    await deployed(namespace, [CREATE, MARK]);
    expect(await namespace.sql(namespace.name, "SELECT total_changes() AS n")).toEqual([{ n: 0 }]);
    expect(await namespace.sql(namespace.name, "SELECT home FROM docs WHERE id = 'd0'")).toEqual([
      { home: "h0!" },
    ]);
    expect(await ids(namespace)).toEqual(["1-docs", "2-mark"]);
  });

  it("undoes a step that throws, keeps those before it, names it, and goes on once it is mended", async () => {
    const namespace = await open();
    const broken: Step = {
      id: "3-broken",
      up: ["UPDATE docs SET home = 'lost'"],
      backfill: ["UPDATE absent SET a = 1"],
    };
    await namespace.deploy([CREATE, MARK, broken], [namespace.name]);
    const message = await failure(namespace);
    expect(message).toContain("Migration '3-broken' failed");
    expect(message).toContain("no such table: absent");
    await deployed(namespace, [CREATE, MARK]);
    expect(
      await namespace.sql(namespace.name, "SELECT DISTINCT substr(home, 3) AS mark FROM docs"),
    ).toEqual([{ mark: "!" }]);
    expect(await ids(namespace)).toEqual(["1-docs", "2-mark"]);
    await deployed(namespace, [CREATE, MARK, { ...broken, backfill: [] }]);
    expect(await ids(namespace)).toEqual(["1-docs", "2-mark", "3-broken"]);
  });

  it("refuses a new step before one that has run, until it stands at the end", async () => {
    const namespace = await open();
    await namespace.deploy([STATUS, CREATE], [namespace.name]);
    expect(await failure(namespace)).toContain("'2-status' stands before '1-docs'");
    await deployed(namespace, [CREATE, STATUS]);
    expect(await namespace.values("status")).toContain("d0 new");
  });

  it("refuses a step that is asynchronous, and undoes what it has done", async () => {
    const namespace = await open();
    const message = await namespace.inside(namespace.name, async (_, { storage }) => {
      const up = async (sql: SqlStorage): Promise<void> => {
        sql.exec("DELETE FROM docs");
        await Promise.resolve();
      };
      const steps = [
        { id: "1-docs", up: () => undefined },
        { id: "2-slow", up: up as unknown as (sql: SqlStorage) => void },
      ];
      return refusal(async () => runMigrations(storage, steps, () => 1));
    });
    expect(message).toContain("Migration '2-slow' failed: it is asynchronous");
    expect(await namespace.values("home")).toHaveLength(ROWS);
  });

  it("is refused a second time, before it withdraws anything", async () => {
    const namespace = await open();
    const message = await namespace.inside(namespace.name, async (object, ctx) => {
      const host = new ShardHost(ctx, object, { tables: [] });
      host.migrate([{ id: "1-docs", up: () => undefined }]);
      return refusal(async () => host.migrate([]));
    });
    expect(message).toContain("shards.migrate was called twice");
    expect(await ids(namespace)).toEqual(["1-docs"]);
  });

  it("is refused after the constructor", async () => {
    const namespace = await open();
    expect(await refusal(async () => namespace.stub().migrateLate())).toContain(
      "shards.migrate was called too late",
    );
    await deployed(namespace, [CREATE, STATUS]);
    expect(await ids(namespace)).toEqual(["1-docs", "2-status"]);
  });

  it("withdraws what a rollback no longer gives, and fills in what the older version wrote once it is back", async () => {
    const namespace = await open();
    await deployed(namespace, [CREATE, STATUS]);
    await deployed(namespace, [CREATE]);
    expect(await ids(namespace)).toEqual(["1-docs"]);
    expect(await ids(namespace, "shardctl_migrations_withdrawn")).toEqual(["2-status"]);
    await namespace.stub().put("old", "r1");
    await deployed(namespace, [CREATE, STATUS]);
    expect(await namespace.values("status")).toContain("old new");
    expect(await ids(namespace)).toEqual(["1-docs", "2-status"]);
    expect(await ids(namespace, "shardctl_migrations_withdrawn")).toEqual([]);
  });

  it("runs on the root that has retired, and its guards stand afterwards", async () => {
    const namespace = await open();
    await namespace.toHash("region", 2);
    await namespace.deploy(
      [CREATE, STATUS],
      [namespace.name, `${namespace.name}-shard-0`, `${namespace.name}-shard-1`],
    );
    expect(await refusal(async () => namespace.stub().put("stray", "r1"))).toContain(
      WRITE_BLOCK_MESSAGES.notMember,
    );
    expect(await namespace.notes(namespace.name)).toBe(2);
    expect(await namespace.values("status")).toEqual(
      Array.from({ length: ROWS }, (_, index) => `d${index} new`).toSorted(),
    );
    await namespace.unshard();
    expect(await namespace.values("status")).toHaveLength(ROWS);
  });
});
