// The swap protocol as a searchable model: one key, a root, a source that leaves the layout, a
// target that is new to it. Rows go straight into the target's live table, there is one cutover,
// and afterwards the source serves nothing any more. Messages are delayed, reordered, repeated and
// lost, callers give up and send again, the root and the source crash (everything at the target is
// durable). Clients need no state of their own: at any moment some client holds the layout of
// either epoch, and both are tried. What is checked in every state: whoever would be admitted reads
// the last write executed anywhere; a cancelled operation leaves nothing behind. The rules in
// brackets are those of rules.ts.
import type { Rule } from "./rules.ts";
import type { Emit, Model } from "./search.ts";

const COPY = 0;
const FENCE = 1;
const COMMITTED = 2;
const CANCELLED = 3;

interface Bounds {
  /** Messages in flight at once. */
  readonly messages: number;
  /** Writes of users in all. */
  readonly writes: number;
  readonly pages: number;
  /** Fence attempts. */
  readonly attempts: number;
}

export interface SwapState {
  /**
   * `heard` is volatile: 1 when the source has answered copied (in COPY) or drained (in FENCE); 2
   * only in the variant `commit-unchecked`.
   */
  root: { phase: number; attempt: number; heard: number };
  source: {
    /** 1 once it has left the layout. */
    retired: number;
    /** 1 once it knows that the operation was cancelled. */
    ended: number;
    value: number;
    fence: number;
    released: number;
    /** 1 once the copy has started. */
    copying: number;
    /** The key is in the log: not yet in a page, or covered by the page on its way. */
    captured: number;
    inPage: number;
    seq: number;
    /** Volatile. */
    outstanding: number;
  };
  target: { active: number; ended: number; value: number; lastSeq: number };
  last: number;
  writes: number;
  bag: number[];
}

export const SWAP_BOUNDS = {
  full: { messages: 3, writes: 2, pages: 4, attempts: 3 },
  quick: { messages: 2, writes: 2, pages: 3, attempts: 2 },
} as const satisfies Record<string, Bounds>;

export const SWAP_VARIANTS = {
  "no-sequence-numbers": {
    rule: "sequence-numbers",
    says: "the target stores pages in the order in which they arrive",
  },
  "late-rows": { rule: "no-late-rows", says: "a target that serves still takes rows of the move" },
  "abort-not-durable": {
    rule: "durable-abort",
    says: "the root answers aborted before its journal says so",
  },
  "unfence-by-timer": { rule: "fence-until-told", says: "a fence lifts by a timer" },
  "attempts-ignored": {
    rule: "fence-attempts",
    says: "the root counts a drained answer of an older attempt",
  },
  "old-fence-replaces-newer": {
    rule: "fence-attempts",
    says: "a late fence call of an older attempt replaces the newer one",
  },
  "sequence-lost-in-crash": {
    rule: "sequence-numbers",
    says: "the source counts its pages in memory: after a crash it uses a number twice",
  },
  "fence-lost-in-crash": { rule: "fence-until-told", says: "a fence is held in memory only" },
  "log-cleared-at-send": {
    rule: "captured-until-stored",
    says: "the key leaves the log (or the cursor moves) when the page is sent, and a crash forgets the page",
  },
  "ack-clears-log": {
    rule: "captured-until-stored",
    says: "an acknowledgement also clears what was captured after its page",
  },
  "skip-last-drain": {
    rule: "drain-before-cutover",
    says: "the source answers drained while its log is not empty",
  },
  "commit-unchecked": {
    rule: "commit-rechecks-journal",
    says: "the root commits on an answer it had heard, though the attempt was aborted meanwhile",
  },
  "ended-operation-accepted": {
    rule: "operation-numbers",
    says: "a target still takes rows of an operation that was cancelled, and they stay behind",
  },
  "source-serves-on": {
    rule: "one-epoch",
    says: "a source that was told of the cutover still serves calls of the older epoch",
  },
  "activate-at-drain": {
    rule: "cutover-first",
    says: "the target serves as soon as the root has heard that the source is drained, before the commit",
  },
} as const satisfies Record<string, { rule: Rule; says: string }>;

export type SwapVariant = keyof typeof SWAP_VARIANTS;
interface World {
  readonly bounds: Bounds;
  readonly weak: Readonly<Record<SwapVariant, boolean>>;
}

export function swapModel(bounds: Bounds, variant?: SwapVariant): Model<SwapState> {
  const names = Object.keys(SWAP_VARIANTS) as SwapVariant[];
  const world: World = {
    bounds,
    weak: Object.fromEntries(names.map((name) => [name, name === variant])) as Record<
      SwapVariant,
      boolean
    >,
  };
  return {
    initial: {
      root: { phase: COPY, attempt: 1, heard: 0 },
      source: {
        retired: 0,
        ended: 0,
        value: 1,
        fence: 0,
        released: 0,
        copying: 0,
        captured: 0,
        inPage: 0,
        seq: 0,
        outstanding: 0,
      },
      target: { active: 0, ended: 0, value: 0, lastSeq: 0 },
      last: 1,
      writes: 0,
      bag: [],
    },
    widthBytes: WIDTH_BYTES,
    encode,
    decode,
    next: (state, emit) => nextStates(world, state, emit),
    violation: (state) => wrongRead(world, state) ?? leftover(state),
    ended: (state) => hasEnded(state),
    describe,
  };
}

const SAYS = {
  copy: () => "root to source: copy",
  copied: () => "source to root: copied",
  page: (number: number, value: number) => `source to target: page ${number} (value ${value})`,
  ack: (number: number) => `target to source: page ${number} stored`,
  fence: (number: number) => `root to source: fence, attempt ${number}`,
  drained: (number: number) => `source to root: drained, attempt ${number}`,
  ask: (number: number) => `source to root: what became of attempt ${number}?`,
  release: (number: number) => `root to source: attempt ${number} is aborted`,
  activate: () => "root to target: activate",
  retire: () => "root to source: epoch 1 is committed",
  cancelSource: () => "root to source: the operation is cancelled",
  cancelTarget: () => "root to target: the operation is cancelled",
} as const;
type Kind = keyof typeof SAYS;
const KINDS = Object.keys(SAYS) as Kind[];

const pack = (kind: Kind, number = 0, value = 0): number =>
  (KINDS.indexOf(kind) + 1) | (number << 8) | (value << 16);
function unpack(message: number): { kind: Kind; number: number; value: number } {
  const kind = KINDS[(message & 255) - 1];
  if (kind === undefined) throw new Error(`${message} is not a message`);
  return { kind, number: (message >> 8) & 255, value: message >> 16 };
}
function describe(message: number): string {
  const { kind, number, value } = unpack(message);
  return SAYS[kind](number, value);
}

function copyState(state: SwapState): SwapState {
  return {
    ...state,
    root: { ...state.root },
    source: { ...state.source },
    target: { ...state.target },
    bag: state.bag.slice(),
  };
}

function post(world: World, state: SwapState, message: number): boolean {
  if (state.bag.includes(message)) return true;
  if (state.bag.length >= Math.min(world.bounds.messages, BAG_MAX)) return false;
  state.bag.push(message);
  state.bag.sort((one, other) => one - other);
  return true;
}

function nextStates(world: World, state: SwapState, emit: Emit<SwapState>): void {
  for (const message of state.bag) deliver(world, state, message, emit);
  rootActs(world, state, emit);
  sourceActs(world, state, emit);
  usersWrite(world, state, emit);
}

/** Answers of a handler: a message, 0 for none, IGNORED when nothing changes. */
const IGNORED = -1;

function deliver(world: World, state: SwapState, message: number, emit: Emit<SwapState>): void {
  const rest = state.bag.filter((other) => other !== message);
  emit("lost", message, { ...state, bag: rest });
  for (const again of [false, true]) {
    const to = copyState(state);
    if (!again) to.bag = rest.slice();
    const answer = receive(world, to, message);
    if (answer === IGNORED) return;
    if (answer === 0 || post(world, to, answer))
      emit(again ? "arrives (a copy of it is still on its way)" : "arrives", message, to);
  }
}

function receive(world: World, state: SwapState, message: number): number {
  const { kind, number, value } = unpack(message);
  switch (kind) {
    case "copy":
      return receiveCopy(world, state);
    case "page":
      return receivePage(world, state.target, number, value);
    case "ack":
      return receiveAck(world, state.source, number);
    case "fence":
      return receiveFence(world, state.source, number);
    case "release":
      return receiveRelease(state.source, number);
    case "retire":
      return receiveRetire(world, state.source);
    case "cancelSource":
      return receiveCancel(state.source);
    case "cancelTarget":
      if (state.target.ended === 1) return IGNORED;
      state.target.ended = 1;
      state.target.value = 0;
      return 0;
    case "activate":
      if (state.target.active === 1) return IGNORED;
      state.target.active = 1;
      return 0;
    case "copied":
      if (state.root.phase !== COPY || state.root.heard === 1) return IGNORED;
      state.root.heard = 1;
      return 0;
    case "drained":
      return rootHearsDrained(world, state.root, number);
    case "ask":
      return answerQuestion(world, state.root, number);
    default:
      return kind satisfies never;
  }
}

/**
 * The key is read and sent as the first page; it stays in the log until that page is stored.
 * [captured-until-stored]
 */
function receiveCopy(world: World, state: SwapState): number {
  const { source } = state;
  if (source.retired === 1 || source.ended === 1) return IGNORED;
  if (source.copying === 1)
    return source.captured === 0 && source.inPage === 0 && source.outstanding === 0
      ? pack("copied")
      : IGNORED;
  source.copying = 1;
  return sendPage(world, source);
}

/** [sequence-numbers] */
function sendPage(world: World, source: SwapState["source"]): number {
  source.seq++;
  source.outstanding = 1;
  source.inPage = world.weak["log-cleared-at-send"] ? 0 : 1;
  source.captured = 0;
  return pack("page", source.seq, source.value);
}

/** [sequence-numbers, no-late-rows, operation-numbers] */
function receivePage(
  world: World,
  target: SwapState["target"],
  seq: number,
  value: number,
): number {
  if (target.active === 1 && !world.weak["late-rows"]) return IGNORED;
  if (target.ended === 1 && !world.weak["ended-operation-accepted"]) return IGNORED;
  if (seq <= target.lastSeq && target.active === 0 && !world.weak["no-sequence-numbers"])
    return IGNORED;
  target.value = value;
  target.lastSeq = Math.max(target.lastSeq, seq);
  return pack("ack", seq);
}

/** [captured-until-stored] */
function receiveAck(world: World, source: SwapState["source"], seq: number): number {
  if (source.outstanding === 0 || source.seq !== seq) return IGNORED;
  source.outstanding = 0;
  source.inPage = 0;
  if (world.weak["ack-clears-log"]) source.captured = 0;
  return 0;
}

/** [fence-attempts] */
function receiveFence(world: World, source: SwapState["source"], attempt: number): number {
  if (
    source.retired === 1 ||
    source.ended === 1 ||
    source.copying === 0 ||
    attempt <= source.released
  )
    return IGNORED;
  const takes = world.weak["old-fence-replaces-newer"]
    ? attempt !== source.fence
    : attempt > source.fence;
  if (!takes) return IGNORED;
  source.fence = attempt;
  return 0;
}

/** [fence-until-told] */
function receiveRelease(source: SwapState["source"], attempt: number): number {
  if (attempt <= source.released && attempt !== source.fence) return IGNORED;
  source.released = Math.max(source.released, attempt);
  if (source.fence === attempt) source.fence = 0;
  return 0;
}

/** The source has left the layout: it serves no more, fenced or not. [one-epoch] */
function receiveRetire(world: World, source: SwapState["source"]): number {
  if (source.retired === 1) return IGNORED;
  if (!world.weak["source-serves-on"]) source.retired = 1;
  stopCapture(source);
  return 0;
}

/**
 * The operation has ended here, and stays ended: a late fence or copy of it is refused.
 * [operation-numbers, durable-abort]
 */
function receiveCancel(source: SwapState["source"]): number {
  if (source.ended === 1) return IGNORED;
  source.ended = 1;
  source.copying = 0;
  stopCapture(source);
  return 0;
}

function stopCapture(source: SwapState["source"]): void {
  source.fence = 0;
  source.outstanding = 0;
  source.captured = 0;
  source.inPage = 0;
}

/** [fence-attempts] */
function rootHearsDrained(world: World, root: SwapState["root"], attempt: number): number {
  if (root.phase !== FENCE || root.heard === 1) return IGNORED;
  if (attempt !== root.attempt && !world.weak["attempts-ignored"]) return IGNORED;
  root.heard = 1;
  return 0;
}

/** A running attempt is aborted, durably, before the answer leaves. [durable-abort] */
function answerQuestion(world: World, root: SwapState["root"], attempt: number): number {
  const release = pack("release", attempt);
  if (root.phase === COMMITTED) return attempt === root.attempt ? pack("retire") : release;
  if (root.phase === CANCELLED) return pack("cancelSource");
  if (attempt < root.attempt) return release;
  if (root.phase !== FENCE) return IGNORED;
  if (world.weak["abort-not-durable"]) return release;
  if (root.attempt >= world.bounds.attempts) return IGNORED;
  abort(world, root);
  return release;
}

/** Back to copying, with the copy known to be done. */
function abort(world: World, root: SwapState["root"]): void {
  root.phase = COPY;
  root.attempt++;
  root.heard = world.weak["commit-unchecked"] && root.heard === 1 ? 2 : 1;
}

function rootActs(world: World, state: SwapState, emit: Emit<SwapState>): void {
  const { root } = state;
  const { weak, bounds } = world;
  const note = (says: string, change: (root: SwapState["root"]) => void): void => {
    const to = copyState(state);
    change(to.root);
    emit(says, 0, to);
  };
  const commit = (to: SwapState["root"]): void => {
    to.phase = COMMITTED;
    to.heard = 0;
  };
  if (root.phase === COPY) {
    send(world, state, pack("copy"), emit);
    if (root.heard === 1)
      note(`root notes: fence, attempt ${root.attempt}`, (to) => {
        to.phase = FENCE;
        to.heard = 0;
      });
    if (root.heard === 2) note("root commits epoch 1", commit);
  }
  if (root.phase === FENCE) {
    send(world, state, pack("fence", root.attempt), emit);
    // [commit-rechecks-journal, drain-before-cutover]
    if (root.heard === 1) note("root commits epoch 1", commit);
    if (root.heard === 1 && weak["activate-at-drain"]) send(world, state, pack("activate"), emit);
    if (root.attempt < bounds.attempts)
      note(`root notes: attempt ${root.attempt} is aborted`, (to) => abort(world, to));
  }
  if (root.phase === COMMITTED) {
    send(world, state, pack("activate"), emit);
    send(world, state, pack("retire"), emit);
  }
  if (root.phase === CANCELLED) {
    send(world, state, pack("cancelSource"), emit);
    send(world, state, pack("cancelTarget"), emit);
  }
  if (root.phase === COPY || root.phase === FENCE)
    note("root notes: the operation is cancelled", (to) => {
      to.phase = CANCELLED;
      to.heard = 0;
    });
  if (root.heard !== 0) note("root crashes", (to) => (to.heard = 0));
}

function send(world: World, state: SwapState, message: number, emit: Emit<SwapState>): void {
  if (state.bag.includes(message)) return;
  const to = { ...state, bag: state.bag.slice() };
  if (post(world, to, message)) emit("sent", message, to);
}

function sourceActs(world: World, state: SwapState, emit: Emit<SwapState>): void {
  const { source } = state;
  const { weak, bounds } = world;
  if (
    source.retired === 0 &&
    source.ended === 0 &&
    (source.captured === 1 || source.inPage === 1) &&
    source.seq < bounds.pages
  ) {
    const to = copyState(state);
    const page = sendPage(world, to.source);
    if (post(world, to, page)) emit("sent", page, to);
  }
  const empty =
    (source.captured === 0 || weak["skip-last-drain"]) &&
    source.inPage === 0 &&
    source.outstanding === 0;
  if (source.fence !== 0 && empty) send(world, state, pack("drained", source.fence), emit);
  if (source.fence !== 0) send(world, state, pack("ask", source.fence), emit);
  const crashes =
    source.outstanding === 1 ||
    (weak["fence-lost-in-crash"] && source.fence !== 0) ||
    (weak["sequence-lost-in-crash"] && source.seq !== 0);
  if (crashes) {
    const to = copyState(state);
    crash(world, to.source);
    emit("source crashes", 0, to);
  }
  if (weak["unfence-by-timer"] && source.fence !== 0) {
    const to = copyState(state);
    to.source.fence = 0;
    emit("source lifts its fence by a timer", 0, to);
  }
}

function crash(world: World, source: SwapState["source"]): void {
  source.outstanding = 0;
  source.captured |= source.inPage;
  source.inPage = 0;
  if (world.weak["fence-lost-in-crash"]) source.fence = 0;
  if (world.weak["sequence-lost-in-crash"]) source.seq = 0;
}

const sourceServes = ({ source }: SwapState): boolean => source.retired === 0 && source.fence === 0;
/**
 * A target that is not active yet asks the root when a call of epoch 1 arrives, and becomes active.
 */
const targetServes = (world: World, { root, target }: SwapState): boolean =>
  root.phase === COMMITTED || (world.weak["activate-at-drain"] && target.active === 1);

function usersWrite(world: World, state: SwapState, emit: Emit<SwapState>): void {
  if (state.writes >= world.bounds.writes) return;
  const value = state.last + 1;
  const written = (): SwapState => ({ ...copyState(state), last: value, writes: state.writes + 1 });
  if (sourceServes(state)) {
    const to = written();
    to.source.value = value;
    if (to.source.copying === 1) to.source.captured = 1;
    emit(`a client of epoch 0 writes ${value} at the source`, 0, to);
  }
  if (targetServes(world, state)) {
    const to = written();
    to.target.active = 1;
    to.target.value = value;
    emit(`a client of epoch 1 writes ${value} at the target`, 0, to);
  }
}

const hasEnded = ({ root, source, target }: SwapState): boolean =>
  root.phase === COMMITTED
    ? source.retired === 1 && target.active === 1
    : root.phase === CANCELLED && source.ended === 1 && target.ended === 1;

function leftover(state: SwapState): string | undefined {
  const { root, source, target } = state;
  if (root.phase !== CANCELLED || !hasEnded(state)) return undefined;
  if (source.fence !== 0 || source.copying !== 0)
    return "the operation was cancelled and the source is still fenced or captures";
  return target.value === 0
    ? undefined
    : `the operation was cancelled and the target still has the value ${target.value}`;
}

function wrongRead(world: World, state: SwapState): string | undefined {
  const { source, target, last } = state;
  const says = (epoch: number, where: string, value: number): string =>
    `a client of epoch ${epoch} reads ${value === 0 ? "nothing" : value} at the ${where}; the last write was ${last}`;
  if (sourceServes(state) && source.value !== last) return says(0, "source", source.value);
  if (targetServes(world, state) && target.value !== last) return says(1, "target", target.value);
  return undefined;
}

const BAG_AT = 12;
const BAG_MAX = 4;
const WIDTH_BYTES = BAG_AT + BAG_MAX * 4;

function encode({ root, source, target, last, writes, bag }: SwapState, into: Uint8Array): void {
  into[0] = root.phase | (root.heard << 4);
  into[1] = root.attempt;
  into[2] =
    source.retired |
    (source.copying << 1) |
    (source.captured << 2) |
    (source.inPage << 3) |
    (source.outstanding << 4);
  into[3] = source.value;
  into[4] = source.fence;
  into[5] = source.released;
  into[6] = source.seq;
  into[7] = target.active | (target.value << 1);
  into[8] = target.lastSeq;
  into[9] = last;
  into[10] = writes | (source.ended << 4) | (target.ended << 5);
  for (let at = 0; at < bag.length; at++) {
    const message = bag[at] ?? 0;
    for (let byte = 0; byte < 4; byte++)
      into[BAG_AT + at * 4 + byte] = (message >> (8 * byte)) & 255;
  }
}

function decode(from: Uint8Array): SwapState {
  const byte = (at: number): number => from[at] ?? 0;
  const bit = (at: number, shift: number): number => (byte(at) >> shift) & 1;
  const bag: number[] = [];
  for (let at = BAG_AT; at < WIDTH_BYTES; at += 4) {
    const message = byte(at) | (byte(at + 1) << 8) | (byte(at + 2) << 16) | (byte(at + 3) << 24);
    if (message !== 0) bag.push(message);
  }
  return {
    root: { phase: byte(0) & 15, heard: byte(0) >> 4, attempt: byte(1) },
    source: {
      retired: bit(2, 0),
      ended: bit(10, 4),
      copying: bit(2, 1),
      captured: bit(2, 2),
      inPage: bit(2, 3),
      outstanding: bit(2, 4),
      value: byte(3),
      fence: byte(4),
      released: byte(5),
      seq: byte(6),
    },
    target: { active: byte(7) & 1, ended: bit(10, 5), value: byte(7) >> 1, lastSeq: byte(8) },
    last: byte(9),
    writes: byte(10) & 15,
    bag,
  };
}
