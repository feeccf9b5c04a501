/** Awkward values survive every operation byte for byte and with the same storage class. */
import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";

import type { Key } from "../../../src/model/layout/key.ts";
import { type Layout, shardNames } from "../../../src/model/layout/layout.ts";
import { customLayout } from "../../../src/model/strategies/custom.ts";
import { freshRangeLayout } from "../../../src/model/strategies/range.ts";
import { roundRobinLayout } from "../../../src/model/strategies/round-robin.ts";
import { refusal } from "../../support/refusal.ts";
import { isLongRun, size } from "../../support/sample.ts";
import type { Cases, ShardsEnv } from "../../support/shards-worker.ts";
import { TestNamespace } from "../support/namespace.ts";

const { CASES } = env as unknown as ShardsEnv;

/**
 * One SQL literal a row: the value stands in each kind of column, and is its row's primary key and
 * shard key too.
 */
const VALUES: readonly (readonly [string, string])[] = [
  ["int64 maximum", "9223372036854775807"],
  ["int64 minimum", "-9223372036854775807 - 1"],
  ["2^53", "9007199254740992"],
  ["2^53 + 1", "9007199254740993"],
  ["-(2^53 + 1)", "-9007199254740993"],
  ["zero", "0"],
  ["REAL 1.0", "1.0"],
  ["REAL 2^53", "9007199254740992.0"],
  ["REAL -0.0", "-0.0"],
  ["0.1 + 0.2", "0.1 + 0.2"],
  ["a third", "1.0 / 3"],
  ["smallest denormal", "5e-324"],
  ["largest REAL", "1.7976931348623157e308"],
  ["1e300", "1e300"],
  ["infinity", "9e999"],
  ["-infinity", "-9e999"],
  ["text NaN", "'NaN'"],
  ["text Infinity", "'-Infinity'"],
  ["text null", "'null'"],
  ["text of a number", "'1.0'"],
  ["text of an integer", "'007'"],
  ["text with NUL", "'a' || char(0) || 'b' || char(0)"],
  ["only NUL", "char(0)"],
  ["emoji", "'👩‍👩‍👧 ' || char(128512) || ' é e' || char(769)"],
  ["escaped lone surrogate", `'{"s":"\\ud800","t":"\\udc00\\ud83d"}'`],
  ["quotes and backslashes", `'\\" '' \\\\ \\u0000 ]] }} , [null]'`],
  ["line ends", "char(13, 10, 9, 8232, 65279, 127, 1)"],
  ["U+FFFD itself", "char(65533)"],
  ["empty text", "''"],
  ["BLOB", "x'00ff80c328'"],
  ["BLOB of text", "CAST('text' AS BLOB)"],
  ["BLOB of hex digits", "CAST('00FF' AS BLOB)"],
  ["empty BLOB", "x''"],
];

/** Values that no primary key may have. */
const NOT_KEYS: typeof VALUES = [
  ["text that is not UTF-8", "CAST(x'00ff80c328' AS TEXT)"],
  ["a lone surrogate, as the runtime stores it", "CAST(x'61eda08062' AS TEXT)"],
];

async function loadValues(name: string): Promise<TestNamespace<Cases>> {
  const namespace = new TestNamespace(CASES, name);
  await namespace.inside(name, (_, { storage: { sql } }) => {
    [...VALUES, ...NOT_KEYS].forEach(([label, literal], index) => {
      const id = `id-${index}`;
      // Generated columns and affinities may change what is stored: that is the schema's doing, and
      // stays so.
      sql.exec(
        `INSERT INTO items (id, region, whole, ratio, word, bytes, figure, anything, "odd ""name' x", "select") VALUES (?1, ${literal}, ${literal}, ${literal}, ${literal}, ${literal}, ${literal}, ${literal}, ${literal}, ?2)`,
        id,
        label,
      );
      // 0 and -0.0, and 2^53 as INTEGER and as REAL, are one primary key.
      if (index < VALUES.length)
        sql.exec(
          `INSERT OR IGNORE INTO items (id, region, "select") VALUES (${literal}, ?1, NULL)`,
          label,
        );
      sql.exec(
        `INSERT INTO pairs (left_id, right_id, region, payload) VALUES (${index < VALUES.length ? `iif(typeof(${literal}) = 'blob', hex(${literal}), CAST(${literal} AS TEXT))` : `hex(${literal})`}, ?1, ${literal}, ${literal})`,
        index % 3,
      );
      sql.exec(`INSERT INTO numbers (region, payload) VALUES (${literal}, ${literal})`);
    });
    sql.exec("INSERT INTO items (id, region) VALUES ('all null', NULL)");
    for (const id of ["9223372036854775807", "-9223372036854775808", "0", "-1", "9007199254740993"])
      sql.exec(`INSERT INTO numbers (id, region) VALUES (${id}, 'r')`);
  });
  return namespace;
}

async function everything(namespace: TestNamespace<Cases>): Promise<string[]> {
  const tables = await Promise.all(
    ["items", "pairs", "numbers"].map(async (table) =>
      (await namespace.contents(table)).map((row) => `${table} ${row}`),
    ),
  );
  return tables.flat();
}

/** Runs the steps; what differs after each, in a line a row. */
async function harm(
  namespace: TestNamespace<Cases>,
  steps: Readonly<Record<string, () => Promise<unknown>>>,
): Promise<string[]> {
  const before = await everything(namespace);
  const found = before.length > 4 * VALUES.length ? [] : ["the rows were not loaded"];
  for (const [step, run] of Object.entries(steps)) {
    await run();
    const after = await everything(namespace);
    found.push(
      ...before.filter((row) => !after.includes(row)).map((row) => `${step}: lost ${row}`),
    );
    found.push(...after.filter((row) => !before.includes(row)).map((row) => `${step}: new ${row}`));
    if (after.length !== before.length)
      found.push(`${step}: ${before.length} rows became ${after.length}`);
    found.push(...(await namespace.leftovers()).map((leftover) => `${step}: ${leftover}`));
  }
  return found;
}

function rangeTo(
  namespace: TestNamespace<Cases>,
  shardKey: string,
  generation: number,
  splitPoints: readonly Key[],
): Layout {
  return freshRangeLayout(
    shardKey,
    generation,
    shardNames(namespace.name, generation, splitPoints.length + 1),
    splitPoints,
  );
}

describe("awkward values", { timeout: 60_000 }, () => {
  it.runIf(isLongRun())(
    "survive a hash: shard, rebalance up and down, rekey and unshard",
    async () => {
      const namespace = await loadValues("values~hash");
      const found = await harm(namespace, {
        shard: () => namespace.toHash("region", 4),
        up: () => namespace.toHash("region", 6, { waveRowsMax: 7 }),
        down: () => namespace.toHash("region", 3),
        rekey: () => namespace.toHash("value", 3),
        "rekey to the primary key's own": () => namespace.toHash("region", 2),
        unshard: () => namespace.unshard(),
      });
      expect(found).toEqual([]);
    },
  );

  it("survive ranges, whose waves are cut at keys of every storage class", async () => {
    const namespace = await loadValues("values~range");
    const integer = (text: string): Key => ({ type: "integer", text });
    const text = (value: string): Key => ({ type: "text", text: value });
    const points: Key[] = [
      integer("0"),
      { type: "real", text: "0.5" },
      text("a"),
      { type: "blob", text: "00FF" },
    ];
    const others: Key[] = [
      integer("-9007199254740993"),
      integer("9007199254740993"),
      text("-Infinity"),
      text("~"),
      { type: "blob", text: "" },
    ];
    const single: Key[] = [{ type: "real", text: "-Infinity" }];
    const found = await harm(namespace, {
      shard: () => namespace.run("shard", rangeTo(namespace, "region", 0, points)),
      "rebalance, by many waves": async () =>
        namespace.run("rebalance", rangeTo(namespace, "region", 0, others), {
          waveRowsMax: size(1, 8),
        }),
      "rebalance down": () =>
        namespace.run("rebalance", rangeTo(namespace, "region", 0, single), { waveRowsMax: 9 }),
      rekey: () => namespace.run("rekey", rangeTo(namespace, "value", 1, points)),
      unshard: () => namespace.unshard(),
    });
    expect(found).toEqual([]);
  });

  it("that no primary key may have are refused there, with the place", async () => {
    const namespace = await loadValues("values~bad-key");
    await namespace.sql(
      namespace.name,
      "INSERT INTO items (id, region) VALUES (CAST(x'61eda08062' AS TEXT), 'r')",
    );
    const before = await everything(namespace);
    expect(await refusal(() => namespace.toHash("region", 2))).toContain(
      "Table 'items' has text in its primary key that is not UTF-8",
    );
    expect(await everything(namespace)).toEqual(before);
    expect(await namespace.leftovers()).toEqual([]);
  });

  it("survive roundRobin and custom strategies", async () => {
    const namespace = await loadValues("values~dealt");
    // A directory takes ids as text: the empty text and the empty BLOB are one id, REAL 1.0 and the
    // text '1.0' another.
    const dealt = roundRobinLayout("region", 0, shardNames(namespace.name, 0, 3));
    expect(await refusal(() => namespace.run("shard", dealt))).toContain(
      "have one id in the directory, which takes ids as text: (not shown)",
    );
    await namespace.sql(
      namespace.name,
      "DELETE FROM items WHERE rowid NOT IN (SELECT min(rowid) FROM items GROUP BY CAST(id AS TEXT))",
    );
    const found = await harm(namespace, {
      deal: () => namespace.run("shard", dealt),
      "deal over more": () =>
        namespace.run("rebalance", roundRobinLayout("region", 1, shardNames(namespace.name, 1, 5))),
      custom: () =>
        namespace.run(
          "rekey",
          customLayout("region", 2, shardNames(namespace.name, 2, 2), {
            name: "byRegion",
            version: 1,
          }),
        ),
      unshard: () => namespace.unshard(),
    });
    expect(found).toEqual([]);
  });
});
