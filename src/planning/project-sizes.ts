/**
 * Projects how many bytes each object takes by a change: with indexes, what SQLite adds, and what
 * the operation itself keeps for a while.
 *
 * | of an object               | takes                                                                |
 * |----------------------------|----------------------------------------------------------------------|
 * | the private tables         | a fixed part, from the first operation on                             |
 * | its rows                   | their values, and for each row what the live members take beside them |
 * | a target of a shift        | until the end, what came once more, with its position and an index    |
 * | a source                   | all that it had, and the log of what is written meanwhile             |
 * | each that takes part       | its reserve                                                           |
 *
 * Rows are written to a target in the order of their key, so their pages are about as full as those
 * of the fullest live member. Pages of which rows were taken stay as they are until two thirds of
 * them are empty, and are filled again by rows that come. `peakMax` is the bound: an index whose
 * values come in another order than the key fills its pages by less.
 *
 * Verified against real moves of five shapes of tables, in Node and in workerd: see
 * `test/shards/scenarios/sizes.test.ts` and `sizes.workers.test.ts`.
 */
import { compareText } from "../model/compare-text.ts";
import { hasDirectory } from "../model/layout/directory.ts";
import type { Count, LiveNamespace, MemberStatus } from "../model/live.ts";
import { operationModeFor } from "../model/operation-mode.ts";
import type { Change, MemberSize } from "../model/plan.ts";

/** The private tables and their indexes, a page each, and the first pages of the user's. */
export const FIXED_BYTES = 122_880;
/** The first pages of an object that was never sharded. */
const PLAIN_BYTES = 16_384;
/** The reserve, and the records of an operation. */
export const RESERVE_BYTES = 65_536;
/** The figures of a member say something about its rows from so many fixed parts on. */
const SOLID_PARTS_MIN = 1;
/** Members whose values are of about one size a row have rows of one kind. */
const ALIKE_SHARE_MAX = 0.2;
/** The part of the room in half-empty pages that rows which come do not fill. */
const LOOSE_SHARE = 0.25;
/** Pages are merged once less than this part of them is in use. */
const KEPT_SHARE_MIN = 1 / 3;
/** Values of a row that lie on pages of their own, which are free at once. */
const LARGE_ROW_BYTES = 2_048;
/** A staged row against its values: by the position that it is cut into waves by, and its index. */
const STAGED_FACTOR = 1.2;
const STAGED_ROW_BYTES = 40;
/** An entry of a directory or of a log, with its index. */
const ENTRY_BYTES = 100;
/** Rows of a source that may be written while they are moved, each an entry of its log. */
const LOGGED_SHARE = 0.1;
const LOG_BYTES_MIN = 262_144;
/** The fullest of several members against the average, where no other count tells. */
const EVEN_SKEW = 1.1;
/** The bound over the middle: pages that are filled in another order. */
const BOUND_FACTOR = 1.25;

/** The fields of a change that sizes follow from. */
export type SizedChange = Pick<Change, "from" | "to" | "moves" | "estimate">;
type SizedLive = Pick<LiveNamespace, "members" | "epoch">;

/** Each object that holds rows before, while or after the change, sorted by name. */
export function projectSizes(live: SizedLive, change: SizedChange): MemberSize[] {
  const known = new Map(live.members.map((member) => [member.name, member]));
  const overheads = measureOverheads(live);
  const incoming = Map.groupBy(change.moves, ({ target }) => target);
  const outgoing = Map.groupBy(change.moves, ({ source }) => source);
  const names = [...new Set([...change.from.members, ...change.to.members])].toSorted(compareText);
  return names.map((name) => {
    const moved = { incoming: incoming.get(name) ?? [], outgoing: outgoing.get(name) ?? [] };
    const share = shareOf(change, name, { status: known.get(name), ...moved, overheads });
    const before = share.status ? storageOf(share.status) : null;
    const after = share.isLeaving ? FIXED_BYTES : endOf(share, before);
    const { peak, peakMax } = peakOf(live, change, { share, before, after });
    return {
      member: name,
      before,
      after: Math.round(after),
      peak: Math.round(peak),
      peakMax: Math.round(Math.max(peak, peakMax)),
      part: partOf(share),
    };
  });
}

/**
 * Gives the bound for each target if the change led to a count of members: the rows spread as by
 * the change itself, or about evenly where it leads to one object.
 */
export function evenBounds(
  live: SizedLive,
  { from, to, skewAfter, estimate }: SizedChange & Pick<Change, "skewAfter">,
): (count: number) => number {
  const overheads = measureOverheads(live);
  const skew = to.members.length > 1 ? Math.max(1, skewAfter) : EVEN_SKEW;
  const total = totalOf(live.members);
  const data = live.members.reduce(
    (sum, member) => sum + dataBytes(member, (overheads.get(member.name) ?? NO_OVERHEAD).most),
    0,
  );
  const isShift = operationModeFor(from, to) === "shift";
  const entries = hasDirectory(to) ? total.rows * ENTRY_BYTES : 0;
  return (count) => {
    const part = (skew / count) * (1 + (estimate?.error ?? 0)) * BOUND_FACTOR;
    // A member that stays is sent what it lacks; a new one is sent all that it gets.
    const sent = count < from.members.length ? 1 - count / from.members.length : 1;
    const staged = isShift ? sent * stagedBytes(total) : 0;
    const logged = part * total.rows * LOGGED_SHARE * ENTRY_BYTES;
    const log = isShift ? Math.max(LOG_BYTES_MIN, logged) : 0;
    return FIXED_BYTES * BOUND_FACTOR + RESERVE_BYTES + log + part * (data + staged + entries);
  };
}

function stagedBytes({ rows, bytes }: Count): number {
  return bytes * STAGED_FACTOR + rows * STAGED_ROW_BYTES;
}

/** The rows that an object gives, keeps and gets. */
interface Share {
  readonly status: MemberStatus | undefined;
  readonly gives: Count;
  readonly gets: Count;
  /** True of one that is no member any more. */
  readonly isLeaving: boolean;
  /** Bytes of its rows at the end, on full pages and on pages as empty as those of live members. */
  readonly dense: number;
  readonly loose: number;
}

interface Moved {
  readonly status: MemberStatus | undefined;
  readonly incoming: Change["moves"];
  readonly outgoing: Change["moves"];
  readonly overheads: ReadonlyMap<string, Overhead>;
}

function shareOf(
  { from, to }: SizedChange,
  name: string,
  { status, incoming, outgoing, overheads }: Moved,
): Share {
  const gives = totalOf(outgoing);
  const gets = totalOf(incoming);
  const stays: Count = {
    rows: Math.max(0, (status?.rows ?? 0) - gives.rows),
    bytes: Math.max(0, (status?.bytes ?? 0) - gives.bytes),
  };
  const own = overheads.get(name) ?? NO_OVERHEAD;
  const fixed = FIXED_BYTES + (hasDirectory(to) ? gets.rows * ENTRY_BYTES : 0);
  const dataOf = (measure: (overhead: Overhead) => number): number =>
    incoming.reduce(
      (total, move) => total + dataBytes(move, measure(overheads.get(move.source) ?? NO_OVERHEAD)),
      0,
    );
  return {
    status,
    gives,
    gets,
    isLeaving: from.members.includes(name) && !to.members.includes(name),
    dense: fixed + dataBytes(stays, own.least) + dataOf(({ least }) => least),
    loose: fixed + dataBytes(stays, own.here) + dataOf(({ most }) => most),
  };
}

function partOf({ gives, gets }: Share): MemberSize["part"] {
  if (gives.rows > 0) return gets.rows > 0 ? "both" : "source";
  return gets.rows > 0 ? "target" : "none";
}

/** The bytes of a member at the end, by those before and by its rows. */
function endOf({ status, gives, gets, dense, loose }: Share, before: number | null): number {
  if (before === null || !status) return dense;
  if (gives.rows === 0 && gets.rows === 0) return before;
  const mixed = dense + LOOSE_SHARE * Math.max(0, loose - dense);
  const isLarge = status.bytes / Math.max(1, status.rows) >= LARGE_ROW_BYTES;
  const keepsPages = !isLarge && status.rows - gives.rows >= status.rows * KEPT_SHARE_MIN;
  return keepsPages ? Math.max(mixed, before) : mixed;
}

/** The most that an object takes meanwhile: the middle of the estimate, and its bound. */
function peakOf(
  { epoch }: SizedLive,
  { from, to, estimate }: SizedChange,
  { share, before, after }: { share: Share; before: number | null; after: number },
): Pick<MemberSize, "peak" | "peakMax"> {
  const { status, gives, gets, dense, loose } = share;
  if (gives.rows === 0 && gets.rows === 0) return { peak: before ?? after, peakMax: 0 };
  const isShift = operationModeFor(from, to) === "shift";
  const rows = gives.rows > 0 ? (status?.rows ?? 0) : 0;
  const dealt = !isShift && hasDirectory(to) ? rows * ENTRY_BYTES : 0;
  const log = gives.rows > 0 ? Math.max(LOG_BYTES_MIN, rows * LOGGED_SHARE * ENTRY_BYTES) : 0;
  // An object that never took part in an operation gets its private tables by it.
  const held = before === null ? 0 : before + (epoch === 0 ? FIXED_BYTES - PLAIN_BYTES : 0);
  const beside = RESERVE_BYTES + dealt;
  if (gets.rows === 0) return { peak: held + beside, peakMax: held + beside + log };
  const staged = isShift ? stagedBytes(gets) : 0;
  const peak = Math.max(held, after, dense) + staged + beside;
  const error = 1 + (estimate?.error ?? 0);
  const most = Math.max(after, loose, dense * BOUND_FACTOR) + staged * BOUND_FACTOR;
  return { peak, peakMax: Math.max(held, most * error) + beside + log };
}

/** Bytes beside the values of a row. */
interface Overhead {
  /** On the member itself. */
  readonly here: number;
  /** On the members with rows of the same kind: the fullest pages, and the emptiest. */
  readonly least: number;
  readonly most: number;
}

const NO_OVERHEAD: Overhead = { here: 0, least: 0, most: 0 };

function measureOverheads({ members, epoch }: SizedLive): Map<string, Overhead> {
  const fixed = epoch === 0 ? PLAIN_BYTES : FIXED_BYTES;
  const measured = members.flatMap((member) => {
    if (member.storage === undefined || member.rows === 0) return [];
    const data = Math.max(0, member.storage - fixed);
    return [
      {
        name: member.name,
        mean: member.bytes / member.rows,
        overhead: (data - member.bytes) / member.rows,
        isSolid: data >= SOLID_PARTS_MIN * fixed,
      },
    ];
  });
  return new Map(
    measured.map((own) => {
      const alike = measured.filter(
        ({ mean, isSolid }) => isSolid && Math.abs(mean - own.mean) <= own.mean * ALIKE_SHARE_MAX,
      );
      const overheads = alike.length > 0 ? alike.map(({ overhead }) => overhead) : [own.overhead];
      const here = own.isSolid ? own.overhead : Math.max(...overheads);
      return [own.name, { here, least: Math.min(...overheads), most: Math.max(...overheads) }];
    }),
  );
}

function dataBytes({ rows, bytes }: Count, overhead: number): number {
  return Math.max(0, bytes + rows * overhead);
}

/** An older library, or one whose storage does not say it, takes at least its values. */
function storageOf({ storage, bytes }: MemberStatus): number {
  return storage ?? bytes;
}

function totalOf(moves: readonly Count[]): Count {
  return moves.reduce(
    (total, { rows, bytes }) => ({ rows: total.rows + rows, bytes: total.bytes + bytes }),
    { rows: 0, bytes: 0 },
  );
}
