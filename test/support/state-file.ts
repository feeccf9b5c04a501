/** Exports and imports the state of a test Worker by its HTTP API, and loses it. */
import { runInDurableObject } from "cloudflare:test";

import type {
  ImportReport,
  StateDocument,
  StateIndex,
  StatePage,
  StateRow,
} from "../../src/model/state-file.ts";

/** Sends one request as a person with the role apply. */
export type Send = (
  method: string,
  path: string,
  body?: unknown,
) => Promise<{ readonly status: number; readonly body: unknown }>;

async function ask<Body>(send: Send, method: string, path: string, body?: unknown): Promise<Body> {
  const answer = await send(method, path, body);
  if (answer.status > 299)
    throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
  return answer.body as Body;
}

export async function exportState(send: Send): Promise<StateDocument> {
  const { names, ...header } = await ask<StateIndex>(send, "GET", "/v1/state");
  const tables: Record<string, StateRow[]> = {};
  for (const name of names) {
    const rows: StateRow[] = [];
    for (let after: string | null = null; ;) {
      const query = after === null ? "" : `?after=${encodeURIComponent(after)}`;
      const page: StatePage = await ask<StatePage>(send, "GET", `/v1/state/${name}${query}`);
      rows.push(...page.rows);
      if (page.next === null) break;
      after = page.next;
    }
    tables[name] = rows;
  }
  // As a file does: only what is JSON comes through.
  return JSON.parse(JSON.stringify({ ...header, tables })) as StateDocument;
}

/** Sends all of it, and returns what would be done. */
export async function showImport(
  send: Send,
  { tables, ...header }: StateDocument,
  acceptsOther = false,
): Promise<ImportReport> {
  const begin = { ...header, ...(acceptsOther ? { acceptsOther } : {}) };
  const { id } = await ask<{ readonly id: string }>(send, "POST", "/v1/state/imports", begin);
  for (const [table, rows] of Object.entries(tables))
    for (let at = 0; at < rows.length; at += 1000)
      await ask(send, "PUT", `/v1/state/imports/${id}/${table}`, rows.slice(at, at + 1000));
  return ask<ImportReport>(send, "GET", `/v1/state/imports/${id}`);
}

export async function importState(
  send: Send,
  document: StateDocument,
  acceptsOther = false,
): Promise<ImportReport> {
  const { id, fingerprint } = await showImport(send, document, acceptsOther);
  return ask<ImportReport>(send, "POST", `/v1/state/imports/${id}/apply`, { fingerprint });
}

/** The object has lost its storage, and begins anew. */
export async function loseState(stub: DurableObjectStub): Promise<void> {
  await runInDurableObject(stub, async (_instance, state) => {
    await state.storage.deleteAll();
    state.abort("lost");
  }).catch(() => {});
}

export function rowsOf(report: ImportReport, table: string) {
  const found = report.tables.find((one) => one.table === table);
  if (found === undefined) throw new Error(`No table ${table}`);
  const { added, replaced, kept } = found;
  return { added, replaced, kept };
}

/** Every row of every table, as point-in-time recovery would bring them back. */
export type Snapshot = ReadonlyMap<string, readonly Record<string, SqlStorageValue>[]>;

export function snapshotOf(stub: DurableObjectStub): Promise<Snapshot> {
  return runInDurableObject(stub, (_instance, { storage }) => {
    const names = storage.sql
      .exec<{ name: string }>(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name NOT LIKE '\\_cf\\_%' ESCAPE '\\'",
      )
      .toArray();
    return new Map(
      names.map(({ name }) => [name, storage.sql.exec(`SELECT * FROM ${name}`).toArray()]),
    );
  });
}

/** The object is what it was at the snapshot. */
export async function restoreSnapshot(
  stub: () => DurableObjectStub,
  snapshot: Snapshot,
): Promise<void> {
  // A stub is of no use once its object was reset.
  await loseState(stub());
  await runInDurableObject(stub(), (_instance, { storage }) => {
    storage.transactionSync(() => {
      for (const [name, rows] of snapshot) {
        storage.sql.exec(`DELETE FROM ${name}`);
        for (const row of rows)
          storage.sql.exec(
            `INSERT OR REPLACE INTO ${name} VALUES (${Object.keys(row)
              .map(() => "?")
              .join(", ")})`,
            ...Object.values(row),
          );
      }
    });
  });
  // The object keeps in memory what was before.
  await runInDurableObject(stub(), (_instance, state) => state.abort("restored")).catch(() => {});
}
