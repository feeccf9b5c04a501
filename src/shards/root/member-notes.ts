/**
 * Keeps at the root the facts that members last reported, so that they are known also of members
 * that sleep, are being deployed or do not answer.
 *
 * Facts are written when they change, or an hour after the last write: looking at a namespace must
 * cost no write. A namespace that was never sharded has no private tables, and gets none by being
 * looked at, but for the one of a long count: see `row-counter.ts`.
 */
import type { MemberStatus } from "../../model/live.ts";
import { isFull } from "../storage/faults.ts";
import { hasSchema } from "../storage/schema.ts";
import { type Sql, textOf } from "../storage/storage.ts";

/** Facts of a member other than its counts. */
export type MemberFacts = Pick<MemberStatus, "library" | "schema" | "storage">;

const WRITE_AGAIN_MS = 60 * 60_000;

interface Note {
  readonly facts: MemberFacts;
  readonly at: number;
}

/** The same statuses, those that did not answer with what they last said. */
export function noteMembers(
  sql: Sql,
  statuses: readonly MemberStatus[],
  now: number,
): MemberStatus[] {
  if (!hasSchema(sql)) return [...statuses];
  const notes = readNotes(sql);
  const said = statuses
    .filter(({ healthy }) => healthy)
    .map((status) => ({ name: status.name, facts: factsOf(status) }));
  const news = said.filter(({ name, facts }) => isNews(notes.get(name), facts, now));
  const gone = [...notes.keys()].filter((name) => !statuses.some((status) => status.name === name));
  if (news.length > 0 || gone.length > 0) write(sql, news, gone, now);
  return statuses.map((status) => {
    const note = status.healthy ? undefined : notes.get(status.name);
    return note ? { ...status, ...note.facts, saidAt: note.at } : status;
  });
}

function factsOf({ library, schema, storage }: MemberStatus): MemberFacts {
  return {
    ...(library === undefined ? {} : { library }),
    ...(schema === undefined ? {} : { schema }),
    ...(storage === undefined ? {} : { storage }),
  };
}

function isNews(note: Note | undefined, facts: MemberFacts, now: number): boolean {
  if (note === undefined || now - note.at >= WRITE_AGAIN_MS) return true;
  return note.facts.library !== facts.library || note.facts.schema !== facts.schema;
}

function readNotes(sql: Sql): Map<string, Note> {
  const rows = sql.rows("SELECT name, facts, said_at FROM shardctl_members");
  return new Map(
    rows.map((row) => [
      textOf(row["name"]),
      { facts: JSON.parse(textOf(row["facts"])) as MemberFacts, at: Number(row["said_at"]) },
    ]),
  );
}

function write(
  sql: Sql,
  news: readonly { name: string; facts: MemberFacts }[],
  gone: readonly string[],
  now: number,
): void {
  try {
    // Each row for itself: what one turn writes is durable together anyway.
    for (const name of gone) sql.run("DELETE FROM shardctl_members WHERE name = ?", name);
    for (const { name, facts } of news)
      sql.run(
        "INSERT OR REPLACE INTO shardctl_members (name, facts, said_at) VALUES (?, ?, ?)",
        name,
        JSON.stringify(facts),
        now,
      );
  } catch (error) {
    // A root without room must still be seen.
    if (!isFull(error)) throw error;
  }
}
