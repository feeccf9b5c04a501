/**
 * Host: one object of a namespace. Takes every message of the protocol, hands it to the member, the root or the rows, and gives the reply.
 *
 * It owns the private tables, the object's alarm and the protocol; it never touches the user's tables except to move declared rows. It
 * knows the runtime only through `HostPlatform`: the simulator runs this very class.
 */
import type { Partitioners } from "../../core/partitioners.ts";
import { type ProtocolFailure, faultRefusal, refusal } from "../../core/protocol-failure.ts";
import { type Chain, type Envelope, PROTOCOL_VERSION, type ProtocolReply } from "../../core/protocol.ts";
import { type Result, failure, success } from "../../core/result.ts";
import { Admission } from "../member/admission.ts";
import { callMethod } from "./call-method.ts";
import { Claims } from "../directory/claims.ts";
import { Directory } from "../directory/directory.ts";
import { distributeRows } from "../member/distribute.ts";
import { EngineFault } from "../storage/faults.ts";
import { Member } from "../member/member.ts";
import type {
  Ask,
  FenceReply,
  LayoutReply,
  MemberRequest,
  Message,
  MessageKind,
  Replies,
  ReplyTo,
  ResolveReply,
} from "../protocol/messages.ts";
import { Root } from "../root/root.ts";
import { runQuery } from "../member/query.ts";
import type { ShardHostOptions } from "./host-options.ts";
import type { HostPlatform } from "../platform/host-platform.ts";
import { markingPeers } from "../member/running-calls.ts";
import { RefusedError, refused } from "../protocol/refused-error.ts";
import { Sql } from "../storage/storage.ts";
import { refuseLeftBehind } from "../move/left-behind.ts";
import { drainSlice } from "../move/drain.ts";
import { walkSlice } from "../move/walk.ts";
import { rehearsePromotion } from "../move/promote.ts";
import { type Received, checkRows, digestReceived, receiveRows } from "../move/receive.ts";
import { stagedChunks, stagedKeys } from "../move/staging.ts";
import { TableFault } from "../storage/tables.ts";
import { UserAlarm } from "./user-alarm.ts";
import { within } from "../protocol/within.ts";

/** Fenced members ask the root again after this time. */
const RESOLVE_MS = 2_000;
/** Longest wait for another object's answer; slices are far shorter. A member that hangs is then one that does not answer. */
const ASK_MS_MAX = 60_000;
/** Budget of the fence's drain when the root names none. */
const FENCE_WAIT_MS = 1_000;

/** An operation could never reach a shard: it is refused before anything is journaled. */
const NOT_CONFIGURED =
  "DO namespace not configured: the object does not know the binding of its own class. Export the class under its own name with compatibility_date 2025-11-17 or later, or give the host `namespace: env.<BINDING>`";

/** What tells an object which namespace it is part of, if it does not know yet: the beginning of its part, or the end of one it never heard of. */
const INTRODUCES: ReadonlySet<MemberRequest["kind"]> = new Set(["prepare", "abandon", "finish"]);

/** The answer to a message of this kind, or a refusal. */
type Answer<Kind extends MessageKind> = Replies[Kind] | Result<Replies[Kind], ProtocolFailure>;
type Handlers = {
  readonly [Kind in MessageKind]: (request: Message<Kind>, chain?: Chain) => Answer<Kind> | Promise<Answer<Kind>>;
};

export class Host {
  readonly sql: Sql;
  readonly member: Member;
  readonly root: Root;
  readonly admission: Admission;
  readonly userAlarm: UserAlarm;
  readonly platform: HostPlatform;
  readonly partitioners: Partitioners;
  readonly #target: object;
  readonly #directory: Directory;
  readonly #claims: Claims;
  #slice: Promise<unknown> = Promise.resolve();
  /** Messages in work that may make this object part of a namespace. */
  #introductions = 0;

  constructor(platform: HostPlatform, target: object, options: ShardHostOptions) {
    const self = platform.self ?? "";
    const { runtime, storage } = platform;
    const { peers } = platform;
    this.platform = { ...platform, peers: peers && markingPeers(peers, () => this.admission.running.chain()) };
    this.#target = target;
    this.partitioners = options.partitioners ?? {};
    this.sql = new Sql(storage);
    this.userAlarm = new UserAlarm(this.sql, storage, runtime);
    const ask: Ask = (member, request) => this.ask(member, request);
    const { tables: specs, localTables = [] } = options;
    const common = { sql: this.sql, runtime, self, specs, localTables, partitioners: this.partitioners, ask };
    this.member = new Member({ ...common, namespace: self });
    this.root = new Root({ ...common, storage, namespace: self, onEvent: options.onEvent, onEpoch: options.onEpoch });
    this.admission = new Admission(this.member, this.partitioners, (epoch) => this.#catchUp(epoch));
    this.#directory = new Directory(this.member, this.admission);
    this.#claims = new Claims(this.member, this.admission);
  }

  /** The namespace that this object belongs to: its own name when it is a root. */
  get namespace(): string {
    return this.member.membership.namespace;
  }

  /** Answers one message. Expected refusals are values; a throw means that the object is broken, or the user's method threw. */
  async handle(envelope: Envelope): Promise<ProtocolReply<unknown>> {
    if (envelope.protocol !== PROTOCOL_VERSION) {
      return failure(refusal("invalid", `Only protocol ${String(PROTOCOL_VERSION)} is spoken here`));
    }
    if (this.platform.self === undefined)
      return failure(refusal("invalid", "An object without a name cannot be part of a namespace: use idFromName"));
    if (envelope.member !== this.platform.self) {
      return failure(refusal("invalid", `This is ${this.platform.self}, the message is for ${envelope.member}`));
    }
    const request = envelope.request as MemberRequest;
    const introduces = INTRODUCES.has(request.kind);
    if (!this.member.belongTo(envelope.namespace, introduces)) return failure(this.#stranger(envelope.namespace, request));
    this.member.keepGuards();
    if (!introduces) return this.#answer(request, envelope.chain);
    this.#introductions++;
    try {
      return await this.#answer(request);
    } finally {
      if (--this.#introductions === 0) this.member.forgetUnstored();
    }
  }

  /** A message for another namespace. A start there ends by it; everybody else has the wrong name. */
  #stranger(namespace: string, { kind }: MemberRequest): ProtocolFailure {
    const message = `${this.platform.self ?? ""} is part of namespace '${this.namespace}', the message is for '${namespace}'`;
    if (kind !== "prepare") return refusal("invalid", message);
    return faultRefusal({ kind: "schema", message: `${message}. Nothing was changed: choose other names for the shards` });
  }

  /** The alarm of a root, of a member that waits behind a fence, and of the user. Never throws for a failure of the work. */
  async onAlarm(userHandler?: () => unknown): Promise<void> {
    const { storage, runtime } = this.platform;
    await this.#resolveFence();
    await this.root.onAlarm();
    await this.userAlarm.run(userHandler);
    // From what is stored now, in the turn that sets the alarm: something may have been started while we waited.
    const due = [this.root.nextDue(), this.#resolveDue(), this.userAlarm.get()].filter((time) => time !== null);
    if (due.length > 0) await storage.setAlarm(Math.max(runtime.now(), Math.min(...due)));
  }

  /** Sends to another object of the namespace, or to this one, and unwraps the reply. @throws EngineFault, or Error when refused or unreachable. */
  async ask<const Request extends MemberRequest>(member: string, request: Request): Promise<ReplyTo<Request>> {
    const reply = member === this.platform.self ? await this.#answer(request) : await this.#send(member, request);
    if (reply.ok) return reply.value as ReplyTo<Request>;
    const { failure: reason } = reply;
    if (reason.fault) throw new EngineFault(reason.fault.kind, reason.fault.message);
    throw new RefusedError(reason);
  }

  /** The live layout, from the root. */
  layout(): Promise<LayoutReply> {
    return this.ask(this.namespace, { kind: "layout" });
  }

  async #send(member: string, request: MemberRequest): Promise<ProtocolReply<unknown>> {
    if (this.platform.peers === null) throw new Error("DO namespace not configured");
    const sent = this.platform.peers.send(member, { protocol: PROTOCOL_VERSION, namespace: this.namespace, member, request });
    return within(this.platform.runtime, sent, ASK_MS_MAX, member);
  }

  async #answer(request: MemberRequest, chain?: Chain): Promise<ProtocolReply<unknown>> {
    try {
      const answer = await this.#dispatch(request, chain);
      return isResult(answer) ? answer : success(answer);
    } catch (error) {
      if (error instanceof EngineFault) {
        return failure(faultRefusal(error));
      }
      if (error instanceof TableFault) {
        return failure(faultRefusal({ kind: "unsupportedTable", message: error.message }));
      }
      if (error instanceof RefusedError) return failure(error.reason);
      throw error;
    } finally {
      this.admission.changed();
    }
  }

  #dispatch(request: MemberRequest, chain: Chain | undefined): unknown {
    const handler = this.#handlers[request.kind] as ((message: MemberRequest, chain?: Chain) => unknown) | undefined;
    if (!handler)
      return failure(refusal("invalid", `Unknown request '${request.kind}': the objects of a namespace must run one version`));
    return handler(request, chain);
  }

  readonly #handlers: Handlers = {
    // Control half → root
    describe: ({ object }) => this.root.describe(object),
    distribute: (request) =>
      "sampleEvery" in request
        ? distributeRows(
            this.sql,
            this.member.tables(),
            this.member.self,
            request.distribution,
            this.partitioners,
            request.sampleEvery,
          )
        : this.root.distribute(request.distribution),
    start: ({ operation }) => {
      if (this.platform.peers === null) return failure(refusal("invalid", NOT_CONFIGURED));
      this.member.tables(); // refuses tables that cannot be moved before anything is journaled
      return this.root.start(operation);
    },
    operation: ({ id }) => this.root.find(id),
    history: ({ limit }) => this.root.history(Math.min(Math.max(1, limit), 1000)),
    cancel: ({ id }) => this.root.cancel(id),
    pause: ({ id, reason, by }) => this.root.pause(id, reason, by),
    resume: ({ id }) => this.root.resume(id),
    // Router → member
    layout: (): LayoutReply => {
      const { layout, epoch } = this.root.journal.registry();
      return { layout, epoch };
    },
    call: ({ epoch, keys, method, args, claims = [] }, chain) =>
      this.admission.run({ epoch, keys: [...keys, ...claims.map((claim) => claim.key)], method, chain }, () =>
        this.#claims.run(claims, () => callMethod(this.#target, method, args)),
      ),
    query: ({ epoch, query, params }) =>
      this.admission.run({ epoch, keys: [], endsAtOnce: true }, () => runQuery(this.sql, query, params)),
    locate: ({ epoch, table, id, deal }) =>
      this.admission.run({ epoch, keys: [], endsAtOnce: true }, () => this.#directory.locate(table, id, deal)),
    // Member → member, for the directory
    claim: ({ epoch, claims }) => this.#directory.claim(epoch, claims),
    release: ({ epoch, rows }) => this.#directory.release(epoch, rows),
    probe: ({ epoch, rows }) => this.#claims.probe(epoch, rows),
    // Root → member
    prepare: (request) => this.#writeRows(() => this.member.prepare(request)),
    copy: ({ operation, budgetMs }) => this.#oneSlice(() => walkSlice(this.member, operation, "copy", budgetMs)),
    verify: ({ operation, budgetMs }) => this.#oneSlice(() => walkSlice(this.member, operation, "verify", budgetMs)),
    drain: ({ operation, budgetMs }) => this.#oneSlice(() => drainSlice(this.member, operation, budgetMs)),
    chunks: ({ operation, waveRowsMax }) => ({
      chunks: stagedChunks(this.sql, this.member.plan(operation), waveRowsMax),
    }),
    rehearse: async ({ operation, incoming, outgoing = [] }) => {
      if (outgoing.length > 0) await refuseLeftBehind(this.member, operation, outgoing);
      // A source that takes nothing in this wave may still be sent rows for another.
      if (incoming.length === 0 && outgoing.length > 0) return;
      await this.#writeRows(() => {
        rehearsePromotion(this.sql, this.member.plan(operation), incoming, this.member.self);
        this.member.noteRehearsal(operation);
      });
    },
    promote: async ({ operation, attempt, incoming, outgoing }) => {
      if (outgoing.length > 0) await refuseLeftBehind(this.member, operation, outgoing);
      if (incoming.length > 0) await this.#writeRows(() => this.member.promote(operation, attempt, incoming));
    },
    hold: ({ operation, attempt, among, fromMs, holdMs, waitMs }) => {
      this.member.requireAttempt(operation, attempt);
      const until = this.platform.runtime.now() + holdMs;
      return this.admission.hold({ operation, attempt, among: new Set(among), fromMs, until }, waitMs);
    },
    fence: (request) => this.#fence(request),
    unfence: ({ operation, attempt }) => this.#writeRows(() => this.member.unfence(operation, attempt)),
    activate: ({ operation, activation }) => this.member.activate(operation, activation),
    finish: ({ operation, epoch, layout }) => this.#writeRows(() => this.member.finish(operation, epoch, layout)),
    abandon: ({ operation, epoch, layout }) => this.#writeRows(() => this.member.abandon(operation, epoch, layout)),
    empty: ({ operation }) => this.#writeRows(() => this.member.empty(operation)),
    count: () => this.member.count(),
    health: () => ({ epoch: this.member.membership.epoch }),
    // Member → member
    receive: async ({ operation, source, sequence, parts, repairs = false }) => {
      const receive = (): Received =>
        receiveRows(this.sql, this.member.receivingPlan(operation), source, sequence, parts, repairs);
      return digestReceived(await this.#writeRows(receive), this.platform.runtime);
    },
    check: async ({ operation, source, parts }) => ({
      mismatch: await checkRows(this.sql, this.member.receivingPlan(operation), source, parts, this.platform.runtime),
    }),
    stagedKeys: ({ operation, table, source, range, after }) =>
      stagedKeys(this.sql, this.member.planAfterCutover(operation), table, source, range, after),
    // Member → root
    resolve: ({ operation, attempt }): ResolveReply => {
      this.root.wake();
      const record = this.root.journal.find(operation);
      // Rule "durable-abort": "released" is only ever read from the journal.
      const isOver =
        record === undefined || record.state !== "running" || (record.step !== "activate" && record.attempt > attempt);
      return { verdict: isOver ? "released" : "pending" };
    },
  };

  /**
   * The engine's own writes to the user's tables. An object that takes the user's writes gets none: there enforcement stays on, or a
   * user's delete would not cascade.
   */
  async #writeRows<Value>(write: () => Value): Promise<Value> {
    const { membership, moving } = this.member;
    const takesWrites = membership.serving && !(moving !== undefined && moving.fence !== 0);
    return takesWrites ? write() : this.member.foreignKeys.off(write);
  }

  /** One walk or drain at a time: sequence numbers are taken and sent in order. */
  #oneSlice<Value>(work: () => Promise<Value>): Promise<Value> {
    const next = this.#slice.then(work, work);
    this.#slice = next.catch(() => undefined);
    return next;
  }

  /**
   * Puts up the fence, and drains to the end. Rule "raised-when-idle": only in a turn in which no call runs. The root counts the answer only
   * for its current attempt.
   */
  async #fence({
    operation,
    attempt,
    budgetMs = FENCE_WAIT_MS,
    ifIdle = false,
  }: Pick<Message<"fence">, "operation" | "attempt" | "ifIdle"> & { readonly budgetMs?: number }): Promise<FenceReply> {
    const { from, to } = this.member.plan(operation).moving;
    if (!ifIdle) {
      // A root of an older library has no first phase: it is all done here.
      this.member.requireAttempt(operation, attempt);
      const until = this.platform.runtime.now() + budgetMs;
      await this.admission.hold(
        { operation, attempt, among: new Set([...from.members, ...to.members]), fromMs: 0, until },
        budgetMs,
      );
    }
    const busy = await this.#writeRows(() => {
      const state = this.admission.state();
      if (state.runs > 0) return state;
      this.member.fence(operation, attempt);
      return null;
    });
    if (busy !== null && ifIdle) return { attempt: 0, busy };
    if (busy !== null) throw refused("moving", `${this.member.self} still runs calls after ${budgetMs} ms`);
    const { runtime, storage } = this.platform;
    if (this.namespace !== this.member.self) void storage.setAlarm(runtime.now() + RESOLVE_MS);
    if (await this.#oneSlice(() => this.member.drainToEnd(operation, attempt, budgetMs))) return { attempt };
    throw refused("moving", `${this.member.self} did not drain within ${budgetMs} ms`);
  }

  /** A fenced member whose root is silent asks it. The fence is lifted by the root's answer for that attempt and by nothing else. */
  async #resolveFence(): Promise<void> {
    const { moving } = this.member;
    if (moving === undefined || this.#resolveDue() === null) return;
    const { operation, fence: attempt } = moving;
    let reply: ResolveReply;
    try {
      reply = await this.ask(this.namespace, { kind: "resolve", operation, attempt });
    } catch {
      return; // silence says nothing: the alarm asks again
    }
    if (reply.verdict === "pending") return;
    await this.#writeRows(() => this.member.unfence(operation, attempt));
    this.admission.changed();
  }

  /** When the root is to be asked about the fence; null without one. The root itself has its driver. */
  #resolveDue(): number | null {
    const { moving, self } = this.member;
    const isFenced = moving !== undefined && moving.fence !== 0 && this.namespace !== self;
    return isFenced ? this.platform.runtime.now() + RESOLVE_MS : null;
  }

  /** The call knows a newer epoch than this object. */
  async #catchUp(epoch: number): Promise<void> {
    if (this.member.moving) {
      // Part of the move: the activation is on its way. Make sure that somebody drives it.
      const { operation, fence: attempt } = this.member.moving;
      await this.ask(this.namespace, { kind: "resolve", operation, attempt });
      return;
    }
    const live = await this.layout();
    if (live.epoch >= epoch) this.member.adopt(live.epoch, live.layout);
  }
}

/** Results that handlers give themselves. The user's methods are wrapped by admission, so theirs cannot be taken for one. */
function isResult(answer: unknown): answer is Result<unknown, ProtocolFailure> {
  return (
    answer instanceof Object &&
    "ok" in answer &&
    (("failure" in answer && answer.ok === false) || ("value" in answer && answer.ok === true))
  );
}
