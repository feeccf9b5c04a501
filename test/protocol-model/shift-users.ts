// Writes, deletes and counts as users do in the shift model, at owners and past the router. Clients
// need no state of their own: at any moment some client holds the layout of each epoch so far, and
// all are tried. The rules in brackets are those of rules.ts.
import { captureWrite } from "./shift-copy.ts";
import { hasBit, MISCOUNTED, type State } from "./shift-state.ts";
import { keyName, nameOf, ownerOf, type Step, type World } from "./shift-world.ts";

export const FIRST_VALUE = 1;
export const STRAY_VALUE = 15;
const PARENT = 0;
const CHILD = 1;

export function userSteps(world: World, state: State, step: Step): void {
  const { fields, scenario, bounds } = world;
  for (const member of world.members) {
    if (fields.writes.get(state) < bounds.writes)
      for (const key of world.keys) userWrites(world, state, member, key, step);
    if (scenario.counts) memberAnswersCount(world, state, member, step);
    if (scenario.strays && fields.strays.get(state) === 0) userStrays(world, state, member, step);
  }
  if (fields.countEpoch.get(state) !== 0)
    step("the count starts over", (to) => endCount(world, to));
}

/**
 * Returns true when a call of a client that routed by `epoch` is served. [one-epoch,
 * fence-until-told]
 */
function admits(
  world: World,
  state: State,
  member: number,
  epoch: number,
  reads: boolean,
): boolean {
  const { fields, weak, scenario } = world;
  if (fields.fence.get(state, member) !== 0 && !(reads && weak["reads-pass-fence"])) return false;
  const own = fields.epoch.get(state, member);
  if (epoch === own || scenario.judgesByOwnLayout) return true;
  return epoch < own && weak["stale-epoch-accepted"];
}

/**
 * The newest epoch by which a client would route this key to this member and be served, or
 * undefined.
 */
export function epochAdmitted(
  world: World,
  state: State,
  member: number,
  key: number,
  reads: boolean,
): number | undefined {
  const { fields, scenario } = world;
  if (scenario.judgesByOwnLayout && ownerOf(world, fields.epoch.get(state, member), key) !== member)
    return undefined;
  for (let epoch = fields.committed.get(state); epoch >= 0; epoch--)
    if (ownerOf(world, epoch, key) === member && admits(world, state, member, epoch, reads))
      return epoch;
  return undefined;
}

/** Keys (bits) that exist. */
function existingKeys({ fields, keys }: World, state: State): number {
  return keys.reduce(
    (bits, key) => (fields.last.get(state, key) === 0 ? bits : bits | (1 << key)),
    0,
  );
}

/** A put or a delete by a client that routed by any epoch so far. */
function userWrites(world: World, state: State, member: number, key: number, step: Step): void {
  const { fields, weak, scenario } = world;
  if (
    !scenario.layouts.some((layout) => layout[key] !== scenario.layouts[0]?.[key]) &&
    !scenario.counts &&
    !scenario.rivals
  )
    return;
  const epoch = epochAdmitted(world, state, member, key, false);
  const passesFence =
    weak["deletes-pass-fence"] && ownerOf(world, fields.epoch.get(state, member), key) === member;
  if (epoch === undefined && !passesFence) return;
  const by = epoch === undefined ? "an alarm" : `a client of epoch ${epoch}`;
  const value = FIRST_VALUE + 1 + fields.writes.get(state);
  const isHere = (other: number): boolean => fields.live.get(state, member, other) !== 0;
  const hasRival = scenario.rivals && world.keys.some((other) => other !== key && isHere(other));
  // The variant turns them off for an attempt, and not on again.
  const isFamily =
    scenario.family === true &&
    !(weak["foreign-keys-off"] && fields.released.get(state, member) > 0);
  const hasNoParent = isFamily && key === CHILD && !isHere(PARENT);
  if (epoch !== undefined && !hasRival && !hasNoParent)
    step(`${by} puts ${keyName(key)}=${value} at ${nameOf(member)}`, (to) =>
      write(world, to, member, [key], value),
    );
  if (fields.last.get(state, key) === 0) return;
  const cascades = isFamily && key === PARENT && isHere(CHILD);
  const says = `${by} deletes ${keyName(key)} at ${nameOf(member)}`;
  step(cascades ? `${says}, and with it ${keyName(CHILD)}` : says, (to) =>
    write(world, to, member, cascades ? [key, CHILD] : [key], 0),
  );
}

function write(
  world: World,
  to: State,
  member: number,
  keys: readonly number[],
  value: number,
): void {
  const { fields, weak } = world;
  keys.forEach((key, at) => {
    fields.live.set(to, value, member, key);
    if (at === 0 || !weak["cascade-not-captured"]) captureWrite(world, to, member, key);
    fields.last.set(to, value, key);
  });
  fields.writes.set(to, fields.writes.get(to) + 1);
  if (fields.countEpoch.get(to) === 0) return;
  fields.countEver.set(to, fields.countEver.get(to) | existingKeys(world, to));
  fields.countAlways.set(to, fields.countAlways.get(to) & existingKeys(world, to));
}

/**
 * A write past the router, to a member that does not own the key. A fence aborts it; otherwise it
 * is stored, and captured like any write.
 */
function userStrays(world: World, state: State, member: number, step: Step): void {
  const { fields } = world;
  if (fields.fence.get(state, member) !== 0) return;
  for (const key of world.keys) {
    if (ownerOf(world, fields.epoch.get(state, member), key) === member) continue;
    step(
      `a stray write puts ${keyName(key)}=${STRAY_VALUE} at ${nameOf(member)}, which does not own it`,
      (to) => {
        fields.live.set(to, STRAY_VALUE, member, key);
        captureWrite(world, to, member, key);
        fields.strays.set(to, 1);
      },
    );
  }
}

/**
 * One answer of a count; the last one of its epoch is compared at once with what existed meanwhile.
 * [one-epoch-queries]
 */
function memberAnswersCount(world: World, state: State, member: number, step: Step): void {
  const { fields, weak } = world;
  const own = fields.epoch.get(state, member);
  const isFirst = fields.countEpoch.get(state) === 0;
  const epoch = isFirst ? own : fields.countEpoch.get(state) - 1;
  const passes = weak["counts-pass-fence"] || admits(world, state, member, own, true);
  if (!passes || fields.countAnswered.has(state, member)) return;
  if (epoch !== own && !weak["count-mixes-epochs"]) return;
  const rows = world.keys.filter((key) => fields.live.get(state, member, key) !== 0);
  const says = `a count is answered by ${nameOf(member)} at epoch ${own}: ${rows.map(keyName).join(" and ") || "no key"}`;
  step(says, (to) => {
    if (isFirst) {
      fields.countEpoch.set(to, own + 1);
      fields.countEver.set(to, existingKeys(world, to));
      fields.countAlways.set(to, existingKeys(world, to));
    }
    fields.countAnswered.add(to, member);
    const twice = rows.some((key) => fields.countSeen.has(to, key));
    for (const key of rows) fields.countSeen.add(to, key);
    const waits = world.members.some((other) => {
      return (
        !fields.countAnswered.has(to, other) &&
        world.keys.some((key) => ownerOf(world, epoch, key) === other)
      );
    });
    const seen = fields.countSeen.get(to);
    const isWrong =
      (seen & ~fields.countEver.get(to)) !== 0 ||
      (!waits && (fields.countAlways.get(to) & ~seen) !== 0);
    if (twice || isWrong) fields.wrong.set(to, MISCOUNTED);
    else if (!waits) endCount(world, to);
  });
}

function endCount({ fields }: World, to: State): void {
  for (const field of [
    fields.countEpoch,
    fields.countAnswered,
    fields.countSeen,
    fields.countEver,
    fields.countAlways,
  ])
    field.set(to, 0);
}

export const isFamilyBroken = ({ fields }: World, state: State, member: number): boolean =>
  fields.live.get(state, member, CHILD) !== 0 && fields.live.get(state, member, PARENT) === 0;

export const describeKeys = (world: World, bits: number): string =>
  world.keys
    .filter((key) => hasBit(bits, key))
    .map(keyName)
    .join(" and ") || "no key";
