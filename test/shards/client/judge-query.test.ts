/**
 * Queries on one database with all rows, and on four with a part each: what the judge lets through
 * is equal, the rest is refused with what to do.
 */
import { describe, expect, it } from "vitest";

import { judgeQuery } from "../../../src/shards/client/judge-query.ts";
import {
  type Aggregation,
  type QueryShards,
  mergeShardResults,
} from "../../../src/shards/client/query-shards.ts";
import { requireBinaryOrder, requireDeclared } from "../../../src/shards/member/declared-tables.ts";
import { runQuery } from "../../../src/shards/member/query.ts";
import { RefusedError } from "../../../src/shards/protocol/refused-error.ts";
import type { Sql, SqlRow } from "../../../src/shards/storage/storage.ts";
import { openSql } from "../support/node-storage.ts";

const SHARDS = 4;
const ROWS = 60;
const TABLES = {
  tables: [{ name: "orders" }, { name: "refunds", follows: "orders", by: "order_id" }],
};

function open(holds: (customer: number) => boolean, hasNotes: boolean): Sql {
  const sql = openSql();
  sql.run(
    "CREATE TABLE orders (id TEXT PRIMARY KEY, customer TEXT, name TEXT COLLATE NOCASE, n INTEGER, price REAL, tags TEXT)",
  );
  sql.run("CREATE TABLE refunds (id TEXT PRIMARY KEY, order_id TEXT, amount INTEGER)");
  sql.run("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT)");
  sql.run("CREATE VIEW totals AS SELECT customer, sum(n) AS n FROM orders GROUP BY customer");
  for (let row = 0; row < ROWS; row++) {
    const customer = row % 7;
    if (!holds(customer)) continue;
    const name = row % 5 === 0 ? null : (["anna", "Anna", "BEN", "ben", "zoë"][row % 5] ?? null);
    const tags = JSON.stringify(row % 3 === 0 ? ["a", "b"] : ["b"]);
    const id = `o${String(row).padStart(2, "0")}`;
    sql.run(
      "INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?)",
      id,
      `c${customer}`,
      name,
      (row * 7) % 23,
      row / 4,
      tags,
    );
    if (row % 2 === 0) sql.run("INSERT INTO refunds VALUES (?, ?, ?)", `r${row}`, id, row % 4);
  }
  if (hasNotes)
    for (let note = 0; note < 20; note++) sql.run("INSERT INTO notes VALUES (?, 'text')", note);
  return sql;
}

const one = open(() => true, true);
const four = Array.from({ length: SHARDS }, (_, shard) =>
  open((customer) => customer % SHARDS === shard, shard === 0),
);

/** As the router and its members answer. */
function ask(request: QueryShards): number | SqlRow[] {
  const verdict = judgeQuery(request);
  const { query, params = [] } = request;
  const answers = four.map((sql) => {
    if (verdict) requireDeclared(TABLES, verdict.tables);
    const reply = runQuery(sql, query, params);
    if (verdict?.ordered === true) requireBinaryOrder(sql, query, params);
    return { reply, duration: 0 };
  });
  if (verdict === null) throw new Error(`Not judged: ${query}`);
  return mergeShardResults(request, answers, verdict).data;
}

function refusalOf(request: QueryShards): string | null {
  try {
    ask(request);
  } catch (error) {
    if (error instanceof RefusedError) return error.message;
    throw error;
  }
  return null;
}

/** The answer of one object, by the meaning of the aggregation. */
function expected({ query, params = [], aggregation, limit }: QueryShards): number | SqlRow[] {
  const rows = one.rows<SqlRow>(query, ...params);
  const values = rows.map((row) => Object.values(row)[0] ?? null);
  const numbers = values.filter((value) => typeof value === "number");
  const sum = numbers.reduce((total, value) => total + value, 0);
  switch (aggregation) {
    case "sum":
      return sum;
    case "count":
      return isOneCount(query) ? sum : rows.length;
    case "avg":
      return numbers.length === 0 ? 0 : sum / numbers.length;
    case "concat":
    case "merge":
      return rows.slice(0, limit);
  }
}

function isOneCount(query: string): boolean {
  return /^(?:WITH w AS \(SELECT \* FROM orders\) )?SELECT count\(/.test(query);
}

const texts = (rows: readonly SqlRow[]): string[] =>
  rows.map((row) => JSON.stringify(row)).toSorted();

/**
 * Both answers as far as SQL says what they are: rows without an order may come in any, and any of
 * them be cut off.
 */
function bothAnswers(request: QueryShards): readonly [unknown, unknown] {
  const actual = ask(request);
  const wanted = expected(request);
  if (typeof actual === "number" || typeof wanted === "number")
    return [Number(actual).toFixed(6), Number(wanted).toFixed(6)];
  const { query } = request;
  const all = new Set(texts(one.rows(query.replace(/ LIMIT .*/, ""))));
  const strangers = texts(actual).filter((row) => !all.has(row));
  const isCut = request.limit !== undefined || query.includes("LIMIT");
  const ordered = /ORDER BY (?<terms>.*?)(?: LIMIT|$)/.exec(query)?.groups?.["terms"];
  // Rows that are equal in what they are ordered by may change places.
  const keys = (ordered?.split(", ") ?? []).map((term) => term.split(" ")[0] ?? "");
  const seen = (rows: readonly SqlRow[], others: readonly string[]): unknown => ({
    rows: isCut ? rows.length : texts(rows),
    order: ordered === undefined ? [] : rows.map((row) => keys.map((key) => row[key])),
    others,
  });
  return [seen(actual, strangers), seen(wanted, [])];
}

/** Draws the same queries each time. */
function draws(seed: number): <Value>(values: readonly Value[]) => Value {
  let state = seed;
  return (values) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return values[Math.floor((state / 2 ** 32) * values.length)] as never;
  };
}

function drawRequest(draw: ReturnType<typeof draws>): QueryShards {
  const columns = draw([
    "id",
    "id",
    "*",
    "n",
    "n",
    "price",
    "id, n",
    "id, name",
    "customer, n",
    "DISTINCT customer",
    "count(*)",
    "count(*)",
    "count(name)",
    "count(DISTINCT customer)",
    "sum(n)",
    "total(price)",
    "max(n)",
    "avg(n)",
    "n, n",
    "id, n AS id",
    "sum(DISTINCT n)",
    "min(n, 5) AS n",
    "upper(id) AS id",
    "id, row_number() OVER (ORDER BY id) AS n",
    "(SELECT count(*) FROM json_each(tags)) AS n",
    "(SELECT max(amount) FROM refunds) AS n",
    "id, count(*) AS n",
    "n + 1 AS n",
    "name, id",
    "name COLLATE BINARY AS name, id",
    "group_concat(id)",
    "rowid",
  ]);
  const from = draw([
    "orders",
    "orders",
    "orders",
    "orders",
    "(SELECT * FROM orders WHERE n > 3)",
    "orders AS o",
    "(SELECT * FROM orders ORDER BY n LIMIT 3)",
    "totals",
    "orders JOIN refunds USING (id)",
    "(SELECT id, max(n) AS n, name, customer, price, tags FROM orders)",
    "w",
    "w",
  ]);
  const where = draw([
    "",
    "",
    "",
    " WHERE n > 5",
    " WHERE id IN ('o01', 'o07', 'o33')",
    " WHERE name = 'ANNA'",
    " WHERE NOT EXISTS (SELECT 1 FROM refunds WHERE order_id = orders.id)",
    " WHERE EXISTS (SELECT 1 FROM json_each(tags) WHERE value = 'a')",
    " WHERE false",
    " WHERE n = (SELECT max(n) FROM orders)",
    " WHERE n IS DISTINCT FROM 7",
  ]);
  const tail = draw([
    "",
    "",
    "",
    "",
    " GROUP BY customer",
    " GROUP BY n HAVING count(*) > 1",
    " ORDER BY id",
    " ORDER BY n DESC, id",
    " ORDER BY name, id LIMIT 5",
    " ORDER BY id LIMIT 7",
    " LIMIT 4",
    " ORDER BY id LIMIT 5 OFFSET 3",
    " ORDER BY n LIMIT 2, 3",
    " ORDER BY n DESC LIMIT 6",
    " UNION SELECT id FROM refunds",
    " UNION ALL SELECT id FROM refunds",
    " ORDER BY 1",
    " ORDER BY name COLLATE NOCASE",
    " ORDER BY name, id",
  ]);
  const query = `${from === "w" ? "WITH w AS (SELECT * FROM orders) " : ""}SELECT ${columns} FROM ${from}${where}${tail}`;
  const aggregation = draw<Aggregation>(["concat", "merge", "merge", "sum", "count", "avg"]);
  const isOfRows = aggregation === "concat" || aggregation === "merge";
  return { query, aggregation, ...(isOfRows && draw([false, false, true]) ? { limit: 3 } : {}) };
}

function isValid({ query }: QueryShards): boolean {
  try {
    one.rows(query);
    return true;
  } catch {
    return false;
  }
}

describe("a query over four shards", () => {
  it("is equal to the one object's, or refused", () => {
    const draw = draws(18);
    const counts = { answered: 0, refused: 0 };
    for (let tries = 0; tries < 6_000; tries++) {
      const request = drawRequest(draw);
      if (!isValid(request)) continue;
      const values = one.rows<SqlRow>(request.query).map((row) => Object.values(row)[0]);
      const isNumeric = values.every((value) => value === null || typeof value === "number");
      if ((request.aggregation === "sum" || request.aggregation === "avg") && !isNumeric) continue;
      const isRefused = refusalOf(request) !== null;
      counts[isRefused ? "refused" : "answered"]++;
      const [actual, wanted] = isRefused ? [] : bothAnswers(request);
      expect({ request, actual }).toEqual({ request, actual: wanted });
    }
    expect(counts.answered).toBeGreaterThan(500);
    expect(counts.refused).toBeGreaterThan(500);
  });

  it.each([
    ["SELECT id, name FROM orders WHERE n > ?", "concat", { params: [5] }],
    ["SELECT id FROM main.orders o WHERE o.n BETWEEN 3 AND 9", "concat", {}],
    ['SELECT "id" FROM [orders] /* ; */ -- DISTINCT', "concat", {}],
    ["SELECT CASE n WHEN 1 THEN 'it''s; \"1\"' ELSE id END AS id FROM orders;", "concat", {}],
    ["SELECT id FROM orders UNION ALL SELECT id FROM refunds", "concat", {}],
    ["SELECT o.id, tag.value AS tag FROM orders o, json_each(o.tags) AS tag", "concat", {}],
    ["SELECT id, n FROM orders ORDER BY N DESC, Id LIMIT 9", "merge", {}],
    ["SELECT id, n FROM orders ORDER BY n DESC, id LIMIT ?", "merge", { params: [9] }],
    ["SELECT id, n FROM orders ORDER BY n, id LIMIT 9", "merge", { orderBy: "n, id", limit: 4 }],
    ["SELECT name COLLATE BINARY AS name, id FROM orders ORDER BY name, id LIMIT 9", "merge", {}],
    ["SELECT count(*) FILTER (WHERE n > 3) FROM orders", "count", {}],
    ["SELECT (count(*)) AS counted FROM orders", "count", {}],
    ["WITH w AS (SELECT * FROM orders) SELECT count(*) FROM w", "count", {}],
    ["SELECT sum(n) FROM orders", "sum", {}],
    ["SELECT min(n, 3) FROM orders", "avg", {}],
  ] as const)("is answered: %s", (query, aggregation, options) => {
    const request = { query, aggregation, ...options };
    expect(refusalOf(request)).toBeNull();
    const actual = ask(request);
    const wanted = expected({
      ...request,
      aggregation: aggregation === "count" ? "sum" : aggregation,
    });
    const seen = (answer: number | SqlRow[]): unknown =>
      typeof answer === "number" || aggregation === "merge" ? answer : texts(answer);
    expect(seen(actual)).toEqual(seen(wanted));
  });

  it.each([
    ["SELECT count(DISTINCT customer) FROM orders", "count", "counts a value again"],
    ["SELECT sum(DISTINCT n) FROM orders", "sum", "counts a value again"],
    ["SELECT max(n) FROM orders", "sum", "each shard's max(…)"],
    ["SELECT avg(n) FROM orders", "avg", "averages is not the average"],
    ["SELECT count(*) FROM orders", "concat", 'use aggregation "count"'],
    [
      "SELECT n, sum(price) FROM orders GROUP BY n",
      "concat",
      "GROUP BY needs the rows of all shards",
    ],
    ["SELECT n FROM orders GROUP BY n", "concat", "GROUP BY needs the rows of all shards"],
    ["SELECT n FROM orders HAVING count(*) > 1", "concat", "HAVING needs the rows of all shards"],
    ["SELECT DISTINCT customer FROM orders", "merge", "DISTINCT gives a row again"],
    ["SELECT id FROM orders UNION SELECT id FROM refunds", "concat", "UNION compares the rows"],
    ["SELECT id FROM orders EXCEPT SELECT id FROM refunds", "concat", "EXCEPT compares the rows"],
    ["SELECT rank() OVER (ORDER BY n) FROM orders", "concat", "rank"],
    ["SELECT sum(n) OVER (ORDER BY n) FROM orders", "concat", "needs the rows of all shards"],
    ["SELECT id FROM orders ORDER BY id LIMIT 5 OFFSET 5", "merge", "OFFSET leaves out rows"],
    ["SELECT id FROM orders ORDER BY id LIMIT 5, 5", "merge", "OFFSET leaves out rows"],
    ["SELECT id FROM orders LIMIT -1", "concat", "LIMIT is no plain number"],
    ["SELECT o.id FROM orders o JOIN refunds r ON r.order_id = o.id", "concat", "a join may need"],
    ["SELECT o.id FROM orders o, refunds r", "concat", "a join may need"],
    [
      "SELECT id FROM refunds r WHERE NOT EXISTS (SELECT 1 FROM orders WHERE id = r.order_id)",
      "concat",
      "sees the rows of its own shard only",
    ],
    ["SELECT id FROM refunds WHERE order_id NOT IN orders", "concat", "IN names a table"],
    ["SELECT count(*) FROM notes", "count", "'notes' is no table of the namespace"],
    ["SELECT n FROM totals", "concat", "'totals' is no table of the namespace"],
    ["SELECT name FROM sqlite_master", "concat", "is no table of the namespace"],
    ["SELECT name, id FROM orders ORDER BY name LIMIT 5", "merge", "the collation NOCASE"],
    ["SELECT name, id FROM orders ORDER BY name", "merge", "the collation NOCASE"],
    ["SELECT id FROM orders ORDER BY id", "concat", 'use aggregation "merge"'],
    ["SELECT id FROM orders ORDER BY n", "merge", "ORDER BY names n"],
    ["SELECT id, n FROM orders ORDER BY n NULLS LAST", "merge", "more than names of columns"],
    ["SELECT id, n AS id FROM orders", "concat", "two columns are named id"],
    ["SELECT id, n 'ID' FROM orders", "concat", "two columns are named id"],
    ["SELECT *, n AS id FROM orders", "concat", "a star beside other columns"],
    ["SELECT id, n FROM orders", "sum", "is of one column"],
    ["SELECT * FROM orders", "avg", "is of one column"],
    ["SELECT n FROM orders LIMIT 3", "sum", "LIMIT takes other rows"],
    ["SELECT rowid FROM orders", "concat", "numbers the rows of each shard alone"],
    ["SELECT 1", "concat", "it reads no table"],
    ["SELECT value FROM json_each('[1]')", "concat", "it reads no table"],
    ["VALUES (1)", "concat", "it reads no table"],
    ["SELECT last_insert_rowid() FROM orders", "concat", "last_insert_rowid is not known"],
    [
      "WITH RECURSIVE w AS (SELECT id FROM orders UNION ALL SELECT id FROM w) SELECT id FROM w",
      "concat",
      "WITH RECURSIVE follows rows",
    ],
    [
      "WITH a AS (SELECT id FROM orders2), orders2 AS (SELECT id FROM orders) SELECT id FROM a",
      "concat",
      "is a query that comes later",
    ],
  ] as const)("is refused: %s", (query, aggregation, message) => {
    const refusal = refusalOf({ query, aggregation });
    expect(refusal).toContain(message);
    expect(refusal).toContain("To do: ");
    expect(refusal).toContain("unsafePerShard: true");
  });

  it("is judged quickly, however long it is", () => {
    const list = Array.from({ length: 20_000 }, (_, n) => `'o${n}'`).join(", ");
    const query = `SELECT id FROM orders WHERE id IN (${list})`;
    expect(judgeQuery({ query, aggregation: "concat" })?.tables).toEqual(["orders"]);
    const nested = `SELECT id FROM ${"(SELECT id FROM ".repeat(200)}orders${")".repeat(200)}`;
    expect(() => judgeQuery({ query: nested, aggregation: "concat" })).toThrow("nests more than");
  });
});
