// The fence in two phases as a searchable model: can it always be closed, while calls run that call
// other members? A and B are the members of a wave, C is not. A call is a path of members: it waits
// for admission, runs, calls the next one, and ends as a whole.
//
// First phase: a member holds calls from outside, and says that it is ready when nothing runs.
// Second phase: it raises the fence in a turn in which nothing runs, or says that it is busy, and
// then all members are put back into the first phase. Only that every state can still end is
// searched: the fence has no say in what is read. Time is not modelled: how long a call waits is
// bounded by the engine, not by these rules. The rules in brackets are those of rules.ts.
import type { Rule } from "./rules.ts";
import type { Model } from "./search.ts";
import { hasBit } from "./shift-state.ts";

interface Situation {
  readonly says: string;
  /** Each call as the members that it passes: 0 is A. It is made again whenever it has ended. */
  readonly calls: readonly (readonly number[])[];
  /**
   * Calls (by index) of which a member cannot tell that they are nested: made in a way that the
   * engine does not see.
   */
  readonly unmarked?: readonly number[];
  /**
   * A member that has called another need not wait for it: it may end and leave the rest behind.
   */
  readonly detached?: boolean;
  /** The attempt may be given up: all members open again. */
  readonly budget?: boolean;
}

export const FENCE_SITUATIONS = {
  across: {
    says: "A calls B and B calls A",
    calls: [
      [0, 1],
      [1, 0],
    ],
  },
  outside: {
    says: "as across, and C, which is not in the wave, calls A, which calls B",
    calls: [
      [0, 1],
      [1, 0],
      [2, 0, 1],
    ],
  },
  long: {
    says: "calls that come back to where they were, and pass C on their way",
    calls: [
      [0, 1, 0],
      [1, 2, 0],
      [2, 0, 1],
    ],
  },
  detached: {
    says: "as long, and a caller need not wait for whom it calls",
    calls: [
      [0, 1, 0],
      [1, 2, 0],
      [2, 0, 1],
    ],
    detached: true,
  },
  unmarked: {
    says: "as outside, and nobody can tell that B's call of A is nested: it costs attempts",
    calls: [
      [0, 1],
      [1, 0],
      [2, 0, 1],
    ],
    unmarked: [1],
    budget: true,
  },
} as const satisfies Record<string, Situation>;

export type FenceSituation = keyof typeof FENCE_SITUATIONS;

export const FENCE_VARIANTS = {
  "one-phase": {
    rule: "nested-calls-run",
    situation: "across",
    says: "the fence is raised at once, and queues every call",
  },
  "nested-unmarked": {
    rule: "marked-while-running",
    situation: "across",
    says: "calls do not say that they are nested",
  },
  "ready-queues-nested": {
    rule: "nested-calls-run",
    situation: "across",
    says: "a member that has said that it is ready queues nested calls too",
  },
  "any-nested-and-waits": {
    rule: "raised-when-idle",
    situation: "outside",
    says: "any nested call runs, and the raised fence waits for running calls to end",
  },
  "by-chain-and-waits": {
    rule: "raised-when-idle",
    situation: "detached",
    says: "nested calls run whose chain has a member of the wave, those alone are not waited for, and the raised fence waits for running calls to end",
  },
  "busy-stays-held": {
    rule: "raised-when-idle",
    situation: "detached",
    says: "only the member that is busy goes back to the first phase: those that are fenced queue the calls that it waits for",
  },
  "no-budget": {
    rule: "attempt-budget",
    situation: "unmarked",
    says: "an attempt is never given up, though a call that nobody can tell for nested waits behind it",
  },
} as const satisfies Record<string, { rule: Rule; situation: FenceSituation; says: string }>;

export type FenceVariant = keyof typeof FENCE_VARIANTS;

const WAVE = [0, 1] as const;
const NAMES = "ABC";
/** Where a member of the wave stands. */
const OPEN = 0;
const HELD = 1;
const READY = 2;
/** Raised, in a variant while calls run. */
const RAISED = 3;
const FENCED = 4;
/** The phases of the root. */
const IDLE = 0;
const HOLDING = 1;
const RAISING = 2;
const COMMITTED = 3;

/**
 * Bytes: the root; the members of the wave; for each call the level that waits for admission, plus
 * one, and the levels that run (bits).
 */
type State = Uint8Array;
const memberAt = (member: number): number => 1 + member;
const waitingAt = (call: number): number => 3 + 2 * call;
const runningAt = (call: number): number => 4 + 2 * call;
const byteOf = (state: State, at: number): number => state[at] ?? 0;

type Step = (says: string, change: (to: State) => void) => void;

class World {
  readonly situation: Situation;
  readonly variant: FenceVariant | undefined;

  constructor(situation: Situation, variant?: FenceVariant) {
    this.situation = situation;
    this.variant = variant;
  }

  is(...variants: FenceVariant[]): boolean {
    return this.variant !== undefined && variants.includes(this.variant);
  }

  /**
   * Calls that run at a member; `outermost` counts only those that have no member of the wave below
   * them.
   */
  running(state: State, member: number, outermost = false): number {
    return this.situation.calls.reduce((count, path, call) => {
      const levels = path.flatMap((at, level) =>
        at === member && hasBit(byteOf(state, runningAt(call)), level) ? [level] : [],
      );
      return (
        count + levels.filter((level) => !outermost || !path.slice(0, level).some(isInWave)).length
      );
    }, 0);
  }

  /** [nested-calls-run, marked-while-running] */
  admits(state: State, call: number, level: number): boolean {
    const path = this.situation.calls[call] ?? [];
    const member = path[level] ?? 0;
    if (!isInWave(member)) return true;
    const stands = byteOf(state, memberAt(member));
    if (stands === OPEN) return true;
    if (stands >= RAISED) return false;
    if (this.is("nested-unmarked") || this.situation.unmarked?.includes(call)) return false;
    if (stands === READY && this.is("ready-queues-nested")) return false;
    if (this.is("any-nested-and-waits")) return level > 0;
    return path.slice(0, level).some(isInWave);
  }
}

const isInWave = (member: number): boolean => (WAVE as readonly number[]).includes(member);

export function fenceModel(name: FenceSituation, variant?: FenceVariant): Model<State> {
  const situation: Situation = FENCE_SITUATIONS[name];
  const world = new World(situation, variant);
  return {
    initial: new Uint8Array(Math.ceil((3 + 2 * situation.calls.length) / 4) * 4),
    widthBytes: Math.ceil((3 + 2 * situation.calls.length) / 4) * 4,
    encode: (state, into) => into.set(state),
    decode: (from) => from.slice(),
    describe: String,
    violation: () => undefined,
    ended: (state) => byteOf(state, 0) === COMMITTED,
    next: (state, emit) => {
      if (byteOf(state, 0) === COMMITTED) return;
      const step: Step = (says, change) => {
        const to = state.slice();
        change(to);
        emit(says, 0, to);
      };
      rootSteps(world, state, step);
      for (const member of WAVE) memberSteps(world, state, member, step);
      situation.calls.forEach((path, call) => callSteps(world, state, path, call, step));
    },
  };
}

function rootSteps(world: World, state: State, step: Step): void {
  const root = byteOf(state, 0);
  const all = (stands: number): boolean =>
    WAVE.every((member) => byteOf(state, memberAt(member)) === stands);
  const enter = (says: string, phase: number): void => step(says, (to) => (to[0] = phase));
  if (root === IDLE) enter("root begins an attempt", world.is("one-phase") ? RAISING : HOLDING);
  if (root === HOLDING && all(READY)) enter("root hears that all are ready", RAISING);
  if (root === RAISING && all(FENCED)) enter("root goes on: all are fenced", COMMITTED);
  if (root !== IDLE && world.situation.budget && !world.is("no-budget"))
    step("root gives the attempt up: all members open", (to) => {
      to[0] = IDLE;
      for (const member of WAVE) to[memberAt(member)] = OPEN;
    });
}

/** [raised-when-idle] */
function memberSteps(world: World, state: State, member: number, step: Step): void {
  const root = byteOf(state, 0);
  const stands = byteOf(state, memberAt(member));
  const name = NAMES[member];
  const stand = (says: string, next: number): void =>
    step(`${name} ${says}`, (to) => (to[memberAt(member)] = next));
  const running = world.running(state, member);
  if (root === HOLDING && stands === OPEN) stand("holds calls from outside", HELD);
  const isReady = world.is("by-chain-and-waits")
    ? world.running(state, member, true) === 0
    : running === 0;
  // A member that has said that it is ready is asked again after another was busy, and may be busy
  // itself by then.
  if (root === HOLDING && stands === HELD && isReady) stand("is ready", READY);
  if (stands === RAISED && running === 0) stand("is fenced: nothing runs any more", FENCED);
  if (root !== RAISING || stands >= RAISED) return;
  if (world.is("one-phase", "any-nested-and-waits", "by-chain-and-waits"))
    stand("raises the fence", RAISED);
  else if (running === 0) stand("raises the fence: nothing runs", FENCED);
  else if (world.is("busy-stays-held"))
    step(`${name} is busy: it is asked again`, (to) => {
      to[0] = HOLDING;
      to[memberAt(member)] = HELD;
    });
  else
    step(`${name} is busy: the root puts all members back into the first phase`, (to) => {
      to[0] = HOLDING;
      for (const other of WAVE) to[memberAt(other)] = HELD;
    });
}

function callSteps(
  world: World,
  state: State,
  path: readonly number[],
  call: number,
  step: Step,
): void {
  const waiting = byteOf(state, waitingAt(call));
  const running = byteOf(state, runningAt(call));
  const name = `call ${path.map((member) => NAMES[member]).join(" > ")}`;
  const nameAt = (level: number): string => NAMES[path[level] ?? 0] ?? "?";
  if (waiting === 0 && running === 0)
    step(`${name} arrives at ${nameAt(0)}`, (to) => (to[waitingAt(call)] = 1));
  if (waiting > 0 && world.admits(state, call, waiting - 1))
    step(`${name} runs at ${nameAt(waiting - 1)}`, (to) => {
      to[runningAt(call)] = running | (1 << (waiting - 1));
      to[waitingAt(call)] = 0;
    });
  if (waiting === 0 && running !== 0) {
    const top = 31 - Math.clz32(running);
    if (top + 1 < path.length)
      step(`${name} calls ${nameAt(top + 1)}`, (to) => (to[waitingAt(call)] = top + 2));
    else step(`${name} ends`, (to) => (to[runningAt(call)] = 0));
  }
  const hasCalledOn = waiting > 1 || running >> 1 !== 0;
  if (world.situation.detached && hasBit(running, 0) && hasCalledOn)
    step(
      `${name} ends at ${nameAt(0)} and leaves the rest behind`,
      (to) => (to[runningAt(call)] = running & ~1),
    );
}
