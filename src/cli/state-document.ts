/**
 * The Worker's state as a file: written as it comes, page by page, and cut into pages again when it
 * is sent. It never lies in memory twice.
 */
import {
  type ImportRequest,
  STATE_KIND,
  STATE_VERSION,
  type StateDocument,
  type StateRow,
} from "../model/state-file.ts";
import type { ApiClient } from "./api-client.ts";
import { type CliResult, fail } from "./failure.ts";

/** Characters and rows of one request: far below the 8 MiB that a body may have. */
const CHUNK_LENGTH_MAX = 1024 * 1024;
const CHUNK_ROWS_MAX = 1000;

/** @returns the number of rows, by table. */
export async function writeStateDocument(
  api: ApiClient,
  write: (text: string) => Promise<void>,
): Promise<CliResult<ReadonlyMap<string, number>>> {
  const index = await api.stateIndex();
  if (!index.ok) return index;
  const { names, ...header } = index.value;
  const counts = new Map<string, number>();
  await write(`${JSON.stringify(header).slice(0, -1)},\n"tables":{`);
  for (const [position, name] of names.entries()) {
    await write(`${position === 0 ? "" : ","}\n${JSON.stringify(name)}:[`);
    let rows = 0;
    for (let after: string | null = null; ;) {
      const page = await api.statePage(name, after);
      if (!page.ok) return page;
      const text = page.value.rows.map((row) => `\n${JSON.stringify(row)}`).join(",");
      if (text !== "") await write(`${rows === 0 ? "" : ","}${text}`);
      rows += page.value.rows.length;
      if (page.value.next === null) break;
      after = page.value.next;
    }
    counts.set(name, rows);
    await write("]");
  }
  await write("\n}}\n");
  return { ok: true, value: counts };
}

/** @param text of the file, whose path is `path`. */
export function readStateDocument(path: string, text: string): CliResult<StateDocument> {
  let document: unknown;
  try {
    document = JSON.parse(text) as unknown;
  } catch (error) {
    return fail(
      "file",
      `${path} is not JSON: ${error instanceof Error ? error.message : String(error)}`,
      "A file that ends early was not written to its end: export again.",
    );
  }
  const { kind, version, tables } = (document ?? {}) as Partial<Record<string, unknown>>;
  if (kind !== STATE_KIND || typeof tables !== "object" || tables === null)
    return fail(
      "file",
      `${path} is not the state of a Worker.`,
      "Write one with: shardctl export --state <file>",
    );
  if (version !== STATE_VERSION)
    return fail(
      "file",
      `${path} is a state of version ${String(version)}, and this shardctl knows version ${STATE_VERSION}.`,
    );
  const isWhole = Object.values(tables).every((rows) => Array.isArray(rows));
  return isWhole
    ? { ok: true, value: document as StateDocument }
    : fail("file", `${path} is not whole: each of its tables is a list of rows.`);
}

/** Sends the whole document, and returns the id of its import. Nothing is taken over yet. */
export async function sendStateDocument(
  api: ApiClient,
  { tables, ...header }: StateDocument,
  acceptsOther: boolean,
): Promise<CliResult<string>> {
  // A file may not say of itself that it is welcome.
  const { acceptsOther: _own, ...rest } = header as ImportRequest;
  const begun = await api.beginImport({ ...rest, ...(acceptsOther ? { acceptsOther } : {}) });
  if (!begun.ok) return begun;
  const { id } = begun.value;
  for (const [table, rows] of Object.entries(tables)) {
    for (const chunk of chunksOf(rows)) {
      const staged = await api.stageRows(id, table, chunk);
      if (!staged.ok) return staged;
    }
  }
  return { ok: true, value: id };
}

function* chunksOf(rows: readonly StateRow[]): Generator<readonly StateRow[]> {
  let chunk: StateRow[] = [];
  let length = 0;
  for (const row of rows) {
    const own = JSON.stringify(row).length;
    if (chunk.length > 0 && (length + own > CHUNK_LENGTH_MAX || chunk.length >= CHUNK_ROWS_MAX)) {
      yield chunk;
      chunk = [];
      length = 0;
    }
    chunk.push(row);
    length += own;
  }
  if (chunk.length > 0) yield chunk;
}
