/**
 * ThingsObject: a ready-made class with the tables `things`, `relationships` and `objects`, sharded by any key of a thing.
 *
 * Typed calls may be made to any object of the namespace, most simply to the root: a call that belongs elsewhere goes to its owner. A
 * relationship lives with its `from` thing, exactly once. Without a directory the identity of a thing is (shard key, id): the same id
 * under two keys is two things, and `get(id)` without its key asks every shard.
 */
import type { KeyInput } from "../core/key.ts";
import type { QueryShards, QueryShardsResult } from "./query-shards.ts";
import { type ObjectNamespace, ownNamespace } from "./platform.ts";
import { ShardedObject } from "./sharded-object.ts";
import type { ShardHost } from "./shard-host.ts";
import type {
  RebalanceOptions,
  RebalanceOutcome,
  ShardHealth,
  ShardOptions,
  ShardOutcome,
  ShardRegistry,
} from "./shard-request.ts";
import {
  type ObjectEntry,
  type Relationship,
  type RelationshipInput,
  type RelationshipRow,
  THING_COLUMNS,
  THINGS_TABLES,
  type Thing,
  type ThingInput,
  type ThingRow,
  completeThing,
  keyAt,
  relationshipOf,
  thingOf,
} from "./things.ts";

/** Things of one `putMany`, or of one page of `listThings`. */
export const THINGS_MAX = 10_000;
const LIST_LIMIT = 1000;
export class ThingsObject<Env = unknown> extends ShardedObject<Env> {
  override readonly shards: ShardHost;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    for (const table of THINGS_TABLES) ctx.storage.sql.exec(table);
    this.shards = this.createHost({
      namespace: this.namespace,
      tables: [{ name: "things" }, { name: "relationships", follows: "things", by: "from" }],
      localTables: ["objects"],
      onEpoch: ({ layout }) => this.#listObjects(layout.kind === "none" ? [] : layout.members),
    });
  }

  /** The binding of the class. By default the Worker's own export of it; override it where the class lives in another Worker. */
  protected get namespace(): ObjectNamespace | null {
    return ownNamespace(this.ctx, this);
  }

  // — sharding —

  shard(options: ShardOptions): Promise<ShardOutcome> {
    // `tenantId` is short for `data.tenantId`.
    const isColumn = typeof options.key === "string" && THING_COLUMNS.includes(options.key.split(".")[0] ?? "");
    return this.shards.shard(isColumn || !options.key ? options : { ...options, key: `data.${options.key}` });
  }

  unshard(
    options: { readonly timeout?: number; readonly correlationId?: string } = {},
  ): Promise<{ readonly itemsMoved: number; readonly duration: number }> {
    return this.shards.unshard(options);
  }

  isSharded(): boolean {
    return this.shards.isSharded();
  }

  discoverShards(): Promise<{ readonly registry: ShardRegistry; readonly health: readonly ShardHealth[] }> {
    return this.shards.discoverShards();
  }

  queryShards(request: QueryShards): Promise<QueryShardsResult> {
    return this.shards.queryShards(request);
  }

  rebalanceShards(options: RebalanceOptions = {}): Promise<RebalanceOutcome> {
    return this.shards.rebalanceShards(options);
  }

  /** The current shards, empty while unsharded. */
  objects(): ObjectEntry[] {
    return this.#rows<{ ns: string; doId: string; shardIndex: number }>(
      "SELECT ns, doId, shardIndex FROM objects ORDER BY shardIndex",
    );
  }

  // — things —

  /** Stores a thing under its id, replacing the one with the same id and shard key; `createdAt` of the first is kept. */
  async put(input: ThingInput): Promise<Thing> {
    const [thing] = await this.#putAll([input]);
    if (!thing) throw new Error("Nothing was stored");
    return thing;
  }

  /** Stores many things, at most 10,000; each member's part is all or nothing. */
  async putMany(inputs: readonly ThingInput[]): Promise<number> {
    if (inputs.length > THINGS_MAX) throw new Error(`${inputs.length} things at once: the maximum is ${THINGS_MAX}`);
    return (await this.#putAll(inputs)).length;
  }

  /** The thing with this id. `key` is its shard key: with it, only the owner is asked. */
  async get(id: string, key?: KeyInput): Promise<Thing | null> {
    return ((await this.#byId("getHere", id, key)) as Thing | null | undefined) ?? null;
  }

  /** Deletes a thing and its relationships. True when there was one. */
  async delete(id: string, key?: KeyInput): Promise<boolean> {
    return ((await this.#byId("deleteHere", id, key)) as boolean | undefined) ?? false;
  }

  /** Things in order of their id, after an id; a full page may have a next one. */
  async listThings({ after = "", limit = LIST_LIMIT }: { readonly after?: string; readonly limit?: number } = {}): Promise<
    Thing[]
  > {
    const count = Math.min(Math.max(1, limit), THINGS_MAX);
    if (this.#isLocal()) return this.listHere(after, count);
    const pages = (await this.shards.router().callAll("listHere", after, count)) as Thing[][];
    return pages
      .flat()
      .toSorted((left, right) => (left.id < right.id ? -1 : left.id > right.id ? 1 : 0))
      .slice(0, count);
  }

  // — relationships —

  /** Relates two things. The relationship is stored with its `from` thing; `key` is that thing's shard key, if it is not to be searched for. */
  async relate(input: RelationshipInput, key?: KeyInput): Promise<Relationship> {
    const relationship: Relationship = { data: {}, createdAt: Date.now(), ...input };
    await this.#withFrom(relationship.from, key, "relateHere", relationship);
    return relationship;
  }

  async unrelate(from: string, verb: string, to: string, key?: KeyInput): Promise<boolean> {
    return (await this.#withFrom(from, key, "unrelateHere", from, verb, to)) as boolean;
  }

  async relationshipsOf(from: string, key?: KeyInput): Promise<Relationship[]> {
    return (await this.#withFrom(from, key, "relationshipsHere", from)) as Relationship[];
  }

  // — what the owner does; reached through the router —

  putHere(things: readonly Thing[]): void {
    this.ctx.storage.transactionSync(() => {
      for (const thing of things) {
        this.ctx.storage.sql.exec(
          `INSERT INTO things (id, type, name, data, visibility, createdAt, updatedAt) VALUES (?, ?, ?, ?, ?, ?, ?)
           ON CONFLICT (id) DO UPDATE SET type = excluded.type, name = excluded.name, data = excluded.data, visibility = excluded.visibility, updatedAt = excluded.updatedAt`,
          thing.id,
          thing.type,
          thing.name,
          JSON.stringify(thing.data),
          thing.visibility,
          thing.createdAt,
          thing.updatedAt,
        );
      }
    });
  }

  getHere(id: string): Thing | null {
    const [row] = this.#rows<ThingRow>("SELECT * FROM things WHERE id = ?", id);
    return row ? thingOf(row) : null;
  }

  deleteHere(id: string): boolean {
    return this.ctx.storage.transactionSync(() => {
      this.ctx.storage.sql.exec('DELETE FROM relationships WHERE "from" = ?', id);
      return this.ctx.storage.sql.exec("DELETE FROM things WHERE id = ? RETURNING id", id).toArray().length > 0;
    });
  }

  listHere(after: string, limit: number): Thing[] {
    return this.#rows<ThingRow>("SELECT * FROM things WHERE id > ? ORDER BY id LIMIT ?", after, limit).map((row) => thingOf(row));
  }

  relateHere({ from, verb, to, data, createdAt }: Relationship): void {
    this.ctx.storage.sql.exec(
      `INSERT INTO relationships ("from", verb, "to", data, createdAt) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET data = excluded.data`,
      from,
      verb,
      to,
      JSON.stringify(data),
      createdAt,
    );
  }

  unrelateHere(from: string, verb: string, to: string): boolean {
    const deleted = this.ctx.storage.sql.exec(
      'DELETE FROM relationships WHERE "from" = ? AND verb = ? AND "to" = ? RETURNING verb',
      from,
      verb,
      to,
    );
    return deleted.toArray().length > 0;
  }

  relationshipsHere(from: string): Relationship[] {
    return this.#rows<RelationshipRow>('SELECT * FROM relationships WHERE "from" = ? ORDER BY verb, "to"', from).map((row) =>
      relationshipOf(row),
    );
  }

  async #putAll(inputs: readonly ThingInput[]): Promise<Thing[]> {
    const now = Date.now();
    const things = inputs.map((input) => completeThing(input, now));
    if (this.#isLocal()) {
      this.putHere(things);
      return things;
    }
    await this.shards.router().attempt(async (view) => {
      if (view.layout.kind !== "roundRobin") return view.callGrouped(things, keyAt, "putHere");
      for (const thing of things) await view.callById("things", thing.id, true, "putHere", [[thing]]);
    });
    return things;
  }

  async #byId(method: "getHere" | "deleteHere", id: string, key: KeyInput): Promise<unknown> {
    if (this.#isLocal()) return this[method](id);
    return this.shards.router().attempt(async (view) => {
      if (view.layout.kind === "roundRobin") return view.callById("things", id, false, method, [id]);
      const known = key !== undefined ? key : view.shardKey === "id" ? id : undefined;
      if (known !== undefined || view.layout.kind === "none") return view.callOwner(known, method, [id]);
      const answers = await view.callAll(method, [id]);
      return answers.find((answer) => answer !== null && answer !== false);
    });
  }

  /** Calls the member that holds a thing, for its relationships. A thing that is nowhere belongs to the owner of the empty key. */
  async #withFrom(
    from: string,
    key: KeyInput,
    method: "relateHere" | "unrelateHere" | "relationshipsHere",
    ...args: readonly unknown[]
  ): Promise<unknown> {
    if (this.#isLocal()) return (this[method] as (...given: readonly unknown[]) => unknown)(...args);
    return this.shards.router().attempt(async (view) => {
      if (view.layout.kind === "roundRobin") {
        const isKnown = (await view.callById("things", from, false, "getHere", [from])) !== undefined;
        return isKnown ? view.callById("things", from, false, method, args) : view.callFirst(method, args);
      }
      if (key !== undefined || view.layout.kind === "none") return view.callOwner(key, method, args);
      if (view.shardKey === "id") return view.callOwner(from, method, args);
      const [thing] = (await view.callAll("getHere", [from])).filter((answer) => answer !== null) as Thing[];
      return view.callOwner(thing && keyAt(thing, view.shardKey), method, args);
    });
  }

  /** True while this object is its whole namespace: calls then run in place, in the turn that asked. */
  #isLocal(): boolean {
    return this.shards.isWhole();
  }

  #rows<Row extends Record<string, SqlStorageValue>>(query: string, ...bindings: SqlStorageValue[]): Row[] {
    return this.ctx.storage.sql.exec<Row>(query, ...bindings).toArray();
  }

  #listObjects(members: readonly string[]): void {
    this.ctx.storage.sql.exec("DELETE FROM objects");
    members.forEach((ns, shardIndex) => {
      const doId = this.namespace?.idFromName(ns).toString() ?? "";
      this.ctx.storage.sql.exec("INSERT INTO objects (ns, doId, shardIndex) VALUES (?, ?, ?)", ns, doId, shardIndex);
    });
  }
}
