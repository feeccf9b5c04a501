// The state of the shift model, its byte encoding, and its messages. Two members, A and B, two keys, x and y, one root.
// Everything is a small integer, so that a state is 48 bytes: per-key values are nibbles of one number, per-key and per-member facts are bits,
// a message is one number. The meaning of each field is said here; who may change it, and when, is in shift-root.ts and shift-member.ts.

export const KEYS = [0, 1] as const;
export const MEMBERS = [0, 1] as const;
export type MemberIndex = (typeof MEMBERS)[number];
export const KEY_NAMES = ["x", "y"] as const;
export const MEMBER_NAMES = ["A", "B"] as const;

/** Phases of the root's journal. The journal is durable: a phase survives every crash. */
export const PREPARE = 0;
/** Prepared, or between waves: sources copy and catch up. */
export const MOVE = 1;
export const FENCE = 2;
export const COMMITTED = 3;
export const CLEANUP_DONE = 4;
export const CLEANUP_CANCELLED = 5;
export const IDLE_DONE = 6;
export const IDLE_CANCELLED = 7;

export interface Root {
  op: number;
  phase: number;
  /** Number of the running fence attempt; it only grows within an operation. */
  attempt: number;
  epoch: number;
  /** Members (bits) whose answer for this phase and attempt has been counted, and from bit 2 those that have rehearsed. Volatile. */
  answers: number;
}

export interface Member {
  epoch: number;
  /** The highest operation number it has seen. */
  op: number;
  /** 1 while that operation runs here: capture is installed, pages are taken. */
  active: number;
  /** As a target: 1 between its rehearsal and the promotion, or the end of its fence. */
  rehearsed: number;
  /** Attempt by which it is fenced, or 0. */
  fence: number;
  /** The highest attempt that it knows to be over. */
  released: number;
  /** As a source: number of the last page sent. */
  seq: number;
  /** As a source: 1 while the last page is not acknowledged. Volatile. */
  outstanding: number;
  /** As a source: keys (bits) captured since the last page was sent. The first content of the log is every key that moves: the copy. */
  captured: number;
  /** As a source: keys (bits) covered by the page that is on its way. They leave the log with its acknowledgement. */
  inPage: number;
  /** As a target: number of the last page stored. */
  lastSeq: number;
  /** Rows by key: 0 absent, else the value. */
  live: number;
  /** Staged rows by key: 0 nothing, else 2 + value. */
  staged: number;
  /** As a source: the rows of the last page, as in a page, while it may have to be sent again. Volatile; kept only where a scenario repairs. */
  sent: number;
  /** 1 between the two halves of an activation that a weakened variant has split. */
  half: number;
}

/** A count that waits for its second answer. */
export interface Count {
  /** 0 none, 1 + member that answered, 3 wrong. */
  answered: number;
  epoch: number;
  rows: number;
  /** Keys (bits) that existed at some time, and all the time, since the first answer. */
  ever: number;
  always: number;
}

export interface State {
  root: Root;
  members: [Member, Member];
  count: Count;
  /** The last executed write of each key, as in `live`. */
  last: number;
  writes: number;
  strays: number;
  /** Messages in flight, ascending. Each may arrive any number of times, at any time, or never. */
  bag: number[];
}

export const nibble = (packed: number, key: number): number => (packed >> (4 * key)) & 15;
export const withNibble = (packed: number, key: number, value: number): number =>
  (packed & ~(15 << (4 * key))) | (value << (4 * key));
export const hasBit = (bits: number, at: number): boolean => ((bits >> at) & 1) === 1;
/** Keys (bits) that exist. */
export const presentKeys = (rows: number): number => (nibble(rows, 0) === 0 ? 0 : 1) | (nibble(rows, 1) === 0 ? 0 : 2);

export function copyState(state: State): State {
  const [a, b] = state.members;
  return { ...state, root: { ...state.root }, members: [{ ...a }, { ...b }], count: { ...state.count }, bag: state.bag.slice() };
}

const MEMBER_BYTES = 10;
const BAG_AT = 32;
const BAG_MAX = 4;
export const WIDTH_BYTES = BAG_AT + BAG_MAX * 4;

export function encode(state: State, into: Uint8Array): void {
  const { root, count, bag } = state;
  into[0] = root.op | (root.phase << 4);
  into[1] = root.attempt;
  into[2] = root.epoch;
  into[3] = root.answers;
  into[4] = state.writes | (state.strays << 4);
  into[5] = state.last;
  into[6] = count.answered | (count.epoch << 4);
  into[7] = count.rows;
  into[8] = count.ever | (count.always << 4);
  for (const index of MEMBERS) encodeMember(state.members[index], into, 9 + index * MEMBER_BYTES);
  for (let at = 0; at < bag.length; at++) {
    const message = bag[at] ?? 0;
    into[BAG_AT + at * 4] = message & 255;
    into[BAG_AT + at * 4 + 1] = (message >> 8) & 255;
    into[BAG_AT + at * 4 + 2] = (message >> 16) & 255;
    into[BAG_AT + at * 4 + 3] = (message >> 24) & 255;
  }
}

function encodeMember(member: Member, into: Uint8Array, at: number): void {
  into[at] = member.epoch;
  into[at + 1] = member.op | (member.active << 4) | (member.outstanding << 5) | (member.half << 6) | (member.rehearsed << 7);
  into[at + 2] = member.fence;
  into[at + 3] = member.released;
  into[at + 4] = member.seq;
  into[at + 5] = member.captured | (member.inPage << 4);
  into[at + 6] = member.lastSeq;
  into[at + 7] = member.live;
  into[at + 8] = member.staged;
  into[at + 9] = member.sent;
}

export function decode(from: Uint8Array): State {
  const byte = (at: number): number => from[at] ?? 0;
  const bag: number[] = [];
  for (let at = BAG_AT; at < WIDTH_BYTES; at += 4) {
    const message = byte(at) | (byte(at + 1) << 8) | (byte(at + 2) << 16) | (byte(at + 3) << 24);
    if (message !== 0) bag.push(message);
  }
  return {
    root: { op: byte(0) & 15, phase: byte(0) >> 4, attempt: byte(1), epoch: byte(2), answers: byte(3) },
    members: [decodeMember(from, 9), decodeMember(from, 9 + MEMBER_BYTES)],
    count: { answered: byte(6) & 15, epoch: byte(6) >> 4, rows: byte(7), ever: byte(8) & 15, always: byte(8) >> 4 },
    last: byte(5),
    writes: byte(4) & 15,
    strays: byte(4) >> 4,
    bag,
  };
}

function decodeMember(from: Uint8Array, at: number): Member {
  const byte = (offset: number): number => from[at + offset] ?? 0;
  return {
    epoch: byte(0),
    op: byte(1) & 15,
    active: (byte(1) >> 4) & 1,
    outstanding: (byte(1) >> 5) & 1,
    half: (byte(1) >> 6) & 1,
    rehearsed: (byte(1) >> 7) & 1,
    fence: byte(2),
    released: byte(3),
    seq: byte(4),
    captured: byte(5) & 15,
    inPage: byte(5) >> 4,
    lastSeq: byte(6),
    live: byte(7),
    staged: byte(8),
    sent: byte(9),
  };
}

const KINDS = [
  "",
  "prepare",
  "prepared",
  "page",
  "ack",
  "fence",
  "drained",
  "ask",
  "release",
  "activate",
  "activated",
  "cleanUp",
  "cleaned",
  "rehearse",
  "rehearsed",
] as const;
export type Kind = Exclude<(typeof KINDS)[number], "">;
const KIND_NUMBERS = new Map(KINDS.map((kind, number) => [kind, number]));

export interface Message {
  kind: Kind;
  /** The member it is for, or from when it is for the root. A page: the source. An ack: the source. */
  member: MemberIndex;
  op: number;
  /** Attempt (fence, drained, rehearse, rehearsed, ask, release), sequence number (page, ack) or epoch (activate, activated). */
  number: number;
  /** A page: per key 0 not in it, 1 deleted, 2 + value. */
  rows: number;
}

export function packMessage(kind: Kind, member: number, op: number, number = 0, rows = 0): number {
  return (KIND_NUMBERS.get(kind) ?? 0) | (member << 4) | (op << 5) | (number << 8) | (rows << 16);
}

export function unpackMessage(packed: number): Message {
  const kind = KINDS[packed & 15];
  if (kind === undefined || kind === "") throw new Error(`${packed} is not a message`);
  return {
    kind,
    member: (packed >> 4) & 1 ? 1 : 0,
    op: (packed >> 5) & 7,
    number: (packed >> 8) & 255,
    rows: (packed >> 16) & 255,
  };
}

/** Puts a message in flight; false when the bag is full. */
export function post(state: State, message: number, messagesMax: number): boolean {
  const { bag } = state;
  if (bag.includes(message)) return true;
  if (bag.length >= Math.min(messagesMax, BAG_MAX)) return false;
  bag.push(message);
  bag.sort((one, other) => one - other);
  return true;
}

export function describeMessage(packed: number): string {
  const { kind, member, op, number, rows } = unpackMessage(packed);
  const name = MEMBER_NAMES[member];
  const other = MEMBER_NAMES[1 - member];
  const of = `of operation ${op}`;
  switch (kind) {
    case "prepare":
      return `root to ${name}: prepare operation ${op}`;
    case "prepared":
      return `${name} to root: prepared for operation ${op}`;
    case "page":
      return `${name} to ${other}: page ${number} ${of} (${describeRows(rows)})`;
    case "ack":
      return `${other} to ${name}: page ${number} ${of} stored`;
    case "fence":
      return `root to ${name}: fence, attempt ${number} ${of}`;
    case "drained":
      return `${name} to root: drained, attempt ${number} ${of}`;
    case "rehearse":
      return `root to ${name}: try the promotion, attempt ${number} ${of}`;
    case "rehearsed":
      return `${name} to root: nothing is in the way, attempt ${number} ${of}`;
    case "ask":
      return `${name} to root: what became of attempt ${number} ${of}?`;
    case "release":
      return `root to ${name}: attempt ${number} ${of} is aborted`;
    case "activate":
      return `root to ${name}: activate epoch ${number} ${of}`;
    case "activated":
      return `${name} to root: active at epoch ${number} ${of}`;
    case "cleanUp":
      return `root to ${name}: clean up operation ${op}`;
    case "cleaned":
      return `${name} to root: operation ${op} cleaned up`;
    default:
      return kind satisfies never;
  }
}

function describeRows(rows: number): string {
  const parts = KEYS.map((key) => {
    const row = nibble(rows, key);
    if (row === 0) return "";
    return row === 1 ? `${KEY_NAMES[key]} deleted` : `${KEY_NAMES[key]}=${row - 2}`;
  });
  return parts.filter((part) => part !== "").join(", ") || "empty";
}
