/**
 * ThingsObject: a ready-made class with the tables `things`, `relationships` and `objects`, sharded
 * by any key of a thing.
 *
 * Any object of the namespace accepts typed calls, most simply the root, and forwards them to the
 * owner. A relationship is stored with its `from` thing. Ids must be unique in the namespace: one
 * shard refuses a second thing with the same id under another shard key, but shards do not know
 * each other's ids, and `get(id)` without its key asks every shard. With a directory no second
 * thing is stored anywhere, and `get(id)` asks two members.
 */
import { type KeyInput, compareKeys, keyText, toKey } from "../../model/layout/key.ts";
import type { LayoutView, NewIds, OnAnswer } from "../client/layout-view.ts";
import type { QueryShards, QueryShardsResult } from "../client/query-shards.ts";
import type { ObjectNamespace } from "../platform/home.ts";
import { ownNamespace } from "../platform/platform.ts";
import { ShardedObject } from "../host/sharded-object.ts";
import type { ShardHost } from "../host/shard-host.ts";
import type {
  RebalanceOptions,
  RebalanceOutcome,
  ShardHealth,
  ShardOptions,
  ShardOutcome,
  ShardRegistry,
  UnshardOptions,
} from "../host/shard-request.ts";
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

  /**
   * The binding of the class. Default: the Worker's own export of it. Override it if another Worker
   * exports the class.
   */
  protected get namespace(): ObjectNamespace | null {
    return ownNamespace(this.ctx, this);
  }

  // — sharding —

  shard(options: ShardOptions): Promise<ShardOutcome> {
    // `tenantId` is short for `data.tenantId`.
    const isColumn =
      typeof options.key === "string" && THING_COLUMNS.includes(options.key.split(".")[0] ?? "");
    return this.shards.shard(
      isColumn || !options.key ? options : { ...options, key: `data.${options.key}` },
    );
  }

  unshard(
    options: UnshardOptions = {},
  ): Promise<{ readonly itemsMoved: number; readonly duration: number }> {
    return this.shards.unshard(options);
  }

  isSharded(): boolean {
    return this.shards.isSharded();
  }

  discoverShards(): Promise<{
    readonly registry: ShardRegistry;
    readonly health: readonly ShardHealth[];
  }> {
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

  /**
   * Stores a thing under its id, and replaces a thing with the same id and shard key. The first
   * `createdAt` is kept, and returned.
   *
   * @throws Error when the owner, or with a directory any shard, has a thing of that id under
   * another shard key.
   */
  async put(input: ThingInput): Promise<Thing> {
    const [thing] = await this.#putAll([input]);
    if (!thing) throw new Error("Nothing was stored");
    return thing;
  }

  /** Stores many things, at most 10,000; each member's part is all or nothing. */
  async putMany(inputs: readonly ThingInput[]): Promise<number> {
    if (inputs.length > THINGS_MAX)
      throw new Error(`${inputs.length} things at once: the maximum is ${THINGS_MAX}`);
    return (await this.#putAll(inputs)).length;
  }

  /**
   * Returns the thing with this id, or null. `key` is its shard key: with it, only the owner is
   * asked.
   */
  async get(id: string, key?: KeyInput): Promise<Thing | null> {
    if (this.#isLocal()) return this.getHere(id);
    return this.shards.router().attempt(async (view) => {
      if (view.layout.kind === "roundRobin")
        return (
          ((await view.callById("things", id, false, "getHere", [id])) as Thing | undefined) ?? null
        );
      const known = knownKey(view, id, key);
      if (known !== undefined)
        return view.callOwner(known, "getHere", [id, known]) as Promise<Thing | null>;
      if (view.knowsKeys)
        return (
          ((await view.callById("things", id, false, "getHere", [id])) as Thing | undefined) ?? null
        );
      return (
        ((await view.callAll("getHere", [id])) as (Thing | null)[]).find(
          (thing) => thing !== null,
        ) ?? null
      );
    });
  }

  /** Deletes a thing and its relationships. Returns true when there was one. */
  async delete(id: string, key?: KeyInput): Promise<boolean> {
    if (this.#isLocal()) return this.deleteHere(id);
    let isDeleted = false;
    const note: OnAnswer = (answer) => {
      isDeleted ||= answer === true;
    };
    await this.shards.router().attempt(async (view) => {
      if (view.layout.kind === "roundRobin")
        return note(await view.callById("things", id, false, "deleteHere", [id]));
      const known = knownKey(view, id, key);
      if (known === undefined && view.knowsKeys)
        return view.callOwnersById("things", id, "deleteHere", [id], note);
      return known === undefined
        ? view.callAll("deleteHere", [id], note)
        : view.callOwners(known, "deleteHere", [id, known], note);
    });
    return isDeleted;
  }

  /** Lists things in order of their id, after an id. A full page may have a next one. */
  async listThings({
    after = "",
    limit = LIST_LIMIT,
  }: { readonly after?: string; readonly limit?: number } = {}): Promise<Thing[]> {
    const count = Math.min(Math.max(1, limit), THINGS_MAX);
    if (this.#isLocal()) return this.listHere(after, count);
    const pages = (await this.shards.router().callAll("listHere", after, count)) as Thing[][];
    return pages
      .flat()
      .toSorted((left, right) => compareTexts(left.id, right.id))
      .slice(0, count);
  }

  // — relationships —

  /**
   * Relates two things. The relationship is stored with its `from` thing; `key` is that thing's
   * shard key, and saves the search for it. A thing that is not stored belongs to the owner of the
   * empty key, where its relationships are found even when it is stored later.
   */
  async relate(input: RelationshipInput, key?: KeyInput): Promise<Relationship> {
    const relationship: Relationship = { data: {}, createdAt: Date.now(), ...input };
    const { from } = relationship;
    if (this.#isLocal()) this.relateHere(relationship);
    else {
      await this.shards.router().attempt(async (view) => {
        if (view.layout.kind === "roundRobin") {
          const isKnown =
            (await view.callById("things", from, false, "getHere", [from])) !== undefined;
          return isKnown
            ? view.callById("things", from, false, "relateHere", [relationship])
            : view.callFirst("relateHere", [relationship]);
        }
        const known = knownKey(view, from, key);
        if (known !== undefined) return view.callOwner(known, "relateHere", [relationship]);
        const answers = view.knowsKeys
          ? [(await view.callById("things", from, false, "getHere", [from])) ?? null]
          : await view.callAll("getHere", [from]);
        const [thing] = answers.filter((answer) => answer !== null) as Thing[];
        return view.callOwner(thing && keyAt(thing, view.shardKey), "relateHere", [relationship]);
      });
    }
    return relationship;
  }

  async unrelate(from: string, verb: string, to: string, key?: KeyInput): Promise<boolean> {
    if (this.#isLocal()) return this.unrelateHere(from, verb, to);
    let isDeleted = false;
    await this.#withFrom(from, key, "unrelateHere", [from, verb, to], (answer) => {
      isDeleted ||= answer === true;
    });
    return isDeleted;
  }

  async relationshipsOf(from: string, key?: KeyInput): Promise<Relationship[]> {
    if (this.#isLocal()) return this.relationshipsHere(from);
    const answers = (await this.#withFrom(from, key, "relationshipsHere", [from])) as (
      | Relationship[]
      | undefined
    )[];
    // One may be stored twice: before its thing was there, and again afterwards. The later answer
    // is the owner's.
    const found = new Map(
      answers
        .flatMap((list) => list ?? [])
        .map((each) => [JSON.stringify([each.verb, each.to]), each]),
    );
    return [...found.values()].toSorted(
      (left, right) => compareTexts(left.verb, right.verb) || compareTexts(left.to, right.to),
    );
  }

  // — what the owner does; reached through the router —

  /**
   * Stores all or none, and answers with the `createdAt` of each. @throws Error when an id is
   * stored here under another shard key.
   */
  putHere(things: readonly Thing[]): number[] {
    return this.ctx.storage.transactionSync(() =>
      things.map((thing) => {
        this.#refuseOtherKey(thing);
        const [row] = this.#rows<{ createdAt: number }>(
          `INSERT INTO things (id, type, name, data, visibility, createdAt, updatedAt) VALUES (?, ?, ?, ?, ?, ?, ?)
           ON CONFLICT (id) DO UPDATE SET type = excluded.type, name = excluded.name, data = excluded.data, visibility = excluded.visibility, updatedAt = excluded.updatedAt
           RETURNING createdAt`,
          thing.id,
          thing.type,
          thing.name,
          JSON.stringify(thing.data),
          thing.visibility,
          thing.createdAt,
          thing.updatedAt,
        );
        return row?.createdAt ?? thing.createdAt;
      }),
    );
  }

  /** The thing with this id; with `key`, only when it is stored under that shard key. */
  getHere(id: string, key?: KeyInput): Thing | null {
    const thing = this.#stored(id);
    return thing && this.#isUnder(thing, key) ? thing : null;
  }

  /**
   * Deletes a thing and its relationships; with `key`, nothing when the id is stored under another
   * shard key.
   */
  deleteHere(id: string, key?: KeyInput): boolean {
    return this.ctx.storage.transactionSync(() => {
      const thing = key === undefined ? null : this.#stored(id);
      if (thing && !this.#isUnder(thing, key)) return false;
      this.ctx.storage.sql.exec('DELETE FROM relationships WHERE "from" = ?', id);
      return (
        this.ctx.storage.sql.exec("DELETE FROM things WHERE id = ? RETURNING id", id).toArray()
          .length > 0
      );
    });
  }

  listHere(after: string, limit: number): Thing[] {
    return this.#rows<ThingRow>(
      "SELECT * FROM things WHERE id > ? ORDER BY id LIMIT ?",
      after,
      limit,
    ).map((row) => thingOf(row));
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
    return this.#rows<RelationshipRow>(
      'SELECT * FROM relationships WHERE "from" = ? ORDER BY verb, "to"',
      from,
    ).map((row) => relationshipOf(row));
  }

  async #putAll(inputs: readonly ThingInput[]): Promise<Thing[]> {
    const now = Date.now();
    const things = inputs.map((input) => completeThing(input, now));
    const withStored = (thing: Thing, createdAt: number | undefined): Thing => ({
      ...thing,
      createdAt: createdAt ?? thing.createdAt,
    });
    if (this.#isLocal()) {
      const stored = this.putHere(things);
      return things.map((thing, index) => withStored(thing, stored[index]));
    }
    const done = new Map<Thing, number>();
    const note = (group: readonly Thing[], answer: unknown): void =>
      group.forEach((thing, index) =>
        done.set(thing, (answer as number[])[index] ?? thing.createdAt),
      );
    await this.shards.router().attempt(async (view) => {
      // Things that were accepted are not sent again: somebody may have deleted them since.
      const open = things.filter((thing) => !done.has(thing));
      const idsOf = ({ id }: Thing): NewIds[] => [{ table: "things", ids: [id] }];
      if (view.layout.kind !== "roundRobin")
        return view.callGrouped(open, keyAt, "putHere", note, idsOf);
      for (const thing of open)
        note([thing], await view.callById("things", thing.id, true, "putHere", [[thing]]));
    });
    return things.map((thing) => withStored(thing, done.get(thing)));
  }

  /**
   * Calls every member that may hold relationships of a thing, the owner last where one is known.
   */
  #withFrom(
    from: string,
    key: KeyInput,
    method: "unrelateHere" | "relationshipsHere",
    args: readonly unknown[],
    onAnswer: OnAnswer = () => undefined,
  ): Promise<readonly unknown[]> {
    return this.shards.router().attempt(async (view) => {
      if (view.layout.kind === "roundRobin") {
        const first = await view.callFirst(method, args);
        onAnswer(first);
        const owned = await view.callById("things", from, false, method, args);
        onAnswer(owned);
        return [first, owned];
      }
      const known = knownKey(view, from, key);
      if (known === undefined && view.knowsKeys)
        return view.callOwnersById("things", from, method, args, onAnswer);
      return known === undefined
        ? view.callAll(method, args, onAnswer)
        : view.callOwners(known, method, args, onAnswer);
    });
  }

  #stored(id: string): Thing | null {
    const [row] = this.#rows<ThingRow>("SELECT * FROM things WHERE id = ?", id);
    return row ? thingOf(row) : null;
  }

  /** Without a key, and where keys say nothing about the identity of a thing, every thing is. */
  #isUnder(thing: Thing, key: KeyInput): boolean {
    const path = this.shards.identityKey();
    return (
      path === null ||
      key === undefined ||
      keyText(toKey(keyAt(thing, path))) === keyText(toKey(key))
    );
  }

  #refuseOtherKey(thing: Thing): void {
    const path = this.shards.identityKey();
    if (path === null || path === "id") return;
    const stored = this.#stored(thing.id);
    if (stored && !this.#isUnder(stored, keyAt(thing, path) ?? null))
      throw new Error(
        `Thing ${JSON.stringify(thing.id)} is stored under another shard key: delete it there first`,
      );
  }

  /**
   * True while this object is its whole namespace: calls then run in place, in the turn that asked.
   */
  #isLocal(): boolean {
    return this.shards.isWhole();
  }

  #rows<Row extends Record<string, SqlStorageValue>>(
    query: string,
    ...bindings: SqlStorageValue[]
  ): Row[] {
    return this.ctx.storage.sql.exec<Row>(query, ...bindings).toArray();
  }

  #listObjects(members: readonly string[]): void {
    this.ctx.storage.sql.exec("DELETE FROM objects");
    members.forEach((ns, shardIndex) => {
      const doId = this.shards.objectId(ns);
      this.ctx.storage.sql.exec(
        "INSERT INTO objects (ns, doId, shardIndex) VALUES (?, ?, ?)",
        ns,
        doId,
        shardIndex,
      );
    });
  }
}

/** The key that a thing's owner is found by; undefined when every member must be asked. */
function knownKey({ layout, shardKey }: LayoutView, id: string, key: KeyInput): KeyInput {
  if (key !== undefined) return key;
  // A whole namespace has one owner for all keys.
  if (layout.kind === "none") return null;
  return shardKey === "id" ? id : undefined;
}

/** SQLite's order of texts. */
function compareTexts(left: string, right: string): number {
  return compareKeys(toKey(left), toKey(right));
}
