// What the shift model is run on: small situations, each with the layouts of its epochs, and the weakened variants, each of which leaves out one
// rule and names the situation in which that shows. A variant that no search catches would be a rule that nobody needs.
import type { Rule } from "./rules.ts";
import type { MemberIndex } from "./shift-state.ts";

/** Owner of x and of y. */
export type Layout = readonly [MemberIndex, MemberIndex];

export interface Operation {
  /** It takes the namespace from the layout of epoch `first` to that of epoch `last`, one wave an epoch. */
  readonly first: number;
  readonly last: number;
  /** It starts only when the operation before it ended so, at epoch `first`. */
  readonly after?: "done" | "cancelled";
}

export interface Bounds {
  /** Messages in flight at once, at most 4. */
  readonly messages: number;
  /** Writes of users in all. */
  readonly writes: number;
  /** Pages of one source in one operation. */
  readonly pages: number;
  /** Fence attempts of one operation. */
  readonly attempts: number;
}

export interface Scenario {
  readonly says: string;
  /** By epoch. */
  readonly layouts: readonly Layout[];
  readonly operations: readonly Operation[];
  /** Starts after the first operation's prepare step, to keep the search small. */
  readonly prepared: boolean;
  readonly cancels: boolean;
  readonly counts: boolean;
  /** One write that bypasses the router, to a member that does not own the key. */
  readonly strays: boolean;
  /**
   * The targets are fenced and rehearse, as they always are. Left out where nothing can be in the way of a promotion: there a target that
   * serves on is the harder case, and the search is smaller.
   */
  readonly rehearses?: boolean;
  /** x and y have one unique value: no member can hold both. y is absent at first. */
  readonly rivals?: boolean;
  /** A source may send the rows of its last page again. */
  readonly repairs?: boolean;
  readonly full: Bounds;
  readonly quick: Bounds;
}

export const SCENARIOS = {
  waves: {
    says: "x moves from A to B in the first wave, y in the second; may be cancelled between them",
    layouts: [
      [0, 0],
      [1, 0],
      [1, 1],
    ],
    operations: [{ first: 0, last: 2 }],
    prepared: true,
    cancels: true,
    counts: false,
    strays: false,
    full: { messages: 3, writes: 2, pages: 3, attempts: 3 },
    quick: { messages: 1, writes: 1, pages: 3, attempts: 2 },
  },
  exchange: {
    says: "x moves from A to B and y from B to A in one wave: both members are source and target",
    layouts: [
      [0, 1],
      [1, 0],
    ],
    operations: [{ first: 0, last: 1 }],
    prepared: true,
    cancels: true,
    counts: false,
    strays: false,
    full: { messages: 2, writes: 1, pages: 2, attempts: 2 },
    quick: { messages: 1, writes: 1, pages: 2, attempts: 1 },
  },
  count: {
    says: "as waves, while both members are counted; after the first wave y is a key that stays",
    layouts: [
      [0, 0],
      [1, 0],
      [1, 1],
    ],
    operations: [{ first: 0, last: 2 }],
    prepared: true,
    cancels: true,
    counts: true,
    strays: false,
    full: { messages: 3, writes: 2, pages: 3, attempts: 2 },
    quick: { messages: 1, writes: 1, pages: 2, attempts: 1 },
  },
  again: {
    says: "an operation that moves x from A to B is cancelled, and a second one moves it after all",
    layouts: [
      [0, 0],
      [1, 0],
    ],
    operations: [
      { first: 0, last: 1 },
      { first: 0, last: 1, after: "cancelled" },
    ],
    prepared: false,
    cancels: true,
    counts: false,
    strays: false,
    full: { messages: 3, writes: 2, pages: 2, attempts: 2 },
    quick: { messages: 1, writes: 1, pages: 2, attempts: 1 },
  },
  resume: {
    says: "as waves, cancelled after the first wave; a second operation moves y after all",
    layouts: [
      [0, 0],
      [1, 0],
      [1, 1],
    ],
    operations: [
      { first: 0, last: 2 },
      { first: 1, last: 2, after: "cancelled" },
    ],
    prepared: true,
    cancels: true,
    counts: false,
    strays: false,
    full: { messages: 3, writes: 2, pages: 2, attempts: 2 },
    quick: { messages: 1, writes: 1, pages: 2, attempts: 2 },
  },
  back: {
    says: "x moves from A to B, and a second operation moves it back",
    layouts: [
      [0, 0],
      [1, 0],
      [0, 0],
    ],
    operations: [
      { first: 0, last: 1 },
      { first: 1, last: 2, after: "done" },
    ],
    prepared: true,
    cancels: true,
    counts: false,
    strays: false,
    full: { messages: 3, writes: 2, pages: 2, attempts: 2 },
    quick: { messages: 1, writes: 1, pages: 2, attempts: 1 },
  },
  stray: {
    says: "as waves, with one write that bypasses the router",
    layouts: [
      [0, 0],
      [1, 0],
      [1, 1],
    ],
    operations: [{ first: 0, last: 2 }],
    prepared: true,
    cancels: true,
    counts: false,
    strays: true,
    rehearses: true,
    full: { messages: 2, writes: 1, pages: 3, attempts: 3 },
    quick: { messages: 1, writes: 1, pages: 3, attempts: 2 },
  },
  rivals: {
    says: "x moves from A to B, where y may be put, which has a unique value of x",
    layouts: [
      [0, 1],
      [1, 1],
    ],
    operations: [{ first: 0, last: 1 }],
    prepared: true,
    cancels: true,
    counts: false,
    strays: false,
    rehearses: true,
    rivals: true,
    full: { messages: 3, writes: 3, pages: 3, attempts: 3 },
    quick: { messages: 1, writes: 2, pages: 2, attempts: 2 },
  },
  repair: {
    says: "x moves from A to B, and A may send the rows of a page again, as it has read them",
    layouts: [
      [0, 0],
      [1, 0],
    ],
    operations: [{ first: 0, last: 1 }],
    prepared: true,
    cancels: true,
    counts: false,
    strays: false,
    repairs: true,
    full: { messages: 3, writes: 2, pages: 4, attempts: 2 },
    quick: { messages: 1, writes: 1, pages: 4, attempts: 1 },
  },
} as const satisfies Record<string, Scenario>;

export type ScenarioName = keyof typeof SCENARIOS;

/** A wrong read or count, something left behind by an operation that has ended, one that can never end, or a promotion that is impossible. */
export type Breaks = "read" | "count" | "leftover" | "end" | "promotion";

export interface Variant {
  readonly rule: Rule;
  readonly says: string;
  readonly breaks: Breaks;
  readonly scenario: ScenarioName;
  /** Where these differ from the scenario's quick bounds. */
  readonly bounds?: Partial<Bounds>;
  /** False where the search is wide and a cancel adds nothing. */
  readonly cancels?: false;
}

export const SHIFT_VARIANTS = {
  "promotes-all-staged": {
    breaks: "read",
    rule: "waves-apart",
    says: "a wave promotes whatever is staged for keys of its target, those of the wave before among them",
    scenario: "waves",
  },
  "late-activate-promotes": {
    breaks: "read",
    rule: "activate-once",
    says: "a late activation promotes the rows of its wave once more",
    scenario: "waves",
    bounds: { messages: 2, pages: 2 },
    cancels: false,
  },
  "late-activate-deletes": {
    breaks: "read",
    rule: "activate-once",
    says: "a late activation deletes the rows of its wave, whatever the member's epoch",
    scenario: "back",
    bounds: { messages: 2, pages: 2 },
  },
  "late-activate-lifts-fence": {
    breaks: "read",
    rule: "activate-once",
    says: "a late activation lifts whatever fence there is",
    scenario: "waves",
    bounds: { messages: 2, pages: 2 },
    cancels: false,
  },
  "delete-before-cutover": {
    breaks: "read",
    rule: "cutover-first",
    says: "the source deletes the rows of the wave when it is drained, before the root has committed",
    scenario: "waves",
  },
  "unfence-before-delete": {
    breaks: "count",
    rule: "activate-in-one-transaction",
    says: "the source serves at the new epoch first and deletes its rows afterwards",
    scenario: "count",
  },
  "promote-before-epoch": {
    breaks: "count",
    rule: "activate-in-one-transaction",
    says: "the target promotes in one transaction and takes the new epoch in a second one",
    scenario: "count",
  },
  "unfence-by-timer": {
    breaks: "read",
    rule: "fence-until-told",
    says: "a fence lifts by a timer",
    scenario: "waves",
  },
  "fence-lost-in-crash": {
    breaks: "read",
    rule: "fence-until-told",
    says: "a fence is held in memory only",
    scenario: "waves",
  },
  "reads-pass-fence": {
    breaks: "read",
    rule: "fence-until-told",
    says: "a fenced source answers reads",
    scenario: "waves",
  },
  "count-mixes-epochs": {
    breaks: "count",
    rule: "one-epoch-queries",
    says: "a count adds answers of different epochs",
    scenario: "count",
  },
  "stale-epoch-accepted": {
    breaks: "read",
    rule: "one-epoch",
    says: "a member serves a call that was routed by an older epoch",
    scenario: "waves",
  },
  "newer-epoch-served": {
    breaks: "read",
    rule: "one-epoch",
    says: "a member serves a call that was routed by a newer epoch without activating first",
    scenario: "waves",
  },
  "skip-last-drain": {
    breaks: "read",
    rule: "drain-before-cutover",
    says: "a source answers drained while its log is not empty",
    scenario: "waves",
  },
  "drained-while-outstanding": {
    breaks: "read",
    rule: "drain-before-cutover",
    says: "a source answers drained while its last page is not acknowledged",
    scenario: "waves",
  },
  "first-drained-commits": {
    breaks: "read",
    rule: "drain-before-cutover",
    says: "the root commits when the first source of the wave is drained",
    scenario: "exchange",
  },
  "forget-captured-delete": {
    breaks: "read",
    rule: "deletes-are-captured",
    says: "a captured key that is absent is left out of the page",
    scenario: "waves",
  },
  "capture-after-copy": {
    breaks: "read",
    rule: "capture-before-copy",
    says: "writes are captured only after the first page is sent",
    scenario: "waves",
  },
  "log-cleared-at-send": {
    breaks: "read",
    rule: "captured-until-stored",
    says: "captured keys leave the log when the page is sent, and a crash forgets the page",
    scenario: "waves",
  },
  "ack-clears-log": {
    breaks: "read",
    rule: "captured-until-stored",
    says: "an acknowledgement clears the whole log, entries after the page included",
    scenario: "waves",
  },
  "pages-in-parallel": {
    breaks: "read",
    rule: "captured-until-stored",
    says: "a page does not repeat the keys of an unacknowledged one before it, and its acknowledgement is taken for both",
    scenario: "waves",
    bounds: { messages: 2, pages: 2 },
    cancels: false,
  },
  "no-sequence-numbers": {
    breaks: "read",
    rule: "sequence-numbers",
    says: "the target stores pages in the order in which they arrive",
    scenario: "waves",
    bounds: { messages: 2, pages: 2 },
    cancels: false,
  },
  "sequence-lost-in-crash": {
    breaks: "read",
    rule: "sequence-numbers",
    says: "the source counts its pages in memory: after a crash it uses a number twice",
    scenario: "waves",
    bounds: { messages: 2, pages: 2 },
    cancels: false,
  },
  "repair-of-an-older-page": {
    breaks: "read",
    rule: "one-page-at-a-time",
    says: "the rows of a page are sent again although a later page has been read",
    scenario: "repair",
  },
  "targets-not-fenced": {
    breaks: "promotion",
    rule: "targets-fenced",
    says: "only the sources of a wave are fenced: a rival comes to the target after the rehearsal",
    scenario: "rivals",
  },
  "not-rehearsed": {
    breaks: "promotion",
    rule: "rehearsed-under-the-fence",
    says: "the root commits without a rehearsal: a stray row stands where a promoted one is to be",
    scenario: "stray",
  },
  "repeat-unanswered": {
    breaks: "end",
    rule: "repeats-are-answered",
    says: "a member that is active already does not answer a repeated activation",
    scenario: "waves",
  },
  "late-page-after-promote": {
    breaks: "read",
    rule: "no-late-rows",
    says: "promotion forgets the last sequence number with the staged rows, and a late page is staged for the next wave",
    scenario: "waves",
    bounds: { messages: 2, pages: 2 },
    cancels: false,
  },
  "rows-after-rehearsal": {
    breaks: "read",
    rule: "no-late-rows",
    says: "a target takes rows after its rehearsal: a stray write to a key that its source has let go replaces the staged row",
    scenario: "stray",
  },
  "old-drained-counts": {
    breaks: "read",
    rule: "fence-attempts",
    says: "the root counts a drained answer of an older attempt",
    scenario: "waves",
    bounds: { messages: 2, pages: 2 },
    cancels: false,
  },
  "old-fence-replaces-newer": {
    breaks: "read",
    rule: "fence-attempts",
    says: "a late fence call of an older attempt replaces the newer one",
    scenario: "waves",
    bounds: { messages: 2, pages: 2 },
    cancels: false,
  },
  "attempts-restart": {
    breaks: "read",
    rule: "fence-attempts",
    says: "attempts are numbered from 1 again in each wave",
    scenario: "waves",
    bounds: { messages: 2, pages: 2 },
    cancels: false,
  },
  "abort-not-durable": {
    breaks: "read",
    rule: "durable-abort",
    says: "the root tells a source that the attempt is aborted (or cancelled) before its journal says so",
    scenario: "waves",
    bounds: { messages: 2, pages: 2 },
    cancels: false,
  },
  "commit-unchecked": {
    breaks: "read",
    rule: "commit-rechecks-journal",
    says: "the root commits on an answer it had counted, though the attempt was aborted meanwhile",
    scenario: "waves",
  },
  "next-wave-early": {
    breaks: "read",
    rule: "activated-before-next",
    says: "the root starts the next wave before every member has acknowledged the last cutover",
    scenario: "waves",
  },
  "clean-up-early": {
    breaks: "read",
    rule: "activated-before-next",
    says: "a cancel after the cutover cleans up before the target has promoted",
    scenario: "waves",
  },
  "older-operation-accepted": {
    breaks: "read",
    rule: "operation-numbers",
    says: "a member takes the prepare of an older operation for a new one",
    scenario: "again",
    bounds: { messages: 2, pages: 2 },
  },
  "pages-without-operation": {
    breaks: "read",
    rule: "operation-numbers",
    says: "a target takes pages of any operation",
    scenario: "again",
    bounds: { messages: 2, pages: 2 },
  },
  "answers-without-operation": {
    breaks: "read",
    rule: "operation-numbers",
    says: "the root counts a drained answer of an older operation",
    scenario: "again",
    bounds: { messages: 2, pages: 2 },
  },
  "release-without-operation": {
    breaks: "read",
    rule: "operation-numbers",
    says: "the root's answer for an attempt of an older operation lifts the fence of the same attempt of a newer one",
    scenario: "again",
    bounds: { messages: 2, pages: 1, attempts: 2 },
  },
  "clean-up-not-noted": {
    breaks: "leftover",
    rule: "operation-numbers",
    says: "a member that was cleaned up before it had prepared does not note it, and prepares when that call arrives late",
    scenario: "again",
    bounds: { messages: 2, pages: 2 },
  },
  "ended-operation-accepted": {
    breaks: "leftover",
    rule: "operation-numbers",
    says: "a member prepares again for an operation that was cleaned up, and what it installs stays behind",
    scenario: "again",
    bounds: { messages: 2, pages: 2 },
  },
  "prepare-twice": {
    breaks: "read",
    rule: "prepare-once",
    says: "a repeated prepare empties the staging and the log again",
    scenario: "again",
    bounds: { messages: 2, pages: 2 },
  },
} as const satisfies Record<string, Variant>;

export type ShiftVariant = keyof typeof SHIFT_VARIANTS;
/** Which rules are left out. */
export type Weakness = Readonly<Record<ShiftVariant, boolean>>;

export interface World {
  readonly scenario: Scenario;
  readonly bounds: Bounds;
  readonly weak: Weakness;
}

export function makeWorld(scenario: Scenario, bounds: Bounds, variant?: ShiftVariant): World {
  const names = Object.keys(SHIFT_VARIANTS) as ShiftVariant[];
  const weak = Object.fromEntries(names.map((name) => [name, name === variant])) as Record<ShiftVariant, boolean>;
  return { scenario, bounds, weak };
}

/** The owner of a key at an epoch. */
export function ownerOf(world: World, epoch: number, key: number): MemberIndex {
  const owner = world.scenario.layouts[epoch]?.[key];
  if (owner === undefined) throw new Error(`the scenario has no owner of key ${key} at epoch ${epoch}`);
  return owner;
}

export function operationOf(world: World, op: number): Operation {
  const operation = world.scenario.operations[op - 1];
  if (operation === undefined) throw new Error(`the scenario has no operation ${op}`);
  return operation;
}

/** Keys (bits) that leave `member` between two epochs. */
export function keysLeaving(world: World, member: number, first: number, last: number): number {
  let keys = 0;
  for (const key of [0, 1]) if (ownerOf(world, first, key) === member && ownerOf(world, last, key) !== member) keys |= 1 << key;
  return keys;
}

/** Members (bits) that gain a key in the wave after `epoch`. */
export function targetsOfWave(world: World, epoch: number): number {
  return sourcesOfWave(world, epoch) === 0 ? 0 : ([2, 1, 3][sourcesOfWave(world, epoch) - 1] ?? 0);
}

/** Members (bits) that lose a key in the wave after `epoch`. */
export function sourcesOfWave(world: World, epoch: number): number {
  return (keysLeaving(world, 0, epoch, epoch + 1) === 0 ? 0 : 1) | (keysLeaving(world, 1, epoch, epoch + 1) === 0 ? 0 : 2);
}
