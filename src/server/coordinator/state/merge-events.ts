/**
 * Puts the history of a file under what has happened since.
 *
 * Events of the file keep their numbers. What is here under one of these numbers happened after the
 * state was lost: it is numbered again, behind all others. Numbers are left out in between, so that
 * whoever has read the lost history to its end, and goes on from there, misses nothing that is new.
 * A drift that the emptied state has told once more is told once.
 */
import { canonicalJson } from "../../../model/canonical.ts";
import type { EventRow } from "../../../history/history-store.ts";
import { makeEvent } from "../../../history/make-event.ts";
import type { StagedRows } from "./staged-rows.ts";
import type { Tally } from "./tally.ts";

/** Events that were lost between the export and the loss, at most, for a reader to miss nothing. */
export const NUMBERS_SKIPPED = 10_000;

interface StagedEvent extends Record<string, unknown> {
  readonly id: number;
  readonly at: number;
  readonly environment: string;
  readonly kind: string;
  readonly namespace: string | null;
  readonly body: { readonly summary: string };
}

const COLUMNS = "id, at, environment, kind, namespace, body";
const PAGE_ROWS = 1000;

/** Returns the number of the next event; null when nothing was moved or added. */
export function mergeEvents(sql: SqlStorage, staged: StagedRows, tally: Tally): number | null {
  const newest = newestId(staged);
  const moved = takeOut(sql, staged, newest);
  let added = 0;
  for (const event of staged.all<StagedEvent>("events")) {
    const { rowsWritten } = insert(sql, { ...event, body: JSON.stringify(event.body) });
    if (rowsWritten > 0) added++;
  }
  tally.note("events", "added", added);
  tally.note("events", "kept", staged.count("events") - added);
  if (added === 0 && moved.length === 0) return null;
  const { last } = sql
    .exec<{ last: number }>("SELECT coalesce(max(id), 0) AS last FROM events")
    .one();
  let next = last + 1 + NUMBERS_SKIPPED;
  for (const event of moved)
    if (!isRepeated(sql, event, newest)) insert(sql, { ...event, id: next++ });
  return next;
}

/** Records the import itself, and has later events numbered behind it. */
export function recordImport(
  sql: SqlStorage,
  id: number | null,
  environments: readonly string[],
  { at, actor, summary }: { readonly at: number; readonly actor: string; readonly summary: string },
): void {
  for (const [index, environment] of environments.entries()) {
    const event = makeEvent({ at, environment, kind: "import", summary, actor });
    const { at: when, environment: place, kind, namespace, ...body } = event;
    sql.exec(
      "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?)",
      id === null ? null : id + index,
      when,
      place,
      kind,
      namespace,
      JSON.stringify(body),
    );
  }
}

function newestId(staged: StagedRows): number {
  let newest = 0;
  for (const { id } of staged.all<StagedEvent>("events")) newest = Math.max(newest, id);
  return newest;
}

/** Takes out the events of the file's numbers that are not the file's, oldest first. */
function takeOut(sql: SqlStorage, staged: StagedRows, newest: number): EventRow[] {
  const moved: EventRow[] = [];
  for (let after = 0; ;) {
    const page = sql
      .exec<EventRow>(
        `SELECT ${COLUMNS} FROM events WHERE id > ? AND id <= ? ORDER BY id LIMIT ?`,
        after,
        newest,
        PAGE_ROWS,
      )
      .toArray();
    for (const event of page)
      if (!isSame(event, staged.find<StagedEvent>("events", event.id))) moved.push(event);
    const last = page.at(-1);
    if (last === undefined) break;
    after = last.id;
  }
  for (const { id } of moved) sql.exec("DELETE FROM events WHERE id = ?", id);
  return moved;
}

function isSame(here: EventRow, theirs: StagedEvent | null): boolean {
  return (
    theirs !== null &&
    here.at === theirs.at &&
    here.environment === theirs.environment &&
    here.kind === theirs.kind &&
    here.namespace === theirs.namespace &&
    canonicalJson(JSON.parse(here.body)) === canonicalJson(theirs.body)
  );
}

/** True when the file's newest word about this kind of drift there is the same. */
function isRepeated(sql: SqlStorage, event: EventRow, newest: number): boolean {
  if (event.kind !== "drift") return false;
  const { summary } = JSON.parse(event.body) as { readonly summary: string };
  const [kind = ""] = summary.split(/[: ]/, 1);
  const before = sql
    .exec<{ body: string }>(
      `SELECT body FROM events WHERE environment = ? AND kind = 'drift' AND namespace IS ? AND id <= ?
        AND json_extract(body, '$.summary') LIKE ? ORDER BY id DESC LIMIT 1`,
      event.environment,
      event.namespace,
      newest,
      `${kind}%`,
    )
    .toArray()[0];
  return (
    before !== undefined &&
    (JSON.parse(before.body) as { readonly summary: string }).summary === summary
  );
}

function insert(
  sql: SqlStorage,
  event: Omit<EventRow, "body"> & { readonly body: string },
): { readonly rowsWritten: number } {
  const { id, at, environment, kind, namespace, body } = event as EventRow;
  return sql.exec(
    "INSERT OR IGNORE INTO events VALUES (?, ?, ?, ?, ?, ?)",
    id,
    at,
    environment,
    kind,
    namespace,
    body,
  );
}
