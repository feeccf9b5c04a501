/**
 * The size of a database as the runtime says it: by pages in use, known without reading a row, and
 * the only figure there is.
 */
import { expect, it } from "vitest";

import { DeployedNamespace, statements } from "../support/deploy.ts";

const BLOB_BYTES = 100_000;
const BLOBS = 40;
/** The private tables, and what is on the pages beside the blobs. */
const REST_BYTES = 300_000;

async function open(name: string): Promise<DeployedNamespace> {
  const items = "CREATE TABLE IF NOT EXISTS items (id TEXT PRIMARY KEY, content BLOB)";
  const namespace = new DeployedNamespace(name, "field", statements(items));
  await namespace.sql(
    name,
    `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${BLOBS}) INSERT INTO items SELECT printf('i%03d', i), zeroblob(${BLOB_BYTES}) FROM n`,
  );
  return namespace;
}

it("leaves free pages out, and gives them to what comes", async () => {
  const namespace = await open("size-free");
  const size = async (): Promise<number> => {
    const { members } = await namespace.ask({ kind: "describe", object: "DEPLOYED" });
    return members[0]?.storage ?? 0;
  };
  const full = await size();
  expect(full).toBeGreaterThan(BLOBS * BLOB_BYTES);
  expect(full).toBeLessThan(BLOBS * BLOB_BYTES + REST_BYTES);
  await namespace.sql(namespace.name, "DELETE FROM items WHERE id > 'i020'");
  expect(Math.abs((await size()) - full / 2)).toBeLessThan(REST_BYTES);
});

it("is told by no pragma, and neither are the free pages", async () => {
  const namespace = await open("size-pragmas");
  for (const name of ["freelist_count", "page_count", "max_page_count"])
    for (const query of [`PRAGMA ${name}`, `SELECT * FROM pragma_${name}`])
      await expect(namespace.sql(namespace.name, query)).rejects.toThrow(/not authorized/);
});

it("is told by each member, with the time of its count", async () => {
  const namespace = await open("size-members");
  const before = Date.now();
  await namespace.toHash("id", 2);
  const { members } = await namespace.ask({ kind: "describe", object: "DEPLOYED" });
  for (const { storage, countedAt, bytes } of members) {
    expect(storage).toBeGreaterThan(bytes);
    expect(countedAt).toBeGreaterThanOrEqual(before);
  }
  expect(members).toHaveLength(2);
});
