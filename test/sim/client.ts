/**
 * A client: a router with its own, mostly stale, layout cache, and one call after the other. Writes
 * down what it asked and was told.
 *
 * | the call ended with                              | the history says                                |
 * |--------------------------------------------------|-------------------------------------------------|
 * | an answer                                        | that answer                                     |
 * | a refusal, or no layout                          | nothing: it has not run                         |
 * | a write block's message                                | nothing: the statement was aborted              |
 * | silence after a `call` was sent                  | unknown: it may still take effect, or never     |
 */
import { hasKeyedDirectory } from "../../src/model/layout/directory.ts";
import type { Layout } from "../../src/model/layout/layout.ts";
import { createOwnerLookup } from "../../src/model/layout/owner-lookup.ts";
import { toKey } from "../../src/model/layout/key.ts";
import { isCopying, runningOperation } from "./operator.ts";
import { RefusedError } from "../../src/shards/protocol/refused-error.ts";
import { Router } from "../../src/shards/router.ts";
import type { Membership } from "../../src/shards/member/membership.ts";
import type { Peers } from "../../src/shards/protocol/peers.ts";
import { type Entry, type History, type Op, keyOfView } from "./history.ts";
import { epochOf, readMeta, registryOf, viewsOf } from "./peek.ts";
import { LayoutChanged, routeItem } from "./route-item.ts";
import {
  type ClientStep,
  GROUPS,
  type Intent,
  type Moment,
  RIVALS,
  type Straggling,
  groupOf,
} from "./scenario.ts";
import { type RanOn, LIST_QUERY, NOT_HERE, type Raised, type View, viewOf } from "./store.ts";
import { DISK_IS_FULL } from "./storage.ts";
import { Unreachable } from "./surroundings.ts";
import type { World } from "./world.ts";

const POLL_MS = 1;
/** How long a call waits for its moment. */
const MOMENT_MS_MAX = 800;
/** SQLite's error for a put of a code that another item of the same member has. */
const RIVAL_IN_THE_WAY = "UNIQUE constraint failed: items.code";
/** The prefix of every write block's message. */
const GUARDED = "shardctl: ";

/**
 * The write blocks' messages for a fence and for an object that owns nothing: no routed call is
 * admitted there.
 */
const NOT_ADMITTED = [
  "the namespace is being moved, nothing was written",
  "this object owns no part of the namespace",
];

/** Methods that may store a new item: where ids are unique they are claimed first. */
const STORES: ReadonlySet<string> = new Set(["put", "slowPut", "relay"]);
/** Longest time that a caller may be kept waiting where no fault strikes. */
const WAIT_MS_MAX = 1_500;

/** Parts of an outer call's error message that show that a nested call failed. */
const NESTED_ENDS = [GUARDED, "network: ", " crashed", ": retry", DISK_IS_FULL];

/** A call to all members that has run on some, and can run on the others no more. */
const HAVE_MOVED = "have moved since";
/** To which of the members of a call to all its messages come later. */
const STRAGGLERS_SHARE = 0.4;
/** So late that tickets still stand; and the most that a message waits for a cutover. */
const STRAGGLE_MS_MAX = 35;
const BEYOND_MS_MAX = 1_500;
const BEYOND_POLL_MS = 5;

export class Client {
  readonly #world: World;
  readonly #history: History;
  readonly #name: string;
  readonly #keys: readonly string[];
  readonly #router: Router;
  /** Group of each item that is the client's own; null when it is no longer known. */
  readonly #groups = new Map<string, string | null>();
  /** Items whose group must not change any more. */
  readonly #fixed = new Set<string>();
  #unanswered = 0;
  /** The members that answered the last call. */
  #ranOn: RanOn[] = [];
  /** How the running call to all members straggles. */
  #straggles: Straggling = "no";

  constructor(world: World, history: History, name: string, keys: readonly string[]) {
    this.#world = world;
    this.#history = history;
    this.#name = name;
    this.#keys = keys;
    const { scheduler, namespace, partitioners } = world.options;
    const runtime = {
      now: () => scheduler.now,
      sleep: (delayMs: number) => this.#sleep(delayMs),
      digest: () => Promise.reject(new Error("A client hashes nothing")),
    };
    this.#router = new Router(this.#watchedPeers(), namespace, runtime, { partitioners });
  }

  async run(steps: readonly ClientStep[]): Promise<void> {
    for (const { afterMs, intent, index } of steps) {
      await this.#sleep(afterMs);
      this.#world.trace(() => `${this.#name} #${index}: ${JSON.stringify(intent)}`);
      await this.#perform(intent);
    }
  }

  #perform(intent: Intent): Promise<void> {
    switch (intent.kind) {
      case "list":
        return this.#list(intent.by);
      case "fanOut":
        return this.#fanOut(intent);
      case "stray":
        return this.#stray(intent);
      case "sweep":
        return this.#sweep(intent);
      case "pin":
        return this.#pin(intent);
      case "putMany":
        return this.#putMany(intent.items);
      case "relay":
        return this.#relay(intent);
      case "regroup":
        return this.#regroup(intent);
      case "exchange":
        return this.#exchange(intent);
      case "twin":
        return this.#twin(intent);
      case "rival":
        return this.#rival(intent);
      default:
        return this.#call(intent);
    }
  }

  async #call(
    intent: Exclude<
      Intent,
      {
        kind:
          | "list"
          | "fanOut"
          | "stray"
          | "sweep"
          | "pin"
          | "putMany"
          | "relay"
          | "regroup"
          | "exchange"
          | "twin"
          | "rival";
      }
    >,
  ): Promise<void> {
    const { id } = intent;
    const grp = this.#groupOf(id);
    if (grp === null) return;
    switch (intent.kind) {
      case "put": {
        const { n, tag, slowMs } = intent;
        const [method, args] =
          slowMs > 0
            ? (["slowPut", [id, grp, n, tag, slowMs]] as const)
            : (["put", [id, grp, n, tag]] as const);
        const put = await this.#record(
          id,
          { kind: "put", grp, n, tag },
          () => this.#route(id, grp, true, method, args),
          slowMs,
        );
        // It may still arrive, under this group: the item must keep it.
        if (put !== "dropped" && put.returnedAt === Infinity) this.#fixed.add(id);
        return;
      }
      case "get":
        await this.#record(
          id,
          { kind: "get" },
          async () => (await this.#route(id, grp, false, "get", [id])) ?? null,
        );
        return;
      case "remove":
        await this.#record(
          id,
          { kind: "remove" },
          async () => (await this.#route(id, grp, false, "remove", [id])) ?? false,
        );
        return;
      case "increment":
        await this.#record(
          id,
          { kind: "increment", by: intent.by },
          async () => (await this.#route(id, grp, false, "increment", [id, intent.by])) ?? null,
        );
        return;
      case "note": {
        const { seq, body } = intent;
        await this.#record(
          id,
          { kind: "note", seq, body },
          async () => (await this.#route(id, grp, false, "note", [id, seq, body])) ?? false,
        );
      }
    }
  }

  /**
   * Changes the shard key of an item of its own: in place where one member owns both keys, else as
   * a delete and a put.
   */
  async #regroup({ id, grp, copyMs, cutOffMs }: Intent & { kind: "regroup" }): Promise<void> {
    if (copyMs !== null) {
      await this.#awaitUntil(MOMENT_MS_MAX / 2, () => isCopying(this.#world));
      await this.#sleep(copyMs);
    }
    if (cutOffMs !== undefined) this.#cutOff(id, cutOffMs);
    const before = this.#groupOf(id);
    if (before === null || before === grp || this.#fixed.has(id)) return;
    let layout: Layout;
    try {
      ({ layout } = await this.#router.layout());
    } catch {
      return;
    }
    const isInPlace = (live: Layout): boolean => {
      if (live.kind === "none" || live.kind === "roundRobin" || live.shardKey === "id") return true;
      // A directory has the key of each id: it changes only with the row's place, by a delete and a
      // put.
      if (hasKeyedDirectory(live)) return false;
      const owner = createOwnerLookup(live, this.#world.options.partitioners);
      return owner(toKey(before)) === owner(toKey(grp));
    };
    let isKnown: boolean;
    if (isInPlace(layout)) {
      const items = [
        { id, grp: before },
        { id, grp },
      ];
      const entry = await this.#record(id, { kind: "regroup", grp }, () =>
        this.#route(id, before, false, "regroup", [items], isInPlace),
      );
      if (entry === "dropped") return;
      isKnown = entry.returnedAt !== Infinity;
    } else {
      const removed = await this.#record(
        id,
        { kind: "remove" },
        async () => (await this.#route(id, before, false, "remove", [id])) ?? false,
      );
      if (removed === "dropped") return;
      isKnown = removed.returnedAt !== Infinity;
      if (isKnown && removed.result === true) {
        const put = await this.#record(id, { kind: "put", grp, n: 1, tag: 1 }, () =>
          this.#route(id, grp, true, "put", [id, grp, 1, 1]),
        );
        isKnown = put === "dropped" || put.returnedAt !== Infinity;
      }
    }
    this.#groups.set(id, isKnown ? grp : null);
  }

  /** Loses the rows that the object which serves the item sends, so long. */
  #cutOff(id: string, forMs: number): void {
    const { objects, options } = this.#world;
    const holder = [...objects.values()].find(
      (object) =>
        readMeta<Membership>(object, "membership")?.serving !== false &&
        viewsOf(object).some((view) => view.id === id),
    );
    if (holder === undefined) return;
    const until = options.scheduler.now + forMs;
    this.#world.cutOff = { kind: "receive", from: holder.name, to: null, until };
    this.#world.trace(() => `what ${holder.name} sends is LOST for ${forMs} ms`);
  }

  async #exchange({
    ids: [first, second],
    copyMs,
    cutOffMs,
  }: Intent & { kind: "exchange" }): Promise<void> {
    const before = this.#groupOf(first);
    const after = this.#groupOf(second);
    if (before === null || after === null) return;
    const cutOff = cutOffMs === undefined ? {} : { cutOffMs };
    await this.#regroup({ kind: "regroup", id: first, grp: after, copyMs, ...cutOff });
    await this.#regroup({ kind: "regroup", id: second, grp: before, copyMs: null });
  }

  /**
   * Twins are only touched while each group has a member of its own: else one id would be one row.
   */
  async #twin({ id, grp: chosen, does, n, tag, moment }: Intent & { kind: "twin" }): Promise<void> {
    const isAlone = (layout: Layout, group: string): boolean => {
      if (layout.kind === "none" || layout.kind === "roundRobin" || layout.shardKey === "id")
        return false;
      const owner = createOwnerLookup(layout, this.#world.options.partitioners);
      return GROUPS.every(
        (other) => other === group || owner(toKey(other)) !== owner(toKey(group)),
      );
    };
    const grp = await this.#awaitMoment(moment, chosen, tag, GROUPS, isAlone, (group) => group);
    const isApart = (layout: Layout): boolean => isAlone(layout, grp);
    const op: Op = does === "put" ? { kind: "put", grp, n, tag } : { kind: does };
    const args = does === "put" ? [id, grp, n, tag] : [id];
    await this.#record(
      keyOfView({ id, grp }),
      op,
      async () =>
        (await this.#route(id, grp, false, does, args, isApart)) ??
        (does === "get" ? null : undefined),
    );
  }

  async #rival({ id: chosen, does, n, tag, moment }: Intent & { kind: "rival" }): Promise<void> {
    const suits = (layout: Layout): boolean =>
      layout.kind !== "none" && layout.kind !== "roundRobin";
    const id = await this.#awaitMoment(moment, chosen, tag, RIVALS, suits, groupOf);
    const grp = groupOf(id);
    const op: Op = does === "put" ? { kind: "put", grp, n, tag } : { kind: does };
    const args = does === "put" ? [id, grp, n, tag] : [id];
    const nothing = { put: undefined, get: null, remove: false }[does];
    await this.#record(
      id,
      op,
      async () => (await this.#route(id, grp, does === "put", does, args)) ?? nothing,
    );
  }

  /**
   * Waits a while for a moment in which a rival is most unwelcome, and gives what suits it: at a
   * promotion something of the target, by a layout that is known before.
   */
  async #awaitMoment(
    moment: Moment,
    chosen: string,
    tag: number,
    choices: readonly string[],
    suits: (layout: Layout, choice: string) => boolean,
    groupOfChoice: (choice: string) => string,
  ): Promise<string> {
    if (moment === "any") return chosen;
    const layout = (await this.#router.layout(true).catch(() => undefined))?.layout;
    if (layout === undefined) return chosen;
    const { times } = this.#world.promoting;
    const isNow = (): boolean => {
      const { promoting } = this.#world;
      if (moment === "fence") return this.#world.isFenced();
      return promoting.times > times && layout.members.includes(promoting.name);
    };
    await this.#awaitUntil(MOMENT_MS_MAX, isNow);
    const suiting = choices.filter((choice) => suits(layout, choice));
    const there = suiting.filter(
      (choice) =>
        this.#ownerOf(layout, choice, groupOfChoice(choice)) === this.#world.promoting.name,
    );
    const among = moment === "promotion" && there.length > 0 ? there : suiting;
    return among[tag % Math.max(1, among.length)] ?? chosen;
  }

  #ownerOf(layout: Layout, id: string, grp: string): string {
    if (layout.kind === "none" || layout.kind === "roundRobin") return "";
    return createOwnerLookup(
      layout,
      this.#world.options.partitioners,
    )(toKey(layout.shardKey === "grp" ? grp : id));
  }

  async #putMany(
    items: readonly { readonly id: string; readonly n: number; readonly tag: number }[],
  ): Promise<void> {
    const rows = items.map((item) => ({ ...item, grp: groupOf(item.id) }));
    let entries: Entry[] = [];
    try {
      await this.#router.attempt(async (view) => {
        if (view.layout.kind === "roundRobin") throw new LayoutChanged("Items are put one by one");
        // An attempt that fails may have put some of them: each is a put of its own, of unknown
        // outcome.
        entries = rows.map(({ id, grp, n, tag }) =>
          this.#history.begin(this.#name, id, { kind: "put", grp, n, tag }),
        );
        const keyOf = (row: (typeof rows)[number], shardKey: string | null): string =>
          row[shardKey === "grp" ? "grp" : "id"];
        await view.callGrouped(rows, keyOf, "putMany", undefined, ({ id }) => [
          { table: "items", ids: [id] },
        ]);
      });
      // Which object has run a nested put is not known: one that went back may have.
      if (this.#world.setbacks.all.length === 0)
        for (const entry of entries) this.#history.end(entry, undefined);
    } catch (error) {
      if (!hasExpectedEnd(error)) this.#world.violate(`${this.#name} putMany: ${String(error)}`);
    }
  }

  /**
   * Every hop is a put of its own: which of them were made, a failure does not say, unless it says
   * that the first was not.
   */
  async #relay({
    hops,
    isOwn,
    isBack,
    delayMs,
    fenceMs,
  }: Intent & { kind: "relay" }): Promise<void> {
    const { looks } = this.#world;
    await this.#awaitUntil(fenceMs, () => this.#world.looks > looks);
    const puts = hops.map((hop) => ({ ...hop, grp: groupOf(hop.id) }));
    const [first, ...rest] = puts;
    if (first === undefined) return;
    const entries = puts.map(({ id, grp, n, tag }) =>
      this.#history.begin(this.#name, id, { kind: "put", grp, n, tag }),
    );
    this.#unanswered = 0;
    this.#ranOn = [];
    try {
      const args = [first, rest, isOwn, isBack, delayMs];
      const ranOn = (await this.#route(first.id, first.grp, true, "relay", args)) as RanOn[];
      for (const [index, entry] of entries.entries())
        this.#history.end(entry, undefined, ranOn.slice(index, index + 1));
    } catch (error) {
      const hasNotRun =
        this.#unanswered === 0 && error instanceof RefusedError && error.reason.retryable;
      this.#checkGuards("relay", error);
      this.#world.trace(
        () => `${this.#name} relay ${hasNotRun ? "has not run" : "is unknown"}: ${String(error)}`,
      );
      if (hasNotRun) for (const entry of entries) this.#history.drop(entry);
      else if (!hasExpectedEnd(error) && !NESTED_ENDS.some((end) => String(error).includes(end)))
        this.#world.violate(`${this.#name} relay: ${String(error)}`);
    }
  }

  async #list(by: "call" | "query"): Promise<void> {
    const invokedAt = this.#world.options.scheduler.steps;
    this.#ranOn = [];
    let views: View[];
    try {
      if (by === "call") {
        views = ((await this.#router.callAll("list")) as View[][]).flat();
      } else {
        const { data } = await this.#router.queryShards({
          query: LIST_QUERY,
          aggregation: "concat",
          // The notes of an item are where it is.
          unsafePerShard: true,
        });
        views = (data as Record<string, unknown>[]).map(viewOf);
      }
    } catch (error) {
      if (!hasExpectedEnd(error)) this.#world.violate(`${this.#name} list: ${String(error)}`);
      return;
    }
    const byKey = new Map<string, View>();
    for (const view of views) {
      const key = keyOfView(view);
      const before = byKey.get(key);
      // Members answer one after the other: an item that its client removes and puts under another
      // group meanwhile stands under each in turn.
      const isRegrouped =
        before?.grp !== view.grp && this.#history.isStoredAnew(key, invokedAt, Infinity);
      if (before && !isRegrouped)
        this.#world.violate(`${this.#name} saw ${key} twice in one ${by} of all members`);
      byKey.set(key, view);
      if (!view.intact)
        this.#world.violate(`${this.#name} saw ${view.id} with another value than was stored`);
    }
    // A call that was answered by another epoch has been made again.
    const epoch = this.#ranOn.at(-1)?.epoch;
    const ranOn = this.#ranOn.filter((each) => each.epoch === epoch);
    this.#history.sawAll(this.#name, this.#keys, invokedAt, byKey, ranOn);
  }

  /** Which rows it has changed is checked in the end: see `fan-outs.ts`. */
  async #fanOut({
    by,
    slowMs,
    fenceMs,
    afterMs,
    straggles,
  }: Intent & { kind: "fanOut" }): Promise<void> {
    const { looks, fanOuts } = this.#world;
    const { scheduler } = this.#world.options;
    await this.#awaitUntil(fenceMs, () => this.#world.looks > looks);
    if (afterMs > 0) await this.#sleep(afterMs);
    const name = fanOuts.begin(this.#name, by);
    const askedAt = scheduler.now;
    this.#unanswered = 0;
    this.#ranOn = [];
    this.#straggles = straggles;
    try {
      const answers = (await this.#router.callAll("raiseAll", name, by, slowMs)) as Raised[][];
      fanOuts.end(name, { kind: "succeeded", answers });
      this.#world.trace(() => `${this.#name} fanOut ${name} = ${JSON.stringify(answers)}`);
      if (straggles !== "beyondCutover")
        this.#checkWait(`fanOut ${name}`, scheduler.now - askedAt - slowMs);
    } catch (error) {
      this.#checkGuards("fanOut", error);
      // Members at rest run it at once, those that still take part in a move by tickets, and those
      // only when the others have answered: of a slow call that may be behind the next cutover.
      const mayHaveMoved = !this.#world.isCalm || straggles === "beyondCutover" || slowMs > 0;
      if (!hasExpectedEnd(error) || (!mayHaveMoved && String(error).endsWith(HAVE_MOVED)))
        this.#world.violate(`${this.#name} fanOut ${name}: ${String(error)}`);
      this.#world.trace(() => `${this.#name} fanOut ${name} fails: ${String(error)}`);
      fanOuts.end(name, {
        kind: "failed",
        message: String(error),
        isUnknown: this.#unanswered > 0,
      });
    } finally {
      this.#straggles = "no";
    }
  }

  /** Lets the message of a call to all members come later to this member, or not. */
  async #straggle(member: string): Promise<void> {
    const { random, scheduler } = this.#world.options;
    const label = `straggler/${this.#name}>${member}`;
    if (this.#straggles === "no" || !random.chance(label, STRAGGLERS_SHARE)) return;
    if (this.#straggles === "briefly") {
      await this.#sleep(random.whole(`${label}/ms`, 1, STRAGGLE_MS_MAX));
      return;
    }
    const { epoch } = registryOf(this.#world);
    const isBeyond = (): boolean => registryOf(this.#world).epoch > epoch;
    if (this.#world.isFaulty && runningOperation(this.#world) !== null)
      await scheduler.until(isBeyond, BEYOND_POLL_MS, BEYOND_MS_MAX);
  }

  async #stray({ id, n, tag, fenceMs }: Intent & { kind: "stray" }): Promise<void> {
    const grp = groupOf(id);
    const root = this.#world.object(this.#world.options.namespace);
    await this.#awaitUntil(fenceMs, () => this.#world.isFenced(root.name));
    this.#unanswered = 0;
    this.#ranOn = [];
    const write = (): Promise<void> => {
      this.#unanswered = 1;
      return root.stray((store) => {
        this.#ranOn = [{ member: root.name, epoch: epochOf(root) }];
        store.put(id, grp, n, tag);
      });
    };
    await this.#record(id, { kind: "put", grp, n, tag }, write, 0, false);
  }

  /**
   * A routed call that was admitted never meets a write block: a fence is raised only where none
   * runs.
   */
  #checkGuards(call: string, error: unknown): void {
    // An object falls out of step whether or not it is called.
    if (this.#world.setbacks.all.length > 0) return;
    if (NOT_ADMITTED.some((message) => String(error).includes(message)))
      this.#world.violate(
        `${this.#name} ${call} was admitted, and then refused by a guard: ${String(error)}`,
      );
  }

  async #sweep({ id, fenceMs, afterMs }: Intent & { kind: "sweep" }): Promise<void> {
    const isFencedSomewhere = (): boolean =>
      [...this.#world.objects.keys()].some((name) => this.#world.isFenced(name));
    await this.#awaitUntil(fenceMs, isFencedSomewhere);
    if (afterMs > 0) await this.#sleep(afterMs);
    const holder = [...this.#world.objects.values()].find((object) => object.holds(id));
    if (holder === undefined) return;
    this.#unanswered = 0;
    this.#ranOn = [];
    await this.#record(
      id,
      { kind: "remove" },
      async () => {
        this.#unanswered = 1;
        const { isOrphanStored, notesLeft } = await holder.stray((store) => {
          this.#ranOn = [{ member: holder.name, epoch: epochOf(holder) }];
          return store.sweep(id);
        });
        if (isOrphanStored) this.#world.violate(`${holder.name} stored a note of no item`);
        if (notesLeft > 0)
          this.#world.violate(`${holder.name} kept ${notesLeft} notes of ${id}, which it removed`);
        return true;
      },
      0,
      false,
    );
  }

  async #pin({ isAtSource, afterMs, forMs }: Intent & { kind: "pin" }): Promise<void> {
    const { times } = this.#world.promoting;
    await this.#awaitUntil(MOMENT_MS_MAX, () => this.#world.promoting.times > times);
    if (this.#world.promoting.times === times) return;
    await this.#sleep(afterMs);
    const target = this.#world.object(this.#world.promoting.name);
    const id = target.promotedIds()[0];
    if (id === undefined) return;
    const source = [...this.#world.objects.values()].find(
      (object) => object !== target && object.holds(id),
    );
    const holder = isAtSource ? source : target;
    try {
      if (!(await holder?.stray((store) => store.pin(id)))) return;
      await this.#sleep(forMs);
      await holder?.stray((store) => {
        store.unpin(id);
      });
    } catch (error) {
      if (!hasExpectedEnd(error) && !String(error).includes("shardctl: "))
        this.#world.violate(`${this.#name} pin ${id}: ${String(error)}`);
    }
  }

  #route(
    id: string,
    grp: string,
    deal: boolean,
    method: string,
    args: readonly unknown[],
    fits?: (layout: Layout) => boolean,
  ): Promise<unknown> {
    return routeItem(
      this.#router,
      { id, grp, deal, method, args, isNew: STORES.has(method) },
      fits,
    );
  }

  /** `ownMs`: how long the method itself takes. */
  async #record(
    key: string,
    op: Op,
    work: () => Promise<unknown>,
    ownMs = 0,
    isRouted = true,
  ): Promise<Entry | "dropped"> {
    const entry = this.#history.begin(this.#name, key, op);
    this.#unanswered = 0;
    this.#ranOn = [];
    const { scheduler } = this.#world.options;
    const askedAt = scheduler.now;
    try {
      this.#history.end(entry, await work(), this.#ranOn.slice(-1));
      this.#checkWait(`${op.kind}(${key})`, scheduler.now - askedAt - ownMs);
    } catch (error) {
      if (isRouted) this.#checkGuards(`${op.kind}(${key})`, error);
      const isRefused = [GUARDED, NOT_HERE, RIVAL_IN_THE_WAY, DISK_IS_FULL].some((message) =>
        String(error).includes(message),
      );
      const hasNotRun = isRefused || (this.#unanswered === 0 && hasExpectedEnd(error));
      if (hasNotRun) {
        this.#world.trace(() => `${this.#name} ${op.kind}(${key}) has not run: ${String(error)}`);
        this.#history.drop(entry);
        return "dropped";
      }
      if (!hasExpectedEnd(error))
        this.#world.violate(`${this.#name} ${op.kind}(${key}): ${String(error)}`);
      this.#world.trace(() => `${this.#name} ${op.kind}(${key}) is unknown: ${String(error)}`);
      return entry;
    }
    this.#world.trace(() => `${this.#name} ${op.kind}(${key}) = ${JSON.stringify(entry.result)}`);
    return entry;
  }

  /** Where no fault strikes, only a fence makes callers wait, and never for a call that runs. */
  #checkWait(what: string, waitedMs: number): void {
    if (this.#world.isCalm && waitedMs > WAIT_MS_MAX)
      this.#world.violate(`${this.#name} ${what} waited ${waitedMs} ms`);
  }

  #groupOf(id: string): string | null {
    const known = this.#groups.get(id);
    return known === undefined ? groupOf(id) : known;
  }

  /** Sees which calls of methods got no answer. */
  #watchedPeers(): Peers {
    const peers = this.#world.clientPeers(this.#name);
    return {
      send: async (member, envelope) => {
        const { request } = envelope;
        const { kind } = request;
        if (kind === "call" || kind === "admit") await this.#straggle(member);
        const sentAt = this.#world.options.scheduler.steps;
        try {
          const reply = await peers.send(member, envelope);
          if (reply.ok && (request.kind === "call" || request.kind === "query")) {
            this.#ranOn.push({ member, epoch: request.epoch });
            this.#world.setbacks.answered(member, request.epoch, sentAt);
          }
          return reply;
        } catch (error) {
          if (kind === "call" && error instanceof Unreachable) this.#unanswered++;
          throw error;
        }
      },
    };
  }

  async #awaitUntil(waitMsMax: number, isNow: () => boolean): Promise<void> {
    await this.#world.options.scheduler.until(isNow, POLL_MS, waitMsMax);
  }

  #sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.#world.options.scheduler.at(delayMs, resolve);
    });
  }
}

function hasExpectedEnd(error: unknown): boolean {
  return (
    error instanceof Unreachable ||
    error instanceof RefusedError ||
    error instanceof LayoutChanged ||
    String(error).includes(DISK_IS_FULL) ||
    // Of a call to all members: it says where it has run, and why it could not on the others.
    String(error).endsWith(HAVE_MOVED) ||
    (error instanceof Error && error.cause !== undefined && hasExpectedEnd(error.cause))
  );
}
