/**
 * ThingsObject: a ready-made class with the tables `things`, `relationships` and `objects`, sharded by any key of a thing.
 *
 * Typed calls may be made to any object of the namespace, most simply to the root: a call that belongs elsewhere goes to its owner. A
 * relationship lives with its `from` thing, exactly once. Without a directory the identity of a thing is (shard key, id): the same id
 * under two keys is two things, and `get(id)` without its key asks every shard.
 */
import type { KeyInput } from "../core/key.ts";
import { ROW_BYTES_MAX } from "./row-codec.ts";
import type { QueryShards, QueryShardsResult } from "./query-shards.ts";
import { type ObjectNamespace, ownNamespace } from "./platform.ts";
import { ShardedObject } from "./sharded-object.ts";
import { ShardHost } from "./shard-host.ts";
import type { RebalanceOptions, RebalanceOutcome, ShardHealth, ShardOptions, ShardOutcome, ShardRegistry } from "./shard-request.ts";

/** A JSON value. Lists and nested objects are `object`: the runtime's RPC types cannot follow a type that contains itself. */
export type Json = string | number | boolean | null | object;
export interface JsonObject {
  readonly [name: string]: Json;
}

export interface Thing {
  readonly id: string;
  readonly type: string;
  readonly name: string | null;
  readonly data: JsonObject;
  readonly visibility: string;
  /** Milliseconds since the Unix epoch. */
  readonly createdAt: number;
  readonly updatedAt: number;
}

export type ThingInput = Pick<Thing, "id"> & Partial<Thing>;

export interface Relationship {
  readonly from: string;
  readonly verb: string;
  readonly to: string;
  readonly data: JsonObject;
  readonly createdAt: number;
}

export type RelationshipInput = Pick<Relationship, "from" | "verb" | "to"> & Partial<Relationship>;

/** One object of the namespace, as the `objects` table of the root lists it. */
export interface ObjectEntry {
  readonly ns: string;
  readonly doId: string;
  readonly shardIndex: number;
}

/** Things of one `putMany`, or of one page of `listThings`. */
export const THINGS_MAX = 10_000;
const LIST_LIMIT = 1000;
const COLUMNS = ["id", "type", "name", "visibility", "createdAt", "updatedAt"];

const TABLES = [
  `CREATE TABLE IF NOT EXISTS things (id TEXT PRIMARY KEY, type TEXT NOT NULL, name TEXT, data TEXT NOT NULL, visibility TEXT NOT NULL, createdAt INTEGER NOT NULL, updatedAt INTEGER NOT NULL) WITHOUT ROWID`,
  `CREATE TABLE IF NOT EXISTS relationships ("from" TEXT NOT NULL, verb TEXT NOT NULL, "to" TEXT NOT NULL, data TEXT NOT NULL, createdAt INTEGER NOT NULL, PRIMARY KEY ("from", verb, "to")) WITHOUT ROWID`,
  `CREATE TABLE IF NOT EXISTS objects (ns TEXT PRIMARY KEY, doId TEXT NOT NULL, shardIndex INTEGER NOT NULL) WITHOUT ROWID`,
];

export class ThingsObject<Env = unknown> extends ShardedObject<Env> {
  override readonly shards: ShardHost;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    for (const table of TABLES) ctx.storage.sql.exec(table);
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
    const isColumn = typeof options.key === "string" && [...COLUMNS, "data"].includes(options.key.split(".")[0] ?? "");
    return this.shards.shard(isColumn || !options.key ? options : { ...options, key: `data.${options.key}` });
  }

  unshard(options: { readonly timeout?: number; readonly correlationId?: string } = {}): Promise<{ readonly itemsMoved: number; readonly duration: number }> {
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
    const rows = this.ctx.storage.sql.exec("SELECT ns, doId, shardIndex FROM objects ORDER BY shardIndex").toArray();
    return rows.map((row) => ({ ns: String(row["ns"]), doId: String(row["doId"]), shardIndex: Number(row["shardIndex"]) }));
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
    return (await this.#byId("getHere", id, key)) as Thing | null;
  }

  /** Deletes a thing and its relationships. True when there was one. */
  async delete(id: string, key?: KeyInput): Promise<boolean> {
    return ((await this.#byId("deleteHere", id, key)) as boolean | null) ?? false;
  }

  /** Things in order of their id, after an id; a full page may have a next one. */
  async listThings({ after = "", limit = LIST_LIMIT }: { readonly after?: string; readonly limit?: number } = {}): Promise<Thing[]> {
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
    const row = this.ctx.storage.sql.exec("SELECT * FROM things WHERE id = ?", id).toArray()[0];
    return row ? thingOf(row) : null;
  }

  deleteHere(id: string): boolean {
    return this.ctx.storage.transactionSync(() => {
      this.ctx.storage.sql.exec('DELETE FROM relationships WHERE "from" = ?', id);
      return this.ctx.storage.sql.exec("DELETE FROM things WHERE id = ? RETURNING id", id).toArray().length > 0;
    });
  }

  listHere(after: string, limit: number): Thing[] {
    return this.ctx.storage.sql.exec("SELECT * FROM things WHERE id > ? ORDER BY id LIMIT ?", after, limit).toArray().map(thingOf);
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
    const deleted = this.ctx.storage.sql.exec('DELETE FROM relationships WHERE "from" = ? AND verb = ? AND "to" = ? RETURNING verb', from, verb, to);
    return deleted.toArray().length > 0;
  }

  relationshipsHere(from: string): Relationship[] {
    return this.ctx.storage.sql
      .exec('SELECT * FROM relationships WHERE "from" = ? ORDER BY verb, "to"', from)
      .toArray()
      .map((row) => ({
        from: String(row["from"]),
        verb: String(row["verb"]),
        to: String(row["to"]),
        data: JSON.parse(String(row["data"])) as JsonObject,
        createdAt: Number(row["createdAt"]),
      }));
  }

  async #putAll(inputs: readonly ThingInput[]): Promise<Thing[]> {
    const now = Date.now();
    const things = inputs.map((input) => completeThing(input, now));
    if (this.#isLocal()) {
      this.putHere(things);
      return things;
    }
    const router = this.shards.router();
    const { layout } = await router.layout();
    if (layout.kind === "roundRobin") {
      for (const thing of things) await router.callById("things", thing.id, true, "putHere", [thing]);
      return things;
    }
    const path = layout.kind === "none" ? "id" : layout.shardKey;
    await router.callGrouped(things, (thing) => keyAt(thing, path), "putHere");
    return things;
  }

  async #byId(method: "getHere" | "deleteHere", id: string, key: KeyInput): Promise<unknown> {
    if (this.#isLocal()) return this[method](id);
    const router = this.shards.router();
    const { layout } = await router.layout();
    if (layout.kind === "roundRobin") return (await router.callById("things", id, false, method, id)) ?? null;
    const known = key !== undefined ? key : layout.kind === "none" || layout.shardKey === "id" ? id : undefined;
    if (known !== undefined) return router.call(known, method, id);
    const answers = await router.callAll(method, id);
    return answers.find((answer) => answer !== null && answer !== false) ?? answers[0] ?? null;
  }

  /** Calls the member that holds a thing, for its relationships. A thing that is nowhere belongs to the owner of the empty key. */
  async #withFrom(from: string, key: KeyInput, method: "relateHere" | "unrelateHere" | "relationshipsHere", ...args: readonly unknown[]): Promise<unknown> {
    if (this.#isLocal()) return Reflect.apply(this[method], this, args) as unknown;
    const router = this.shards.router();
    const { layout } = await router.layout();
    if (layout.kind === "none") return router.call(null, method, ...args);
    if (layout.kind === "roundRobin") {
      const isKnown = (await router.callById("things", from, false, "getHere", from)) !== undefined;
      return isKnown ? router.callById("things", from, false, method, ...args) : router.callFirst(method, ...args);
    }
    if (key !== undefined || layout.shardKey === "id") return router.call(key ?? from, method, ...args);
    const thing = await this.get(from);
    return router.call(thing === null ? null : keyAt(thing, layout.shardKey), method, ...args);
  }

  /** True while this object is its whole namespace: calls then run in place, in the turn that asked. */
  #isLocal(): boolean {
    return !this.shards.isSharded() && this.shards.serves(null);
  }

  #listObjects(members: readonly string[]): void {
    this.ctx.storage.sql.exec("DELETE FROM objects");
    members.forEach((ns, shardIndex) => {
      const doId = this.namespace?.idFromName(ns).toString() ?? "";
      this.ctx.storage.sql.exec("INSERT INTO objects (ns, doId, shardIndex) VALUES (?, ?, ?)", ns, doId, shardIndex);
    });
  }
}

/** The shard key of a thing as JavaScript sees it, equal to what SQL reads from the stored row. */
function keyAt(thing: Thing, path: string): KeyInput {
  const [column = "", ...below] = path.split(".");
  let value: unknown = thing[column as keyof Thing];
  for (const segment of below) {
    value = value !== null && typeof value === "object" && Object.hasOwn(value, segment) ? (value as Record<string, unknown>)[segment] : undefined;
  }
  // JSON has no other values; SQL gives objects and lists as their text.
  return value !== null && typeof value === "object" ? JSON.stringify(value) : (value as KeyInput);
}

function completeThing(input: ThingInput, now: number): Thing {
  const thing: Thing = { type: "", name: null, data: {}, visibility: "private", createdAt: now, updatedAt: now, ...input };
  if (typeof thing.id !== "string" || thing.id === "") throw new Error("A thing needs an id");
  const bytes = [thing.id, thing.type, thing.name ?? "", thing.visibility, JSON.stringify(thing.data)].reduce(
    (total, text) => total + new TextEncoder().encode(text).length,
    0,
  );
  if (bytes > ROW_BYTES_MAX) throw new Error(`Thing ${JSON.stringify(thing.id)} has ${bytes} bytes, the maximum for one row is ${ROW_BYTES_MAX}`);
  return thing;
}

function thingOf(row: Record<string, SqlStorageValue>): Thing {
  return {
    id: String(row["id"]),
    type: String(row["type"]),
    name: row["name"] === null ? null : String(row["name"]),
    data: JSON.parse(String(row["data"])) as JsonObject,
    visibility: String(row["visibility"]),
    createdAt: Number(row["createdAt"]),
    updatedAt: Number(row["updatedAt"]),
  };
}
