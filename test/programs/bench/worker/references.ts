/**
 * The references that a move is measured beside.
 *
 * Plain: pages of SQL-built JSON to the objects in turn, one statement to insert each. The fastest
 * copy between two objects that we know; it routes nothing, sees no write that happens meanwhile,
 * and checks nothing. Naive: as most people would write it, all rows into JavaScript, grouped by
 * hash, one JSON POST for each shard, inserted row by row; it checks nothing either.
 */
import clusterKeySlot from "cluster-key-slot";

// The package is CommonJS: under bundlers its function arrives as the default export, which its
// types do not say.
const hash = clusterKeySlot as unknown as (text: string) => number;

const COLUMNS = ["id", "type", "name", "data", "visibility", "createdAt", "updatedAt"] as const;
const PAGE_BYTES_MAX = 1024 * 1024;
/** Rows of the first page, from which the size of the others is reckoned. */
const FIRST_ROWS = 1000;

export async function copyAllPlainly(
  sql: SqlStorage,
  targets: readonly string[],
  send: (target: string, page: string) => Promise<void>,
): Promise<void> {
  const query = `SELECT json_group_array(json_array(${COLUMNS.join(", ")})) AS page, max(id) AS last
    FROM (SELECT * FROM things WHERE id > ? ORDER BY id LIMIT ?)`;
  let after = "";
  let rowsMax = FIRST_ROWS;
  for (let turn = 0; ; turn++) {
    const { page, last } = sql
      .exec<{ page: string; last: string | null }>(query, after, rowsMax)
      .one();
    if (last === null) return;
    await send(targets[turn % targets.length] ?? "", page);
    after = last;
    // All rows are nearly of one size; a little room for those that are larger.
    if (turn === 0)
      rowsMax = Math.max(1, Math.floor((PAGE_BYTES_MAX * 0.98) / (page.length / rowsMax)));
  }
}

export function insertPage(sql: SqlStorage, page: string): void {
  const values = COLUMNS.map((_, index) => `json_extract(value, '$[${index}]')`);
  sql.exec(
    `INSERT INTO things (${COLUMNS.join(", ")}) SELECT ${values.join(", ")} FROM json_each(?)`,
    page,
  );
}

type PlainRow = Record<(typeof COLUMNS)[number], string | number | null>;

export async function copyAllNaively(
  sql: SqlStorage,
  targets: readonly string[],
  send: (target: string, body: string) => Promise<void>,
): Promise<void> {
  const groups = new Map<string, PlainRow[]>(targets.map((target) => [target, []]));
  for (const row of sql.exec<PlainRow>("SELECT * FROM things").toArray()) {
    const target = targets[hash(String(row.id)) % targets.length];
    groups.get(target ?? "")?.push(row);
  }
  await Promise.all([...groups].map(([target, rows]) => send(target, JSON.stringify(rows))));
}

export function insertRows(sql: SqlStorage, rows: readonly PlainRow[]): void {
  const query = `INSERT INTO things (${COLUMNS.join(", ")}) VALUES (?, ?, ?, ?, ?, ?, ?)`;
  for (const row of rows) sql.exec(query, ...COLUMNS.map((column) => row[column]));
}
