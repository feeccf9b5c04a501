/**
 * The caller's router: finds the owner of a key, calls it by the epoch it knows, and starts over
 * when the layout has moved on.
 *
 *     const orders = connect(env.ORDERS, "orders");
 *     await orders.at("customer-7").addOrder({ total: 12 });
 *     const { data } = await orders.queryShards({ query: "SELECT count(*) FROM orders", aggregation: "count" });
 *
 * A refusal means that nothing has run, so it is always retried. An exception means that the call
 * may have run: it is passed on, unless `retryUnanswered` says that calls may run twice.
 */
import type { Partitioners } from "../model/layout/partitioners.ts";
import { PeerProtocols } from "../model/wire/peer-protocols.ts";
import { markingPeers } from "./member/running-calls.ts";
import { chainBelow } from "./platform/call-context.ts";
import { FanOut, isUnanswered } from "./client/fan-out.ts";
import { LayoutView, type NewIds, type RouteKey } from "./client/layout-view.ts";
import type { ReplyTo, RouterRequest } from "./protocol/messages.ts";
import type { LayoutReply } from "./protocol/replies.ts";
import {
  type QueryShards,
  type QueryShardsResult,
  mergeShardResults,
  requireAnswer,
} from "./client/query-shards.ts";
import { judgeQuery } from "./client/judge-query.ts";
import { requireQueryOptions } from "./client/query-options.ts";
import { LEAST_PROTOCOL } from "./protocol/least-protocol.ts";
import { RefusedError, refused } from "./protocol/refused-error.ts";
import type { ProtocolReply } from "../model/wire/protocol.ts";
import type { Peers } from "./protocol/peers.ts";
import type { Runtime } from "./storage/storage.ts";
import { within } from "./protocol/within.ts";
import type { ObjectNamespace } from "./platform/home.ts";
import { createPeers, platformRuntime } from "./platform/platform.ts";

export type { ProtocolFailure } from "../model/wire/protocol-failure.ts";
export { RefusedError } from "./protocol/refused-error.ts";

export interface ConnectOptions {
  /** The partitioners of the class. Needed while the namespace is sharded by one of them. */
  readonly partitioners?: Partitioners;
  /**
   * The shard key of the keys that this caller passes. When set, a call fails if the namespace is
   * sharded by another shard key; otherwise a key is read as a value of the current shard key. To
   * follow a rekey, pass keys as functions.
   */
  readonly shardKey?: string;
  /**
   * True retries calls whose answer was lost in a crash, so that they may run twice. Default false.
   */
  readonly retryUnanswered?: boolean;
}

/**
 * Connects to a namespace by the binding of its class and its name. Sends nothing; the layout is
 * fetched by the first call and cached.
 */
export function connect<Class extends object = Record<string, (...args: never[]) => unknown>>(
  binding: ObjectNamespace,
  namespace: string,
  options: ConnectOptions = {},
): Router<Class> {
  return new Router<Class>(
    markingPeers(createPeers(binding), chainBelow),
    namespace,
    platformRuntime,
    options,
  );
}

/** The methods of a class as routed calls: the same arguments, the answer as a promise. */
export type Routed<Class extends object> = {
  readonly [
    Name in keyof Class as Class[Name] extends (...args: never[]) => unknown ? Name : never
  ]: Class[Name] extends (...args: infer Args) => infer Value
    ? (...args: Args) => Promise<Awaited<Value>>
    : never;
};

/** Refusals that one call outlasts; with the pauses in between, about a minute and a half. */
const TRIES_MAX = 100;
const PAUSE_MS_MIN = 5;
const PAUSE_MS_MAX = 1_000;

/** A router inside a member of its namespace, which knows an epoch already. */
export interface MemberRouterOptions extends ConnectOptions {
  /** The member and its epoch: a root that is behind it has lost its registry. */
  readonly member?: { readonly name: string; epoch(): number };
}

export class Router<Class extends object = Record<string, (...args: never[]) => unknown>> {
  readonly #peers: Peers;
  readonly #namespace: string;
  readonly #runtime: Runtime;
  readonly #options: MemberRouterOptions;
  readonly #protocols = new PeerProtocols();
  #view: LayoutView | undefined;
  /** The newest epoch that a member has named: a root that is behind it has lost its registry. */
  #heardEpoch = 0;
  #fetching: Promise<LayoutView> | undefined;

  constructor(
    peers: Peers,
    namespace: string,
    runtime: Runtime,
    options: MemberRouterOptions = {},
  ) {
    this.#peers = peers;
    this.#namespace = namespace;
    this.#runtime = runtime;
    this.#options = options;
  }

  /**
   * Returns the methods of the owner: `router.at(key).method(...)`. In a namespace with a
   * directory, `newIds` names the new rows that the call may store: `router.at(key, { table:
   * "orders", ids: ["o1"] }).addOrder(...)`. The call is refused when one of the ids is stored
   * under another key.
   */
  at(key: RouteKey, ...newIds: readonly NewIds[]): Routed<Class> {
    return new Proxy({} as Routed<Class>, {
      get: (_, name) =>
        // A proxy that is awaited must not look like a promise.
        typeof name !== "string" || name === "then"
          ? undefined
          : (...args: unknown[]): Promise<unknown> =>
              this.attempt((view) => view.callOwner(key, name, args, newIds)),
    });
  }

  /** Calls a method of the member that owns the key. In a roundRobin namespace use `callById`. */
  call(key: RouteKey, method: string, ...args: readonly unknown[]): Promise<unknown> {
    return this.attempt((view) => view.callOwner(key, method, args));
  }

  /**
   * Calls the member that has the row with this id, found in the directory. With `deal`, an unknown
   * id gets an owner first; otherwise the answer is `undefined`.
   */
  callById(
    table: string,
    id: string,
    deal: boolean,
    method: string,
    ...args: readonly unknown[]
  ): Promise<unknown> {
    return this.attempt((view) => view.callById(table, id, deal, method, args));
  }

  /**
   * Calls a method once on every member, by one layout: it reaches every row exactly once, whatever
   * is cut over meanwhile. Returns the answers in the order of the shards. With `retryUnanswered`
   * it may reach rows twice.
   *
   * @throws Error that names the members on which it has run, if it can no longer run on the
   * others.
   */
  async callAll(method: string, ...args: readonly unknown[]): Promise<readonly unknown[]> {
    const fanOut = new FanOut(method, args, this.#options.retryUnanswered === true);
    try {
      return await this.attempt((view) => fanOut.run(view));
    } catch (error) {
      throw fanOut.explain(error);
    }
  }

  /**
   * Runs one SELECT on every shard, and merges the answers. Each row is seen once: all shards
   * answer at one epoch, or the query starts over.
   *
   * @throws Error when an option is wrong; RefusedError when the answers need not make the right
   * one.
   */
  async queryShards(request: QueryShards): Promise<QueryShardsResult> {
    requireQueryOptions(request);
    const { query, params = [], timeout, continueOnError = false, unsafePerShard } = request;
    const verdict = unsafePerShard === true ? undefined : judgeQuery(request);
    return this.attempt(async (view) => {
      const started = this.#runtime.now();
      const answers = await Promise.all(
        view.layout.members.map(async (member) => {
          try {
            const asked = view.query(member, query, params, verdict ?? undefined);
            const reply = await (timeout === undefined
              ? asked
              : within(this.#runtime, asked, timeout, member));
            return { reply, duration: this.#runtime.now() - started };
          } catch (error) {
            if (!continueOnError || isMovedOn(error) || isInvalid(error)) throw error;
            return {
              error: error instanceof Error ? error.message : String(error),
              duration: this.#runtime.now() - started,
            };
          }
        }),
      );
      // A member refuses what is no query that reads. Of what it has run, nothing is known here.
      if (verdict === null)
        throw refused("invalid", "queryShards cannot read this query: write it in a simpler form");
      requireAnswer(answers);
      return mergeShardResults(request, answers, verdict);
    });
  }

  /** Returns the live layout and its epoch from the cache, or with `refresh` from the root. */
  async layout(refresh = false): Promise<LayoutReply> {
    const { layout, epoch } = refresh ? await this.#refresh() : await this.#current();
    return { layout, epoch };
  }

  /**
   * Runs `work` with the cached layout, and again with a fresh one while members refuse that layout
   * as outdated. Work that makes several calls may have completed some of them before it runs
   * again.
   */
  async attempt<Value>(work: (view: LayoutView) => Promise<Value>): Promise<Value> {
    let view = await this.#current();
    // Refusals by one layout. A newer one is progress: during a shift every wave is an epoch, and a
    // call must not fall behind them.
    let refusals = 0;
    for (let tries = 1; ; tries++) {
      try {
        return await work(view);
      } catch (error) {
        const isAgain =
          isMovedOn(error) || (this.#options.retryUnanswered === true && isUnanswered(error));
        if (!isAgain || tries >= TRIES_MAX) throw error;
        const fresh = await this.#share();
        refusals = fresh.epoch > view.epoch ? 0 : refusals + 1;
        if (refusals > 0) await this.#runtime.sleep(pauseMs(refusals));
        view = refusals > 0 ? await this.#share() : fresh;
      }
    }
  }

  async #current(): Promise<LayoutView> {
    return this.#view ?? this.#share();
  }

  /**
   * One question for all calls that ask at the same time. Asked a moment too early, a call asks
   * again.
   */
  #share(): Promise<LayoutView> {
    this.#fetching ??= this.#refresh().finally(() => {
      this.#fetching = undefined;
    });
    return this.#fetching;
  }

  async #refresh(): Promise<LayoutView> {
    const { layout, epoch } = await this.#askLayout();
    if (this.#view && epoch <= this.#view.epoch) return this.#view;
    const { shardKey, partitioners } = this.#options;
    if (shardKey !== undefined && layout.kind !== "none" && layout.shardKey !== shardKey) {
      throw new Error(
        `'${this.#namespace}' is sharded by ${layout.shardKey}, but this caller routes by ${shardKey}: nothing was called`,
      );
    }
    this.#view = new LayoutView(layout, epoch, partitioners, (member, request) =>
      this.#send(member, request),
    );
    return this.#view;
  }

  /** The root's layout. A root that is being deployed is waited for, as members are. */
  async #askLayout(): Promise<LayoutReply> {
    const { member } = this.#options;
    for (let tries = 1; ; tries++) {
      try {
        return await this.#send(this.#namespace, {
          kind: "layout",
          epoch: Math.max(this.#heardEpoch, this.#view?.epoch ?? 0, member?.epoch() ?? 0),
          ...(member && { asker: member.name }),
        });
      } catch (error) {
        if (!isMovedOn(error) || tries >= TRIES_MAX) throw error;
      }
      await this.#runtime.sleep(pauseMs(tries));
    }
  }

  async #send<const Request extends RouterRequest>(
    member: string,
    request: Request,
  ): Promise<ReplyTo<Request>> {
    const namespace = this.#namespace;
    const send = (protocol: number): Promise<ProtocolReply<ReplyTo<Request>>> =>
      this.#peers.send(member, { protocol, namespace, member, request });
    const reply = await this.#protocols.exchange(member, send, LEAST_PROTOCOL[request.kind]);
    if (reply.ok) return reply.value;
    this.#heardEpoch = Math.max(this.#heardEpoch, reply.failure.epoch ?? 0);
    throw new RefusedError(reply.failure);
  }
}

function pauseMs(refusals: number): number {
  return Math.min(PAUSE_MS_MAX, PAUSE_MS_MIN * 2 ** Math.min(refusals, 20));
}

/** True for what the query itself is refused for: no member can answer it. */
function isInvalid(error: unknown): boolean {
  return error instanceof RefusedError && error.reason.kind === "invalid";
}

/** True for refusals after which a fresh layout, or a moment's wait, helps: nothing has run. */
function isMovedOn(error: unknown): boolean {
  return error instanceof RefusedError && error.reason.retryable;
}
