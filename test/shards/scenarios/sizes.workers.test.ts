/** Projected sizes against those that the real runtime reports after a real move. */
import { expect, it } from "vitest";

import { type Layout, shardNames } from "../../../src/model/layout/layout.ts";
import { freshHashLayout } from "../../../src/model/strategies/hash.ts";
import { projectChange } from "../../../src/planning/project-change.ts";
import { DeployedNamespace, statements } from "../support/deploy.ts";

const ERROR_MAX = 0.1;
const TEXT = "hex(randomblob(20))";

it.each([
  [
    "two-indexes",
    "id",
    [
      "CREATE TABLE IF NOT EXISTS items (id TEXT PRIMARY KEY, a TEXT, b INTEGER)",
      "CREATE INDEX IF NOT EXISTS items_by_a ON items (a)",
      "CREATE INDEX IF NOT EXISTS items_by_b ON items (b, a)",
    ],
    [`printf('k%07d', i), ${TEXT}, abs(random()) % 100000`, 6_000],
  ],
  [
    "small-rows",
    "id",
    ["CREATE TABLE IF NOT EXISTS items (id INTEGER PRIMARY KEY, n INTEGER)"],
    ["i, i % 1000", 60_000],
  ],
  [
    "blobs",
    "id",
    ["CREATE TABLE IF NOT EXISTS items (id INTEGER PRIMARY KEY, content BLOB)"],
    ["i, randomblob(3000 + abs(random()) % 9000)", 400],
  ],
  [
    "without-rowid",
    "a",
    [
      "CREATE TABLE IF NOT EXISTS items (a TEXT, b INTEGER, v TEXT, PRIMARY KEY (a, b)) WITHOUT ROWID",
    ],
    [`${TEXT}, i, ${TEXT}`, 10_000],
  ],
  [
    "text-keys",
    "id",
    ["CREATE TABLE IF NOT EXISTS items (id TEXT PRIMARY KEY, v TEXT)"],
    [`${TEXT}, ${TEXT}`, 10_000],
  ],
] as const)("%s take what was projected", async (shape, key, schema, [values, rows]) => {
  const name = `sizes-${shape}`;
  const namespace = new DeployedNamespace(name, "field", statements(...schema));
  await namespace.sql(
    name,
    `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${rows}) INSERT INTO items SELECT ${values} FROM n`,
  );
  const live = await namespace.ask({ kind: "describe", object: "DEPLOYED" });
  const distribution = await namespace.ask({
    kind: "distribute",
    distribution: { by: "slots", shardKey: key },
  });
  const to: Layout = freshHashLayout(key, 0, shardNames(name, 0, 3));
  const { sizes = [] } = projectChange(live, to, distribution);
  await namespace.toHash(key, 3);
  await namespace.settled();
  const { members } = await namespace.ask({ kind: "describe", object: "DEPLOYED" });
  const wrong = members.flatMap(({ name: member, storage = 0 }) => {
    const after = sizes.find((size) => size.member === member)?.after ?? 0;
    return Math.abs(after / storage - 1) > ERROR_MAX ? [`${member}: ${after}, ${storage}`] : [];
  });
  expect(members.map((member) => member.name)).toEqual(to.members);
  expect(wrong).toEqual([]);
});
