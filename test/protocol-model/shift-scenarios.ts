// The situations that the shift model is searched in: small layouts, each with what users and
// storage may do there, and two sizes of bounds.

/** Owner of each key: 0 is A. */
type Layout = readonly number[];

export interface Operation {
  /**
   * It takes the namespace from the layout of epoch `first` to that of epoch `last`, one wave an
   * epoch.
   */
  readonly first: number;
  readonly last: number;
  /** It starts only when the operation before it ended so, at epoch `first`. */
  readonly after?: "done" | "cancelled";
}

export interface Bounds {
  /** Writes of users in all. */
  readonly writes: number;
  /** Pages of one source to one target in one operation. */
  readonly pages: number;
  /** Fence attempts of one operation. */
  readonly attempts: number;
}

export interface Scenario {
  readonly says: string;
  /** By epoch. */
  readonly layouts: readonly Layout[];
  readonly operations: readonly Operation[];
  /** Where the first operation is at the start: later is a smaller search. */
  readonly starts: "unprepared" | "prepared" | "copied";
  /** All members are counted, while they are written to. */
  readonly counts?: boolean;
  /** One write that bypasses the router, to a member that does not own the key. */
  readonly strays?: boolean;
  /** x and y have one unique value: no member can hold both. y is absent at first. */
  readonly rivals?: boolean;
  /** y is a child of x: its foreign key points at it, and deleting x deletes y. */
  readonly family?: boolean;
  /** A source may send the rows of its last page again. */
  readonly repairs?: boolean;
  /**
   * Members whose storage may be full from any moment on, or whose tables do not fit what is
   * staged.
   */
  readonly fillsUp?: readonly number[];
  /** An operation ends although members have not heard of it: they are told later, by a chore. */
  readonly chores?: boolean;
  /** Answers to activations may be lost for good. Elsewhere they are only late. */
  readonly losesAnswers?: boolean;
  /**
   * The epoch of a call is not looked at, only what the member owns by its own. The engine does not
   * do this.
   */
  readonly judgesByOwnLayout?: boolean;
  readonly full: Bounds;
  readonly quick: Bounds;
}

const ONE_OPERATION = [{ first: 0, last: 1 }] as const;
const TWO_WAVES = {
  layouts: [
    [0, 0],
    [1, 0],
    [1, 1],
  ],
  operations: [{ first: 0, last: 2 }],
} as const;

export const SCENARIOS = {
  waves: {
    says: "x moves from A to B in the first wave, y in the second; may be cancelled between them",
    ...TWO_WAVES,
    starts: "prepared",
    losesAnswers: true,
    full: { writes: 2, pages: 2, attempts: 3 },
    quick: { writes: 1, pages: 2, attempts: 2 },
  },
  two: {
    says: "x moves from A to B and y from A to C in one wave",
    layouts: [
      [0, 0],
      [1, 2],
    ],
    operations: ONE_OPERATION,
    starts: "copied",
    full: { writes: 1, pages: 2, attempts: 3 },
    quick: { writes: 0, pages: 1, attempts: 2 },
  },
  exchange: {
    says: "x moves from A to B and y from B to A in one wave: both members are source and target",
    layouts: [
      [0, 1],
      [1, 0],
    ],
    operations: ONE_OPERATION,
    starts: "prepared",
    counts: true,
    full: { writes: 1, pages: 2, attempts: 2 },
    quick: { writes: 0, pages: 1, attempts: 2 },
  },
  count: {
    says: "x moves from A to B while all members are counted; y stays at B, and C has no part in it",
    layouts: [
      [0, 1, 2],
      [1, 1, 2],
    ],
    operations: ONE_OPERATION,
    starts: "copied",
    counts: true,
    full: { writes: 2, pages: 2, attempts: 2 },
    quick: { writes: 1, pages: 2, attempts: 1 },
  },
  again: {
    says: "an operation that moves x from A to B is cancelled, and a second one moves it, though members may not have heard of the end of the first",
    layouts: [[0], [1]],
    operations: [
      { first: 0, last: 1 },
      { first: 0, last: 1, after: "cancelled" },
    ],
    starts: "unprepared",
    chores: true,
    full: { writes: 2, pages: 2, attempts: 2 },
    quick: { writes: 1, pages: 2, attempts: 1 },
  },
  resume: {
    says: "as waves, cancelled after the first wave; a second operation moves y after all",
    ...TWO_WAVES,
    operations: [
      { first: 0, last: 2 },
      { first: 1, last: 2, after: "cancelled" },
    ],
    starts: "copied",
    chores: true,
    full: { writes: 1, pages: 2, attempts: 2 },
    quick: { writes: 0, pages: 1, attempts: 2 },
  },
  back: {
    says: "x moves from A to B, and a second operation moves it back",
    layouts: [[0], [1], [0]],
    operations: [
      { first: 0, last: 1 },
      { first: 1, last: 2, after: "done" },
    ],
    starts: "copied",
    chores: true,
    full: { writes: 2, pages: 2, attempts: 2 },
    quick: { writes: 1, pages: 2, attempts: 1 },
  },
  stray: {
    says: "as waves, with one write that bypasses the router",
    ...TWO_WAVES,
    starts: "copied",
    strays: true,
    full: { writes: 1, pages: 3, attempts: 3 },
    quick: { writes: 1, pages: 2, attempts: 2 },
  },
  rivals: {
    says: "x moves from A to B, where y may be put, which has a unique value of x",
    layouts: [
      [0, 1],
      [1, 1],
    ],
    operations: ONE_OPERATION,
    starts: "prepared",
    rivals: true,
    full: { writes: 3, pages: 3, attempts: 2 },
    quick: { writes: 2, pages: 2, attempts: 2 },
  },
  family: {
    says: "x and its child y move from A to B in one wave; deleting x deletes y",
    layouts: [
      [0, 0],
      [1, 1],
    ],
    operations: ONE_OPERATION,
    starts: "copied",
    family: true,
    full: { writes: 3, pages: 3, attempts: 2 },
    quick: { writes: 2, pages: 2, attempts: 2 },
  },
  full: {
    says: "as two, and the storage of B may be full from any moment on, for ever",
    layouts: [
      [0, 0],
      [1, 2],
    ],
    operations: ONE_OPERATION,
    starts: "copied",
    fillsUp: [1],
    full: { writes: 1, pages: 2, attempts: 3 },
    quick: { writes: 0, pages: 1, attempts: 2 },
  },
  fullExchange: {
    says: "as exchange, and the storage of A or of B may be full from any moment on, for ever",
    layouts: [
      [0, 1],
      [1, 0],
    ],
    operations: ONE_OPERATION,
    starts: "copied",
    fillsUp: [0, 1],
    full: { writes: 1, pages: 2, attempts: 2 },
    quick: { writes: 0, pages: 1, attempts: 2 },
  },
  own: {
    says: "x moves from A to B, then y from A to C, and calls are judged by what a member owns by its own epoch, not by theirs",
    layouts: [
      [0, 0],
      [1, 0],
      [1, 2],
    ],
    operations: [{ first: 0, last: 2 }],
    starts: "copied",
    judgesByOwnLayout: true,
    full: { writes: 1, pages: 2, attempts: 3 },
    quick: { writes: 1, pages: 2, attempts: 2 },
  },
  repair: {
    says: "x moves from A to B, and A may send the rows of a page again, as it has read them",
    layouts: [[0], [1]],
    operations: ONE_OPERATION,
    starts: "prepared",
    repairs: true,
    full: { writes: 2, pages: 4, attempts: 2 },
    quick: { writes: 1, pages: 4, attempts: 1 },
  },
} as const satisfies Record<string, Scenario>;

export type ScenarioName = keyof typeof SCENARIOS;
