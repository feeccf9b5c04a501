/**
 * The caller's router: finds the owner of a key, calls it by the epoch it knows, and starts over when the layout has moved on.
 *
 *     const orders = connect(env.ORDERS, "orders");
 *     await orders.at("customer-7").addOrder({ total: 12 });
 *     const { data } = await orders.queryShards({ query: "SELECT count(*) FROM orders", aggregation: "count" });
 *
 * A refusal means that nothing has run, so it is always retried. An exception means that the call may have run: it is passed on, unless
 * `retryUnanswered` says that calls may run twice.
 */
import { type Key, type KeyInput, toKey } from "../core/key.ts";
import { type Layout, type Partitioners, createOwnerLookup, directoryMember } from "../core/layout.ts";
import { PROTOCOL_VERSION } from "../core/protocol.ts";
import type { LocateReply } from "./directory.ts";
import type { LayoutReply, QueryReply } from "./messages.ts";
import { type QueryShards, type QueryShardsResult, mergeShardResults } from "./query-shards.ts";
import { RefusedError } from "./refused-error.ts";
import type { Peers, Runtime } from "./storage.ts";
import { type ObjectNamespace, createPeers, platformRuntime } from "./platform.ts";

export interface ConnectOptions {
  /** The partitioners of the class, when the namespace is sharded by one. */
  readonly partitioners?: Partitioners;
  /** True retries calls whose answer was lost to a crash: they may then run twice. Default false. */
  readonly retryUnanswered?: boolean;
}

/** Connects to a namespace by the binding of its class and its name. Sends nothing; the layout is fetched by the first call and cached. */
export function connect<Class extends object = Record<string, (...args: never[]) => unknown>>(
  binding: ObjectNamespace,
  namespace: string,
  options: ConnectOptions = {},
): Router<Class> {
  return new Router<Class>(createPeers(binding), namespace, platformRuntime, options);
}

/** The methods of a class as routed calls: the same arguments, the answer as a promise. */
export type Routed<Class extends object> = {
  readonly [Name in keyof Class as Class[Name] extends (...args: never[]) => unknown ? Name : never]: Class[Name] extends (
    ...args: infer Args
  ) => infer Value
    ? (...args: Args) => Promise<Awaited<Value>>
    : never;
};

/** Refusals that one call outlasts; with the pauses in between, about 40 s. */
const TRIES_MAX = 60;
const PAUSE_MS_MIN = 5;
const PAUSE_MS_MAX = 1_000;

export class Router<Class extends object = Record<string, (...args: never[]) => unknown>> {
  readonly #peers: Peers;
  readonly #namespace: string;
  readonly #runtime: Runtime;
  readonly #options: ConnectOptions;
  #live: (LayoutReply & { readonly owner: ((key: Key) => string) | null }) | undefined;

  constructor(peers: Peers, namespace: string, runtime: Runtime, options: ConnectOptions = {}) {
    this.#peers = peers;
    this.#namespace = namespace;
    this.#runtime = runtime;
    this.#options = options;
  }

  /** The owner's methods: `router.at(key).method(...)`. */
  at(key: KeyInput): Routed<Class> {
    return new Proxy({} as Routed<Class>, {
      get: (_, name) =>
        // A proxy that is awaited must not look like a promise.
        typeof name !== "string" || name === "then" ? undefined : (...args: unknown[]): Promise<unknown> => this.call(key, name, ...args),
    });
  }

  /** Calls a method of the member that owns the key. In a roundRobin namespace use `callById`. */
  call(key: KeyInput, method: string, ...args: readonly unknown[]): Promise<unknown> {
    const wanted = toKey(key);
    return this.#routed(({ layout, owner }) => {
      if (owner) return { member: owner(wanted), key: wanted };
      throw new Error(`'${this.#namespace}' is sharded by ${layout.kind}: rows are found by id, use callById`);
    }, method, args);
  }

  /**
   * Calls `method(items)` once on every member that owns some of the items, with those. A group is all or nothing; groups that were
   * refused because the layout moved on are grouped again.
   */
  async callGrouped<Item>(items: readonly Item[], keyOf: (item: Item) => KeyInput, method: string): Promise<void> {
    let left = items;
    await this.#retry(async (live) => {
      const { owner } = live;
      if (!owner) throw new Error(`'${this.#namespace}' is sharded by ${live.layout.kind}: rows are found by id, use callById`);
      const groups = groupBy(left, (item) => owner(toKey(keyOf(item))));
      const outcomes = await Promise.allSettled(
        groups.map(async ([member, group]) => {
          await this.#send(member, { kind: "call", epoch: live.epoch, keys: distinctKeys(group, keyOf), method, args: [group] });
          return group;
        }),
      );
      const done = new Set(outcomes.flatMap((outcome) => (outcome.status === "fulfilled" ? outcome.value : [])));
      left = left.filter((item) => !done.has(item));
      const failed = outcomes.filter((outcome) => outcome.status === "rejected").map((outcome): unknown => outcome.reason);
      if (failed.length > 0) throw failed.find((reason) => !isMovedOn(reason)) ?? failed[0];
    });
  }

  /** Calls the member that has the row with this id, as the directory says. `deal` gives an unknown id its owner; else the answer is `undefined`. */
  async callById(table: string, id: string, deal: boolean, method: string, ...args: readonly unknown[]): Promise<unknown> {
    return this.#retry(async (live) => {
      if (live.layout.kind !== "roundRobin") throw new Error(`'${this.#namespace}' has no directory`);
      const located = await this.#send<LocateReply>(directoryMember(live.layout, id), { kind: "locate", epoch: live.epoch, table, id, deal });
      if (located.owner === null) return undefined;
      return this.#send(located.owner, { kind: "call", epoch: live.epoch, keys: [], method, args });
    });
  }

  /** Calls a method on every member, all at one epoch, in the order of the shards. */
  callAll(method: string, ...args: readonly unknown[]): Promise<readonly unknown[]> {
    return this.#retry((live) => Promise.all(live.layout.members.map((member) => this.#send(member, { kind: "call", epoch: live.epoch, keys: [], method, args }))));
  }

  /** Calls a method of the first member: the owner of what has no other owner. */
  callFirst(method: string, ...args: readonly unknown[]): Promise<unknown> {
    return this.#routed(({ layout }) => ({ member: layout.members[0] ?? this.#namespace, key: null }), method, args);
  }

  /** One SELECT on every shard, and one answer. Each row is seen once: all shards answer at one epoch, or the query starts over. */
  async queryShards(request: QueryShards): Promise<QueryShardsResult> {
    const { query, params = [] } = request;
    return this.#retry(async (live) => {
      const { members } = live.layout;
      const started = this.#runtime.now();
      const answers = await Promise.all(
        members.map(async (member) => {
          try {
            const asked = this.#send<QueryReply>(member, { kind: "query", epoch: live.epoch, query, params });
            const reply = await withTimeout(asked, request.timeout, member, this.#runtime);
            return { reply, duration: this.#runtime.now() - started };
          } catch (error) {
            if (!request.continueOnError || isMovedOn(error)) throw error;
            return { error: error instanceof Error ? error.message : String(error), duration: this.#runtime.now() - started };
          }
        }),
      );
      return mergeShardResults(request, answers);
    });
  }

  /** The live layout and its epoch, from the cache; `refresh` asks the root. */
  async layout(refresh = false): Promise<LayoutReply> {
    const { layout, epoch } = refresh ? await this.#refresh() : await this.#current();
    return { layout, epoch };
  }

  #routed(find: (live: LiveLayout) => { member: string; key: Key | null }, method: string, args: readonly unknown[]): Promise<unknown> {
    return this.#retry((live) => {
      const { member, key } = find(live);
      return this.#send(member, { kind: "call", epoch: live.epoch, keys: key ? [key] : [], method, args });
    });
  }

  /** Runs `work` by the cached layout, and again with a fresh one while members say that it has moved on. */
  async #retry<Value>(work: (live: LiveLayout) => Promise<Value>): Promise<Value> {
    let live = await this.#current();
    for (let tries = 1; ; tries++) {
      try {
        return await work(live);
      } catch (error) {
        const isAgain = isMovedOn(error) || (this.#options.retryUnanswered === true && isUnanswered(error));
        if (!isAgain || tries >= TRIES_MAX) throw error;
        // The first refusal is most often a stale cache: no pause.
        if (tries > 1) await this.#runtime.sleep(Math.min(PAUSE_MS_MAX, PAUSE_MS_MIN * 2 ** Math.min(tries, 20)));
        live = await this.#refresh();
      }
    }
  }

  async #current(): Promise<LiveLayout> {
    return this.#live ?? this.#refresh();
  }

  async #refresh(): Promise<LiveLayout> {
    const reply = await this.#send<LayoutReply>(this.#namespace, { kind: "layout" });
    if (this.#live && reply.epoch < this.#live.epoch) return this.#live;
    const owner = reply.layout.kind === "roundRobin" ? null : createOwnerLookup(reply.layout, this.#options.partitioners);
    this.#live = { ...reply, owner };
    return this.#live;
  }

  async #send<Reply>(member: string, request: object): Promise<Reply> {
    const reply = await this.#peers.send(member, { protocol: PROTOCOL_VERSION, namespace: this.#namespace, member, request });
    if (reply.ok) return reply.value as Reply;
    throw new RefusedError(reply.failure);
  }
}

interface LiveLayout {
  readonly layout: Layout;
  readonly epoch: number;
  readonly owner: ((key: Key) => string) | null;
}

/** True for refusals after which a fresh layout, or a moment's wait, helps: nothing has run. */
function isMovedOn(error: unknown): boolean {
  return error instanceof RefusedError && error.reason.retryable;
}

function groupBy<Item>(items: readonly Item[], nameOf: (item: Item) => string): [string, Item[]][] {
  const groups = new Map<string, Item[]>();
  for (const item of items) {
    const name = nameOf(item);
    const group = groups.get(name);
    if (group) group.push(item);
    else groups.set(name, [item]);
  }
  return [...groups];
}

function distinctKeys<Item>(items: readonly Item[], keyOf: (item: Item) => KeyInput): Key[] {
  return [...new Map(items.map((item) => [JSON.stringify(toKey(keyOf(item))), toKey(keyOf(item))])).values()];
}

function isUnanswered(error: unknown): boolean {
  return error instanceof Error && "retryable" in error && error.retryable === true;
}

async function withTimeout<Value>(work: Promise<Value>, timeoutMs: number | undefined, member: string, runtime: Runtime): Promise<Value> {
  if (timeoutMs === undefined) return work;
  const late = runtime.sleep(timeoutMs).then((): never => {
    throw new Error(`${member} did not answer within ${timeoutMs} ms`);
  });
  return Promise.race([work, late]);
}

