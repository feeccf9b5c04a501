/**
 * Objects that went back to an earlier moment, or lost everything, and what may be lost for it.
 *
 * | an item that, by the newest layout of that moment   | may be from then on                                                        |
 * |-----------------------------------------------------|----------------------------------------------------------------------------|
 * | the object owned then, and at the earlier moment    | what it was at the earlier moment                                          |
 * | the object owned then, and not at the earlier one   | gone, or what the object had of it, once a repair has named that as lost   |
 * | the object was to own, by an operation that ran     | gone, once a repair has named that as lost                                 |
 * | another object owned                                | what it was: nothing is lost                                               |
 *
 * Callers that still have the layout of the earlier moment are answered by such an object until it
 * has heard of a newer one: what they do to items of others has happened on that object alone, and
 * what they have stored there is set aside.
 */
import type { Layout } from "../../src/model/layout/layout.ts";
import { toKey } from "../../src/model/layout/key.ts";
import { createOwnerLookup } from "../../src/model/layout/owner-lookup.ts";
import { ownsSamePart } from "../../src/model/layout/own-part.ts";
import type { Router } from "../../src/shards/router.ts";
import { textOf } from "../../src/shards/storage/storage.ts";
import type { Moving } from "../../src/shards/move/moving.ts";
import type { Membership } from "../../src/shards/member/membership.ts";
import {
  type Peeked,
  hasTable,
  asideOf,
  epochOf as peekEpoch,
  registryOf,
  readMeta,
  viewsOf,
} from "./peek.ts";
import { type Entry, type History, type ItemState, keyOfView } from "./history.ts";
import { checkKey } from "./linearizable.ts";
import type { SimObject } from "./object.ts";
import { groupOf } from "./scenario.ts";
import type { Snapshot } from "./storage.ts";
import type { View } from "./store.ts";

/** The part of the world that setbacks are told of, and tell. */
interface StruckWorld extends Peeked {
  trace(line: () => string): void;
  strike(fault: string): void;
  violate(message: string): void;
}

interface Truth {
  readonly epoch: number;
  readonly layout: Layout;
}

interface Setback {
  readonly member: string;
  /** Scheduler steps. */
  readonly step: number;
  /** The membership that the object knows from then on; null for none. */
  readonly knew: Membership | null;
  readonly wasMoving: boolean;
  /** The layout to which an operation was moving that it took part in until then; null for none. */
  readonly awaited: Layout | null;
  /** By what all know together. */
  readonly truth: Truth;
  readonly had: ReadonlyMap<string, View>;
  readonly kept: ReadonlyMap<string, View>;
  /**
   * The root has committed an epoch of which nobody may have heard: it may be gone with it, or not.
   */
  readonly isUnheard: boolean;
  mendedAt: number;
}

/** The copy of an item that a source has sent, and then lost with its storage. */
interface Copy {
  readonly id: string;
  readonly source: string;
  readonly target: string;
  /** Scheduler steps. */
  readonly step: number;
}

export class Setbacks {
  readonly all: Setback[] = [];
  /** Members whose losses a repair has named, and somebody has accepted. */
  readonly accepted = new Set<string>();
  /** Callers that have heard of an epoch which the root has lost. */
  readonly callers: Router[] = [];
  /** When the last of them was struck, by the virtual clock. */
  lastAt = 0;
  readonly #world: StruckWorld;
  /** Copies of lost items, durable at targets that have not gone back themselves. */
  readonly #copies: Copy[] = [];

  constructor(world: StruckWorld) {
    this.#world = world;
  }

  /** Takes the object back; with null it loses everything. */
  strike(object: SimObject, snapshot: Snapshot | null): void {
    const { options } = this.#world;
    this.lastAt = options.scheduler.now;
    object.crash("it will be taken back");
    const truth = truthOf(this.#world);
    const had = byKey(viewsOf(object));
    const awaited = readMeta<Moving>(object, "moving")?.to ?? null;
    if (snapshot === null) this.#copies.push(...this.#copiesFrom(object.name));
    object.restore(snapshot);
    const knew = readMeta<Membership>(object, "membership") ?? null;
    this.all.push({
      member: object.name,
      step: options.scheduler.steps,
      knew,
      wasMoving: readMeta(object, "moving") !== undefined,
      awaited,
      truth,
      had,
      kept: byKey(viewsOf(object)),
      isUnheard:
        object.name === options.namespace &&
        truth.epoch > 0 &&
        heardEpoch(this.#world, object) < truth.epoch,
      mendedAt: Infinity,
    });
    this.#world.trace(
      () => `${object.name} is back at epoch ${knew?.epoch ?? "none"}, of ${truth.epoch}`,
    );
    this.#world.strike(snapshot === null ? "storage" : "restore");
  }

  /** A repair tells the object what it owns. */
  mend(member: string): void {
    for (const setback of this.all)
      if (setback.member === member)
        setback.mendedAt = Math.min(setback.mendedAt, this.#world.options.scheduler.steps);
  }

  hasStruck(member: string): boolean {
    return this.all.some((setback) => setback.member === member);
  }

  /**
   * A routed call has run: an object that is told of a newer epoch knows that it cannot know what
   * is its own.
   */
  answered(member: string, epoch: number, sentAt: number): void {
    for (const { knew, truth, wasMoving, mendedAt, ...setback } of this.all) {
      if (
        setback.member !== member ||
        setback.isUnheard ||
        wasMoving ||
        sentAt <= setback.step ||
        mendedAt < Infinity
      )
        continue;
      const before = knew?.layout ?? null;
      const isSame =
        before === null
          ? !truth.layout.members.includes(member)
          : ownsSamePart(member, before, truth.layout);
      const isRoot = member === this.#world.options.namespace;
      if (isSame || epoch === epochOf(knew) || (isRoot && hasTaken(this.#world, truth.epoch)))
        continue;
      this.#world.violate(
        `${member} has answered at epoch ${epoch}, although it went back to ${epochOf(knew)} and is not repaired`,
      );
    }
  }

  /**
   * True when every object that went back has its part of the newest layout again, or is no member.
   */
  get isOver(): boolean {
    const { layout } = truthOf(this.#world);
    return this.all.every(({ member }) => {
      if (!layout.members.includes(member)) return true;
      const membership = readMeta<Membership>(this.#world.object(member), "membership");
      if (!membership) return layout.kind === "none" && layout.generation === 0;
      return membership.trouble === undefined && ownsSamePart(member, membership.layout, layout);
    });
  }

  /**
   * Adds to the history what may be lost, and takes out of it what has happened elsewhere. Gives
   * what is wrong.
   */
  judge(history: History, keys: readonly string[]): string[] {
    const flaws: string[] = [];
    if (this.isUnknown) return [];
    for (const setback of this.all) {
      for (const key of keys) {
        const states = this.#statesOf(setback, key);
        if (states.length > 0) history.goesBack(setback.member, key, setback.step, states);
      }
      flaws.push(...this.#judgeAstray(setback, history, keys));
    }
    return [...flaws, ...this.#judgeCopies(history)];
  }

  #copiesFrom(source: string): Copy[] {
    // The sources have said that they have their rows, and it ends by that.
    if (this.#isEnding()) return [];
    const step = this.#world.options.scheduler.steps;
    return [...this.#world.objects.values()]
      .filter((object) => object.name !== source && !object.storage.isDirty)
      .flatMap((object) =>
        this.#idsFrom(source, object).map((id) => ({ id, source, target: object.name, step })),
      );
  }

  #isEnding(): boolean {
    const root = this.#world.object(this.#world.options.namespace);
    if (!hasTable(root, "shardctl_operations")) return false;
    const newest =
      "SELECT state, json_extract(record, '$.step') AS step FROM shardctl_operations ORDER BY id DESC LIMIT 1";
    const [last] = root.storage.peek(newest);
    return last !== undefined && (last["state"] !== "running" || last["step"] === "cleanUp");
  }

  /** Items that came from a source and wait on a target: staged, or in the tables of a swap. */
  #idsFrom(source: string, target: SimObject): string[] {
    const { storage } = target;
    if (hasTable(target, "shardctl_stage_items"))
      return storage
        .peek("SELECT id FROM shardctl_stage_items WHERE shardctl_source = ?", source)
        .map(({ id }) => textOf(id));
    const moving = readMeta<Moving>(target, "moving");
    const membership = readMeta<Membership>(target, "membership");
    if (moving?.mode !== "swap" || !moving.isTarget || membership?.serving !== false) return [];
    return viewsOf(target)
      .map(({ id }) => id)
      .filter((id) => this.#owns(moving.from, source, id));
  }

  /** A copy of a lost item is live or set aside, unless somebody has deleted the item. */
  #judgeCopies(history: History): string[] {
    const deleted = new Set(
      history.entries.filter(({ op }) => op.kind === "remove").map(({ key }) => key.split("@")[0]),
    );
    const kept = [...this.#world.objects.values()].flatMap((object) => [
      ...viewsOf(object),
      ...asideOf(object),
    ]);
    const ids = new Set(kept.map(({ id }) => id));
    return this.#copies
      .filter(({ id, target, step }) => {
        const hasGoneBack = this.all.some((other) => other.member === target && other.step >= step);
        return !ids.has(id) && !hasGoneBack && !deleted.has(id);
      })
      .map(({ id, source, target }) => `${target} has dropped ${id}, which ${source} has lost`);
  }

  /** True where what is lost is not known: nothing but its end can be judged. */
  get isUnknown(): boolean {
    return this.all.some(({ isUnheard }) => isUnheard);
  }

  #statesOf({ member, knew, truth, kept, had, awaited }: Setback, key: string): ItemState[] {
    if (!this.#owns(truth.layout, member, key)) {
      // Between the last look at a target and the commit by which the item became its own.
      const isLate = awaited !== null && this.#owns(awaited, member, key);
      return isLate && this.accepted.has(member) ? [null] : [];
    }
    const after = stateOf(kept.get(key));
    if (this.#ownedThen(member, knew, key)) return kept.has(key) || had.has(key) ? [after] : [];
    return this.accepted.has(member) ? [null, after] : [];
  }

  #ownedThen(member: string, knew: Membership | null, key: string): boolean {
    // A root without any record serves its namespace as unsharded.
    if (knew === null) return member === this.#world.options.namespace;
    return this.#owns(knew.layout, member, key);
  }

  #owns(layout: Layout, member: string, key: string): boolean {
    if (!layout.members.includes(member)) return false;
    if (layout.kind === "none") return true;
    if (layout.kind === "roundRobin")
      throw new Error("Nobody goes back where a directory deals owners");
    return (
      createOwnerLookup(
        layout,
        this.#world.options.partitioners,
      )(toKey(layout.shardKey === "grp" ? groupOf(key) : key)) === member
    );
  }

  #judgeAstray(setback: Setback, history: History, keys: readonly string[]): string[] {
    const { member, knew, truth, kept } = setback;
    if (epochOf(knew) >= truth.epoch) return [];
    // Rows that it has set aside may be gone with a later one.
    const isLast = this.all.findLast((other) => other.member === member) === setback;
    const flaws: string[] = [];
    for (const key of keys) {
      if (this.#owns(truth.layout, member, key)) continue;
      const maybe = history.entries.filter(
        (entry) => entry.key === key && isAstray(setback, entry),
      );
      // A call that was under way may have been answered before it went back, or after.
      for (const entry of maybe) if (entry.invokedAt < setback.step) entry.returnedAt = Infinity;
      const astray = maybe.filter(({ invokedAt }) => invokedAt >= setback.step);
      for (const entry of astray) history.drop(entry);
      const stored = astray.filter(({ op }) => op.kind !== "get");
      if (stored.length === 0 || !isLast) continue;
      const aside = asideOf(this.#world.object(member)).filter((view) => keyOfView(view) === key);
      const unknown = history.entries.filter(
        (entry) => entry.key === key && entry.returnedAt === Infinity,
      );
      const flaw = checkAside(key, stateOf(kept.get(key)), [...astray, ...unknown], aside);
      if (flaw) flaws.push(`${member} went back, and ${flaw}`);
    }
    return flaws;
  }
}

/** Done by the object that went back, for a caller of its own epoch, to an item of another. */
function isAstray(
  { member, step, knew, mendedAt }: Setback,
  { ranOn, invokedAt, returnedAt }: Entry,
): boolean {
  const isThen = returnedAt > step && returnedAt < Infinity && invokedAt < mendedAt;
  return isThen && ranOn.some((ran) => ran.member === member && ran.epoch === epochOf(knew));
}

/** Null when one of the rows that were set aside, or none, is what the calls have made of it. */
function checkAside(
  key: string,
  kept: ItemState,
  entries: readonly Entry[],
  aside: readonly View[],
): string | null {
  let flaw: string | null = null;
  for (const view of [null, ...aside]) {
    const last: Entry = {
      key,
      client: "aside",
      op: { kind: "get" },
      invokedAt: Number.MAX_SAFE_INTEGER - 1,
      returnedAt: Number.MAX_SAFE_INTEGER,
      result: view,
      ranOn: [],
    };
    flaw = checkKey(key, kept, [...entries, last]);
    if (flaw === null) return null;
  }
  return flaw;
}

function epochOf(knew: Membership | null): number {
  return knew?.epoch ?? 0;
}

/** True when the root's registry is at this epoch, or at a newer one. */
function hasTaken(world: Peeked, epoch: number): boolean {
  return registryOf(world).epoch >= epoch;
}

/** The newest epoch and layout that any object has stored. */
export function truthOf(world: Peeked): Truth {
  const known = [...world.objects.values()].flatMap(
    (object) => readMeta<Membership>(object, "membership") ?? [],
  );
  return known.reduce(
    (newest: Truth, { epoch, layout }) => (epoch > newest.epoch ? { epoch, layout } : newest),
    registryOf(world),
  );
}

function heardEpoch(world: Peeked, root: SimObject): number {
  const others = [...world.objects.values()].filter((object) => object !== root);
  return Math.max(0, ...others.map((object) => peekEpoch(object)));
}

function byKey(views: readonly View[]): ReadonlyMap<string, View> {
  return new Map(views.map((view) => [keyOfView(view), view]));
}

function stateOf(view: View | undefined): ItemState {
  return view === undefined ? null : { grp: view.grp, n: view.n, tag: view.tag, notes: view.notes };
}
