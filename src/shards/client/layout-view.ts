/**
 * Calls by one layout: what a router does at the epoch it knows, without retrying.
 *
 * Work that needs several calls, or whose arguments follow from the layout, is written against a
 * view: the router runs it again, with a fresh view, when a member says that the layout has moved
 * on. What must not be done twice, the work keeps track of by `onDone`.
 */
import { type Key, type KeyInput, MISSING_KEY, toKey } from "../../model/layout/key.ts";
import { directoryMember, hasKeyedDirectory } from "../../model/layout/directory.ts";
import type { Layout } from "../../model/layout/layout.ts";
import { createOwnerLookup } from "../../model/layout/owner-lookup.ts";
import type { Partitioners } from "../../model/layout/partitioners.ts";
import type { Ask, CallMode, Claim, QueryReads, RouterRequest } from "../protocol/messages.ts";
import type { QueryReply } from "../protocol/replies.ts";
import { RefusedError } from "../protocol/refused-error.ts";

/** A call of a method on one member. */
interface MemberCall {
  readonly method: string;
  readonly args: readonly unknown[];
  /** Keys that the member must own. */
  readonly keys?: readonly Key[];
  /** Ids of rows that it may store. */
  readonly claims?: readonly Claim[];
}

/**
 * A shard key, or the function that gives it for the key that the namespace is sharded by (null
 * while it is unsharded): the way to stay right across a rekey.
 */
export type RouteKey = KeyInput | ((shardKey: string | null) => KeyInput);

/**
 * Ids, as texts or numbers, that a call may store as new rows of a table. Where the namespace has a
 * directory they are claimed for the call's key before it runs: the call is refused when a row of
 * such an id stands under another key. Elsewhere they say nothing.
 */
export interface NewIds {
  readonly table: string;
  readonly ids: readonly (string | number | bigint)[];
}

/**
 * Told of each answer as it comes, also when other calls of the same kind then fail: what must not
 * be asked again.
 */
export type OnAnswer = (answer: unknown) => void;

export class LayoutView {
  readonly layout: Layout;
  readonly epoch: number;
  readonly #send: Ask<RouterRequest>;
  readonly #owner: ((key: Key) => string) | null;

  constructor(
    layout: Layout,
    epoch: number,
    partitioners: Partitioners | undefined,
    send: Ask<RouterRequest>,
  ) {
    this.layout = layout;
    this.epoch = epoch;
    this.#send = send;
    this.#owner = layout.kind === "roundRobin" ? null : createOwnerLookup(layout, partitioners);
  }

  /** The key that the namespace is sharded by; null while it is unsharded. */
  get shardKey(): string | null {
    return this.layout.kind === "none" ? null : this.layout.shardKey;
  }

  /** Calls a method of the member that owns the key. @throws Error in a roundRobin namespace. */
  callOwner(
    key: RouteKey,
    method: string,
    args: readonly unknown[],
    newIds: readonly NewIds[] = [],
  ): Promise<unknown> {
    const wanted = this.#keyOf(key);
    const call = { method, args, keys: [wanted], claims: this.#claimsOf(newIds, wanted) };
    return this.callMember(this.#ownerOf(wanted), call);
  }

  /**
   * Calls `method(items)` once on every member that owns some of the items, with those, each all or
   * nothing. `onDone` is told of every group that was taken, also when another was refused: work
   * that is run again sends only the rest. `idsOf` names the new rows of an item.
   */
  async callGrouped<Item>(
    items: readonly Item[],
    keyOf: (item: Item, shardKey: string | null) => KeyInput,
    method: string,
    onDone: (items: readonly Item[], answer: unknown) => void = () => undefined,
    idsOf: (item: Item) => readonly NewIds[] = () => [],
  ): Promise<void> {
    const groups = new Map<
      string,
      { readonly items: Item[]; readonly keys: Map<string, Key>; readonly claims: Claim[] }
    >();
    for (const item of items) {
      const key = toKey(keyOf(item, this.shardKey));
      const member = this.#ownerOf(key);
      const group = groups.get(member) ?? { items: [], keys: new Map<string, Key>(), claims: [] };
      groups.set(member, group);
      group.items.push(item);
      group.keys.set(`${key.type} ${key.text}`, key);
      group.claims.push(...this.#claimsOf(idsOf(item), key));
    }
    await settleAll(
      [...groups].map(async ([member, { items: part, keys, claims }]) => {
        const call = { method, args: [part], keys: [...keys.values()], claims };
        onDone(part, await this.callMember(member, call));
      }),
    );
  }

  /**
   * Calls the member that has the row with this id, as the directory says. `deal` gives an unknown
   * id its owner; else the answer is `undefined`.
   */
  async callById(
    table: string,
    id: string,
    deal: boolean,
    method: string,
    args: readonly unknown[],
  ): Promise<unknown> {
    const { layout, epoch } = this;
    if (layout.kind !== "roundRobin") {
      if (!this.knowsKeys)
        throw new Error(
          `A namespace sharded by ${layout.kind} without a directory has no owner by id: call by key`,
        );
      const key = await this.findKey(table, id);
      if (key !== undefined)
        return this.callMember(this.#ownerOf(key), { method, args, keys: [key] });
      if (deal)
        throw new Error(
          `No row of '${table}' has this id: a new one is stored by its key, with at(key, { table, ids })`,
        );
      return undefined;
    }
    const { owner } = await this.#send(directoryMember(layout, id), {
      kind: "locate",
      epoch,
      table,
      id,
      deal,
    });
    return owner === null ? undefined : this.callMember(owner, { method, args });
  }

  /** True when a directory remembers the shard key of each id. */
  get knowsKeys(): boolean {
    return hasKeyedDirectory(this.layout);
  }

  /**
   * The shard key of the row with this id, as the directory has it; undefined when it knows none.
   * @throws Error without a directory of keys.
   */
  async findKey(table: string, id: string): Promise<Key | undefined> {
    const { layout, epoch } = this;
    if (!hasKeyedDirectory(layout))
      throw new Error(`A namespace sharded by ${layout.kind} has no directory of keys`);
    const holder = directoryMember(layout, id);
    return (
      (await this.#send(holder, { kind: "locate", epoch, table, id, deal: false })).key ?? undefined
    );
  }

  /** Calls a method on every member, in the order of the shards. */
  callAll(
    method: string,
    args: readonly unknown[],
    onAnswer: OnAnswer = () => undefined,
  ): Promise<readonly unknown[]> {
    return settleAll(
      this.layout.members.map(async (member) => {
        const answer = await this.callMember(member, { method, args });
        onAnswer(answer);
        return answer;
      }),
    );
  }

  /**
   * Calls a method of the key's owner, and of the empty key's when that is another: it has the rows
   * whose own key was not known.
   */
  callOwners(
    key: RouteKey,
    method: string,
    args: readonly unknown[],
    onAnswer: OnAnswer = () => undefined,
  ): Promise<unknown[]> {
    return this.#callOwners(this.#keyOf(key), method, args, onAnswer);
  }

  /** `callOwners` for the key that the directory has for an id; an unknown id has the empty key. */
  async callOwnersById(
    table: string,
    id: string,
    method: string,
    args: readonly unknown[],
    onAnswer: OnAnswer = () => undefined,
  ): Promise<unknown[]> {
    return this.#callOwners((await this.findKey(table, id)) ?? MISSING_KEY, method, args, onAnswer);
  }

  #callOwners(
    key: Key,
    method: string,
    args: readonly unknown[],
    onAnswer: OnAnswer,
  ): Promise<unknown[]> {
    const wanted = new Map([MISSING_KEY, key].map((each) => [this.#ownerOf(each), each]));
    return settleAll(
      [...wanted].map(async ([member, each]) => {
        const answer = await this.callMember(member, { method, args, keys: [each] });
        onAnswer(answer);
        return answer;
      }),
    );
  }

  /** Calls a method of the first member: the owner of what has no other owner. */
  callFirst(method: string, args: readonly unknown[]): Promise<unknown> {
    return this.callMember(this.layout.members[0] ?? "", { method, args });
  }

  query(
    member: string,
    query: string,
    params: readonly (string | number | null)[],
    reads?: QueryReads,
  ): Promise<QueryReply> {
    const { epoch } = this;
    if (reads === undefined) return this.#send(member, { kind: "query", epoch, query, params });
    const { tables, ordered } = reads;
    return this.#send(member, {
      kind: "query",
      epoch,
      query,
      params,
      reads: { tables, ordered },
    });
  }

  callMember(
    member: string,
    { method, args, keys = [], claims = [] }: MemberCall,
    mode: CallMode = {},
  ): Promise<unknown> {
    const claimed = claims.length > 0 ? { claims } : {};
    return this.#send(member, {
      kind: "call",
      epoch: this.epoch,
      keys,
      method,
      args,
      ...claimed,
      ...mode,
    });
  }

  /** Takes a ticket for a call to all members, some of which already wait for this one. */
  async admit(member: string, method: string, among: readonly string[]): Promise<string> {
    return (await this.#send(member, { kind: "admit", epoch: this.epoch, method, among })).ticket;
  }

  async dismiss(member: string, ticket: string): Promise<void> {
    await this.#send(member, { kind: "dismiss", ticket });
  }

  /** None where no directory asks for them: calls stay as small as they are. */
  #claimsOf(newIds: readonly NewIds[], key: Key): Claim[] {
    if (!this.knowsKeys) return [];
    return newIds.flatMap(({ table, ids }) => ids.map((id) => ({ table, id: String(id), key })));
  }

  #keyOf(key: RouteKey): Key {
    return toKey(typeof key === "function" ? key(this.shardKey) : key);
  }

  #ownerOf(key: Key): string {
    if (this.#owner) return this.#owner(key);
    throw new Error("A roundRobin namespace has no owner by key: call by id");
  }
}

/**
 * Waits for every call, so that none is still under way when the work is run again.
 *
 * @throws the first failure that is not a refusal, since it must not be taken for "nothing has
 * run"; else the first refusal.
 */
async function settleAll<Value>(calls: readonly Promise<Value>[]): Promise<Value[]> {
  const settled = await Promise.allSettled(calls);
  const reasons = settled
    .filter((each) => each.status === "rejected")
    .map((each): unknown => each.reason);
  if (reasons.length > 0)
    throw (
      reasons.find((reason) => !(reason instanceof RefusedError && reason.reason.retryable)) ??
      reasons[0]
    );
  return settled.filter((each) => each.status === "fulfilled").map((each) => each.value);
}
