// Derives from a situation what every step of the shift model asks for: who owns what, who takes
// part in a wave, and which rules are left out.
import { type Bounds, type Operation, type Scenario } from "./shift-scenarios.ts";
import { SHIFT_VARIANTS, type ShiftVariant } from "./shift-variants.ts";
import { type Fields, makeFields, type State } from "./shift-state.ts";

export const MEMBER_NAMES = ["A", "B", "C", "D"] as const;
export const KEY_NAMES = ["x", "y", "z"] as const;

/** Takes a step's description, and the change that it makes to a copy of the state. */
export type Step = (says: string, change: (to: State) => void) => void;

/** The rows that one source sends to one target. */
export interface Pair {
  readonly source: number;
  readonly target: number;
  /** By operation: keys (bits) that go this way. */
  readonly keys: readonly number[];
}

/** The keys that change hands between an epoch and the next. */
export interface Wave {
  /** Members (bits). */
  readonly sources: number;
  readonly targets: number;
  /** By member. */
  readonly arriving: readonly (readonly number[])[];
  readonly leaving: readonly (readonly Leaving[])[];
}

interface Leaving {
  readonly key: number;
  readonly target: number;
}

export interface World {
  readonly scenario: Scenario;
  readonly bounds: Bounds;
  /** Which rules are left out. */
  readonly weak: Readonly<Record<ShiftVariant, boolean>>;
  readonly fields: Fields;
  readonly widthBytes: number;
  readonly members: readonly number[];
  readonly keys: readonly number[];
  /** All members (bits). */
  readonly everyone: number;
  readonly pairs: readonly Pair[];
  /** By the epoch before the wave. */
  readonly waves: readonly Wave[];
}

export function makeWorld(scenario: Scenario, bounds: Bounds, variant?: ShiftVariant): World {
  const { layouts, operations } = scenario;
  const names = Object.keys(SHIFT_VARIANTS) as ShiftVariant[];
  const weak = Object.fromEntries(names.map((name) => [name, name === variant])) as Record<
    ShiftVariant,
    boolean
  >;
  const members = Array.from({ length: Math.max(...layouts.flat()) + 1 }, (_, member) => member);
  const keys = Array.from({ length: layouts[0]?.length ?? 0 }, (_, key) => key);
  const waves = layouts
    .slice(1)
    .map((after, epoch) => makeWave(layouts[epoch] ?? after, after, members));
  const pairs = makePairs(scenario, members, keys);
  const { fields, widthBytes } = makeFields({
    members: members.length,
    keys: keys.length,
    pairs: pairs.length,
    operations: operations.length,
    attempts: bounds.attempts,
    epochs: layouts.length,
    pages: bounds.pages,
  });
  return {
    scenario,
    bounds,
    weak,
    fields,
    widthBytes,
    members,
    keys,
    everyone: (1 << members.length) - 1,
    pairs,
    waves,
  };
}

function makeWave(
  before: readonly number[],
  after: readonly number[],
  members: readonly number[],
): Wave {
  const moves = before.flatMap((source, key) => {
    const target = after[key] ?? source;
    return source === target ? [] : [{ key, source, target }];
  });
  return {
    sources: moves.reduce((bits, { source }) => bits | (1 << source), 0),
    targets: moves.reduce((bits, { target }) => bits | (1 << target), 0),
    arriving: members.map((member) =>
      moves.filter(({ target }) => target === member).map(({ key }) => key),
    ),
    leaving: members.map((member) => moves.filter(({ source }) => source === member)),
  };
}

function makePairs(
  { layouts, operations }: Scenario,
  members: readonly number[],
  keys: readonly number[],
): Pair[] {
  const pairs = members.flatMap((source) =>
    members.map((target): Pair => {
      const moving = operations.map(({ first, last }) =>
        keys.reduce((bits, key) => {
          const moves =
            source !== target &&
            layouts[first]?.[key] === source &&
            layouts[last]?.[key] === target;
          return moves ? bits | (1 << key) : bits;
        }, 0),
      );
      return { source, target, keys: [0, ...moving] };
    }),
  );
  return pairs.filter((pair) => pair.keys.some((bits) => bits !== 0));
}

/** The owner of a key at an epoch. */
export function ownerOf(world: World, epoch: number, key: number): number {
  const owner = world.scenario.layouts[epoch]?.[key];
  if (owner === undefined)
    throw new Error(`the scenario has no owner of key ${key} at epoch ${epoch}`);
  return owner;
}

export function operationOf(world: World, operation: number): Operation {
  const found = world.scenario.operations[operation - 1];
  if (found === undefined) throw new Error(`the scenario has no operation ${operation}`);
  return found;
}

/** The wave that follows an epoch; of the last epoch, one in which nothing moves. */
export function waveAfter(world: World, epoch: number): Wave {
  const none = world.members.map(() => []);
  return world.waves[epoch] ?? { sources: 0, targets: 0, arriving: none, leaving: none };
}

export const nameOf = (member: number): string => MEMBER_NAMES[member] ?? "?";
export const keyName = (key: number): string => KEY_NAMES[key] ?? "?";
