// The shift protocol as a searchable model: members that stay exchange keys in waves, each wave its own epoch, while users write, delete, read
// and count. Messages are delayed, reordered, repeated and lost; the root and the members crash at any point.
// Clients need no state of their own: at any moment some client holds the layout of any epoch so far, and all of them are tried.
// What is checked in every state: whoever would be admitted reads the last write executed anywhere; a count over both members holds every
// key exactly as often as it existed during the count; an operation that has ended leaves nothing behind.
import type { Emit, Model } from "./search.ts";
import {
  admits,
  captureWrite,
  crashMember,
  deleteEarly,
  finishDeletion,
  hasRival,
  IGNORED,
  receiveAck,
  receiveActivate,
  receiveCleanUp,
  receiveFence,
  receivePage,
  receivePrepare,
  receiveRehearse,
  receiveRelease,
  repairPage,
  sayDrained,
  sendPage,
} from "./shift-member.ts";
import { dropInertMessages } from "./shift-inert.ts";
import { hasNext, rootMessages, rootReceives, rootSteps } from "./shift-root.ts";
import {
  keysLeaving,
  makeWorld,
  operationOf,
  ownerOf,
  type Bounds,
  type Breaks,
  type Scenario,
  type ShiftVariant,
  type World,
} from "./shift-scenarios.ts";
import {
  COMMITTED,
  copyState,
  decode,
  describeMessage,
  encode,
  FENCE,
  hasBit,
  IDLE_DONE,
  KEY_NAMES,
  KEYS,
  MEMBER_NAMES,
  MEMBERS,
  type Message,
  MOVE,
  nibble,
  packMessage,
  post,
  PREPARE,
  presentKeys,
  type Member,
  type MemberIndex,
  type State,
  unpackMessage,
  WIDTH_BYTES,
  withNibble,
} from "./shift-state.ts";

const FIRST_VALUE = 1;
const STRAY_VALUE = 9;
const COUNT_WRONG = 3;

/** `only`: look for a violation of this kind and pass over the others. `keepInert`: keep messages that can change nothing any more. */
export function shiftModel(
  scenario: Scenario,
  bounds: Bounds,
  variant?: ShiftVariant,
  only?: Breaks,
  keepInert = variant !== undefined,
): Model<State> {
  const world = makeWorld(scenario, bounds, variant);
  return {
    initial: initialState(world),
    widthBytes: WIDTH_BYTES,
    encode,
    decode,
    next: (state, emit) => nextStates(world, state, keepInert ? emit : withoutInertMessages(emit)),
    violation: (state) => violationIn(world, state, only),
    ended: (state) => state.root.phase >= IDLE_DONE && !hasNext(world, state.root),
    describe: describeMessage,
  };
}

function withoutInertMessages(emit: Emit<State>): Emit<State> {
  return (text, message, state) => {
    dropInertMessages(state);
    emit(text, message, state);
  };
}

function initialState(world: World): State {
  const { prepared } = world.scenario;
  const { first, last } = operationOf(world, 1);
  const initialKeys: readonly number[] = world.scenario.rivals ? KEYS.slice(0, 1) : KEYS;
  const makeMember = (me: MemberIndex): Member => {
    let live = 0;
    for (const key of initialKeys) if (ownerOf(world, 0, key) === me) live = withNibble(live, key, FIRST_VALUE);
    const captured = prepared ? keysLeaving(world, me, first, last) : 0;
    const op = prepared ? 1 : 0;
    return {
      epoch: 0,
      op,
      active: op,
      rehearsed: 0,
      fence: 0,
      released: 0,
      seq: 0,
      outstanding: 0,
      captured,
      inPage: 0,
      lastSeq: 0,
      live,
      staged: 0,
      sent: 0,
      half: 0,
    };
  };
  return {
    root: { op: 1, phase: prepared ? MOVE : PREPARE, attempt: prepared ? 1 : 0, epoch: 0, answers: 0 },
    members: [makeMember(0), makeMember(1)],
    count: { answered: 0, epoch: 0, rows: 0, ever: 0, always: 0 },
    last: presentRows(initialKeys),
    writes: 0,
    strays: 0,
    bag: [],
  };
}

function presentRows(keys: readonly number[]): number {
  return keys.reduce((rows, key) => withNibble(rows, key, FIRST_VALUE), 0);
}

function nextStates(world: World, state: State, emit: Emit<State>): void {
  for (const message of state.bag) deliver(world, state, message, emit);
  rootActs(world, state, emit);
  for (const me of MEMBERS) memberActs(world, state, me, emit);
  for (const me of MEMBERS) usersWrite(world, state, me, emit);
  if (world.scenario.counts) for (const me of MEMBERS) userCounts(state, me, emit, world);
  if (world.scenario.strays && state.strays === 0) for (const me of MEMBERS) userStrays(world, state, me, emit);
}

/** A message is lost; or arrives; or arrives and will arrive again. */
function deliver(world: World, state: State, packed: number, emit: Emit<State>): void {
  const rest = state.bag.filter((other) => other !== packed);
  const message = unpackMessage(packed);
  emit("lost", packed, { ...state, bag: rest });
  for (const again of [false, true]) {
    const to = copyState(state);
    if (!again) to.bag = rest.slice();
    const answer = receive(world, to, message);
    if (answer === IGNORED) return;
    if (answer === 0 || post(to, answer, world.bounds.messages))
      emit(again ? "arrives (a copy of it is still on its way)" : "arrives", packed, to);
  }
}

function receive(world: World, state: State, message: Message): number {
  const { kind, member: me, op, number, rows } = message;
  const member = state.members[me];
  switch (kind) {
    case "prepare":
      return receivePrepare(world, me, member, op);
    case "page":
      return receivePage(world, me, state.members[me === 0 ? 1 : 0], op, number, rows);
    case "ack":
      return receiveAck(world, member, op, number);
    case "fence":
      return receiveFence(world, member, op, number);
    case "release":
      return receiveRelease(world, member, op, number);
    case "activate":
      return receiveActivate(world, me, member, op, number);
    case "cleanUp":
      return receiveCleanUp(world, me, member, op);
    case "rehearse":
      return receiveRehearse(world, me, member, op, number);
    case "prepared":
    case "drained":
    case "rehearsed":
    case "ask":
    case "activated":
    case "cleaned":
      return rootReceives(world, state.root, message);
    default:
      return kind satisfies never;
  }
}

function rootActs(world: World, state: State, emit: Emit<State>): void {
  for (const message of rootMessages(world, state.root)) send(world, state, message, emit);
  for (const { says, change } of rootSteps(world, state.root)) {
    const to = copyState(state);
    change(to.root);
    emit(says, 0, to);
  }
  if (state.root.answers !== 0) {
    const to = copyState(state);
    to.root.answers = 0;
    emit("root crashes", 0, to);
  }
}

function send(world: World, state: State, message: number, emit: Emit<State>): void {
  if (message === 0 || state.bag.includes(message)) return;
  const to = { ...state, bag: state.bag.slice() };
  if (post(to, message, world.bounds.messages)) emit("sent", message, to);
}

function memberActs(world: World, state: State, me: MemberIndex, emit: Emit<State>): void {
  const { weak, bounds } = world;
  const member = state.members[me];
  const name = MEMBER_NAMES[me];
  const act = (says: string, change: (member: Member) => void): void => {
    const to = copyState(state);
    change(to.members[me]);
    emit(says, 0, to);
  };
  if (member.active === 1 && (member.captured | member.inPage) !== 0 && state.bag.length < bounds.messages) {
    const to = copyState(state);
    const page = sendPage(world, me, to.members[me]);
    if (page !== 0 && post(to, page, bounds.messages)) emit("sent", page, to);
  }
  const again = copyState(state);
  const repair = repairPage(world, me, again.members[me]);
  if (repair !== 0 && post(again, repair, bounds.messages)) emit("sent again", repair, again);
  send(world, state, sayDrained(world, me, member), emit);
  if (member.fence !== 0) send(world, state, packMessage("ask", me, member.op, member.fence), emit);
  const crashed = copyState(state);
  if (crashMember(world, crashed.members[me])) emit(`${name} crashes`, 0, crashed);
  if (weak["unfence-by-timer"] && member.fence !== 0) act(`${name} lifts its fence by a timer`, (to) => (to.fence = 0));
  if (weak["unfence-before-delete"] && member.half === 1)
    act(`${name} deletes the rows that have left`, (to) => finishDeletion(world, me, to));
  if (weak["delete-before-cutover"] && sayDrained(world, me, member) !== 0 && state.root.phase === FENCE)
    act(`${name} deletes the rows of the wave`, (to) => deleteEarly(world, me, to));
}

/** A put or a delete of a key that moves, by a client that routed by any epoch so far. */
function usersWrite(world: World, state: State, me: MemberIndex, emit: Emit<State>): void {
  if (state.writes >= world.bounds.writes) return;
  const layouts = world.scenario.layouts;
  for (const key of KEYS) {
    const moves = layouts.some((layout) => layout[key] !== layouts[0]?.[key]);
    if (!moves && !world.scenario.counts && !world.scenario.rivals) continue;
    const epoch = epochAdmitted(world, state, me, key, false);
    if (epoch === undefined) continue;
    const put = FIRST_VALUE + 1 + state.writes;
    const isRefused = world.scenario.rivals && (presentKeys(state.members[me].live) & ~(1 << key)) !== 0;
    if (!isRefused)
      emit(
        `a client of epoch ${epoch} puts ${KEY_NAMES[key]}=${put} at ${MEMBER_NAMES[me]}`,
        0,
        write(world, state, me, key, put),
      );
    if (nibble(state.last, key) !== 0)
      emit(`a client of epoch ${epoch} deletes ${KEY_NAMES[key]} at ${MEMBER_NAMES[me]}`, 0, write(world, state, me, key, 0));
  }
}

function write(world: World, state: State, me: MemberIndex, key: number, value: number): State {
  const to = copyState(state);
  const member = to.members[me];
  member.live = withNibble(member.live, key, value);
  captureWrite(world, me, member, key);
  to.last = withNibble(to.last, key, value);
  to.writes++;
  if (to.count.answered !== 0) {
    to.count.ever |= presentKeys(to.last);
    to.count.always &= presentKeys(to.last);
  }
  return to;
}

/** The newest epoch by which a client would route this key to this member and be admitted, or undefined. */
function epochAdmitted(world: World, state: State, me: MemberIndex, key: number, reads: boolean): number | undefined {
  for (let epoch = state.root.epoch; epoch >= 0; epoch--)
    if (ownerOf(world, epoch, key) === me && admits(world, state.members[me], epoch, reads)) return epoch;
  return undefined;
}

/** A write past the router, to a member that does not own the key. A fence aborts it; otherwise it is stored, and captured like any write. */
function userStrays(world: World, state: State, me: MemberIndex, emit: Emit<State>): void {
  const member = state.members[me];
  if (member.fence !== 0) return;
  for (const key of KEYS) {
    if (ownerOf(world, member.epoch, key) === me) continue;
    const to = copyState(state);
    to.members[me].live = withNibble(member.live, key, STRAY_VALUE);
    captureWrite(world, me, to.members[me], key);
    to.strays++;
    emit(`a stray write puts ${KEY_NAMES[key]}=${STRAY_VALUE} at ${MEMBER_NAMES[me]}, which does not own it`, 0, to);
  }
}

/** One answer of a count; the second one of the same epoch is compared at once with what existed meanwhile. */
function userCounts(state: State, me: MemberIndex, emit: Emit<State>, world: World): void {
  const member = state.members[me];
  const { count } = state;
  if (!admits(world, member, member.epoch, true) || count.answered === COUNT_WRONG || count.answered === 1 + me) return;
  const rows = presentKeys(member.live);
  const to = copyState(state);
  const says = `a count is answered by ${MEMBER_NAMES[me]} at epoch ${member.epoch}: ${describeKeys(rows)}`;
  if (count.answered === 0) {
    const existing = presentKeys(state.last);
    to.count = { answered: 1 + me, epoch: member.epoch, rows, ever: existing, always: existing };
    emit(says, 0, to);
    return;
  }
  const usable = count.epoch === member.epoch || world.weak["count-mixes-epochs"];
  const wrong = usable && KEYS.some((key) => isMiscounted(count.rows, rows, count.ever, count.always, key));
  to.count = wrong
    ? { ...count, answered: COUNT_WRONG, rows: count.rows | (rows << 4) }
    : { answered: 0, epoch: 0, rows: 0, ever: 0, always: 0 };
  emit(says, 0, to);
}

function isMiscounted(first: number, second: number, ever: number, always: number, key: number): boolean {
  const times = (hasBit(first, key) ? 1 : 0) + (hasBit(second, key) ? 1 : 0);
  return times > (hasBit(ever, key) ? 1 : 0) || times < (hasBit(always, key) ? 1 : 0);
}

const describeKeys = (keys: number): string =>
  KEYS.filter((key) => hasBit(keys, key))
    .map((key) => KEY_NAMES[key])
    .join(" and ") || "no key";
const describeValue = (value: number): string => (value === 0 ? "absent" : String(value));

function violationIn(world: World, state: State, only?: Breaks): string | undefined {
  const looksFor = (kind: Breaks): boolean => only === undefined || only === kind;
  return (
    (looksFor("read") ? wrongRead(world, state) : undefined) ??
    (looksFor("count") ? wrongCount(state) : undefined) ??
    (looksFor("promotion") ? impossiblePromotion(world, state) : undefined) ??
    (looksFor("leftover") ? leftover(world, state) : undefined)
  );
}

function wrongRead(world: World, state: State): string | undefined {
  for (const me of MEMBERS)
    for (const key of KEYS) {
      const seen = nibble(state.members[me].live, key);
      const last = nibble(state.last, key);
      // A stray row is kept and may show when its member becomes the owner, but never in place of another.
      if (seen === last || (seen === STRAY_VALUE && last === 0)) continue;
      const epoch = epochAdmitted(world, state, me, key, true);
      if (epoch === undefined) continue;
      return `a client of epoch ${epoch} reads ${KEY_NAMES[key]} at ${MEMBER_NAMES[me]}: ${describeValue(seen)}; the last write was ${describeValue(last)}`;
    }
  return undefined;
}

function wrongCount({ count }: State): string | undefined {
  if (count.answered !== COUNT_WRONG) return undefined;
  const seen = `the count saw ${describeKeys(count.rows & 15)} on one member and ${describeKeys(count.rows >> 4)} on the other`;
  return `${seen}; all the time there existed ${describeKeys(count.always)}, at some time ${describeKeys(count.ever)}`;
}

/** After the cutover there is only forward: nothing may be in the way of a target. [rehearsed-under-the-fence] */
function impossiblePromotion(world: World, { root, members }: State): string | undefined {
  if (root.phase !== COMMITTED || !world.scenario.rehearses) return undefined;
  for (const me of MEMBERS) {
    const member = members[me];
    if (member.epoch < root.epoch && hasRival(world, me, member, root.epoch))
      return `epoch ${root.epoch} is committed, and on ${MEMBER_NAMES[me]} a row is in the way of one that is to be promoted`;
  }
  return undefined;
}

function leftover(world: World, state: State): string | undefined {
  if (state.root.phase < IDLE_DONE) return undefined;
  for (const me of MEMBERS) {
    const left = leftBehind(world, me, state.members[me]);
    if (left !== undefined) return `the operation has ended and ${MEMBER_NAMES[me]} still ${left}`;
  }
  return undefined;
}

function leftBehind(world: World, me: MemberIndex, member: Member): string | undefined {
  if (member.active !== 0) return "captures";
  if (member.fence !== 0) return "is fenced";
  if (member.staged !== 0) return "has staged rows";
  for (const key of KEYS) {
    const value = nibble(member.live, key);
    if (value !== 0 && value !== STRAY_VALUE && ownerOf(world, member.epoch, key) !== me)
      return `has ${KEY_NAMES[key]}=${value}, which it does not own`;
  }
  return undefined;
}
