/** The part of the API's client that exports and imports the Worker's own state. */
import type {
  ImportReport,
  ImportRequest,
  StateIndex,
  StatePage,
  StateRow,
} from "../model/state-file.ts";
import {
  readImportId,
  readImportReport,
  readNothing,
  readStateIndex,
  readStateAnswer,
} from "./answers.ts";
import type { CliResult } from "./failure.ts";
import type { ReadAnswer, Repeat } from "./http-request.ts";

export interface StateApi {
  /** The Worker's own state: its header, and the tables. */
  stateIndex(): Promise<CliResult<StateIndex>>;
  /** @param after `next` of the page before; null for the first. */
  statePage(table: string, after: string | null): Promise<CliResult<StatePage>>;
  beginImport(request: ImportRequest): Promise<CliResult<{ readonly id: string }>>;
  /** Adds rows to an import; sent again, they are there once. */
  stageRows(id: string, table: string, rows: readonly StateRow[]): Promise<CliResult<null>>;
  /** Says what the import would do. */
  importReport(id: string): Promise<CliResult<ImportReport>>;
  /** Does exactly what the report of this fingerprint says; asked again, it answers the same. */
  applyImport(id: string, fingerprint: string): Promise<CliResult<ImportReport>>;
}

/** Requests as the client sends them. */
interface Senders {
  readonly get: <Value>(path: string, read: ReadAnswer<Value>) => Promise<CliResult<Value>>;
  readonly getSlowly: <Value>(path: string, read: ReadAnswer<Value>) => Promise<CliResult<Value>>;
  readonly post: <Value>(
    path: string,
    body: unknown,
    repeat: Repeat,
    read: ReadAnswer<Value>,
  ) => Promise<CliResult<Value>>;
  readonly put: <Value>(
    path: string,
    body: unknown,
    read: ReadAnswer<Value>,
  ) => Promise<CliResult<Value>>;
}

export function createStateApi({ get, getSlowly, post, put }: Senders): StateApi {
  return {
    stateIndex: () => get("/v1/state", readStateIndex),
    statePage: (table, after) => getSlowly(pathOfPage(table, after), readStateAnswer),
    beginImport: (request) => post("/v1/state/imports", request, "whenTransient", readImportId),
    stageRows: (id, table, rows) =>
      put(`${pathOfImport(id)}/${encodeURIComponent(table)}`, rows, readNothing),
    importReport: (id) => getSlowly(pathOfImport(id), readImportReport),
    applyImport: (id, fingerprint) =>
      post(`${pathOfImport(id)}/apply`, { fingerprint }, "whenTransient", readImportReport),
  };
}

function pathOfPage(table: string, after: string | null): string {
  const search = after === null ? "" : `?${new URLSearchParams({ after }).toString()}`;
  return `/v1/state/${encodeURIComponent(table)}${search}`;
}

function pathOfImport(id: string): string {
  return `/v1/state/imports/${encodeURIComponent(id)}`;
}
