/**
 * A drain reads as many entries of the log as one statement can be given, whether their rows are
 * still there or not.
 */
import { expect, it, vi } from "vitest";
import { drainSlice } from "../../../src/shards/move/drain.ts";
import { buildMovePlan } from "../../../src/shards/move/move-plan.ts";
import { ensureSchema } from "../../../src/shards/storage/schema.ts";
import { resolveTables } from "../../../src/shards/storage/tables.ts";
import { TEXT_BYTES_MAX, movingOf } from "../support/moving.ts";
import { openSql } from "../support/node-storage.ts";

const MOVING = movingOf();

it("sends many long keys of deleted rows in several messages", async () => {
  const sql = openSql();
  ensureSchema(sql);
  sql.run("CREATE TABLE items (id TEXT PRIMARY KEY)");
  for (let id = 0; id < 900; id++)
    sql.run(
      "INSERT INTO shardctl_captured (table_name, pk, is_moved) VALUES ('items', json_array(?, NULL), 1)",
      `${id}`.padEnd(3_000, "x"),
    );
  const sent: number[] = [];
  const run = vi.spyOn(sql, "rows");
  const { backlog } = await drainSlice(
    {
      sql,
      self: "root",
      life: 0,
      runtime: {
        now: () => 0,
        sleep: () => Promise.resolve(),
        digest: () => Promise.resolve("same"),
      },
      plan: () => buildMovePlan(sql, MOVING, resolveTables(sql, [{ name: "items" }]), {}),
      ask: (_target, request) => {
        const { parts } = request as { readonly parts: readonly { readonly absent: string }[] };
        sent.push(...parts.map(({ absent }) => absent.length));
        return Promise.resolve({
          duplicates: [],
          digests: parts.map(() => "same"),
          unsettled: [],
        } as never);
      },
    },
    1,
    1_000,
  );
  expect(backlog).toBe(0);
  expect(sent.length).toBeGreaterThan(1);
  const bound = run.mock.calls.flatMap(([, ...bindings]) =>
    bindings.map((value) => (typeof value === "string" ? value.length : 0)),
  );
  expect(Math.max(...sent, ...bound)).toBeLessThan(TEXT_BYTES_MAX);
});
