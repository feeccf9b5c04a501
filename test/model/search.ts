// Breadth-first search over every reachable state of a model, exact: a state is stored as its whole byte encoding, never as a hash of it, so
// that "no violation" means that no state was skipped. Because the search is breadth-first, the first violation has a shortest trace.
// Labels are not stored: a trace is rebuilt by asking each parent again which of its steps leads to the child. Memory per state is the
// encoding, four bytes for the parent and about eight for the index.
// With `mustEnd` it also looks for states from which no step, however lucky, leads to the end: whoever is in one waits forever.

/** A finite protocol to search. `S` is a plain value; `next` must not change the state that it is given. */
export interface Model<S> {
  readonly initial: S;
  /** Bytes of one encoded state; a multiple of four. */
  readonly widthBytes: number;
  readonly encode: (state: S, into: Uint8Array) => void;
  readonly decode: (from: Uint8Array) => S;
  /** Calls `emit` for every step that is possible in `state`. */
  readonly next: (state: S, emit: Emit<S>) => void;
  /** What is wrong with `state`, or undefined. */
  readonly violation: (state: S) => string | undefined;
  /** True when the protocol has run to its end in `state`. Counted, so that a run that proves nothing is seen. */
  readonly ended: (state: S) => boolean;
  /** One line about a message, for traces. */
  readonly describe: (message: number) => string;
}

/** `text` says what happens; `message` (0 = none) is the message that is sent, delivered or lost by it. */
export type Emit<S> = (text: string, message: number, state: S) => void;

export interface SearchResult {
  readonly states: number;
  readonly ended: number;
  /** Steps from the initial state to the farthest state seen. */
  readonly depth: number;
  /** True when every reachable state was visited; false when `statesMax` ended the search or a violation was found. */
  readonly complete: boolean;
  readonly violation: { readonly what: string; readonly trace: readonly string[] } | undefined;
}

const NONE = 0xffffffff;
const CHUNK_STATES = 1 << 16;

/** Searches at most `statesMax` states; `mustEnd` takes a few passes more over all of them, and only after a complete search. */
export function search<S>(model: Model<S>, statesMax: number, mustEnd = false): SearchResult {
  const store = new StateStore(model.widthBytes);
  const scratch = new Uint8Array(model.widthBytes);
  let parent = 0;
  let ended = 0;
  let depth = 0;
  let depthEnd = 1;
  const put = (state: S, from: number): void => {
    scratch.fill(0);
    model.encode(state, scratch);
    store.add(scratch, from);
  };
  const emit: Emit<S> = (_text, _message, state) => put(state, parent);
  put(model.initial, NONE);
  for (parent = 0; parent < store.size; parent++) {
    if (parent === depthEnd) {
      depth++;
      depthEnd = store.size;
    }
    const state = model.decode(store.read(parent));
    const what = model.violation(state);
    if (what !== undefined)
      return { states: store.size, ended, depth, complete: false, violation: { what, trace: traceTo(model, store, parent) } };
    if (model.ended(state)) ended++;
    if (store.size >= statesMax) return { states: store.size, ended, depth, complete: false, violation: undefined };
    model.next(state, emit);
  }
  const stuck = mustEnd ? findStuck(model, store) : undefined;
  const violation = stuck === undefined ? undefined : { what: STUCK, trace: traceTo(model, store, stuck) };
  return { states: store.size, ended, depth, complete: true, violation };
}

export const STUCK = "from here the operation can never end, though nothing fails any more";

/** The first state from which no ended state can be reached: marks backwards, in passes from the last state to the first, until nothing changes. */
function findStuck<S>(model: Model<S>, store: StateStore): number | undefined {
  const canEnd = new Uint8Array(store.size);
  const scratch = new Uint8Array(model.widthBytes);
  let reaches = false;
  const emit: Emit<S> = (_text, _message, state) => {
    if (reaches) return;
    scratch.fill(0);
    model.encode(state, scratch);
    reaches = canEnd[store.find(scratch)] === 1;
  };
  for (let changed = true; changed;) {
    changed = false;
    for (let index = store.size - 1; index >= 0; index--) {
      if (canEnd[index] === 1) continue;
      const state = model.decode(store.read(index));
      reaches = model.ended(state);
      if (!reaches) model.next(state, emit);
      if (!reaches) continue;
      canEnd[index] = 1;
      changed = true;
    }
  }
  const stuck = canEnd.indexOf(0);
  return stuck === -1 ? undefined : stuck;
}

function traceTo<S>(model: Model<S>, store: StateStore, index: number): string[] {
  const trace: string[] = [];
  const scratch = new Uint8Array(model.widthBytes);
  for (let child = index; store.parentOf(child) !== NONE; child = store.parentOf(child)) {
    const wanted = store.read(child).slice();
    let label: string | undefined;
    model.next(model.decode(store.read(store.parentOf(child))), (text, message, state) => {
      if (label !== undefined) return;
      scratch.fill(0);
      model.encode(state, scratch);
      if (scratch.every((byte, at) => byte === wanted[at])) label = message === 0 ? text : `${text}: ${model.describe(message)}`;
    });
    if (label === undefined)
      throw new Error(
        `no step of state ${store.parentOf(child)} leads to its child ${child}: next() is not a function of the state`,
      );
    trace.push(label);
  }
  return trace.toReversed();
}

/** An append-only set of fixed-width byte strings with the index of each one's parent. */
class StateStore {
  size = 0;
  private readonly words: number;
  private readonly chunks: Uint32Array[] = [];
  private parents = new Uint32Array(CHUNK_STATES);
  private table = new Uint32Array(CHUNK_STATES * 2).fill(NONE);

  constructor(widthBytes: number) {
    if (widthBytes % 4 !== 0) throw new Error(`the width of a state must be a multiple of 4 bytes, not ${widthBytes}`);
    this.words = widthBytes / 4;
  }

  /** Adds `bytes` unless it is known already. */
  add(bytes: Uint8Array, parent: number): void {
    const words = new Uint32Array(bytes.buffer, bytes.byteOffset, this.words);
    if (this.size * 2 >= this.table.length) this.grow();
    const mask = this.table.length - 1;
    let slot = hashOf(words, 0, this.words) & mask;
    for (let known = this.table[slot] ?? NONE; known !== NONE; known = this.table[slot] ?? NONE) {
      if (this.equals(known, words)) return;
      slot = (slot + 1) & mask;
    }
    this.table[slot] = this.size;
    if (this.size % CHUNK_STATES === 0) this.chunks.push(new Uint32Array(CHUNK_STATES * this.words));
    this.chunkOf(this.size).set(words, (this.size % CHUNK_STATES) * this.words);
    this.parents[this.size++] = parent;
  }

  /** Index of a state that was added. */
  find(bytes: Uint8Array): number {
    const words = new Uint32Array(bytes.buffer, bytes.byteOffset, this.words);
    const mask = this.table.length - 1;
    for (let slot = hashOf(words, 0, this.words) & mask; ; slot = (slot + 1) & mask) {
      const known = this.table[slot] ?? NONE;
      if (known === NONE) throw new Error("a complete search has not stored a state that one of its states leads to");
      if (this.equals(known, words)) return known;
    }
  }

  read(index: number): Uint8Array {
    const chunk = this.chunkOf(index);
    return new Uint8Array(chunk.buffer, (index % CHUNK_STATES) * this.words * 4, this.words * 4);
  }

  parentOf(index: number): number {
    return this.parents[index] ?? NONE;
  }

  private chunkOf(index: number): Uint32Array {
    const chunk = this.chunks[Math.floor(index / CHUNK_STATES)];
    if (chunk === undefined) throw new Error(`state ${index} was never stored`);
    return chunk;
  }

  private equals(index: number, words: Uint32Array): boolean {
    const chunk = this.chunkOf(index);
    const start = (index % CHUNK_STATES) * this.words;
    for (let at = 0; at < this.words; at++) if (chunk[start + at] !== words[at]) return false;
    return true;
  }

  private grow(): void {
    const table = new Uint32Array(this.table.length * 2).fill(NONE);
    const mask = table.length - 1;
    for (let index = 0; index < this.size; index++) {
      let slot = hashOf(this.chunkOf(index), (index % CHUNK_STATES) * this.words, this.words) & mask;
      while (table[slot] !== NONE) slot = (slot + 1) & mask;
      table[slot] = index;
    }
    this.table = table;
    if (this.parents.length < table.length) {
      const parents = new Uint32Array(table.length);
      parents.set(this.parents);
      this.parents = parents;
    }
  }
}

/** Murmur3's mixing over 32-bit words (Appleby, public domain). */
function hashOf(words: Uint32Array, start: number, count: number): number {
  let hash = 0x9747b28c;
  for (let at = start; at < start + count; at++) {
    let word = Math.imul(words[at] ?? 0, 0xcc9e2d51);
    word = (word << 15) | (word >>> 17);
    hash ^= Math.imul(word, 0x1b873593);
    hash = (hash << 13) | (hash >>> 19);
    hash = (Math.imul(hash, 5) + 0xe6546b64) | 0;
  }
  hash ^= hash >>> 16;
  hash = Math.imul(hash, 0x85ebca6b);
  hash ^= hash >>> 13;
  hash = Math.imul(hash, 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
