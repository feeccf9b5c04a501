/** Counting by a key on the real runtime: who is served meanwhile, and how near a sample comes. */
import { expect, it } from "vitest";

import { shardNames, unshardedLayout } from "../../../src/model/layout/layout.ts";
import { freshHashLayout } from "../../../src/model/strategies/hash.ts";
import { projectChange, rowsByMember } from "../../../src/planning/project-change.ts";
import { DeployedNamespace, statements } from "../support/deploy.ts";

/** More than a distribution reads all of. */
const ROWS = 240_000;
const EVERY = 2;

it("samples many rows as near as it states, and serves between the slices of an exact count", async () => {
  const name = "distribute-many";
  const items = "CREATE TABLE IF NOT EXISTS items (id TEXT PRIMARY KEY, customer INTEGER)";
  const namespace = new DeployedNamespace(name, "field", statements(items));
  await namespace.sql(
    name,
    `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${ROWS}) INSERT INTO items SELECT printf('k%07d', i), (i / 300) * 7919 % 5003 FROM n`,
  );
  const distribution = { by: "slots", shardKey: "customer" } as const;
  const state = { isDone: false };
  let served = 0;
  const serve = async (): Promise<void> => {
    while (!state.isDone) {
      await namespace.ask({ kind: "history", limit: 1 });
      served++;
      // Without a pause no timer of the local runtime would ever fire.
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  };
  const serving = serve();
  const exact = await namespace.ask({ kind: "distribute", distribution, exact: true });
  state.isDone = true;
  await serving;
  expect(exact).toMatchObject({ rows: ROWS, sampledEvery: null });
  // Of the 120 slices; none came between the rows of one statement.
  expect(served).toBeGreaterThan(20);
  const live = await namespace.ask({ kind: "describe", object: "DEPLOYED" });
  const sampled = await namespace.ask({ kind: "distribute", distribution });
  expect(sampled.sampledEvery).toBe(EVERY);
  const to = freshHashLayout("customer", 1, shardNames(name, 1, 4));
  const { estimate } = projectChange({ ...live, layout: unshardedLayout(name, 0) }, to, sampled);
  const real = rowsByMember(to, exact);
  const wrong = rowsByMember(to, sampled).map((rows, index) => Math.abs(rows - (real[index] ?? 0)));
  expect(estimate?.error).toBeLessThan(0.3);
  expect(Math.max(...wrong)).toBeLessThanOrEqual((estimate?.error ?? 0) * Math.max(...real));
});
