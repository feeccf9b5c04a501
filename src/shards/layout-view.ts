/**
 * Calls by one layout: what a router does at the epoch it knows, without retrying.
 *
 * Work that needs several calls, or whose arguments follow from the layout, is written against a view: the router runs it again, with a
 * fresh view, when a member says that the layout has moved on. Nothing is carried from one view to the next.
 */
import { type Key, type KeyInput, toKey } from "../core/key.ts";
import { type Layout, createOwnerLookup, directoryMember } from "../core/layout.ts";
import type { Partitioners } from "../core/layout.ts";
import type { LocateReply } from "./directory.ts";
import type { QueryReply } from "./messages.ts";

/**
 * A shard key, or the function that gives it for the key that the namespace is sharded by (null while it is unsharded): the way to stay
 * right across a rekey.
 */
export type RouteKey = KeyInput | ((shardKey: string | null) => KeyInput);

export type Send = <Reply>(member: string, request: object) => Promise<Reply>;

export class LayoutView {
  readonly layout: Layout;
  readonly epoch: number;
  readonly #send: Send;
  readonly #owner: ((key: Key) => string) | null;

  constructor(layout: Layout, epoch: number, partitioners: Partitioners | undefined, send: Send) {
    this.layout = layout;
    this.epoch = epoch;
    this.#send = send;
    this.#owner = layout.kind === "roundRobin" ? null : createOwnerLookup(layout, partitioners);
  }

  /** What the namespace is sharded by; null while it is not. */
  get shardKey(): string | null {
    return this.layout.kind === "none" ? null : this.layout.shardKey;
  }

  /** Calls a method of the member that owns the key. @throws Error in a roundRobin namespace. */
  callOwner(key: RouteKey, method: string, args: readonly unknown[]): Promise<unknown> {
    const wanted = this.#keyOf(key);
    return this.callMember(this.#ownerOf(wanted), method, args, [wanted]);
  }

  /** Calls `method(items)` once on every member that owns some of the items, with those, each all or nothing. */
  async callGrouped<Item>(
    items: readonly Item[],
    keyOf: (item: Item, shardKey: string | null) => KeyInput,
    method: string,
  ): Promise<void> {
    const groups = new Map<string, { readonly items: Item[]; readonly keys: Map<string, Key> }>();
    for (const item of items) {
      const key = toKey(keyOf(item, this.shardKey));
      const member = this.#ownerOf(key);
      const group = groups.get(member) ?? { items: [], keys: new Map<string, Key>() };
      groups.set(member, group);
      group.items.push(item);
      group.keys.set(`${key.type} ${key.text}`, key);
    }
    await Promise.all(
      [...groups].map(([member, group]) => this.callMember(member, method, [group.items], [...group.keys.values()])),
    );
  }

  /** Calls the member that has the row with this id, as the directory says. `deal` gives an unknown id its owner; else the answer is `undefined`. */
  async callById(table: string, id: string, deal: boolean, method: string, args: readonly unknown[]): Promise<unknown> {
    const { layout, epoch } = this;
    if (layout.kind !== "roundRobin") throw new Error(`A namespace sharded by ${layout.kind} has no directory: call by key`);
    const { owner } = await this.#send<LocateReply>(directoryMember(layout, id), { kind: "locate", epoch, table, id, deal });
    return owner === null ? undefined : this.callMember(owner, method, args);
  }

  /** Calls a method on every member, in the order of the shards. */
  callAll(method: string, args: readonly unknown[]): Promise<readonly unknown[]> {
    return Promise.all(this.layout.members.map((member) => this.callMember(member, method, args)));
  }

  /** Calls a method of the first member: the owner of what has no other owner. */
  callFirst(method: string, args: readonly unknown[]): Promise<unknown> {
    return this.callMember(this.layout.members[0] ?? "", method, args);
  }

  query(member: string, query: string, params: readonly (string | number | null)[]): Promise<QueryReply> {
    return this.#send<QueryReply>(member, { kind: "query", epoch: this.epoch, query, params });
  }

  callMember(member: string, method: string, args: readonly unknown[], keys: readonly Key[] = []): Promise<unknown> {
    return this.#send(member, { kind: "call", epoch: this.epoch, keys, method, args });
  }

  #keyOf(key: RouteKey): Key {
    return toKey(typeof key === "function" ? key(this.shardKey) : key);
  }

  #ownerOf(key: Key): string {
    if (this.#owner) return this.#owner(key);
    throw new Error("A roundRobin namespace has no owner by key: call by id");
  }
}
