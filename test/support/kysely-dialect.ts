/**
 * Kysely on the SQLite of a Durable Object. Kysely's own introspector asks for the columns of every
 * table, and is refused (`SQLITE_AUTH`) by the runtime's tables `_cf_…`, which an object has as
 * soon as it has set an alarm: hence one of its own, which leaves them out.
 */
import {
  type CompiledQuery,
  type DatabaseConnection,
  type DatabaseIntrospector,
  type Dialect,
  type Driver,
  type Kysely,
  type QueryResult,
  SqliteAdapter,
  SqliteQueryCompiler,
  type TableMetadata,
  sql,
} from "kysely";

export function durableObjectDialect(storage: DurableObjectStorage): Dialect {
  return {
    // Without transactional DDL: the runtime has no BEGIN.
    createAdapter: () => new SqliteAdapter(),
    createDriver: () => driverOf(storage),
    createIntrospector: (db) => introspectorOf(db),
    createQueryCompiler: () => new SqliteQueryCompiler(),
  };
}

function driverOf(storage: DurableObjectStorage): Driver {
  const noTransactions = async (): Promise<never> => {
    throw new Error("A Durable Object has no BEGIN: use storage.transactionSync");
  };
  const connection: DatabaseConnection = {
    executeQuery: async <Row>({
      sql: text,
      parameters,
    }: CompiledQuery): Promise<QueryResult<Row>> => {
      const cursor = storage.sql.exec(text, ...(parameters as SqlStorageValue[]));
      return { rows: cursor.toArray() as Row[], numAffectedRows: BigInt(cursor.rowsWritten) };
    },
    streamQuery: () => {
      throw new Error("Rows are not streamed: use execute");
    },
  };
  return {
    init: async () => undefined,
    acquireConnection: async () => connection,
    beginTransaction: noTransactions,
    commitTransaction: noTransactions,
    rollbackTransaction: noTransactions,
    releaseConnection: async () => undefined,
    destroy: async () => undefined,
  };
}

/** All that the migrator asks for: which tables there are. */
function introspectorOf(db: Kysely<unknown>): DatabaseIntrospector {
  return {
    getSchemas: async () => [],
    getTables: async (): Promise<TableMetadata[]> => {
      const { rows } = await sql<{ name: string; type: string }>`
        SELECT name, type FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT GLOB '_cf_*' AND name NOT GLOB 'sqlite_*'`.execute(
        db,
      );
      return rows.map(({ name, type }) => ({
        name,
        isView: type === "view",
        isForeign: false,
        columns: [],
      }));
    },
  };
}
