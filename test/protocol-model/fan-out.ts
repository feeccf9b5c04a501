// One call to all members as a searchable model: does it meet every row once, whatever cutovers
// happen meanwhile? Rows move as a whole, with the count of how often the call has met them; a
// member meets the rows that it owns by its own epoch. The caller knows a layout, learns a newer
// one at any time, asks members that take part in no move at once, and others by tickets.
//
// A cutover is: fences go up at the members whose rows change, the root commits, and each of them
// goes to the next epoch. How rows are copied is another model's. Tickets are lost at any time, as
// by a crash; that all are given back is one step, and no message is late. A call that fails is
// over, and may have met some rows: only one that succeeds is judged. The rules in brackets are
// those of rules.ts.
import type { Rule } from "./rules.ts";
import type { Model } from "./search.ts";

interface Situation {
  readonly says: string;
  /** The owner of each row at each epoch: 0 is A. */
  readonly rows: readonly (readonly number[])[];
}

export const FAN_OUT_SITUATIONS = {
  there: {
    says: "a row moves from A to B while A and B are called",
    rows: [
      [0, 1],
      [0, 0],
      [1, 1],
    ],
  },
  "there-and-back": {
    says: "a row moves from A to B, and back",
    rows: [
      [0, 1, 0],
      [0, 0, 0],
      [1, 1, 1],
    ],
  },
  onwards: {
    says: "a row moves from A to B, and another one from B to C, which is new",
    rows: [
      [0, 1, 1],
      [0, 0, 0],
      [1, 1, 2],
      [1, 1, 1],
    ],
  },
} as const satisfies Record<string, Situation>;

export type FanOutSituation = keyof typeof FAN_OUT_SITUATIONS;

export const FAN_OUT_VARIANTS = {
  "begins-anew": {
    rule: "one-layout-for-all",
    situation: "there",
    says: "a caller that learns a newer layout begins with it, also where members have run the call",
  },
  "asks-who-is-left": {
    rule: "one-layout-for-all",
    situation: "there",
    says: "a caller that learns a newer layout asks the members that have not run the call by it",
  },
  "admits-any-epoch": {
    rule: "one-layout-for-all",
    situation: "there",
    says: "a member runs the call whatever it owned by the caller's layout",
  },
  "fenced-with-tickets": {
    rule: "raised-when-idle",
    situation: "there",
    says: "a fence goes up at a member while a ticket stands, which is run behind the cutover",
  },
  "lost-tickets-run": {
    rule: "one-layout-for-all",
    situation: "there",
    says: "a call runs by a ticket that its member has lost, as after a crash",
  },
} as const satisfies Record<string, { rule: Rule; situation: FanOutSituation; says: string }>;

export type FanOutVariant = keyof typeof FAN_OUT_VARIANTS;

const MEMBERS = [0, 1, 2] as const;
const NAMES = "ABC";
/** The phases of the root. */
const IDLE = 0;
const MOVING = 1;
const CUT_OVER = 2;
/** How the call stands. */
const CALLING = 0;
const DONE = 1;
const FAILED = 2;

/** Bytes of a state. Sets of members are bits. */
const AT = {
  committed: 0,
  phase: 1,
  epoch: 2,
  fenced: 5,
  /** Tickets that stand at their members, and those that the caller holds. */
  standing: 6,
  held: 7,
  /** The epoch that the caller knows, and plus one that by which the first member ran. */
  view: 8,
  first: 9,
  ran: 10,
  call: 11,
  met: 12,
} as const;
const WIDTH = 16;

type State = Uint8Array;
const byteOf = (state: State, at: number): number => state[at] ?? 0;
const has = (state: State, at: number, member: number): boolean =>
  (byteOf(state, at) & (1 << member)) !== 0;
const add = (state: State, at: number, member: number): void => {
  state[at] = byteOf(state, at) | (1 << member);
};
const remove = (state: State, at: number, member: number): void => {
  state[at] = byteOf(state, at) & ~(1 << member);
};

type Step = (says: string, change: (to: State) => void) => void;

class World {
  readonly rows: readonly (readonly number[])[];
  readonly variant: FanOutVariant | undefined;

  constructor({ rows }: Situation, variant?: FanOutVariant) {
    this.rows = rows;
    this.variant = variant;
  }

  get lastEpoch(): number {
    return (this.rows[0]?.length ?? 1) - 1;
  }

  is(...variants: FanOutVariant[]): boolean {
    return this.variant !== undefined && variants.includes(this.variant);
  }

  owned(member: number, epoch: number): readonly number[] {
    return this.rows.flatMap((owners, row) => (owners[epoch] === member ? [row] : []));
  }

  ownsTheSame(member: number, one: number, other: number): boolean {
    return this.owned(member, one).join() === this.owned(member, other).join();
  }

  members(epoch: number): readonly number[] {
    return MEMBERS.filter((member) => this.owned(member, epoch).length > 0);
  }

  /** Members whose rows change with the next cutover, or with the one that is being activated. */
  wave(state: State): readonly number[] {
    const phase = byteOf(state, AT.phase);
    if (phase === IDLE) return [];
    const next = byteOf(state, AT.committed) + (phase === MOVING ? 1 : 0);
    return MEMBERS.filter((member) => !this.ownsTheSame(member, next - 1, next));
  }

  /** [one-epoch] */
  admits(state: State, member: number): boolean {
    if (has(state, AT.fenced, member)) return false;
    if (this.is("admits-any-epoch")) return true;
    return this.ownsTheSame(member, byteOf(state, AT.epoch + member), byteOf(state, AT.view));
  }

  /** Members that are still to run the call. */
  open(state: State): readonly number[] {
    const first = byteOf(state, AT.first);
    return this.members(first === 0 ? byteOf(state, AT.view) : first - 1).filter(
      (member) => !has(state, AT.ran, member),
    );
  }

  /** A member runs the call on the rows that it owns. */
  run(to: State, member: number): void {
    for (const row of this.owned(member, byteOf(to, AT.epoch + member)))
      to[AT.met + row] = Math.min(3, byteOf(to, AT.met + row) + 1);
    add(to, AT.ran, member);
    if (byteOf(to, AT.first) === 0) to[AT.first] = byteOf(to, AT.view) + 1;
    if (this.open(to).length === 0) to[AT.call] = DONE;
  }
}

export function fanOutModel(name: FanOutSituation, variant?: FanOutVariant): Model<State> {
  const world = new World(FAN_OUT_SITUATIONS[name], variant);
  return {
    initial: new Uint8Array(WIDTH),
    widthBytes: WIDTH,
    encode: (state, into) => into.set(state),
    decode: (from) => from.slice(),
    describe: String,
    violation: (state) => {
      if (byteOf(state, AT.call) !== DONE) return undefined;
      const row = world.rows.findIndex((_, each) => byteOf(state, AT.met + each) !== 1);
      return row < 0
        ? undefined
        : `the call has succeeded, and has met row ${row} ${byteOf(state, AT.met + row)} times`;
    },
    ended: (state) =>
      byteOf(state, AT.call) !== CALLING && byteOf(state, AT.committed) === world.lastEpoch,
    next: (state, emit) => {
      const step: Step = (says, change) => {
        const to = state.slice();
        change(to);
        emit(says, 0, to);
      };
      rootSteps(world, state, step);
      if (byteOf(state, AT.call) === CALLING) callerSteps(world, state, step);
    },
  };
}

function rootSteps(world: World, state: State, step: Step): void {
  const committed = byteOf(state, AT.committed);
  const phase = byteOf(state, AT.phase);
  const wave = world.wave(state);
  if (phase === IDLE && committed < world.lastEpoch)
    step("root begins an operation", (to) => (to[AT.phase] = MOVING));
  if (phase === MOVING) {
    const isCurrent = (member: number): boolean => byteOf(state, AT.epoch + member) === committed;
    for (const member of wave.filter((each) => isCurrent(each) && !has(state, AT.fenced, each)))
      // [raised-when-idle]
      if (!has(state, AT.standing, member) || world.is("fenced-with-tickets"))
        step(`${NAMES[member]} raises the fence`, (to) => add(to, AT.fenced, member));
    if (byteOf(state, AT.fenced) !== 0)
      step("root gives the attempt up: no fence stands", (to) => (to[AT.fenced] = 0));
    if (wave.every((member) => has(state, AT.fenced, member)))
      step("root commits the next epoch", (to) => {
        to[AT.committed] = committed + 1;
        to[AT.phase] = CUT_OVER;
      });
  }
  for (const member of MEMBERS) {
    if (has(state, AT.standing, member))
      step(`${NAMES[member]} loses its ticket`, (to) => remove(to, AT.standing, member));
    if (byteOf(state, AT.epoch + member) === committed) continue;
    step(`${NAMES[member]} goes to epoch ${committed}`, (to) => {
      to[AT.epoch + member] = committed;
      remove(to, AT.fenced, member);
    });
  }
  const isActive = (member: number): boolean => byteOf(state, AT.epoch + member) === committed;
  if (phase === CUT_OVER && wave.every(isActive))
    step("root ends the operation", (to) => (to[AT.phase] = IDLE));
}

/** [one-layout-for-all] */
function callerSteps(world: World, state: State, step: Step): void {
  const open = world.open(state);
  const wave = world.wave(state);
  const first = byteOf(state, AT.first);
  const committed = byteOf(state, AT.committed);
  if (byteOf(state, AT.view) < committed)
    step("caller learns the newest layout, and gives its tickets back", (to) => {
      to[AT.view] = committed;
      to[AT.held] = 0;
      to[AT.standing] = 0;
      if (first === 0 || world.is("asks-who-is-left")) return;
      if (open.every((member) => world.ownsTheSame(member, first - 1, committed))) return;
      if (world.is("begins-anew")) to[AT.ran] = to[AT.first] = 0;
      else to[AT.call] = FAILED;
    });
  for (const member of open) {
    const name = NAMES[member] ?? "";
    const isGiven = has(state, AT.held, member);
    if (!wave.includes(member) && world.admits(state, member))
      step(`${name} runs the call at once`, (to) => world.run(to, member));
    if (!isGiven && world.admits(state, member))
      step(`${name} gives a ticket`, (to) => {
        add(to, AT.held, member);
        add(to, AT.standing, member);
      });
    if (!isGiven || !open.every((each) => has(state, AT.held, each) || has(state, AT.ran, each)))
      continue;
    const stands = has(state, AT.standing, member);
    if (stands || world.is("lost-tickets-run"))
      step(`${name} runs the call by its ticket`, (to) => {
        world.run(to, member);
        remove(to, AT.standing, member);
      });
    else
      step(`${name} refuses the call: its ticket stands no more`, (to) =>
        remove(to, AT.held, member),
      );
  }
}
