// Lays out a state of the shift model in bytes. What each field means is said here; who changes it,
// and when, is in shift-root.ts, shift-member.ts, shift-copy.ts and shift-users.ts.
//
// Messages are not held one by one. A message that was ever sent may arrive at any later time, any
// number of times, or never, so the network is the set of all messages sent so far, and that set
// follows from what the root and the members have noted: the fields "sent" below. The root has
// nothing to lose in a crash either: an answer that was sent may arrive again.

export type State = Uint8Array;

/** A number of the state, or a row of them, or a table. */
export class Field {
  private readonly start: number;
  private readonly inner: number;

  constructor(start: number, inner: number) {
    this.start = start;
    this.inner = inner;
  }

  get(state: State, row = 0, column = 0): number {
    return state[this.start + row * this.inner + column] ?? 0;
  }

  set(state: State, value: number, row = 0, column = 0): void {
    state[this.start + row * this.inner + column] = value;
  }

  has(state: State, bit: number, row = 0, column = 0): boolean {
    return hasBit(this.get(state, row, column), bit);
  }

  add(state: State, bit: number, row = 0, column = 0): void {
    this.set(state, this.get(state, row, column) | (1 << bit), row, column);
  }
}

export const hasBit = (bits: number, at: number): boolean => ((bits >> at) & 1) === 1;
export const hasAll = (bits: number, wanted: number): boolean => (bits & wanted) === wanted;

/** Phases of the root's journal. The journal is durable: a phase survives every crash. */
export const PREPARE = 0;
/** Prepared, or between attempts: sources copy and catch up. */
export const MOVE = 1;
export const FENCE = 2;
export const COMMITTED = 3;
export const CLEANUP_DONE = 4;
export const CLEANUP_CANCELLED = 5;
export const IDLE_DONE = 6;
export const IDLE_CANCELLED = 7;

/** Messages that the root has sent for an attempt (bits). */
export const FENCE_SENT = 0;
export const PROMOTE_SENT = 1;
export const RELEASE_SENT = 2;

/** Errors found in a step, for `wrong`. */
export const MISCOUNTED = 1;
export const ROW_LOST = 2;

/**
 * Every field is durable unless it says otherwise. Indexes in brackets: m member, k key, p pair of
 * a source and a target, o operation.
 */
export function makeFields(sizes: {
  readonly members: number;
  readonly keys: number;
  readonly pairs: number;
  readonly operations: number;
  readonly attempts: number;
  readonly epochs: number;
  readonly pages: number;
}) {
  const { members, keys, pairs, attempts, epochs, pages } = sizes;
  const operations = sizes.operations + 1;
  let width = 0;
  const field = (rows = 1, columns = 1): Field => {
    const start = width;
    width += rows * columns;
    return new Field(start, columns);
  };
  const fields = {
    /** Number of the operation that runs, or ran last; from 1. */
    operation: field(),
    phase: field(),
    /** The last fence attempt of the operation; it only grows within it, across its waves too. */
    attempt: field(),
    /** The registry's epoch. */
    committed: field(),

    /** [m] The epoch that the member acts by. */
    epoch: field(members),
    /** [m] The highest operation number that it has seen. */
    seen: field(members),
    /** [m] 1 while that operation runs here: capture is installed, pages are taken. */
    active: field(members),
    /** [m] Attempt by which it is fenced, or 0. */
    fence: field(members),
    /** [m] The highest attempt that it knows to be over. */
    released: field(members),
    /**
     * [m] Attempt under whose fence it has made the rows of a wave live that it does not act by
     * yet, or 0.
     */
    promoted: field(members),
    /**
     * [m] 1 at a source and target of one wave that acts by the new epoch and still has its fence
     * and the rows that have left.
     */
    leaving: field(members),
    /** [m] 1 between the two transactions of what a weakened variant has split. */
    half: field(members),
    /**
     * [m] 1 once its storage is full, or its schema has changed: it takes no rows and makes none
     * live, for ever.
     */
    full: field(members),
    /** [m, k] Rows: 0 absent, else the value. */
    live: field(members, keys),
    staged: field(members, keys),

    /** [p] As a source: number of the last page sent. */
    sequence: field(pairs),
    /** [p] As a source: 1 while the last page is not acknowledged. Volatile. */
    outstanding: field(pairs),
    /**
     * [p] Keys (bits) captured since the last page was sent. The first content of the log is every
     * key that moves: the copy.
     */
    captured: field(pairs),
    /**
     * [p] Keys (bits) covered by the page that is on its way. They leave the log with its
     * acknowledgement.
     */
    inPage: field(pairs),
    /** [p] As a target: number of the last page stored. */
    lastSequence: field(pairs),
    /**
     * [p] Sent: 1 when the last page has been acknowledged. Acknowledgements of older ones change
     * nothing.
     */
    acknowledged: field(pairs),
    /**
     * [p, k] The rows of the last page while they may have to be sent again, as in a page.
     * Volatile; kept only where a scenario repairs.
     */
    resendable: field(pairs, keys),

    /** [o, p] Sent: how many pages. */
    pageCount: field(operations, pairs),
    /** [o and p, page] Sent: the number that a page carries. */
    pageNumber: field(operations * pairs, pages),
    /** [o, p and page, k] Sent: 0 not in the page, 1 deleted, else 1 + value. */
    pageRow: field(operations * pairs * pages, keys),
    /** [o, attempt] Sent by the root: see FENCE_SENT. */
    sent: field(operations, attempts + 1),
    /** [o, attempt] The epoch before the wave that it is for. */
    waveEpoch: field(operations, attempts + 1),
    /** [o, attempt] Sent: members (bits) that have answered drained, and promoted. */
    drainedBy: field(operations, attempts + 1),
    promotedBy: field(operations, attempts + 1),
    /** [o] Sent: members (bits) that have answered. */
    preparedBy: field(operations),
    cleanedBy: field(operations),
    /** [o] Sent with the clean-up: the registry's epoch, plus one. */
    cleanUpSent: field(operations),
    /**
     * [epoch] Sent: targets (bits) that act by it; and all others, and targets that were sources
     * too and have deleted.
     */
    actsBy: field(epochs),
    finishedBy: field(epochs),
    /** [epoch] Sent: 1 when all targets act by it, and the others are told. */
    othersTold: field(epochs),

    /** [k] The last executed write of each key, as in `live`. */
    last: field(keys),
    writes: field(),
    strays: field(),
    /**
     * A count that waits for answers: its epoch plus one, members (bits) that have answered, keys
     * (bits) that they have.
     */
    countEpoch: field(),
    countAnswered: field(),
    countSeen: field(),
    /** Keys (bits) that existed at some time, and all the time, since the first answer. */
    countEver: field(),
    countAlways: field(),
    /** See MISCOUNTED and ROW_LOST. */
    wrong: field(),
  } as const;
  return { fields, widthBytes: Math.ceil(width / 4) * 4 };
}

export type Fields = ReturnType<typeof makeFields>["fields"];
