/**
 * ShardHost: everything that makes a Durable Object part of a sharded namespace, held by the user's
 * class.
 *
 *     export class Orders extends DurableObject<Env> {
 *       shards = new ShardHost(this.ctx, this, { tables: [{ name: "orders" }] });
 *       shardctl(envelope: Envelope) { return this.shards.handle(envelope); }
 *       alarm() { return this.shards.onAlarm(); }
 *     }
 *
 * Create the host before migrations run, as above: a field initialiser comes before the
 * constructor's own code. Create the tables before the host is first used. The direct API below
 * (`shard`, `unshard`, …) starts the same operations that a manifest does; it is for code that
 * shards itself.
 */
import { withRowWords } from "../../model/row-words.ts";
import { type Key, type KeyInput, toKey } from "../../model/layout/key.ts";
import { hasDirectory, withDirectory } from "../../model/layout/directory.ts";
import { type Layout, sameLayout } from "../../model/layout/layout.ts";
import { createOwnerLookup } from "../../model/layout/owner-lookup.ts";
import type { LiveNamespace } from "../../model/live.ts";
import {
  DEFAULT_OPERATION_POLICY,
  NOTHING_CHANGED,
  type OperationKind,
} from "../../model/operation.ts";
import { success } from "../../model/result.ts";
import { decideNamespace } from "../../planning/decide-namespace.ts";
import { targetLayout } from "../../planning/target-layout.ts";
import type { Envelope, ProtocolReply } from "../../model/wire/protocol.ts";
import { DEFAULT_POLICY, type NamespaceSpec, SHARD_COUNT_MAX } from "../../model/spec.ts";
import { freshHashLayout } from "../../model/strategies/hash.ts";
import type { ShardHostOptions as HostOptions } from "./host-options.ts";
import { Host } from "./host.ts";
import { type Migration, runMigrations } from "./migrations.ts";
import type { StoredEvent } from "../root/journal.ts";
import type { OperationRecord } from "../root/operation-record.ts";
import type { ObjectNamespace } from "../platform/home.ts";
import { durableObjectPlatform, ownNamespace } from "../platform/platform.ts";
import { realAlarmOf } from "../platform/real-alarm.ts";
import { type AlarmFunctions, replaceAlarm } from "./alarm-of-storage.ts";
import type { QueryShards, QueryShardsResult } from "../client/query-shards.ts";
import { RefusedError, refused } from "../protocol/refused-error.ts";
import type { Router } from "../router.ts";
import { createMemberRouter } from "./member-router.ts";
import type { Member } from "../member/member.ts";
import { whenStarted } from "./start-up.ts";
import {
  type RebalanceOptions,
  type RebalanceOutcome,
  SHARD_TIMEOUT_MS,
  type ShardHealth,
  type ShardEndpoint,
  type ShardOptions,
  type ShardOutcome,
  type ShardRegistry,
  type ShardStats,
  renameMembers,
  requireHealthy,
  requirePartitioner,
  specOf,
  statsOf,
  type UnshardOptions,
  validateRebalanceOptions,
  validateShardOptions,
  validateUnshardOptions,
} from "./shard-request.ts";
import { movesOf } from "../root/waves.ts";

export interface ShardHostOptions extends HostOptions {
  /**
   * The binding of this very class. Default: the Worker's own export of it. Null leaves the object
   * unable to be sharded.
   */
  readonly namespace?: ObjectNamespace | null;
}

export class ShardHost {
  readonly #any: Host;
  readonly #alarm: AlarmFunctions;
  readonly #specs: HostOptions["tables"];
  readonly #storage: DurableObjectStorage;
  /** True while `migrate` may be called. */
  #migration: "open" | "called" | "late" = "open";
  #router: { readonly namespace: string; readonly router: Router } | undefined;

  /**
   * @throws Error with the lines to add when the class lacks one of the two methods: its operations
   * could not be driven.
   */
  constructor(ctx: DurableObjectState, target: object, options: ShardHostOptions) {
    requireDelegates(target);
    const binding = options.namespace === undefined ? ownNamespace(ctx, target) : options.namespace;
    this.#specs = options.tables;
    this.#storage = ctx.storage;
    // After the code that has made the host, as far as it goes without an `await`: the rest of the
    // constructor.
    queueMicrotask(() => (this.#migration = "late"));
    this.#any = new Host(durableObjectPlatform(ctx, binding), target, options);
    this.#alarm = replaceAlarm(ctx.storage, realAlarmOf(ctx.storage), this.#any);
    const { member } = this.#any;
    // Data stored by a newer library must not be acted upon: see `newerSchema`.
    if (this.#any.newerSchema === null && member.beginStart())
      whenStarted(ctx, () => endStart(member));
  }

  /**
   * Runs the steps that this object lacks, in order, each in one transaction with its record. Call
   * it once, in the constructor, with all steps that the class has ever had:
   * `this.shards.migrate([{ id: "1-orders", up: (sql) => … }])`. See docs/migrations.md.
   *
   * @throws Error that names the step when one throws, which keeps the object from starting until a
   * deploy has mended it; when two steps have one id; when a step stands before one that has
   * already run; when called twice, or after the constructor.
   */
  migrate(steps: readonly Migration[]): void {
    if (this.#migration === "late") {
      throw new Error(
        "shards.migrate was called too late: call it in the constructor, after the host is made and before any await",
      );
    }
    if (this.#migration === "called") {
      throw new Error(
        "shards.migrate was called twice: give it all steps in one list, as those that are missing count as rolled back",
      );
    }
    this.#migration = "called";
    const { newerSchema, member, platform } = this.#any;
    runMigrations(
      this.#storage,
      steps,
      () => platform.runtime.now(),
      () => {
        if (newerSchema === null) member.liftKeyTriggers();
      },
    );
  }

  /** Answers one message of the protocol: the body of the class's `shardctl` method. */
  handle(envelope: Envelope): Promise<ProtocolReply<unknown>> {
    return this.#any.handle(envelope);
  }

  /**
   * Drives operations: the body of the class's `alarm` method. `userHandler` is run when the
   * object's own alarm is due, as it was set by `ctx.storage.setAlarm`, and again after a failure,
   * as the runtime would. Without it, what else `alarm` does also runs for alarms of the host.
   *
   * @throws what `userHandler` throws, in an object that was never sharded; never for a failure of
   * the host's work.
   */
  onAlarm(userHandler?: () => unknown): Promise<void> {
    return this.#any.onAlarm(userHandler);
  }

  /**
   * The host for everything but messages and alarms. @throws RefusedError `newerSchema`: what this
   * object has stored must not be taken at its word.
   */
  get #host(): Host {
    if (this.#any.newerSchema !== null) throw refused("newerSchema", this.#any.newerSchema);
    return this.#any;
  }

  /**
   * Sets the object's own alarm, in milliseconds since the Unix epoch: what `ctx.storage.setAlarm`
   * does, once there is a host.
   */
  setAlarm(scheduledTimeMs: number): Promise<void> {
    return this.#alarm.setAlarm(scheduledTimeMs);
  }

  /** When the object's own alarm is due; null when none is set. */
  getAlarm(): Promise<number | null> {
    return this.#alarm.getAlarm();
  }

  deleteAlarm(): Promise<void> {
    return this.#alarm.deleteAlarm();
  }

  /**
   * The id of the object of this class with that name, in this object's jurisdiction; empty when
   * the class's binding is not known.
   */
  objectId(name: string): string {
    return this.#host.platform.idOf(name);
  }

  /**
   * True when rows of the namespace are on shards: on the root by its registry, on a shard by the
   * layout that it knows.
   */
  isSharded(): boolean {
    return this.registry().layout.kind !== "none";
  }

  /** True while this object is its whole namespace and nothing holds it, by its own membership. */
  isWhole(): boolean {
    return (
      this.#host.member.membership.layout.kind === "none" && this.#host.admission.servesNow([])
    );
  }

  /**
   * Returns the key that names a row here together with its id; null while unsharded, and where a
   * directory knows the ids.
   */
  identityKey(): string | null {
    const { layout } = this.#host.member.membership;
    return layout.kind === "none" || layout.kind === "roundRobin" ? null : layout.shardKey;
  }

  /**
   * The live layout and its epoch, as the root's registry has it. A shard gives the one that it
   * knows, which may be older.
   */
  registry(): { readonly epoch: number; readonly layout: Layout } {
    const { epoch, layout } = this.#isRoot()
      ? this.#host.root.journal.registry()
      : this.#host.member.membership;
    return { epoch, layout };
  }

  /** The newest events of operations, newest first. */
  events(limit = 100): readonly StoredEvent[] {
    return this.#host.root.journal.events(limit);
  }

  /** A router to this object's namespace, for calls that may belong elsewhere. */
  router<Class extends object = Record<string, (...args: never[]) => unknown>>(): Router<Class> {
    const { peers } = this.#host.platform;
    if (peers === null) throw new Error("DO namespace not configured");
    const homeless = this.#host.homeFailure();
    if (homeless) throw new RefusedError(homeless);
    const { namespace } = this.#host;
    // One for all calls: it caches the layout, and an object learns its namespace only from its
    // first message.
    if (this.#router?.namespace !== namespace)
      this.#router = { namespace, router: createMemberRouter(this.#host, peers) };
    return this.#router.router as unknown as Router<Class>;
  }

  /**
   * True when this object serves the key now: a typed call then runs in place, else it goes through
   * the router.
   */
  serves(key: KeyInput): boolean {
    return this.#host.admission.servesNow([toKey(key)]);
  }

  /**
   * Moves the rows of an unsharded namespace to shards. @throws Error with the messages of the
   * contract.
   */
  async shard(options: ShardOptions): Promise<ShardOutcome> {
    validateShardOptions(options);
    if (this.#host.platform.peers === null) throw new Error("DO namespace not configured");
    if (this.isSharded()) throw new Error("DO is already sharded: cannot shard twice");
    await this.#host.prepareStart();
    const startedAt = this.#now();
    const live = await this.#describe();
    requireHealthy(live);
    const { key, count, strategy = "hash" } = options;
    if (live.members.every((member) => member.rows === 0))
      throw new Error("Cannot shard empty DO: no data to shard");
    const partitioner =
      strategy === "custom" ? requirePartitioner(options.keyExtractor, live.partitioners) : null;
    const directory = options.directory ?? strategy === "roundRobin";
    const spec = specOf(live.name, {
      strategy,
      shardKey: key,
      count,
      directory,
      partitioner: partitioner?.name ?? null,
    });
    const planned = await this.#targetLayout(live, spec, "shard");
    const to = options.targetShards ? renameMembers(planned, options.targetShards) : planned;
    const record = await this.#run(live, "shard", to, options, startedAt);
    return this.#outcome(record, startedAt);
  }

  /**
   * Brings every row back to the root, or fails whole: an unreachable shard is an error, never an
   * empty one.
   */
  async unshard(
    options: UnshardOptions = {},
  ): Promise<{ readonly itemsMoved: number; readonly duration: number }> {
    validateUnshardOptions(options);
    const startedAt = this.#now();
    if (!this.isSharded()) throw new Error("DO is not sharded");
    const live = await this.#describe();
    requireHealthy(live);
    const to = await this.#targetLayout(
      live,
      specOf(live.name, { strategy: "none", shardKey: null, count: 1 }),
      "unshard",
    );
    const ended = await this.#run(live, "unshard", to, options, startedAt);
    return { itemsMoved: ended.rowsTotal, duration: this.#now() - startedAt };
  }

  /** Evens out the shards, or changes their number, and really moves the rows. */
  async rebalanceShards(options: RebalanceOptions = {}): Promise<RebalanceOutcome> {
    validateRebalanceOptions(options);
    const startedAt = this.#now();
    if (!this.isSharded()) throw new Error("DO is not sharded");
    const live = await this.#describe();
    requireHealthy(live);
    const { layout } = live;
    if (layout.kind === "none") throw new Error("DO is not sharded");
    const count = options.targetCount ?? layout.members.length;
    if (!Number.isInteger(count) || count < 1) throw new Error("Shard count must be positive");
    if (count > SHARD_COUNT_MAX)
      throw new Error(`Shard count too large: maximum ${SHARD_COUNT_MAX} shards`);
    const policy = {
      ...DEFAULT_POLICY,
      onMissingKey: "allow" as const,
      maxSkew: options.maxSkew ?? DEFAULT_POLICY.maxSkew,
    };
    const partitioner = layout.kind === "custom" ? layout.partitioner.name : null;
    const { kind: strategy, shardKey } = layout;
    const spec = specOf(live.name, {
      strategy,
      shardKey,
      count,
      directory: hasDirectory(layout),
      partitioner,
      policy,
    });
    const incremental = await this.#targetLayout(live, spec, "rebalance");
    const isFull = options.strategy === "full";
    const to =
      isFull && incremental.kind === "hash"
        ? withDirectory(
            freshHashLayout(incremental.shardKey, incremental.generation, incremental.members),
            hasDirectory(layout),
          )
        : incremental;
    if (sameLayout(to, layout)) {
      return {
        itemsMoved: 0,
        newStats: await this.#stats(),
        modifiedShards: [],
        duration: this.#now() - startedAt,
      };
    }
    const ended = await this.#run(live, "rebalance", to, options, startedAt);
    const moves = ended.mode === "shift" && ended.state === "completed" ? movesOf(ended) : [];
    const touched = new Set(moves.flatMap((move) => [move.source, move.target]));
    return {
      itemsMoved: this.#host.root.journal.status(ended).rowsCopied,
      newStats: await this.#stats(),
      modifiedShards: to.members.flatMap((member, index) =>
        ended.mode === "swap" || touched.has(member) ? [index] : [],
      ),
      duration: this.#now() - startedAt,
    };
  }

  /** The registry, and the health of each shard. */
  async discoverShards(): Promise<{
    readonly registry: ShardRegistry;
    readonly health: readonly ShardHealth[];
  }> {
    if (!this.isSharded()) throw new Error("DO is not sharded");
    const live = await this.#describe();
    const lastCheck = this.#now();
    return {
      registry: this.#registryOf(live),
      health: live.members.map(({ healthy, responseMs }, shardIndex) => ({
        shardIndex,
        healthy,
        lastCheck,
        ...(healthy ? { responseTime: responseMs } : {}),
      })),
    };
  }

  /** One SELECT over all shards; see `QueryShards`. */
  async queryShards(request: QueryShards): Promise<QueryShardsResult> {
    return this.router().queryShards(request);
  }

  #isRoot(): boolean {
    return this.#host.namespace === this.#host.member.self;
  }

  async #describe(): Promise<LiveNamespace> {
    if (!this.#isRoot()) {
      throw new Error(
        `${this.#host.member.self} is a shard of '${this.#host.namespace}': ask the object of that name`,
      );
    }
    return this.#host.root.describe("");
  }

  async #targetLayout(
    live: LiveNamespace,
    spec: NamespaceSpec,
    kind: OperationKind,
  ): Promise<Layout> {
    const partitioner =
      spec.strategy === "custom"
        ? requirePartitioner(spec.partitioner ?? undefined, live.partitioners)
        : null;
    const decision = { kind, cause: "declared" as const, reason: "" };
    const decided = decideNamespace(spec, success({ ...live, operation: null }));
    const request = (decided.kind === "decided" ? decided.request : null) ?? this.#requestFor(spec);
    const distribution = request && (await this.#host.root.distribute(request, false));
    const target = targetLayout({ spec, live, decision, distribution, partitioner });
    if (!target.ok) throw new Error(target.failure);
    return target.value;
  }

  /** A rebalance that the planner would not ask for by itself still needs its counts. */
  #requestFor({
    strategy,
    shardKey,
  }: NamespaceSpec):
    | { by: "slots"; shardKey: string }
    | { by: "keys"; shardKey: string; boundaries: Key[] }
    | null {
    if (shardKey === null) return null;
    if (strategy === "hash") return { by: "slots", shardKey };
    return strategy === "range" ? { by: "keys", shardKey, boundaries: [] } : null;
  }

  /** Starts an operation and, unless it may go on by itself, waits for its end. */
  async #run(
    live: LiveNamespace,
    kind: OperationKind,
    to: Layout,
    options: Pick<ShardOptions, "timeout" | "mode" | "correlationId">,
    startedAt: number,
  ): Promise<OperationRecord> {
    const { root } = this.#host;
    await this.#host.prepareStart();
    createOwnerCheck(to, this.#host);
    const started = root.start({
      kind,
      epoch: live.epoch,
      to,
      policy: { ...DEFAULT_OPERATION_POLICY, allowMissingKey: true },
      correlationId: options.correlationId ?? crypto.randomUUID(),
      requestedBy: "direct call",
      refuseEmpty: kind === "shard",
    });
    if (!started.ok) throw new Error(started.failure.message);
    const { id } = started.value;
    const isOver = (record: OperationRecord): boolean => record.state !== "running";
    if (options.mode !== undefined && options.mode !== "atomic")
      return root.waitFor(id, () => true, 0);
    const timeoutMs = options.timeout ?? SHARD_TIMEOUT_MS;
    let record = await root.waitFor(id, isOver, Math.max(0, timeoutMs - (this.#now() - startedAt)));
    if (!isOver(record)) {
      const last =
        record.lastError === null ? "" : ` (last problem: ${withRowWords(record.lastError)})`;
      const where = record.paused
        ? `${record.step}, paused by ${record.paused.by} (${record.paused.reason}),`
        : record.step;
      const message = `Operation ${id} (${kind}) timed out after ${timeoutMs} ms in step ${where} and was cancelled. ${NOTHING_CHANGED}${last}`;
      root.cancel(id, { kind: "timeout", message });
      // Past the cutover it can only go forward, which takes as long as it takes.
      record = await root.waitFor(id, isOver, FORWARD_MS_MAX);
    }
    if (record.fault) throw new Error(withRowWords(record.fault.message));
    if (!isOver(record)) {
      const last =
        record.lastError === null ? "" : ` (last problem: ${withRowWords(record.lastError)})`;
      throw new Error(
        `Operation ${id} (${kind}) has cut over but is still in step ${record.step} after ${FORWARD_MS_MAX} ms more${last}: it continues by itself`,
      );
    }
    return record;
  }

  async #outcome(record: OperationRecord, startedAt: number): Promise<ShardOutcome> {
    const live = await this.#describe();
    // Before the cutover the answer must not pass the root off as the only shard.
    const isPending = record.state === "running" && live.epoch === record.epochFrom;
    const registry = isPending
      ? this.#registryOf({ ...live, layout: record.to }, "pending")
      : this.#registryOf(live);
    const counts = await this.#keyedCounts();
    return {
      shardKey: registry.shardKey,
      shards: registry.endpoints.map(({ ns, doId, shardIndex }) => ({
        ns,
        doId,
        shardIndex,
        thingCount: isPending ? 0 : (counts[shardIndex] ?? 0),
      })),
      duration: this.#now() - startedAt,
      registry,
      stats: statsOf(counts),
    };
  }

  async #stats(): Promise<ShardStats> {
    return statsOf(await this.#keyedCounts());
  }

  /** Rows of the tables that carry the key, per member. */
  async #keyedCounts(): Promise<number[]> {
    const keyed = new Set(
      this.#specs.filter((spec) => !("follows" in spec)).map((spec) => spec.name),
    );
    const { members } = this.registry().layout;
    const replies = await Promise.all(
      members.map((member) => this.#host.ask(member, { kind: "count" })),
    );
    return replies.map((reply) =>
      reply.tables.reduce((total, { table, rows }) => total + (keyed.has(table) ? rows : 0), 0),
    );
  }

  #registryOf(
    { layout, epoch, name }: LiveNamespace,
    status: ShardEndpoint["status"] = "active",
  ): ShardRegistry {
    const committed = this.#host.root.journal.registry();
    return {
      id: `${name}@${epoch}`,
      shardKey: layout.kind === "none" ? "" : layout.shardKey,
      shardCount: layout.members.length,
      strategy: layout.kind,
      createdAt: committed.committedAt,
      endpoints: layout.members.map((ns, shardIndex) => ({
        shardIndex,
        ns,
        doId: this.objectId(ns),
        status,
      })),
    };
  }

  #now(): number {
    return this.#host.platform.runtime.now();
  }
}

/** Before the class's own handlers run. */
async function endStart(member: Member): Promise<void> {
  try {
    await member.keepWriteBlocks();
  } catch {
    // It must not keep the object from starting. The first message does it again, and answers with
    // the error.
  }
}

/** How long a call waits for an operation that has cut over already. */
const FORWARD_MS_MAX = 10 * 60_000;

/**
 * A layout that cannot be looked up must not be started. @throws Error naming the partitioner that
 * is missing.
 */
function createOwnerCheck(to: Layout, { partitioners }: Host): void {
  if (to.kind !== "roundRobin") createOwnerLookup(to, partitioners);
}

/**
 * Without `alarm` the runtime refuses an alarm, without `shardctl` no object can be asked: an
 * operation could start and never end.
 */
function requireDelegates(target: object): void {
  const missing = Object.entries(DELEGATES).filter(
    ([name]) => typeof Reflect.get(target, name) !== "function",
  );
  if (missing.length === 0) return;
  const lines = missing.map(([, line]) => `\n  ${line}`).join("");
  throw new Error(
    `The class ${target.constructor.name} must hand its messages and alarms to the host. Add:${lines}`,
  );
}

const DELEGATES = {
  shardctl: "shardctl(envelope) { return this.shards.handle(envelope); }",
  alarm: "alarm() { return this.shards.onAlarm(); }",
};
