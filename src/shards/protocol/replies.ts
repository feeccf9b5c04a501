/** Answers to the messages between objects, and what an object says of itself. */
import type { Key } from "../../model/layout/key.ts";
import type { Count, MemberDistribution, RowSample } from "../../model/live.ts";
import type { Layout } from "../../model/layout/layout.ts";
import type { MoveRange } from "../../model/layout/move-range.ts";
import type { OperationMode } from "../../model/operation.ts";
import type { Disorder } from "../../model/repair.ts";
import type { SqlRow } from "../storage/storage.ts";
import type { OfOperation, PageFloor, RowId } from "./terms.ts";

export interface LocateReply {
  /** roundRobin: null when the id is not known and `deal` was false. */
  readonly owner: string | null;
  /**
   * Other layouts: the shard key under which the row was last stored; null when the id is not
   * known.
   */
  readonly key: Key | null;
}

export interface ReleaseReply {
  /** Rows that need not be asked for again. */
  readonly settled: readonly RowId[];
}

export interface ProbeReply {
  /** In the order of the request. */
  readonly states: readonly ("there" | "absent" | "busy")[];
}

export interface LayoutReply {
  readonly layout: Layout;
  readonly epoch: number;
}

export interface QueryReply {
  readonly rows: readonly SqlRow[];
}

export interface TableCount extends Count {
  readonly table: string;
}

/** The words of an object about itself. */
export interface Testimony {
  /**
   * False for an object that has stored nothing: it was never part of the namespace, or has lost
   * its storage.
   */
  readonly isStored: boolean;
  readonly epoch: number;
  readonly layout: Layout;
  /** The newest operation it has seen, and the newest that ended here. */
  readonly operation: number;
  readonly ended: number;
  readonly trouble: Trouble | null;
  /** Since when it suspects its directory; absent for one that is whole. */
  readonly suspectSince?: number;
  readonly moving: TestifiedMove | null;
  /**
   * Rows of the declared tables that are not this member's under the layout that was asked for, by
   * table; of a target with them the copies that came from sources which have lost theirs.
   */
  readonly strays: readonly TableRows[];
  /** Only when they were asked for. */
  readonly samples?: readonly RowSample[];
}

/** The part of a testimony that tells one state of a member from a later one. */
export type KnownState = Pick<Testimony, "isStored" | "epoch" | "operation">;

/** The operation that an object takes part in. */
export interface TestifiedMove extends OfOperation {
  readonly mode: OperationMode;
  /** The layout, and the epoch, from which the operation began; older libraries say no epoch. */
  readonly from: Layout;
  readonly epochFrom?: number;
  readonly to: Layout;
  /**
   * The attempt whose rows are live, or in a swap checked whole, before their commit; null for
   * none.
   */
  readonly promoted: number | null;
}

export interface TableRows {
  readonly table: string;
  readonly rows: number;
}

/** How many of the ids other members have rows of, whose entries stay. */
export interface EnterReply {
  readonly taken: number;
}

export interface EnterIdsReply {
  readonly isDone: boolean;
  /** Rows by table, so far, whose ids other members have rows of. */
  readonly taken: readonly TableRows[];
}

/** The rows that a member has set aside. */
export interface SetAsideReply {
  readonly setAside: readonly TableRows[];
}

/** Why an object serves nothing until it is repaired. */
export interface Trouble {
  readonly kind: Disorder["kind"];
  readonly message: string;
  /** Milliseconds since the Unix epoch. */
  readonly since: number;
  /** The newest epoch that it was told of. */
  readonly epoch: number;
  /** The name of the object that told it; null for a caller. */
  readonly by: string | null;
}

/** The code that an object runs; one that speaks protocol 1 alone says nothing. */
interface VersionsReply {
  readonly library?: string;
  readonly protocol?: number;
}

export interface PrepareReply extends VersionsReply {
  /** Rows and bytes of the declared tables on a source. */
  readonly counts: readonly TableCount[];
  /** The unique constraints under which two rows of a declared table count as the same row. */
  readonly uniqueRules: readonly UniqueRule[];
  /** Copies of an older operation that were set aside. */
  readonly setAside?: readonly TableRows[];
  /** The point in time, from before its part began, to which the object can be restored. */
  readonly bookmark?: string;
  /** The tables as they are now; absent for a library of protocol 1. */
  readonly shapes?: readonly TableShape[];
  /** The steps of the class's migrations that have run, as one text. */
  readonly steps?: string;
  /** Tables that have changed since the operation was prepared here. */
  readonly changed?: readonly string[];
}

/** The shape that a table must have on every member for rows to travel. */
export interface TableShape {
  readonly table: string;
  readonly columns: readonly string[];
  readonly primaryKey: readonly string[];
}

export interface RecopyReply {
  /** As a source: the last page that was sent to each target. */
  readonly floors: readonly PageFloor[];
}

export interface UniqueRule {
  readonly table: string;
  /** Null for the primary key. */
  readonly index: string | null;
  /** Equal texts are equal rules. */
  readonly rule: string;
}

export interface WalkReply {
  readonly isDone: boolean;
  /** Per target and table, so far. */
  readonly outgoing: readonly OutgoingCount[];
}

export interface OutgoingCount {
  readonly target: string;
  readonly table: string;
  readonly rowsCopied: number;
  readonly rowsVerified: number;
  readonly bytesCopied: number;
}

export interface DrainReply {
  /** Entries still in the log. */
  readonly backlog: number;
}

/** The routed calls that run on a member. */
export interface RunningState {
  readonly runs: number;
  /** How long the oldest of them has run; 0 without any. Milliseconds. */
  readonly oldestMs: number;
  /**
   * The longest that any call has taken here of late, those that still run included. Milliseconds.
   */
  readonly longestMs: number;
  /** Calls that wait behind a fence or a hold. */
  readonly waiting: number;
}

/** A member of the wave is fenced and drained for this attempt. */
export interface FenceReply {
  /** 0 when no fence was put up. */
  readonly attempt: number;
  /** The last page that each target has acknowledged. */
  readonly floors?: readonly PageFloor[];
  /** Why not: only when asked with `ifIdle`. */
  readonly busy?: RunningState;
}

export interface HealthReply extends VersionsReply {
  readonly epoch: number;
  /** Why it serves nothing until it is repaired. */
  readonly trouble?: Trouble;
}

export interface ChunksReply {
  /** Staged rows in pieces of at most a wave's size, in order. */
  readonly chunks: readonly { readonly range: MoveRange; readonly rows: number }[];
}

export interface ReceiveReply {
  /**
   * Primary keys, as JSON, of rows that another source has already sent. With any, nothing was
   * stored.
   */
  readonly duplicates: readonly string[];
  /** Of each part, the digest of its rows as the target reads them back. */
  readonly digests: readonly string[];
  /**
   * Tables in which a row that comes later may displace one of these: they are compared once more
   * at the end.
   */
  readonly unsettled: readonly string[];
}

export interface CheckReply {
  /** Index of the first part that does not match, or -1. */
  readonly mismatch: number;
}

export interface StagedKeysReply {
  /** JSON array of primary keys, and the cursor for the next page. */
  readonly keys: string;
  readonly after: string | null;
}

export type ResolveReply = { readonly verdict: "released" | "pending" };

export interface CountReply extends VersionsReply {
  /** Digest of the columns of the declared tables. */
  readonly schema?: string;
  /** Bytes that the database takes, free pages left out. */
  readonly storage?: number;
  readonly epoch?: number;
  /** Why it serves nothing until it is repaired. */
  readonly trouble?: Trouble;
  readonly tables: readonly TableCount[];
  readonly undeclared: readonly string[];
  /** When the rows were counted, in milliseconds since the Unix epoch. */
  readonly countedAt?: number;
  /** When it last refused a write for its key, as far as it remembers; in the same unit. */
  readonly refusedWriteAt?: number;
  /** As in a testimony. */
  readonly suspectSince?: number;
}

export interface DistributeReply {
  readonly distribution: MemberDistribution;
  readonly rows: number;
  readonly bytes: number;
  readonly missing: number;
  /** As of `Distribution`; absent where every row was read, and from an older library. */
  readonly clustering?: number;
}
