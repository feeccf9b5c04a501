/**
 * Host: one object of a namespace. Takes every message of the protocol, hands it to the member, the
 * root or the rows, and gives the reply.
 *
 * It owns the private tables, the object's alarm and the protocol; it never touches the user's
 * tables except to move declared rows. It knows the runtime only through `HostPlatform`: the
 * simulator runs this very class.
 */
import { readFault } from "../../model/row-words.ts";
import type { Partitioners } from "../../model/layout/partitioners.ts";
import { type ProtocolFailure, faultRefusal, refusal } from "../../model/wire/protocol-failure.ts";
import { refuseStrange, refuseStranger } from "../member/evidence.ts";
import { PeerProtocols, refuseNumber } from "../../model/wire/peer-protocols.ts";
import {
  type Chain,
  type Envelope,
  PROTOCOLS_SPOKEN,
  PROTOCOL_VERSION,
  type ProtocolReply,
} from "../../model/wire/protocol.ts";
import { type Result, failure, success } from "../../model/result.ts";
import { Admission } from "../member/admission.ts";
import { callBelow, callMethod } from "./call-method.ts";
import { CatchUp } from "./catch-up.ts";
import { Claims } from "../directory/claims.ts";
import { Directory } from "../directory/directory.ts";
import { Distributor } from "../member/distribute.ts";
import { EngineAlarm } from "./engine-alarm.ts";
import { EngineFault, fullFault, isFull } from "../storage/faults.ts";
import { Member } from "../member/member.ts";
import type { Ask, MemberRequest, MessageKind, ReplyTo } from "../protocol/messages.ts";
import type { CountReply, LayoutReply, ResolveReply, Trouble } from "../protocol/replies.ts";
import {
  INTRODUCES,
  AFTER_COMMIT,
  PAGES,
  USERS_OWN,
  ANSWERED_IN_TROUBLE,
} from "./message-kinds.ts";
import { OwnName } from "./own-name.ts";
import { Root } from "../root/root.ts";
import { requireBinaryOrder, requireDeclared } from "../member/declared-tables.ts";
import { runQuery } from "../member/query.ts";
import type { ShardHostOptions } from "./host-options.ts";
import type { HostPlatform } from "../platform/host-platform.ts";
import { chainOf, markingPeers } from "../member/running-calls.ts";
import { fenceMember } from "./fence-member.ts";
import { FenceResolver } from "./fence-resolver.ts";
import { Herald } from "./herald.ts";
import { forOthers } from "../protocol/for-others.ts";
import { LEAST_PROTOCOL } from "../protocol/least-protocol.ts";
import { RegistryWatch } from "./registry-watch.ts";
import { RefusedError } from "../protocol/refused-error.ts";
import { forgetSchema, openSchema, rememberSchema } from "../storage/schema.ts";
import { type HostStorage, Sql } from "../storage/storage.ts";
import {
  type AnswerTo,
  type Handler,
  type HandlerOf,
  createEngineHandlers,
} from "./engine-handlers.ts";
import { RowCounter } from "../member/row-counter.ts";
import { NEEDS_TICKET, Tickets } from "../member/tickets.ts";
import { TableFault } from "../storage/tables.ts";
import { UserAlarm } from "./user-alarm.ts";
import { within } from "../protocol/within.ts";

/**
 * Longest wait for another object's answer; slices are far shorter. A member that hangs is then one
 * that does not answer.
 */
const ASK_MS_MAX = 60_000;
/** An operation could never reach a shard: it is refused before anything is journaled. */
const NOT_CONFIGURED =
  "DO namespace not configured: the object does not know the binding of its own class. Export the class under its own name with compatibility_date 2025-11-17 or later, or give the host `namespace: env.<BINDING>`";

type Handlers = { readonly [Kind in MessageKind]: Handler<Kind> };

/** The parts that act under the object's name. */
interface Parts {
  readonly self: string;
  readonly member: Member;
  readonly root: Root;
  readonly admission: Admission;
  readonly directory: Directory;
  readonly claims: Claims;
  readonly counter: RowCounter;
  readonly distributor: Distributor;
}

export class Host {
  readonly sql: Sql;
  readonly userAlarm: UserAlarm;
  readonly alarm: EngineAlarm;
  readonly platform: HostPlatform;
  readonly partitioners: Partitioners;
  readonly #target: object;
  readonly #options: ShardHostOptions;
  readonly #name: OwnName;
  readonly #catchUp: CatchUp;
  readonly #watch: RegistryWatch;
  readonly #herald: Herald;
  readonly #resolver: FenceResolver;
  #current: Parts | undefined;
  readonly #protocols = new PeerProtocols();
  #schema: { readonly newer: string | null } | undefined;
  readonly #tickets: Tickets;
  #slice: Promise<unknown> = Promise.resolve();
  /** Messages in work that may make this object part of a namespace. */
  #introductions = 0;

  constructor(platform: HostPlatform, target: object, options: ShardHostOptions) {
    const { runtime, storage, peers } = platform;
    this.platform = {
      ...platform,
      peers: peers && markingPeers(peers, () => this.admission.running.chain()),
    };
    this.#target = target;
    this.#options = options;
    this.partitioners = options.partitioners ?? {};
    this.sql = new Sql(storage);
    this.#tickets = new Tickets(runtime);
    this.userAlarm = new UserAlarm(this.sql, storage, runtime);
    this.#name = new OwnName(platform, this.sql);
    const epoch = (): number => this.member.membership.epoch;
    this.#watch = new RegistryWatch(this);
    this.#herald = new Herald(this);
    this.#resolver = new FenceResolver(this);
    this.alarm = new EngineAlarm(this, this.#name, this.#resolver);
    this.#catchUp = new CatchUp({ runtime, epoch, ask: (wanted) => this.#askForEpoch(wanted) });
  }

  get member(): Member {
    return this.#parts.member;
  }

  get root(): Root {
    return this.#parts.root;
  }

  get admission(): Admission {
    return this.#parts.admission;
  }

  get counter(): RowCounter {
    return this.#parts.counter;
  }

  /**
   * Made when they are first needed, and again once a name is learnt: before that no message was
   * taken, so that there is nothing in work. Without a name an object is whole, and nobody's peer.
   */
  get #parts(): Parts {
    const self = this.#name.value ?? "";
    if (this.#current?.self !== self) this.#current = this.#makeParts(self);
    return this.#current;
  }

  #makeParts(self: string): Parts {
    const { runtime, alone, storage } = this.platform;
    const { tables: specs, localTables = [], checkKeys, onEvent, onEpoch } = this.#options;
    const ask: Ask = (member, request) => this.ask(member, request);
    const { sql, partitioners } = this;
    const common = {
      sql,
      runtime,
      alone,
      self,
      specs,
      localTables,
      partitioners,
      ask,
      namespace: self,
    };
    const alarmed: HostStorage = {
      sql: storage.sql,
      transactionSync: (closure) => storage.transactionSync(closure),
      getAlarm: (options) => storage.getAlarm(options),
      setAlarm: (at, options) => {
        // The alarm may wake an object that is given no name.
        this.#name.keep();
        return this.alarm.set(at, options);
      },
    };
    const member = new Member({ ...common, checkKeys });
    const troubleOfRoot = (): Trouble | undefined =>
      member.membership.namespace === self ? member.membership.trouble : undefined;
    const root = new Root({ ...common, storage: alarmed, onEvent, onEpoch, troubleOfRoot });
    const admission = new Admission(member, this.partitioners, (epoch) =>
      this.#catchUp.reach(epoch),
    );
    const counter = new RowCounter(member, { specs, localTables });
    return {
      self,
      member,
      root,
      admission,
      directory: new Directory(member, admission),
      claims: new Claims(member, admission),
      counter,
      distributor: new Distributor(member, counter, this.partitioners),
    };
  }

  /** The namespace that this object belongs to: its own name when it is a root. */
  get namespace(): string {
    return this.member.membership.namespace;
  }

  /**
   * Answers one message. Expected refusals are values; a throw means that the object is broken, or
   * the user's method threw.
   */
  async handle(envelope: Envelope): Promise<ProtocolReply<unknown>> {
    const reply = await this.#handle(envelope);
    const told = forOthers(envelope.namespace, envelope.request as MemberRequest, reply);
    return { ...told, speaks: PROTOCOLS_SPOKEN };
  }

  async #handle(envelope: Envelope): Promise<ProtocolReply<unknown>> {
    if (!PROTOCOLS_SPOKEN.includes(envelope.protocol)) return failure(refuseNumber());
    // Before anything stored is read: nothing of it may mean what it says.
    if (this.newerSchema !== null) return failure(refusal("newerSchema", this.newerSchema));
    rememberSchema(this.sql);
    const misnamed = this.#name.refuse(envelope.member);
    if (misnamed) return failure(misnamed);
    const request = envelope.request as MemberRequest;
    const alarm = this.alarm.lookAfter(request.kind);
    if (alarm) await alarm;
    const introduces = INTRODUCES.has(request.kind);
    if (!this.member.belongTo(envelope.namespace, introduces))
      return failure(refuseStranger(this.member, envelope.namespace, request));
    const unkept = this.#keepWriteBlocks(PAGES.has(request.kind));
    if (unkept instanceof Promise) await unkept;
    else if (unkept !== null) return failure(unkept);
    if (!introduces) return this.#answer(request, envelope.chain);
    this.#introductions++;
    try {
      return await this.#answer(request);
    } finally {
      if (--this.#introductions === 0) this.member.forgetUnstored();
      this.#name.keep();
    }
  }

  /**
   * Ends the start of the object, or says why it cannot: its class is at odds with its own tables.
   */
  #keepWriteBlocks(isPage: boolean): Promise<void> | ProtocolFailure | null {
    try {
      return this.member.keepWriteBlocks(isPage) ?? null;
    } catch (error) {
      if (!(error instanceof TableFault)) throw error;
      return faultRefusal({ kind: "unsupportedTable", message: error.message });
    }
  }

  /**
   * Why this object must serve and write nothing, its private tables being those of a newer
   * library; null when it may. Looked at once in each life.
   */
  get newerSchema(): string | null {
    return (this.#schema ??= { newer: openSchema(this.sql) }).newer;
  }

  /**
   * The newest protocol that a member of the namespace has shown to speak; null when it has not
   * answered in this life.
   */
  versionOf(member: string): number | null {
    return member === this.platform.self ? PROTOCOL_VERSION : this.#protocols.newestOf(member);
  }

  /**
   * The alarm of a root, of a member that waits behind a fence, and of the user. Never throws for a
   * failure of the work.
   *
   * @throws what the user's handler throws in an object that was never sharded: the runtime then
   * runs it again.
   */
  onAlarm(userHandler?: () => unknown): Promise<void> {
    return this.alarm.run(userHandler);
  }

  /** Remembers this object's part in a namespace, before everything is deleted. */
  rememberPart(): () => boolean {
    const { member } = this;
    const { membership } = member;
    const hasPart =
      membership.epoch > 0 || membership.operation > 0 || this.root.journal.nextId() > 1;
    const keepRegistry = this.root.rememberUnsharded();
    forgetSchema(this.sql);
    return () => {
      const isLost = member.loseStorage(hasPart ? membership : null, keepRegistry !== null);
      keepRegistry?.();
      return isLost;
    };
  }

  /** Why this object cannot reach the others of a namespace; null when it can. */
  homeFailure(): ProtocolFailure | null {
    return this.platform.peers === null
      ? refusal("invalid", NOT_CONFIGURED)
      : this.#name.homeFailure();
  }

  /**
   * Before an operation is started from inside the object. @throws RefusedError when the class's
   * binding does not have this object.
   */
  async prepareStart(): Promise<void> {
    const reason = this.homeFailure();
    if (reason) throw new RefusedError(reason);
    await this.userAlarm.adopt();
  }

  /**
   * Sends to another object of the namespace, or to this one, and unwraps the reply. @throws
   * EngineFault, or Error when refused or unreachable.
   */
  async ask<const Request extends MemberRequest>(
    member: string,
    request: Request,
  ): Promise<ReplyTo<Request>> {
    const reply =
      member === this.member.self ? await this.#answer(request) : await this.#send(member, request);
    if (reply.ok && request.kind === "count")
      this.#watch.hearEpoch((reply.value as CountReply).epoch ?? 0, member);
    if (reply.ok) return reply.value;
    const { failure: reason } = reply;
    this.#watch.hearRefusal(member, request, reason);
    if (reason.fault) throw new EngineFault(reason.fault.kind, readFault(reason.fault));
    throw new RefusedError(reason);
  }

  askResolve(operation: number, attempt: number): Promise<ResolveReply> {
    return this.#resolver.ask(operation, attempt, this.member.membership.epoch);
  }

  /** The live layout, from the root. */
  layout(epoch = this.member.membership.epoch): Promise<LayoutReply> {
    return this.ask(this.namespace, { kind: "layout", epoch, asker: this.member.self });
  }

  async #send<const Request extends MemberRequest>(
    member: string,
    request: Request,
  ): Promise<ProtocolReply<ReplyTo<Request>>> {
    const { peers, runtime } = this.platform;
    if (peers === null) throw new Error("DO namespace not configured");
    const homeless = this.#name.homeFailure();
    if (homeless) throw new RefusedError(homeless);
    const send = (protocol: number): Promise<ProtocolReply<ReplyTo<Request>>> =>
      within(
        runtime,
        peers.send(member, { protocol, namespace: this.namespace, member, request }),
        ASK_MS_MAX,
        member,
      );
    try {
      return await this.#protocols.exchange(member, send, LEAST_PROTOCOL[request.kind]);
    } catch (error) {
      // A full object may be reset with the transaction that it could not end: the exception is all
      // that it says.
      if (isFull(error) && !USERS_OWN.has(request.kind))
        throw fullFault(member, error, !AFTER_COMMIT.has(request.kind));
      throw error;
    }
  }

  async #answer<const Request extends MemberRequest>(
    request: Request,
    chain?: Chain,
  ): Promise<ProtocolReply<ReplyTo<Request>>> {
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
      // An error that the user's own code meets is passed on to the user.
      if (isFull(error) && !USERS_OWN.has(request.kind))
        return failure(
          faultRefusal(fullFault(this.member.self, error, !AFTER_COMMIT.has(request.kind))),
        );
      throw error;
    } finally {
      this.admission.changed();
      this.#catchUp.changed();
    }
  }

  #dispatch<const Request extends MemberRequest>(
    request: Request,
    chain: Chain | undefined,
  ): AnswerTo<Request> | Promise<AnswerTo<Request>> {
    const { membership, moving, self } = this.member;
    const { trouble } = membership;
    if (trouble && !ANSWERED_IN_TROUBLE.has(request.kind))
      return failure(refusal(trouble.kind, trouble.message));
    const strange = refuseStrange(self, membership, moving, request);
    if (strange) return failure(strange);
    // Typed by its kind, which the compiler does not follow into the table of handlers.
    const handler = this.#handlers[request.kind] as HandlerOf<Request> | undefined;
    if (!handler)
      return failure(
        refusal(
          "invalid",
          `Unknown request '${request.kind}': the objects of a namespace must run one version`,
        ),
      );
    return handler(request, chain);
  }

  readonly #handlers: Handlers = {
    // Control half → root
    describe: ({ object, countsMaxAgeMs }) => this.root.describe(object, countsMaxAgeMs),
    distribute: (request) =>
      "sampleEvery" in request
        ? this.#parts.distributor.distribute(request.distribution, request.sampleEvery)
        : this.root.distribute(request.distribution, request.exact === true),
    start: ({ operation }) => {
      const homeless = this.homeFailure();
      if (homeless) return failure(homeless);
      this.member.tables(); // refuses tables that cannot be moved before anything is journaled
      return this.root.start(operation);
    },
    operation: ({ id }) => this.root.find(id),
    history: ({ limit }) => this.root.history(Math.min(Math.max(1, limit), 1000)),
    cancel: ({ id }) => this.root.cancel(id),
    pause: ({ id, reason, by }) => this.root.pause(id, reason, by),
    resume: ({ id }) => this.root.resume(id),
    ids: () => this.root.tellRows(),
    planRepair: (request) => this.root.planRepair(request.repair),
    repair: (request) => this.root.repair(request.repair, request.fingerprint, request.by),
    // Router → member
    layout: (request) => this.#watch.layout(request),
    call: ({ epoch, keys, method, args, claims = [], unlessMoving = false, ticket }, chain) => {
      if (ticket !== undefined)
        return this.#tickets.run(ticket, () =>
          this.#parts.claims.run([], () => this.#callMethod(method, args, chain)),
        );
      if (unlessMoving && this.member.moving !== undefined) return NEEDS_TICKET;
      this.#herald.tell(epoch);
      return this.admission.run(
        { epoch, keys: [...keys, ...claims.map((claim) => claim.key)], method, chain },
        () => this.#parts.claims.run(claims, () => this.#callMethod(method, args, chain)),
      );
    },
    admit: (request, chain) => this.#tickets.give(this.admission, request, chain),
    dismiss: ({ ticket }) => this.#tickets.dismiss(ticket),
    query: ({ epoch, query, params, reads }) => {
      this.#herald.tell(epoch);
      return this.admission.run({ epoch, keys: [], endsAtOnce: true }, () => {
        if (reads) requireDeclared(this.#options, reads.tables);
        const reply = runQuery(this.sql, query, params);
        if (reads?.ordered === true) requireBinaryOrder(this.sql, query, params);
        return reply;
      });
    },
    locate: ({ epoch, table, id, deal }) =>
      this.admission.run({ epoch, keys: [], endsAtOnce: true }, () =>
        this.#parts.directory.locate(table, id, deal),
      ),
    // Member → member, for the directory
    claim: ({ epoch, claims }) => this.#parts.directory.claim(epoch, claims),
    release: ({ epoch, rows }) => this.#parts.directory.release(epoch, rows),
    probe: ({ epoch, rows }) => this.#parts.claims.probe(epoch, rows),
    enter: (request) => this.#parts.directory.enter(request),
    // Root → member, and member → member
    ...createEngineHandlers(this),
    fence: (request) => {
      this.member.requireCaughtUp(request);
      return fenceMember(this, request);
    },
    // Member → root
    resolve: (request) => this.#watch.resolve(request),
  };

  /**
   * The engine's own writes to the user's tables. An object that takes the user's writes gets none:
   * there enforcement stays on, or a user's delete would not cascade.
   */
  async writeRows<Value>(write: () => Value): Promise<Value> {
    const { membership, moving } = this.member;
    const takesWrites = membership.serving && !(moving !== undefined && moving.fence !== 0);
    return takesWrites ? this.sql.inOneTurn(write) : this.member.foreignKeys.off(write);
  }

  /**
   * Calls the user's method. When it finds the storage full while rows are captured, room is made:
   * at least deletions get through then.
   */
  async #callMethod(method: string, args: readonly unknown[], chain: Chain = []): Promise<unknown> {
    try {
      return await callBelow(this.platform, chainOf(this.member.self, chain), () =>
        callMethod(this.#target, method, args),
      );
    } catch (error) {
      if (isFull(error)) this.member.makeRoom();
      throw this.admission.explain(error);
    }
  }

  /** One walk or drain at a time: sequence numbers are taken and sent in order. */
  oneSlice<Value>(work: () => Promise<Value>): Promise<Value> {
    const turn = async (): Promise<Value> => work();
    const next = this.#slice.then(turn, turn);
    this.#slice = next.catch(() => undefined);
    return next;
  }

  /** A call knows a newer epoch than this object. */
  async #askForEpoch(epoch: number): Promise<void> {
    if (this.member.moving) {
      // Part of the move: the activation is on its way. Make sure that somebody drives it.
      const { operation, fence: attempt } = this.member.moving;
      await this.#resolver.ask(operation, attempt, epoch);
      return;
    }
    const live = await this.layout(epoch);
    if (live.epoch < epoch) return;
    this.member.adopt(live.epoch, live.layout);
    this.#catchUp.changed();
  }
}

/**
 * Results that handlers give themselves. The user's methods are wrapped by admission, so theirs
 * cannot be taken for one.
 */
function isResult<Value>(
  answer: Value | Result<Value, ProtocolFailure>,
): answer is Result<Value, ProtocolFailure> {
  const given: unknown = answer;
  return (
    given instanceof Object &&
    "ok" in given &&
    (("failure" in given && given.ok === false) || ("value" in given && given.ok === true))
  );
}
