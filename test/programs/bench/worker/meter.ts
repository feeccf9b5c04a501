/**
 * Adds up what the statements of all metered objects read and wrote, as the platform bills it. Kept
 * beside the objects: in the local runtime all objects of a Worker live in one isolate, but a
 * cursor may be touched by its own object only.
 */

export interface Meter {
  readonly rowsRead: number;
  readonly rowsWritten: number;
}

type Row = Record<string, SqlStorageValue>;

let sum = { rowsRead: 0, rowsWritten: 0 };

/** From here on, every statement of this database counts. */
export function meterStatements(sql: SqlStorage): void {
  const exec = sql.exec.bind(sql) as (
    query: string,
    ...bindings: unknown[]
  ) => SqlStorageCursor<Row>;
  Object.defineProperty(sql, "exec", {
    value: (query: string, ...bindings: unknown[]) => new MeteredCursor(exec(query, ...bindings)),
  });
}

/** The sums since the last call. */
export function takeMeter(): Meter {
  const taken = sum;
  sum = { rowsRead: 0, rowsWritten: 0 };
  return taken;
}

/**
 * The part of a cursor that the library uses. Its figures grow while it is read: each time, what is
 * new is added.
 */
class MeteredCursor {
  readonly #cursor: SqlStorageCursor<Row>;
  #counted = { rowsRead: 0, rowsWritten: 0 };

  constructor(cursor: SqlStorageCursor<Row>) {
    this.#cursor = cursor;
    this.#count();
  }

  get rowsWritten(): number {
    return this.#cursor.rowsWritten;
  }

  toArray(): Row[] {
    return this.#counting(() => this.#cursor.toArray());
  }

  one(): Row {
    return this.#counting(() => this.#cursor.one());
  }

  *[Symbol.iterator](): Iterator<Row> {
    try {
      yield* this.#cursor;
    } finally {
      this.#count();
    }
  }

  #counting<Value>(work: () => Value): Value {
    try {
      return work();
    } finally {
      this.#count();
    }
  }

  #count(): void {
    const { rowsRead, rowsWritten } = this.#cursor;
    sum.rowsRead += rowsRead - this.#counted.rowsRead;
    sum.rowsWritten += rowsWritten - this.#counted.rowsWritten;
    this.#counted = { rowsRead, rowsWritten };
  }
}
