/**
 * Answers the messages of an operation: from the root to its members, and between them. The fence
 * is the host's own: see `Host`.
 */
import type { Result } from "../../model/result.ts";
import type { ProtocolFailure } from "../../model/wire/protocol-failure.ts";
import type { Admission } from "../member/admission.ts";
import { enterIds } from "../directory/enter-ids.ts";
import type { Member } from "../member/member.ts";
import { suspicionOf } from "../member/directory-suspicion.ts";
import type { RowCounter } from "../member/row-counter.ts";
import { tableText } from "../member/table-text.ts";
import { drainSlice } from "../move/drain.ts";
import { refuseLeftBehind } from "../move/left-behind.ts";
import { rehearsePromotion } from "../move/promote.ts";
import { type Received, checkRows, digestReceived, receiveRows } from "../move/receive.ts";
import { stagedChunks, stagedKeys } from "../move/staging.ts";
import { walkSlice } from "../move/walk.ts";
import type { HostPlatform } from "../platform/host-platform.ts";
import { LIBRARY_VERSION } from "../../model/wire/library-version.ts";
import { type Chain, PROTOCOL_VERSION } from "../../model/wire/protocol.ts";
import type {
  EngineRequest,
  MemberRequest,
  Message,
  MessageKind,
  PeerRequest,
  Replies,
  ReplyTo,
} from "../protocol/messages.ts";
import type { Sql } from "../storage/storage.ts";

/** Digits of the digest by which tables are told apart. */
const SCHEMA_DIGITS = 12;
/** How old the counts may be by which the progress of an operation is told. */
const PREPARED_AGE_MAX_MS = 10 * 60_000;
/** The library and protocol that an object runs. */
const VERSIONS = { library: LIBRARY_VERSION, protocol: PROTOCOL_VERSION };

/** The answer to a message of this kind, or a refusal. */
export type Answer<Kind extends MessageKind> =
  | Replies[Kind]
  | Result<Replies[Kind], ProtocolFailure>;
export type Handler<Kind extends MessageKind> = (
  request: Message<Kind>,
  chain?: Chain,
) => Answer<Kind> | Promise<Answer<Kind>>;

/** The same by one message of the kind: what `distribute` is answered by hangs on who is asked. */
export type AnswerTo<Request extends MemberRequest> =
  | ReplyTo<Request>
  | Result<ReplyTo<Request>, ProtocolFailure>;
export type HandlerOf<Request extends MemberRequest> = (
  request: Request,
  chain?: Chain,
) => AnswerTo<Request> | Promise<AnswerTo<Request>>;

type Kinds = Exclude<
  EngineRequest["kind"] | PeerRequest["kind"],
  "fence" | "resolve" | "distribute"
>;

/**
 * The part of the host that the handlers need. `member` and `admission` are others once the object
 * has learnt its name.
 */
export interface EngineHost {
  readonly sql: Sql;
  readonly platform: HostPlatform;
  readonly member: Member;
  readonly admission: Admission;
  readonly counter: RowCounter;
  /** Runs the engine's own writes to the user's tables. */
  writeRows<Value>(write: () => Value): Promise<Value>;
  /** Runs one walk or drain at a time: sequence numbers are taken and sent in order. */
  oneSlice<Value>(work: () => Promise<Value>): Promise<Value>;
}

export function createEngineHandlers(host: EngineHost): {
  readonly [Kind in Kinds]: Handler<Kind>;
} {
  const inRound = <Value>(
    operation: number,
    round: number | undefined,
    work: () => Promise<Value>,
  ): Promise<Value> =>
    host.oneSlice(() =>
      host.sql.inOneTurn(async () => {
        host.member.requireRound(operation, round);
        return work();
      }),
    );
  return {
    // Root → member
    prepare: async (request) => {
      const bookmark = host.platform.bookmark && (await bookmarkOf(host));
      const isSource = request.from.members.includes(host.member.self);
      const counts = isSource ? (await host.counter.count(PREPARED_AGE_MAX_MS)).tables : [];
      return {
        ...(await host.writeRows(() => host.member.prepare(request, bookmark, counts))),
        ...VERSIONS,
      };
    },
    recopy: (request) =>
      request.part === "source"
        ? host.oneSlice(() => host.writeRows(() => host.member.recopy(request)))
        : host.writeRows(() => host.member.recopy(request)),
    copy: ({ operation, budgetMs, round }) =>
      inRound(operation, round, () => walkSlice(host.member, operation, "copy", budgetMs)),
    verify: ({ operation, budgetMs, round }) =>
      inRound(operation, round, () => walkSlice(host.member, operation, "verify", budgetMs)),
    drain: ({ operation, budgetMs, round }) =>
      inRound(operation, round, () => drainSlice(host.member, operation, budgetMs)),
    chunks: ({ operation, waveRowsMax }) => ({
      chunks: stagedChunks(host.sql, host.member.plan(operation), waveRowsMax),
    }),
    rehearse: async ({ operation, incoming, outgoing = [], floors, attempt }) => {
      host.member.requirePages(floors, true);
      if (outgoing.length > 0) await refuseLeftBehind(host.member, operation, outgoing);
      // A source that takes nothing in this wave may still be sent rows for another.
      if (incoming.length === 0 && outgoing.length > 0) return;
      await host.writeRows(() => {
        rehearsePromotion(host.sql, host.member.plan(operation), incoming, host.member.self);
        host.member.noteRehearsal(operation, attempt);
      });
    },
    promote: async (request) => {
      const { operation, attempt, incoming, outgoing, floors } = request;
      host.member.requireCaughtUp(request);
      host.member.plan(operation); // its tables are those that were copied
      host.member.requirePages(floors, true);
      host.member.requireUnspoiled(operation, attempt);
      if (outgoing.length > 0) await refuseLeftBehind(host.member, operation, outgoing);
      if (incoming.length > 0)
        await host.writeRows(() => host.member.promote(operation, attempt, incoming));
    },
    hold: ({ operation, attempt, among, fromMs, holdMs, waitMs }) => {
      host.member.requireAttempt(operation, attempt);
      const until = host.platform.runtime.now() + holdMs;
      return host.admission.hold(
        { operation, attempt, among: new Set(among), fromMs, until },
        waitMs,
      );
    },
    unfence: ({ operation, attempt }) =>
      host.writeRows(() => host.member.unfence(operation, attempt)),
    activate: ({ operation, activation }) => host.member.activate(operation, activation),
    finish: (request) => host.writeRows(() => host.member.finish(request)),
    abandon: (request) => host.writeRows(() => host.member.abandon(request)),
    empty: ({ operation }) => host.writeRows(() => host.member.empty(operation)),
    testify: (request) =>
      host.member.moving?.promotion && request.layout !== null
        ? host.member.foreignKeys.off(() => host.member.testify(request))
        : host.member.testifyInSlices(request),
    mend: (request) => host.member.foreignKeys.off(() => host.member.mend(request)),
    suspectDirectory: ({ since }) => host.member.suspectDirectory(since),
    enterIds: (request) => host.oneSlice(() => enterIds(host, request)),
    trustDirectory: ({ since }) => host.member.trustDirectory(since),
    count: async ({ maxAgeMs }) => {
      const counted = await host.counter.count(maxAgeMs);
      const { epoch, trouble } = host.member.membership;
      const facts = await factsOf(host);
      const suspectSince = suspicionOf(host.sql)?.since;
      const { refusedWriteAt } = host.admission;
      return {
        ...(refusedWriteAt !== undefined && { refusedWriteAt }),
        ...(suspectSince !== undefined && { suspectSince }),
        ...counted,
        ...VERSIONS,
        ...facts,
        epoch,
        ...(trouble ? { trouble } : {}),
      };
    },
    health: () => {
      const { epoch, trouble } = host.member.membership;
      return { epoch, ...VERSIONS, ...(trouble ? { trouble } : {}) };
    },
    // Member → member
    receive: async ({ operation, source, stored = 0, ...page }) => {
      const receive = (): Received => {
        const plan = host.member.receivingPlan(operation);
        host.member.requirePages([{ source, target: host.member.self, sequence: stored }]);
        return receiveRows({ sql: host.sql, plan, source }, page);
      };
      return digestReceived(await host.writeRows(receive), host.platform.runtime);
    },
    check: async ({ operation, source, parts }) => ({
      mismatch: await checkRows(
        { sql: host.sql, plan: host.member.receivingPlan(operation), source },
        parts,
        host.platform.runtime,
      ),
    }),
    stagedKeys: ({ operation, ...request }) => {
      // A target that was repaired has none: its sources then delete nothing.
      if (host.member.moving === undefined && host.member.membership.ended >= operation)
        return { keys: "[]", after: null };
      return stagedKeys(host.sql, host.member.planAfterCutover(operation), request);
    },
  };
}

/** Undefined where the runtime keeps no history of the object: that stops nothing. */
async function bookmarkOf({ platform }: EngineHost): Promise<string | undefined> {
  try {
    return await platform.bookmark?.();
  } catch {
    // A bookmark that cannot be had is left out of the record, where it would be looked for.
    return undefined;
  }
}

/** The digest of an object's tables, and its size. */
async function factsOf({
  sql,
  member,
  platform,
}: EngineHost): Promise<{ readonly schema: string; readonly storage?: number }> {
  const storage = sql.databaseSize;
  const schema = await platform.runtime.digest(tableText(sql, member.knownTables()));
  return { schema: schema.slice(0, SCHEMA_DIGITS), ...(storage === undefined ? {} : { storage }) };
}
