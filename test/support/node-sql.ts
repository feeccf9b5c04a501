/**
 * A Durable Object's SQL in Node, for stores of the coordinator that need nothing else of the
 * runtime. Everything is durable at once. What the platform refuses as too large is refused here,
 * which the local runtime takes.
 */
import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";

type Row = Record<string, SqlStorageValue>;

/** Of a row, and of a bound value. */
const BYTES_MAX = 2_000_000;
/** Of one query. */
const VALUES_MAX = 100;

function sizeOf(value: SQLInputValue): number {
  if (typeof value === "string") return Buffer.byteLength(value);
  return ArrayBuffer.isView(value) ? value.byteLength : 0;
}

/** An empty database in memory. */
export function openNodeSql(): SqlStorage {
  const database = new DatabaseSync(":memory:");
  /** As the runtime does, which keeps what it has compiled. */
  const prepared = new Map<string, StatementSync>();
  const prepare = (query: string): StatementSync => {
    const known = prepared.get(query) ?? database.prepare(query);
    prepared.set(query, known);
    return known;
  };
  const sql = {
    exec(query: string, ...bindings: SQLInputValue[]) {
      const sizes = bindings.map(sizeOf);
      // Values of a query may be bound in parts; those that are written become a row.
      const bytes = /^\s*SELECT\b/i.test(query)
        ? Math.max(0, ...sizes)
        : sizes.reduce((sum, size) => sum + size, 0);
      if (bindings.length > VALUES_MAX) throw new Error("too many SQL variables");
      if (bytes > BYTES_MAX) throw new Error("string or blob too big: SQLITE_TOOBIG");
      // Only schemas are several statements, and they give no rows.
      const isSchema = /^\s*CREATE\b/i.test(query);
      if (isSchema) database.exec(query);
      const rows = isSchema ? [] : (prepare(query).all(...bindings) as Row[]);
      const one = (): Row => {
        const [row] = rows;
        if (row === undefined || rows.length > 1)
          throw new Error(`Expected exactly one row, but got ${rows.length}`);
        return row;
      };
      return { toArray: () => rows, one, [Symbol.iterator]: () => rows[Symbol.iterator]() };
    },
  };
  return sql as unknown as SqlStorage;
}
