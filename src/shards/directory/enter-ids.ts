/**
 * Enters the ids of a member's rows in the directory again, a slice at a time, after a repair. It
 * goes on where the last slice has ended, also after a crash.
 */
import { directoryMember, hasKeyedDirectory } from "../../model/layout/directory.ts";
import type { Admission } from "../member/admission.ts";
import type { Member } from "../member/member.ts";
import { keyedTables } from "../member/unique.ts";
import { keyColumn, keyOf } from "../move/move-plan.ts";
import type { Claim, Message } from "../protocol/messages.ts";
import { refused } from "../protocol/refused-error.ts";
import type { EnterIdsReply, TableRows } from "../protocol/replies.ts";
import { primaryKeyAfter, primaryKeyOrder, rowJson } from "../storage/row-codec.ts";
import { ensureSchema } from "../storage/schema.ts";
import { type SqlRow, quoteName, textOf } from "../storage/storage.ts";
import { type Table, keyExpression } from "../storage/tables.ts";
import {
  type Suspicion,
  keepSuspicion,
  suspectDirectory,
  suspicionOf,
} from "../member/directory-suspicion.ts";

/** Rows of one page: its messages are far below the limit of 32 MiB. */
const PAGE_ROWS = 500;

/** The parts of an object that a slice needs. */
export interface EnteringMember {
  readonly member: Member;
  readonly admission: Admission;
}

/** @throws RefusedError where this member does not serve at the epoch, or a fence stands. */
export async function enterIds(
  { member, admission }: EnteringMember,
  { epoch, since, budgetMs }: Message<"enterIds">,
): Promise<EnterIdsReply> {
  const { sql, runtime } = member;
  await admission.arrive(epoch);
  const deadline = runtime.now() + budgetMs;
  ensureSchema(sql);
  let suspicion = sql.transaction(() => suspectDirectory(sql, since));
  while (!suspicion.isDone) {
    admission.requireNow(epoch);
    suspicion = await enterPage(member, epoch, suspicion);
    // A later repair has begun from the first row.
    if (suspicionOf(sql)?.since !== since) break;
    sql.transaction(() => keepSuspicion(sql, suspicion));
    if (runtime.now() >= deadline) break;
  }
  return { isDone: suspicion.isDone, taken: takenOf(suspicion) };
}

async function enterPage(member: Member, epoch: number, suspicion: Suspicion): Promise<Suspicion> {
  const tables = keyedTables(member.tables());
  const { entered } = suspicion;
  const at = Math.max(
    0,
    tables.findIndex(({ name }) => name === entered?.table),
  );
  const table = tables[at];
  if (!table) return { ...suspicion, isDone: true };
  const after = entered?.table === table.name ? entered.key : null;
  const { claims, last } = readClaims(member, table, after);
  if (last === null) {
    const next = tables[at + 1];
    return next
      ? { ...suspicion, entered: { table: next.name, key: null } }
      : { ...suspicion, isDone: true };
  }
  const taken = await send(member, epoch, claims);
  return {
    ...suspicion,
    entered: { table: table.name, key: last },
    taken: {
      ...suspicion.taken,
      ...(taken > 0 && { [table.name]: (suspicion.taken[table.name] ?? 0) + taken }),
    },
  };
}

/** The next rows of the table in the order of its key. */
function readClaims(
  { sql, membership: { layout } }: Member,
  table: Table,
  after: string | null,
): { readonly claims: readonly Claim[]; readonly last: string | null } {
  if (layout.kind === "none") throw refused("invalid", "An unsharded namespace has no directory");
  const id = `t.${quoteName(table.primaryKey[0] ?? "")}`;
  const key = keyColumn(keyExpression(table, layout.shardKey, "t"), "key");
  const where = after === null ? "" : `WHERE ${primaryKeyAfter(table, "t", "?1")}`;
  const query = `SELECT CAST(${id} AS TEXT) AS id, ${key}, ${rowJson(table.primaryKey, "t")} AS pk
    FROM ${quoteName(table.name)} AS t ${where} ORDER BY ${primaryKeyOrder(table, "t")} LIMIT ${PAGE_ROWS}`;
  const rows = sql.rows<SqlRow>(query, ...(after === null ? [] : [after]));
  const claims = rows.map((row) => ({
    table: table.name,
    id: textOf(row["id"]),
    key: keyOf(row["key"]),
  }));
  const last = rows.at(-1);
  return { claims, last: last ? textOf(last["pk"]) : null };
}

/** Gives how many of the ids are taken. */
async function send(member: Member, epoch: number, claims: readonly Claim[]): Promise<number> {
  const { layout } = member.membership;
  if (layout.kind !== "roundRobin" && !hasKeyedDirectory(layout))
    throw refused("invalid", `A ${layout.kind} layout without a directory takes no ids`);
  const parts = Map.groupBy(claims, ({ id }) => directoryMember(layout, id));
  const replies = await Promise.all(
    [...parts].map(([directory, part]) =>
      member.ask(directory, { kind: "enter", epoch, owner: member.self, claims: part }),
    ),
  );
  return replies.reduce((sum, { taken }) => sum + taken, 0);
}

function takenOf({ taken }: Suspicion): TableRows[] {
  return Object.entries(taken).map(([table, rows]) => ({ table, rows }));
}
