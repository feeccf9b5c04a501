// Checks a state of the shift model: no wrong read, no second owner, no wrong count, no epoch that
// a target cannot act by, no lost row, no broken constraint, and nothing left behind by an
// operation that has ended.
import type { Breaks } from "./shift-variants.ts";
import { COMMITTED, MISCOUNTED, ROW_LOST, hasBit, type State } from "./shift-state.ts";
import { hasEnded } from "./shift-root.ts";
import { describeKeys, epochAdmitted, isFamilyBroken, STRAY_VALUE } from "./shift-users.ts";
import { keyName, nameOf, ownerOf, waveAfter, type World } from "./shift-world.ts";

type Check = (world: World, state: State) => string | undefined;

const CHECKS: Readonly<Record<Exclude<Breaks, "end">, Check>> = {
  read: wrongRead,
  count: wrongCount,
  commit: unfitCommit,
  row: lostRow,
  copy: missingCopy,
  constraint: brokenConstraint,
  leftover,
};

/** `only`: look for a violation of this kind and pass over the others. */
export function violationIn(world: World, state: State, only?: Breaks): string | undefined {
  for (const [kind, check] of Object.entries(CHECKS)) {
    if (only !== undefined && only !== kind) continue;
    const what = check(world, state);
    if (what !== undefined) return what;
  }
  return undefined;
}

const describeValue = (value: number): string => (value === 0 ? "absent" : String(value));

function wrongRead(world: World, state: State): string | undefined {
  const { fields } = world;
  for (const key of world.keys) {
    let writers = 0;
    for (const member of world.members) {
      if (epochAdmitted(world, state, member, key, false) !== undefined) writers++;
      if (writers > 1) return `${keyName(key)} has two owners`;
      const seen = fields.live.get(state, member, key);
      const last = fields.last.get(state, key);
      // A stray row is kept and may show when its member becomes the owner, but never in place of
      // another.
      if (seen === last || (seen === STRAY_VALUE && last === 0)) continue;
      const epoch = epochAdmitted(world, state, member, key, true);
      if (epoch === undefined) continue;
      return `a client of epoch ${epoch} reads ${keyName(key)} at ${nameOf(member)}: ${describeValue(seen)}; the last write was ${describeValue(last)}`;
    }
  }
  return undefined;
}

function wrongCount(world: World, state: State): string | undefined {
  const { fields } = world;
  if (fields.wrong.get(state) !== MISCOUNTED) return undefined;
  const existed = `all the time there existed ${describeKeys(world, fields.countAlways.get(state))}`;
  return `the count saw ${describeKeys(world, fields.countSeen.get(state))}, or one of them twice; ${existed}`;
}

/**
 * After the cutover there is only forward: every target can act by the epoch.
 * [promoted-before-commit]
 */
function unfitCommit(world: World, state: State): string | undefined {
  const { fields } = world;
  const epoch = fields.committed.get(state);
  if (fields.phase.get(state) !== COMMITTED) return undefined;
  const { targets } = waveAfter(world, epoch - 1);
  const late = world.members.find((member) => {
    const hasPromoted = fields.promoted.get(state, member) === fields.attempt.get(state);
    return hasBit(targets, member) && fields.epoch.get(state, member) < epoch && !hasPromoted;
  });
  return late === undefined
    ? undefined
    : `epoch ${epoch} is committed, and ${nameOf(late)} has not promoted its rows`;
}

function lostRow({ fields }: World, state: State): string | undefined {
  return fields.wrong.get(state) === ROW_LOST
    ? "a row that was there before has been deleted"
    : undefined;
}

/**
 * At all times a member that owns the key by its own epoch, fenced or not, or has yet to let it go,
 * has its last write.
 * [sources-delete-last]
 */
function missingCopy(world: World, state: State): string | undefined {
  const { fields } = world;
  for (const key of world.keys) {
    const last = fields.last.get(state, key);
    if (last === 0) continue;
    const isHeld = world.members.some((member) => {
      const epoch = fields.epoch.get(state, member);
      const isOwner = ownerOf(world, epoch, key) === member;
      const wasOwner =
        fields.leaving.get(state, member) === 1 && ownerOf(world, epoch - 1, key) === member;
      return (isOwner || wasOwner) && fields.live.get(state, member, key) === last;
    });
    if (!isHeld) return `nobody that owns ${keyName(key)} by its own epoch has its last write`;
  }
  return undefined;
}

function brokenConstraint(world: World, state: State): string | undefined {
  const { fields, scenario } = world;
  for (const member of world.members) {
    if (scenario.rivals && world.keys.every((key) => fields.live.get(state, member, key) !== 0))
      return `${nameOf(member)} has x and y, which have one unique value`;
    if (scenario.family && isFamilyBroken(world, state, member))
      return `${nameOf(member)} has the child y and not its parent x`;
  }
  return undefined;
}

function leftover(world: World, state: State): string | undefined {
  if (!hasEnded(world, state)) return undefined;
  for (const member of world.members) {
    const left = leftBehind(world, state, member);
    if (left !== undefined) return `the operation has ended and ${nameOf(member)} still ${left}`;
  }
  const unserved = world.keys.find((key) => {
    return !world.members.some(
      (member) => epochAdmitted(world, state, member, key, true) !== undefined,
    );
  });
  return unserved === undefined
    ? undefined
    : `the operation has ended and nobody serves ${keyName(unserved)}`;
}

function leftBehind(world: World, state: State, member: number): string | undefined {
  const { fields } = world;
  if (fields.active.get(state, member) !== 0) return "captures";
  if (fields.fence.get(state, member) !== 0) return "is fenced";
  for (const key of world.keys) {
    if (fields.staged.get(state, member, key) !== 0) return "has staged rows";
    const value = fields.live.get(state, member, key);
    if (
      value !== 0 &&
      value !== STRAY_VALUE &&
      ownerOf(world, fields.epoch.get(state, member), key) !== member
    )
      return `has ${keyName(key)}=${value}, which it does not own`;
  }
  return undefined;
}
