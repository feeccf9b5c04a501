/**
 * One page of a walk: the next rows of a table in the order of its primary key, routed to their
 * targets.
 *
 * Trade-off: a page grows with the number of targets, for a message costs as much as some hundred
 * rows; a page is held in memory and read in one turn, which bounds it.
 */
import { capturedCount } from "./capture.ts";
import type { MovePlan, MoveTable } from "./move-plan.ts";
import {
  Batch,
  PAGE_BYTES_MAX,
  PAGE_ROWS_MAX,
  type Scan,
  type ScannedRow,
  createScan,
  nextSequence,
  tableFrom,
} from "./outbox.ts";
import {
  type RowForm,
  isTooBig,
  primaryKeyAfter,
  primaryKeyOrder,
  rowJson,
} from "../storage/row-codec.ts";
import type { SourceContext } from "./source-context.ts";
import type { Sql, SqlRow } from "../storage/storage.ts";

export type WalkStep = "copy" | "verify";

/** Where the walk of a table stands. */
export interface Walk {
  readonly table: MoveTable;
  readonly cursor: string | null;
}

export interface Page {
  readonly batch: Batch;
  readonly sequences: ReadonlyMap<string, number>;
  readonly cursor: string | null;
  readonly isLast: boolean;
  readonly rows: number;
}

/**
 * Pages grow with the number of targets so that each gets a message worth sending, up to this many
 * bytes.
 */
const PAGE_BYTES_CEILING = 8 * 1024 * 1024;
const PAGE_BYTES_PER_TARGET = 256 * 1024;

export function readPage(
  context: SourceContext,
  plan: MovePlan,
  { table, cursor }: Walk,
  step: WalkStep,
  form: RowForm,
): Page {
  const { sql, self } = context;
  // From here on, changes of the directory are captured: see `createDealer`.
  sql.run(
    "INSERT OR IGNORE INTO shardctl_walk (step, table_name, cursor, ordinal, done) VALUES (?, ?, NULL, 0, 0)",
    step,
    table.table.name,
  );
  const batch = new Batch(sql, plan, self);
  const scan = createScan(sql, table, form);
  // Under a throttle a page is at most a second's worth.
  const rowsMax = Math.min(PAGE_ROWS_MAX, plan.moving.rowsPerSecondMax ?? PAGE_ROWS_MAX);
  const bytesMax = Math.min(
    PAGE_BYTES_CEILING,
    Math.max(PAGE_BYTES_MAX, plan.targets.length * PAGE_BYTES_PER_TARGET),
  );
  // Rows with a captured change are settled by the drain, which checks them itself.
  const leavesOut = step === "verify" && capturedCount(sql) > 0;
  let last = cursor;
  let rows = 0;
  let bytes = 0;
  let seen = 0;
  let limit = FIRST_ROWS;
  for (let isFull = false; !isFull;) {
    const found = readRows(sql, table, scan, {
      after: last,
      leavesOut,
      rowsMax: Math.min(limit, rowsMax - seen),
    });
    for (const row of found.rows) {
      // Its key travels beside it.
      const rowBytes = row.bytes + row.key.length;
      if (seen > 0 && bytes + rowBytes > bytesMax) {
        isFull = true;
        break;
      }
      seen++;
      bytes += rowBytes;
      last = row.key;
      if (batch.add(table, row) !== null) rows++;
    }
    limit = Math.floor((seen * Math.min(bytesMax - bytes, PAGE_BYTES_MAX)) / Math.max(1, bytes));
    isFull ||= found.isEmpty || seen >= rowsMax || limit < 1;
  }
  const sequences = new Map(
    step === "copy"
      ? batch.targets.map((target) => [target, nextSequence(sql, target)] as const)
      : [],
  );
  const isLast = seen === 0;
  return { batch, sequences, cursor: last, isLast, rows };
}

/**
 * Rows that the first statement of a page reads; what the others read follows from the size of
 * these.
 */
const FIRST_ROWS = 250;

/**
 * Some of the next `rowsMax` rows in the order of the primary key, one at least if there is any.
 * SQLite's limit for a text bounds what is held, whatever the rows' size: of rows that are larger
 * than those before them, fewer are read.
 */
function readRows(
  sql: Sql,
  table: MoveTable,
  scan: Scan,
  { after, leavesOut, rowsMax }: { after: string | null; leavesOut: boolean; rowsMax: number },
): { readonly rows: Iterable<ScannedRow>; readonly isEmpty: boolean } {
  const where = [
    ...(after === null ? [] : [primaryKeyAfter(table.table, "t", "?1")]),
    ...(leavesOut ? [notCaptured(table)] : []),
  ];
  const bindings = after === null ? [] : [after];
  const select = `${scan.sql(tableFrom(table))} ${where.length > 0 ? `WHERE ${where.join(" AND ")}` : ""} ORDER BY ${primaryKeyOrder(table.table, "t")}`;
  for (let limit = rowsMax; limit > 1; limit = Math.floor(limit / 4)) {
    try {
      // Bound, so that it stays one statement: SQLite need not prepare it again for each page.
      const query = scan.linesSql(`${select} LIMIT ?${bindings.length + 1}`);
      const lines = sql.first<{ lines: string | null }>(query, ...bindings, limit)?.lines ?? null;
      return { rows: lines === null ? [] : scan.readLines(lines), isEmpty: lines === null };
    } catch (error) {
      if (!isTooBig(error)) throw error;
    }
  }
  const rows = sql.rows<SqlRow>(`${select} LIMIT 1`, ...bindings).map((row) => scan.read(row));
  return { rows, isEmpty: rows.length === 0 };
}

function notCaptured(table: MoveTable): string {
  return `NOT EXISTS (SELECT 1 FROM shardctl_captured AS c WHERE c.table_name = '${table.table.name.replaceAll("'", "''")}' AND c.pk = ${rowJson(table.table.primaryKey, "t")})`;
}
