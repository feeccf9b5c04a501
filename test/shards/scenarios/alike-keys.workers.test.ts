/**
 * Keys that compare alike although their bytes differ, and rows that are replaced by their rowid,
 * written while they are being moved: they arrive as they would stand without a move.
 */
import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";

import type { MemberRequest } from "../../../src/shards/protocol/messages.ts";
import type { Cases, ShardsEnv } from "../../support/shards-worker.ts";
import { sample } from "../../support/sample.ts";
import { beforeFirst } from "../support/intercept.ts";
import { TestNamespace } from "../support/namespace.ts";

const { CASES } = env as unknown as ShardsEnv;
const KINDS = ["copy", "verify", "fence"] as const;
const ROWS = 40;
let namespaces = 0;

/** Two ways to write a key that compare alike, as SQL. */
interface Spelling {
  readonly kind: string;
  readonly one: (n: number) => string;
  readonly other: (n: number) => string;
}

const inCase = { one: (n: number) => `'key-${n}'`, other: (n: number) => `'KEY-${n}'` };
const SPELLINGS: readonly Spelling[] = [
  ...["nocase", "nocaseClustered", "nocaseUnique", "nocasePair", "nocaseIndex", "nocaseColumn"].map(
    (kind) => ({
      kind,
      ...inCase,
    }),
  ),
  { kind: "rtrim", one: (n) => `'key-${n}'`, other: (n) => `'key-${n}  '` },
  { kind: "untyped", one: (n) => `${n}`, other: (n) => `${n}.0` },
];

type Way = readonly [
  name: string,
  move: (namespace: TestNamespace<Cases>) => Promise<unknown>,
  before?: number,
];
const WAYS: readonly Way[] = [
  ["shard by region", (namespace) => namespace.toHash("region", 3)],
  ["shard by the key itself", (namespace) => namespace.toHash("id", 3)],
  ["rebalance by the key itself", (namespace) => namespace.toHash("id", 3), 1],
];

const insert = (key: string, n: number, region = `r${n % 5}`): string =>
  `INTO names (id, region, n) VALUES (${key}, '${region}', ${n})`;

function loadOf({ one }: Spelling): string[] {
  return Array.from({ length: ROWS }, (_, n) => `INSERT ${insert(one(n), n)}`);
}

function writesOf({ one, other }: Spelling): string[] {
  return [
    `UPDATE names SET id = ${other(1)} WHERE id = ${one(1)}`,
    `UPDATE names SET id = ${other(2)}, region = 'elsewhere' WHERE id = ${one(2)}`,
    `DELETE FROM names WHERE id = ${one(3)}`,
    `INSERT ${insert(other(3), 300)}`,
    `DELETE FROM names WHERE id = ${one(4)}`,
    `INSERT ${insert(other(4), 400, "elsewhere")}`,
    `REPLACE ${insert(other(5), 500)}`,
    `INSERT OR REPLACE ${insert(other(6), 600, "elsewhere")}`,
    `UPDATE OR REPLACE names SET id = ${other(7)} WHERE id = ${one(8)}`,
    `DELETE FROM names WHERE id = ${one(9)}`,
    `INSERT ${insert(other(9), 900)}`,
    `DELETE FROM names WHERE id = ${other(9)}`,
    `UPDATE names SET id = ${other(10)} WHERE id = ${one(10)}`,
    `UPDATE names SET id = ${one(10)} WHERE id = ${other(10)}`,
    `UPDATE names SET id = ${one(100)} WHERE id = ${one(11)}`,
    `UPDATE names SET id = ${other(11)} WHERE id = ${one(12)}`,
    `UPDATE names SET id = ${other(12)} WHERE id = ${one(100)}`,
    `INSERT OR IGNORE ${insert(other(13), 1300)}`,
    `INSERT ${insert(one(101), 1010)}`,
    `UPDATE names SET id = ${other(101)} WHERE id = ${one(101)}`,
  ];
}

/** Moves the rows under the writes, and compares with an object that is not moved. */
async function moveUnder(
  kind: string,
  load: readonly string[],
  writes: readonly string[],
  [, move, before]: Way,
  at: MemberRequest["kind"],
): Promise<string[]> {
  const namespace = new TestNamespace(CASES, `${kind}~alike-${namespaces++}`);
  const twin = new TestNamespace(CASES, `${namespace.name}-twin`);
  for (const statement of load) await namespace.sql(namespace.name, statement);
  for (const statement of [...load, ...writes]) await twin.sql(twin.name, statement);
  if (before !== undefined) await namespace.toHash("id", before);
  const [source = ""] = (await namespace.live()).layout.members;
  const wrote = beforeFirst(namespace.name, at, async () => {
    for (const statement of writes) await namespace.sql(source, statement);
  });
  await move(namespace);
  const found = wrote.done ? [] : ["the writes were not made"];
  const [expected, there] = [await twin.contents("names"), await namespace.contents("names")];
  found.push(...expected.filter((row) => !there.includes(row)).map((row) => `lost ${row}`));
  found.push(...there.filter((row) => !expected.includes(row)).map((row) => `new ${row}`));
  if (there.length !== expected.length) found.push(`${there.length} rows for ${expected.length}`);
  return [...found, ...(await namespace.leftovers())];
}

const TABLE = WAYS.flatMap((way) => KINDS.map((kind) => [way[0], kind, way] as const));

describe.each(SPELLINGS)(
  "writers 5: keys that compare alike: $kind",
  { timeout: 60_000 },
  (spelling) => {
    it.each(sample(TABLE, 1))("%s, written before '%s'", async (_, at, way) => {
      expect(await moveUnder(spelling.kind, loadOf(spelling), writesOf(spelling), way, at)).toEqual(
        [],
      );
    });
  },
);

describe(
  "writers 5: keys that the table tells apart and its column does not",
  { timeout: 60_000 },
  () => {
    it.each(WAYS.map((way) => [way[0], way] as const))("%s", async (_name, way) => {
      const load = [
        ...loadOf({ kind: "", ...inCase }),
        ...Array.from({ length: ROWS }, (_, n) => `INSERT ${insert(inCase.other(n), n)}`),
      ];
      const writes = [
        "UPDATE names SET n = 7 WHERE id COLLATE BINARY = 'KEY-7'",
        "DELETE FROM names WHERE id COLLATE BINARY = 'key-8'",
        "UPDATE names SET id = 'Key-9' WHERE id COLLATE BINARY = 'key-9'",
        "REPLACE INTO names (id, region, n) VALUES ('KEY-10', 'elsewhere', 10)",
      ];
      expect(await moveUnder("nocaseColumn", load, writes, way, "verify")).toEqual([]);
    });
  },
);

describe("writers 5: rows that are replaced by their rowid", { timeout: 60_000 }, () => {
  const load = loadOf({ kind: "", ...inCase });
  // The table has a column `rowid`: its rowids go by another name.
  const writes = [
    "INSERT OR REPLACE INTO names (_rowid_, id, region, n) SELECT _rowid_, 'new-3', 'r1', 3 FROM names WHERE id = 'key-3'",
    "REPLACE INTO names (oid, id, region, n) SELECT _rowid_, 'new-4', 'r1', 4 FROM names WHERE id = 'key-4'",
    "UPDATE OR REPLACE names SET _rowid_ = (SELECT _rowid_ FROM names WHERE id = 'key-6') WHERE id = 'key-7'",
    "INSERT OR REPLACE INTO names (_rowid_, id, region, n) SELECT _rowid_, 'key-10', 'elsewhere', 10 FROM names WHERE id = 'key-9'",
    "INSERT INTO names (_rowid_, id, region, n) VALUES (-1, 'minus', 'r1', 1)",
    "INSERT INTO names (id, region, n) VALUES ('plain', 'r1', 1)",
    "REPLACE INTO names (_rowid_, id, region, n) VALUES (-1, 'minus one', 'r1', 1)",
  ];

  it.each(sample(TABLE, 3))("%s, before '%s'", async (_, at, way) => {
    expect(await moveUnder("rowids", load, writes, way, at)).toEqual([]);
  });
});
