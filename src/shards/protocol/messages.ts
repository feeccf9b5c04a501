/**
 * The messages between objects of one namespace, and between a router and them. All
 * structured-cloneable.
 *
 * `Replies` maps each kind to its answer; `Ask` is the only way to send one, so that no reply is
 * typed by hand.
 */
import type { Key } from "../../model/layout/key.ts";
import type { Distribution, DistributionRequest } from "../../model/live.ts";
import type { Layout } from "../../model/layout/layout.ts";
import type { MoveRange } from "../../model/layout/move-range.ts";
import type { OperationMode } from "../../model/operation.ts";
import type { ControlReplies, ControlRequest } from "../../model/wire/protocol.ts";
import type { LargeRow } from "../storage/row-codec.ts";
import type { OfOperation, PageFloor, RowId } from "./terms.ts";
import type {
  LocateReply,
  EnterIdsReply,
  EnterReply,
  ReleaseReply,
  ProbeReply,
  LayoutReply,
  QueryReply,
  Testimony,
  KnownState,
  PrepareReply,
  RecopyReply,
  WalkReply,
  DrainReply,
  RunningState,
  FenceReply,
  HealthReply,
  ChunksReply,
  ReceiveReply,
  CheckReply,
  StagedKeysReply,
  ResolveReply,
  SetAsideReply,
  CountReply,
  DistributeReply,
} from "./replies.ts";

/** From a caller's router to a member, or to the root. */
export type RouterRequest =
  /**
   * `epoch`: the newest that the caller has heard of; a root that is behind it has lost its
   * registry.
   */
  | ({ readonly kind: "layout"; readonly epoch?: number } & FromMember)
  | ({
      readonly kind: "call";
      readonly epoch: number;
      /**
       * The keys that decide the owner, all of one member; none for a call that names its member (a
       * directory hop, a fan-out).
       */
      readonly keys: readonly Key[];
      readonly method: string;
      readonly args: readonly unknown[];
      /**
       * Ids that the call may store, each with its key among `keys`: claimed before it runs, where
       * there is a directory of keys.
       */
      readonly claims?: readonly Claim[];
    } & CallMode)
  /**
   * Admits a call to all members, and has it wait: see `Tickets`. `among`: the members that others
   * hold tickets of for it.
   */
  | {
      readonly kind: "admit";
      readonly epoch: number;
      readonly method: string;
      readonly among: readonly string[];
    }
  /** Gives back a ticket that is not used. */
  | { readonly kind: "dismiss"; readonly ticket: string }
  | {
      readonly kind: "query";
      readonly epoch: number;
      readonly query: string;
      readonly params: readonly (string | number | null)[];
      /** Must hold for the answers of all members to make one. Absent: nothing is judged. */
      readonly reads?: QueryReads;
    }
  /**
   * Where the row with this id is, by the directory. `deal` assigns an owner to an id that has none
   * (roundRobin).
   */
  | {
      readonly kind: "locate";
      readonly epoch: number;
      readonly table: string;
      readonly id: string;
      readonly deal: boolean;
    };

/** The tables that a query reads, by its text. */
export interface QueryReads {
  readonly tables: readonly string[];
  /** True when its order is that of the answer. */
  readonly ordered: boolean;
}

/**
 * The ways in which a call to all members runs. Both absent for every other, and unknown to
 * protocol 1, which runs it at once.
 */
export interface CallMode {
  /** Refused as `ticketNeeded` while the member takes part in a move. */
  readonly unlessMoving?: boolean;
  /** Runs as the call that was admitted by this ticket. */
  readonly ticket?: string;
}

/** The wish to store a row of this id under this shard key. */
export interface Claim extends RowId {
  readonly key: Key;
}

/**
 * Of the directory: between a row's owner and the member that holds its entry. Each is refused by a
 * member at another epoch, or fenced.
 */
export type DirectoryRequest =
  /**
   * Owner → directory member: enter these keys, unless a row of that id stands under another. All
   * or none.
   */
  | { readonly kind: "claim"; readonly epoch: number; readonly claims: readonly Claim[] }
  /**
   * Owner → directory member: rows of these ids were deleted here; their entries may go, if the
   * rows have.
   */
  | { readonly kind: "release"; readonly epoch: number; readonly rows: readonly RowId[] }
  /**
   * Directory member → owner of an entry's key: is the row there? "absent" also revokes claims that
   * are under way there.
   */
  | { readonly kind: "probe"; readonly epoch: number; readonly rows: readonly RowId[] }
  /**
   * Owner → directory member, after a repair: these rows stand here. In a roundRobin layout the
   * keys say nothing.
   */
  | {
      readonly kind: "enter";
      readonly epoch: number;
      readonly owner: string;
      readonly claims: readonly Claim[];
    };

/** Rows of one table for one target. */
export interface RowsPart {
  readonly table: string;
  /** The source's columns, in the order in which the rows have them. */
  readonly columns: readonly string[];
  /**
   * SQL-built JSON array of rows: `[class, position, …columns, mask]`; see row-codec.ts and
   * position.ts.
   */
  readonly rows: string;
  readonly rowCount: number;
  /** Primary keys of `rows` and `large`, a JSON array of arrays. */
  readonly keys: string;
  readonly withBlobs: boolean;
  readonly large: readonly LargeRow[];
  /**
   * Primary keys that this source has no row for, or not for this target: the target deletes what
   * it had from this source.
   */
  readonly absent: string;
  readonly absentCount: number;
  /**
   * Primary keys among `keys` that do not show by their own shard key that they come from this
   * source: followers, and misplaced rows.
   */
  readonly origins: string;
  readonly originCount: number;
}

/**
 * Content that the target must hold: rows of these keys with this digest, and none of the absent
 * ones.
 */
export interface CheckPart {
  readonly table: string;
  readonly keys: string;
  readonly digest: string;
  readonly absent: string;
}

/** A question to the root that callers ask too. */
interface FromMember {
  /**
   * The member that asks, also by its own router: a root that has lost its registry finds the
   * others by it. Absent for a caller.
   */
  readonly asker?: string;
}

/**
 * A request for a source to send, by the round of preparation: a late message of an earlier one is
 * refused.
 */
interface OfRound extends OfOperation {
  /** Absent for a root of protocol 1. */
  readonly round?: number;
}

/** Effect of a cutover on one member. */
export interface Activation {
  readonly epoch: number;
  readonly layout: Layout;
  /** Ranges that become this member's (shift). */
  readonly incoming: readonly MoveRange[];
  /** Ranges that leave this member, each with the target that has its rows now (shift). */
  readonly outgoing: readonly { readonly target: string; readonly range: MoveRange }[];
  /**
   * The attempt under which `incoming` was promoted before the commit; absent for a root that
   * commits first (protocol 1).
   */
  readonly attempt?: number;
}

/** The end of an operation, for one of its participants. */
interface Release {
  readonly epoch: number;
  readonly layout: Layout;
  /** Sources that have lost their storage: what came from them is set aside; absent for none. */
  readonly lost?: readonly string[];
}

/** From the root to a member. */
export type EngineRequest =
  | ({
      readonly kind: "prepare";
      readonly epoch: number;
      readonly mode: OperationMode;
      readonly from: Layout;
      readonly to: Layout;
      readonly allowMissingKey: boolean;
      readonly rowsPerSecondMax: number | null;
      /** As of `Release`, for an older operation whose end the member has not heard. */
      readonly lost?: readonly string[];
    } & OfOperation)
  /**
   * Tables that a deploy has changed are prepared again: first by the sources, then by the targets,
   * who take no older page any more.
   */
  | ({
      readonly kind: "recopy";
      readonly part: "source" | "target";
      readonly round: number;
      readonly tables: readonly string[];
      /** To targets: the last page that each source had sent. */
      readonly floors: readonly PageFloor[];
    } & OfOperation)
  | ({ readonly kind: "copy"; readonly budgetMs: number } & OfRound)
  | ({ readonly kind: "verify"; readonly budgetMs: number } & OfRound)
  | ({ readonly kind: "drain"; readonly budgetMs: number } & OfRound)
  | ({ readonly kind: "chunks"; readonly waveRowsMax: number } & OfOperation)
  /**
   * Before a commit in a swap: check what came. In a shift, of a root of protocol 1: try the
   * promotion and roll it back.
   */
  | ({
      readonly kind: "rehearse";
      /** Behind the fence of this attempt, whose activation asks for it; absent before. */
      readonly attempt?: number;
      /**
       * The last page that each source has had acknowledged: a target that is behind has lost some.
       */
      readonly floors?: readonly PageFloor[];
      readonly incoming: readonly MoveRange[];
      /**
       * Ranges that leave this member (shift): rows that stay must not point at rows that leave.
       */
      readonly outgoing?: readonly { readonly target: string; readonly range: MoveRange }[];
    } & OfOperation)
  /**
   * Shift, under the fence and once every source is drained: make the rows live, and see that no
   * row stays behind by itself.
   */
  | ({
      readonly kind: "promote";
      /** As of `rehearse`. */
      readonly floors?: readonly PageFloor[];
      readonly attempt: number;
      readonly incoming: readonly MoveRange[];
      readonly outgoing: readonly { readonly target: string; readonly range: MoveRange }[];
    } & OfOperation)
  /**
   * First phase of a fence: let running calls end, and keep new ones waiting meanwhile. Kept in
   * memory only.
   */
  | ({
      readonly kind: "hold";
      readonly attempt: number;
      /**
       * Calls that come from below these members run all the same: one of them waits for their end.
       */
      readonly among: readonly string[];
      /**
       * Only calls of methods that have taken as long as this wait: 0 for all calls, Infinity for
       * none.
       */
      readonly fromMs: number;
      /**
       * The hold ends by itself after this time. 0 keeps nobody waiting, and ends an earlier hold:
       * the answer alone is wanted.
       */
      readonly holdMs: number;
      /** Longest wait for running calls to end, before the answer. */
      readonly waitMs: number;
    } & OfOperation)
  | ({
      readonly kind: "fence";
      readonly attempt: number;
      readonly budgetMs: number;
      /**
       * Answer `busy` at once where calls run. Without it, as older roots ask, they are waited for.
       */
      readonly ifIdle?: boolean;
    } & OfOperation)
  | ({ readonly kind: "unfence"; readonly attempt: number } & OfOperation)
  | ({ readonly kind: "activate"; readonly activation: Activation } & OfOperation)
  | ({ readonly kind: "finish" } & Release & OfOperation)
  | ({ readonly kind: "abandon" } & Release & OfOperation)
  | ({ readonly kind: "empty" } & OfOperation)
  /**
   * Asks what a member knows of itself. With `layout`, also which of its rows are not its own under
   * it; with `sampleMax`, the first of these of each table; with `lost`, also which copies came to
   * it from these sources and are not its own.
   */
  | {
      readonly kind: "testify";
      readonly layout: Layout | null;
      readonly sampleMax?: number;
      readonly lost?: readonly string[];
    }
  /**
   * Ends what keeps a member from serving, as a repair has shown it. With `layout` it takes that
   * and the epoch, sets aside the rows that are not its own, and forgets the operation that it took
   * for running; with null it goes on by what it knows.
   */
  | {
      readonly kind: "mend";
      readonly epoch: number;
      readonly layout: Layout | null;
      /** Operations up to this one are over for the member. */
      readonly endedUpTo: number;
      /** The one of them that goes on without it. */
      readonly goesOn?: number;
      /**
       * The state of the member that the repair was planned by: one that comes late, when the
       * member has lost more since, is refused. Null from the root to itself.
       */
      readonly known: KnownState | null;
      /** As of `Release`. */
      readonly lost?: readonly string[];
      /** Also suspect the directory, as by `suspectDirectory`. */
      readonly suspectSince?: number;
    }
  /** Answer for no id: the directory may lack entries, as a repair has found at this time. */
  | { readonly kind: "suspectDirectory"; readonly since: number }
  /** Enter the ids of your rows again, for a while, from where the last time has ended. */
  | {
      readonly kind: "enterIds";
      readonly epoch: number;
      readonly since: number;
      readonly budgetMs: number;
    }
  /** Every member has entered its ids since then. */
  | { readonly kind: "trustDirectory"; readonly since: number }
  /** The rows by table, counted no longer ago than this: absent, now. Milliseconds. */
  | { readonly kind: "count"; readonly maxAgeMs?: number }
  | { readonly kind: "health" }
  | {
      readonly kind: "distribute";
      readonly distribution: DistributionRequest;
      readonly sampleEvery: number;
    };

/** From a source to a target, or from a member to the root. */
export type PeerRequest =
  | ({
      readonly kind: "receive";
      readonly source: string;
      readonly sequence: number;
      /**
       * The life of the source that sends it: another one never uses the number of a page again,
       * unless the source was restored. Absent from an older library.
       */
      readonly life?: number;
      /**
       * The last page of this source that the target has answered for: one that was restored has it
       * not.
       */
      readonly stored?: number;
      /** Followed tables first. Applied in one transaction. */
      readonly parts: readonly RowsPart[];
      /**
       * Of step verify: rows that were displaced, which must not displace what was compared before
       * them.
       */
      readonly repairs?: boolean;
    } & OfOperation)
  | ({
      readonly kind: "check";
      readonly source: string;
      readonly parts: readonly CheckPart[];
    } & OfOperation)
  | ({
      readonly kind: "stagedKeys";
      readonly source: string;
      readonly range: MoveRange;
      readonly table: string;
      readonly after: string | null;
    } & OfOperation)
  /** A fenced member asks the root what became of the operation; also wakes the root's driver. */
  | ({ readonly kind: "resolve"; readonly attempt: number; readonly epoch?: number } & OfOperation &
      FromMember);

export type MemberRequest =
  | ControlRequest
  | RouterRequest
  | DirectoryRequest
  | EngineRequest
  | PeerRequest;

export type MessageKind = MemberRequest["kind"];

/** The message of a kind. */
export type Message<Kind extends MessageKind> = Extract<MemberRequest, { readonly kind: Kind }>;

/** The answer of a success to each kind. */
export interface Replies extends Omit<ControlReplies, "distribute"> {
  // Router → member
  readonly layout: LayoutReply;
  readonly call: unknown;
  readonly query: QueryReply;
  readonly admit: { readonly ticket: string };
  readonly dismiss: void;
  readonly locate: LocateReply;
  // Member → member, for the directory
  readonly claim: void;
  readonly release: ReleaseReply;
  readonly probe: ProbeReply;
  readonly enter: EnterReply;
  // Root → member
  readonly prepare: PrepareReply;
  readonly recopy: RecopyReply;
  readonly copy: WalkReply;
  readonly verify: WalkReply;
  readonly drain: DrainReply;
  readonly chunks: ChunksReply;
  readonly rehearse: void;
  readonly promote: void;
  readonly hold: RunningState;
  readonly fence: FenceReply;
  readonly unfence: void;
  readonly activate: void;
  /** An older library answers nothing, and sets nothing aside. */
  readonly finish: SetAsideReply | undefined;
  readonly abandon: SetAsideReply | undefined;
  readonly empty: void;
  readonly testify: Testimony;
  readonly mend: SetAsideReply;
  readonly suspectDirectory: void;
  readonly enterIds: EnterIdsReply;
  readonly trustDirectory: void;
  readonly count: CountReply;
  readonly health: HealthReply;
  /** A root answers for its namespace; a member, asked with `sampleEvery`, for itself. */
  readonly distribute: Distribution | DistributeReply;
  // Member → member, and member → root
  readonly receive: ReceiveReply;
  readonly check: CheckReply;
  readonly stagedKeys: StagedKeysReply;
  readonly resolve: ResolveReply;
}

/** The answer to one message. */
export type ReplyTo<Request extends MemberRequest> = Request extends {
  readonly sampleEvery: number;
}
  ? DistributeReply
  : Request extends { readonly kind: "distribute" }
    ? Distribution
    : Replies[Request["kind"]];

/**
 * Sends a message to a member and unwraps the answer. Rejects when it is refused, or when there is
 * none.
 */
export type Ask<Sent extends MemberRequest = MemberRequest> = <const Request extends Sent>(
  member: string,
  request: Request,
) => Promise<ReplyTo<Request>>;
