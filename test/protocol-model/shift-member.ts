// Receives the root's calls at the members of the shift model. Each call is one transaction of that
// member's SQLite, so it changes the member as a whole or not at all, and its answer is noted as
// sent. The rules in brackets are those of rules.ts.
import { crashSteps, isDrained, resetCopy } from "./shift-copy.ts";
import {
  FENCE,
  FENCE_SENT,
  type Field,
  hasBit,
  PROMOTE_SENT,
  RELEASE_SENT,
  ROW_LOST,
  type State,
} from "./shift-state.ts";
import { nameOf, ownerOf, type Step, type Wave, waveAfter, type World } from "./shift-world.ts";

export function memberSteps(world: World, state: State, member: number, step: Step): void {
  const { fields, weak } = world;
  for (let operation = 1; operation <= fields.operation.get(state); operation++) {
    prepareArrives(world, state, member, operation, step);
    cleanUpArrives(world, state, member, operation, step);
    for (let attempt = 1; attempt <= world.bounds.attempts; attempt++)
      attemptSteps(world, state, { member, operation, attempt }, step);
  }
  for (let epoch = 1; epoch <= fields.committed.get(state); epoch++)
    activationArrives(world, state, member, epoch, step);
  crashSteps(world, state, member, step);
  if (world.scenario.fillsUp?.includes(member) && fields.full.get(state, member) === 0)
    step(`${nameOf(member)} takes no more rows: its storage is full`, (to) =>
      fields.full.set(to, 1, member),
    );
  if (weak["unfence-by-timer"] && fields.fence.get(state, member) !== 0)
    step(`${nameOf(member)} lifts its fence by a timer`, (to) => fields.fence.set(to, 0, member));
  if (fields.half.get(state, member) === 1) secondHalf(world, state, member, step);
}

/**
 * Prepare: installs capture, fills the log with every key that moves away (the copy), clears
 * leftovers.
 * [prepare-once, operation-numbers, capture-before-copy, promotion-ends-with-its-attempt]
 */
function prepareArrives(
  world: World,
  state: State,
  member: number,
  operation: number,
  step: Step,
): void {
  const { fields, weak } = world;
  const seen = fields.seen.get(state, member);
  const runs = seen === operation && fields.active.get(state, member) === 1;
  const isAnswered = fields.preparedBy.has(state, member, operation);
  if (runs && isAnswered && !weak["prepare-twice"]) return;
  const isOver =
    operation < seen
      ? !weak["older-operation-accepted"]
      : operation === seen && !runs && !weak["ended-operation-accepted"];
  if (isOver) return;
  step(`prepare of operation ${operation} arrives at ${nameOf(member)}`, (to) => {
    fields.preparedBy.add(to, member, operation);
    if (runs && !weak["prepare-twice"]) return;
    endOperation(world, to, member, !weak["prepare-keeps-promotion"]);
    fields.seen.set(to, operation, member);
    fields.active.set(to, 1, member);
    resetCopy(world, to, member, weak["prepare-twice"] && runs ? undefined : operation);
  });
}

/**
 * Clean-up: ends the operation here. A member that never saw it notes that it has ended.
 * [operation-numbers, durable-abort, promotion-ends-with-its-attempt]
 */
function cleanUpArrives(
  world: World,
  state: State,
  member: number,
  operation: number,
  step: Step,
): void {
  const { fields, weak } = world;
  const sent = fields.cleanUpSent.get(state, operation);
  const seen = fields.seen.get(state, member);
  if (
    sent === 0 ||
    operation < seen ||
    (operation === seen && fields.active.get(state, member) === 0)
  )
    return;
  if (!canUndo(world, state, member)) return;
  const isUnknown = operation > seen;
  step(`clean-up of operation ${operation} arrives at ${nameOf(member)}`, (to) => {
    fields.cleanedBy.add(to, member, operation);
    if (isUnknown && weak["clean-up-not-noted"]) return;
    endOperation(world, to, member, !weak["clean-up-keeps-promotion"]);
    fields.seen.set(to, operation, member);
    fields.active.set(to, 0, member);
    fields.epoch.set(to, Math.max(fields.epoch.get(to, member), sent - 1), member);
  });
}

function endOperation(world: World, to: State, member: number, undoes: boolean): void {
  const { fields } = world;
  if (undoes) undoPromotion(world, to, member);
  fields.promoted.set(to, 0, member);
  fields.half.set(to, 0, member);
  fields.leaving.set(to, 0, member);
  fields.fence.set(to, 0, member);
  fields.released.set(to, 0, member);
  for (const key of world.keys) fields.staged.set(to, 0, member, key);
  resetCopy(world, to, member);
}

interface Call {
  readonly member: number;
  readonly operation: number;
  readonly attempt: number;
}

function attemptSteps(world: World, state: State, call: Call, step: Step): void {
  const { fields, weak } = world;
  const { member, operation, attempt } = call;
  const sent = fields.sent.get(state, operation, attempt);
  if (sent === 0 || fields.active.get(state, member) === 0) return;
  const runs = fields.seen.get(state, member) === operation;
  if (runs && hasBit(sent, FENCE_SENT)) fenceArrives(world, state, call, step);
  if (runs && hasBit(sent, FENCE_SENT)) answersDrained(world, state, call, step);
  if (
    runs &&
    (hasBit(sent, PROMOTE_SENT) || (hasBit(sent, FENCE_SENT) && weak["promotes-before-drained"]))
  )
    promoteArrives(world, state, call, step);
  if (!runs && !weak["release-without-operation"]) return;
  const isRunning =
    operation === fields.operation.get(state) &&
    attempt === fields.attempt.get(state) &&
    fields.phase.get(state) === FENCE;
  if (hasBit(sent, RELEASE_SENT) || (weak["abort-not-durable"] && isRunning))
    releaseArrives(world, state, call, step);
}

/**
 * Fence. What is staged of waves that the member acts by is dropped now: the root fences a later
 * wave only when all have acknowledged.
 * [waves-apart, fence-attempts, operation-numbers, promotion-ends-with-its-attempt,
 * staged-until-acknowledged]
 */
function fenceArrives(
  world: World,
  state: State,
  { member, operation, attempt }: Call,
  step: Step,
): void {
  const { fields, weak } = world;
  const standing = fields.fence.get(state, member);
  const takes = weak["old-fence-replaces-newer"] ? attempt !== standing : attempt > standing;
  const wave = waveAfter(world, fields.waveEpoch.get(state, operation, attempt));
  const isFenced =
    hasBit(wave.sources, member) || (hasBit(wave.targets, member) && !weak["targets-not-fenced"]);
  if (
    attempt <= fields.released.get(state, member) ||
    !takes ||
    !isFenced ||
    !canUndo(world, state, member)
  )
    return;
  step(`fence of attempt ${attempt} arrives at ${nameOf(member)}`, (to) => {
    if (!weak["promotion-outlives-attempt"]) undoPromotion(world, to, member);
    fields.fence.set(to, attempt, member);
    const epoch = fields.epoch.get(to, member);
    if (weak["promotes-all-staged"]) return;
    for (const key of world.keys)
      if (ownerOf(world, epoch, key) === member) fields.staged.set(to, 0, member, key);
  });
}

/** A fenced member says so, and a source only when it is drained. [drain-before-cutover] */
function answersDrained(
  world: World,
  state: State,
  { member, operation, attempt }: Call,
  step: Step,
): void {
  const { fields, weak } = world;
  if (fields.fence.get(state, member) !== attempt || !isDrained(world, state, member)) return;
  const name = nameOf(member);
  if (!fields.drainedBy.has(state, member, operation, attempt))
    step(`${name} says that it is drained, attempt ${attempt}`, (to) =>
      fields.drainedBy.add(to, member, operation, attempt),
    );
  if (weak["delete-before-cutover"] && fields.phase.get(state) === FENCE)
    step(`${name} deletes the rows of the wave`, (to) =>
      deleteMoved(world, to, member, fields.epoch.get(to, member)),
    );
}

/**
 * Promotion under the fence: the staged rows of the wave become live, and stay staged. One that
 * does not fit is refused, as often as it is tried.
 * [promoted-before-commit, fence-attempts, nothing-in-the-way]
 */
function promoteArrives(
  world: World,
  state: State,
  { member, operation, attempt }: Call,
  step: Step,
): void {
  const { fields, weak } = world;
  const wave = waveAfter(world, fields.waveEpoch.get(state, operation, attempt));
  const isUnfenced = weak["targets-not-fenced"] || weak["late-promotion-accepted"];
  if (!hasBit(wave.targets, member) || (fields.fence.get(state, member) !== attempt && !isUnfenced))
    return;
  const isDone =
    fields.promoted.get(state, member) === attempt ||
    (weak["promotion-outlives-attempt"] && fields.promoted.get(state, member) !== 0);
  if (isDone) {
    if (fields.promotedBy.has(state, member, operation, attempt)) return;
    step(`${nameOf(member)} says again that it has promoted, attempt ${attempt}`, (to) =>
      fields.promotedBy.add(to, member, operation, attempt),
    );
    return;
  }
  if (
    fields.promoted.get(state, member) !== 0 ||
    fields.full.get(state, member) === 1 ||
    fields.half.get(state, member) === 1
  )
    return;
  if (!fits(world, state, member, wave)) return;
  const says = `${nameOf(member)} promotes under the fence of attempt ${attempt}`;
  const halves = splitPromotion(world, wave.arriving[member] ?? []);
  if (halves !== undefined) {
    step(`${says}, in a first transaction`, (to) => {
      for (const key of halves) makeLive(world, to, member, key);
      fields.half.set(to, 1, member);
    });
    return;
  }
  step(says, (to) => {
    promote(world, to, member);
    fields.promoted.set(to, attempt, member);
    fields.promotedBy.add(to, member, operation, attempt);
  });
}

/**
 * Returns true when the live tables accept the rows staged for a wave: no row of the same key, no
 * rival of a unique value, no child without its parent.
 * [nothing-in-the-way, foreign-keys-in-force]
 */
export function fits(world: World, state: State, member: number, wave: Wave): boolean {
  const { fields, weak, scenario } = world;
  const coming = (wave.arriving[member] ?? []).filter(
    (key) => fields.staged.get(state, member, key) !== 0,
  );
  const isHere = (key: number): boolean => fields.live.get(state, member, key) !== 0;
  if (!weak["promotion-replaces"] && coming.some(isHere)) return false;
  const isThere = (key: number): boolean => coming.includes(key) || isHere(key);
  if (
    scenario.rivals &&
    world.keys.every(isThere) &&
    !weak["promotion-replaces"] &&
    !weak["promotion-unchecked"]
  )
    return false;
  return !scenario.family || !isThere(1) || isThere(0);
}

/** The keys that a variant promotes in a transaction of their own, before the others. */
function splitPromotion(
  { weak }: World,
  arriving: readonly number[],
): readonly number[] | undefined {
  if (arriving.length < 2) return undefined;
  if (weak["children-first"]) return arriving.slice(1);
  return weak["promotes-in-two-transactions"] ? arriving.slice(0, 1) : undefined;
}

function promote(world: World, to: State, member: number): void {
  const { fields, weak } = world;
  const epoch = fields.epoch.get(to, member);
  const arriving = waveAfter(world, epoch).arriving[member] ?? [];
  const isOwned = (key: number): boolean => ownerOf(world, epoch, key) === member;
  for (const key of weak["promotes-all-staged"]
    ? [...arriving, ...world.keys.filter(isOwned)]
    : arriving) {
    if (weak["children-without-parents"] && key === 0) continue;
    makeLive(world, to, member, key);
    if (weak["staged-dropped-at-promotion"]) fields.staged.set(to, 0, member, key);
  }
}

function makeLive(
  { fields, scenario, keys, weak }: World,
  to: State,
  member: number,
  key: number,
): void {
  const row = fields.staged.get(to, member, key);
  if (row === 0) return;
  const isInTheWay = (other: number): boolean =>
    fields.live.get(to, member, other) !== 0 &&
    (other === key || (scenario.rivals === true && weak["promotion-replaces"]));
  for (const other of keys.filter(isInTheWay)) {
    if (fields.half.get(to, member) === 0 && weak["promotion-replaces"])
      fields.wrong.set(to, ROW_LOST);
    fields.live.set(to, 0, member, other);
  }
  fields.live.set(to, row, member, key);
}

/**
 * Deletes exactly the rows that a promotion has made live: those that are staged for the wave.
 * Needs no space.
 * [promotion-ends-with-its-attempt]
 */
function undoPromotion(world: World, to: State, member: number): void {
  const { fields, weak } = world;
  if (fields.promoted.get(to, member) === 0) return;
  fields.promoted.set(to, 0, member);
  for (const key of waveAfter(world, fields.epoch.get(to, member)).arriving[member] ?? []) {
    const isOurs = fields.staged.get(to, member, key) !== 0;
    if (!isOurs && !weak["undo-deletes-ranges"] && !weak["staged-dropped-at-promotion"]) continue;
    if (!isOurs && weak["undo-deletes-ranges"] && fields.live.get(to, member, key) !== 0)
      fields.wrong.set(to, ROW_LOST);
    fields.live.set(to, 0, member, key);
    if (weak["staged-dropped-with-undo"]) fields.staged.set(to, 0, member, key);
  }
}

function canUndo({ fields, weak }: World, state: State, member: number): boolean {
  return (
    !weak["undo-needs-space"] ||
    fields.promoted.get(state, member) === 0 ||
    fields.full.get(state, member) === 0
  );
}

/**
 * The root's word that an attempt is over.
 * [fence-until-told, fence-attempts, promotion-ends-with-its-attempt]
 */
function releaseArrives(world: World, state: State, { member, attempt }: Call, step: Step): void {
  const { fields, weak } = world;
  const released = fields.released.get(state, member);
  const stands = fields.fence.get(state, member) === attempt;
  if (attempt <= released && !stands) return;
  const isPromoted = fields.promoted.get(state, member) !== 0;
  if (stands && !canUndo(world, state, member)) return;
  step(`${nameOf(member)} hears that attempt ${attempt} is aborted`, (to) => {
    fields.released.set(to, Math.max(released, attempt), member);
    if (!stands) return;
    fields.half.set(to, 0, member);
    if (weak["undo-after-fence"] && isPromoted) fields.half.set(to, 1, member);
    else if (weak["not-unpromoted"]) fields.promoted.set(to, 0, member);
    else undoPromotion(world, to, member);
    fields.fence.set(to, 0, member);
  });
}

/**
 * Activate, in two rounds. Targets first: the epoch changes and the fence is lifted, nothing else,
 * since their rows are live already. When all targets act by the epoch, the others: a source
 * deletes what has moved, changes its epoch and lifts its fence. A member that is both keeps its
 * fence from the first round to the second. [activate-once, activate-in-one-transaction,
 * sources-delete-last, repeats-are-answered]
 */
function activationArrives(
  world: World,
  state: State,
  member: number,
  epoch: number,
  step: Step,
): void {
  const { fields, weak } = world;
  const { targets, sources } = waveAfter(world, epoch - 1);
  const isTarget = hasBit(targets, member);
  const isFirst = fields.epoch.get(state, member) < epoch;
  if (isTarget && isFirst) targetActivates(world, state, member, epoch, step);
  else if (isTarget) repeats(world, state, member, epoch, fields.actsBy, step);
  if (fields.othersTold.get(state, epoch) === 0 && !weak["sources-told-at-once"]) return;
  if (isTarget && !hasBit(sources, member)) return;
  const isDue = isTarget
    ? fields.leaving.get(state, member) === 1 && fields.epoch.get(state, member) === epoch
    : isFirst;
  if (isDue) otherActivates(world, state, member, epoch, step);
  else if (!isFirst) repeats(world, state, member, epoch, fields.finishedBy, step);
}

function targetActivates(
  world: World,
  state: State,
  member: number,
  epoch: number,
  step: Step,
): void {
  const { fields, weak } = world;
  const wave = waveAfter(world, epoch - 1);
  const isPromoted = fields.promoted.get(state, member) !== 0;
  // Only variants come here without a promotion: they make it now, if they can.
  if (!isPromoted && (!fits(world, state, member, wave) || fields.full.get(state, member) === 1))
    return;
  if (weak["activation-needs-space"] && fields.full.get(state, member) === 1) return;
  const isSource = hasBit(wave.sources, member) && !weak["both-lift-with-targets"];
  const says = `activation of epoch ${epoch} arrives at ${nameOf(member)}, a target`;
  if (weak["unfence-before-epoch"] && fields.fence.get(state, member) !== 0) {
    step(`${says}: it lifts its fence first`, (to) => fields.fence.set(to, 0, member));
    return;
  }
  const activate = (to: State): void => {
    if (!isPromoted) promote(world, to, member);
    fields.epoch.set(to, epoch, member);
    fields.promoted.set(to, 0, member);
    if (hasBit(wave.sources, member)) fields.leaving.set(to, 1, member);
    if (!isSource) liftFence(world, to, member);
    if (weak["late-page-after-promotion"]) forgetNumbers(world, to, member);
    if (weak["staged-dropped-early"])
      for (const key of wave.arriving[member] ?? []) fields.staged.set(to, 0, member, key);
  };
  step(says, (to) => {
    activate(to);
    fields.actsBy.add(to, member, epoch);
  });
  if (world.scenario.losesAnswers) step(`${says}, and its answer is lost`, activate);
}

function otherActivates(
  world: World,
  state: State,
  member: number,
  epoch: number,
  step: Step,
): void {
  const { fields, weak } = world;
  const activate = (to: State): void => {
    if (weak["unfence-before-delete"] || weak["parents-deleted-first"])
      fields.half.set(to, 1, member);
    if (weak["parents-deleted-first"]) fields.live.set(to, 0, member, 0);
    else if (!weak["unfence-before-delete"]) deleteMoved(world, to, member, epoch - 1);
    fields.epoch.set(to, epoch, member);
    fields.leaving.set(to, 0, member);
    if (!weak["parents-deleted-first"]) liftFence(world, to, member);
  };
  const says = `activation of epoch ${epoch} arrives at ${nameOf(member)}`;
  step(says, (to) => {
    activate(to);
    fields.finishedBy.add(to, member, epoch);
  });
  if (world.scenario.losesAnswers) step(`${says}, and its answer is lost`, activate);
}

/** A late or repeated activation. [activate-once, repeats-are-answered] */
function repeats(
  world: World,
  state: State,
  member: number,
  epoch: number,
  answers: Field,
  step: Step,
): void {
  const { fields, weak } = world;
  const { arriving } = waveAfter(world, epoch - 1);
  const says = `activation of epoch ${epoch} arrives late at ${nameOf(member)}`;
  if (
    weak["late-activate-promotes"] &&
    (arriving[member] ?? []).some((key) => fields.staged.get(state, member, key) !== 0)
  )
    step(`${says}: it promotes`, (to) => {
      for (const key of arriving[member] ?? []) makeLive(world, to, member, key);
    });
  if (weak["late-activate-deletes"])
    step(`${says}: it deletes`, (to) => deleteKeys(world, to, member, epoch - 1));
  if (weak["late-activate-lifts-fence"] && fields.fence.get(state, member) !== 0)
    step(`${says}: it lifts the fence`, (to) => fields.fence.set(to, 0, member));
  if (!weak["repeat-unanswered"] && !answers.has(state, member, epoch))
    step(`${says}: it answers again`, (to) => answers.add(to, member, epoch));
}

function liftFence({ fields, weak }: World, to: State, member: number): void {
  const over = Math.max(fields.released.get(to, member), fields.fence.get(to, member));
  fields.released.set(to, weak["attempts-restart"] ? 0 : over, member);
  fields.fence.set(to, 0, member);
}

function forgetNumbers({ fields, pairs }: World, to: State, member: number): void {
  pairs.forEach(({ target }, pair) => {
    if (target === member) fields.lastSequence.set(to, 0, pair);
  });
}

/**
 * A source deletes the rows that its target names: those that are staged there for the wave.
 * [staged-until-acknowledged]
 */
function deleteMoved(world: World, to: State, member: number, epoch: number): void {
  const { fields } = world;
  for (const { key, target } of waveAfter(world, epoch).leaving[member] ?? [])
    if (fields.staged.get(to, target, key) !== 0) fields.live.set(to, 0, member, key);
}

function deleteKeys(world: World, to: State, member: number, epoch: number): void {
  for (const { key } of waveAfter(world, epoch).leaving[member] ?? [])
    world.fields.live.set(to, 0, member, key);
}

/** The second transaction of what a variant has split. */
function secondHalf(world: World, state: State, member: number, step: Step): void {
  const { fields, weak } = world;
  const name = nameOf(member);
  const attempt = fields.fence.get(state, member);
  const operation = fields.seen.get(state, member);
  if (weak["unfence-before-delete"] || weak["parents-deleted-first"])
    step(`${name} deletes the rows that have left`, (to) => {
      fields.half.set(to, 0, member);
      deleteMoved(world, to, member, fields.epoch.get(to, member) - 1);
      liftFence(world, to, member);
    });
  else if (weak["undo-after-fence"])
    step(`${name} undoes its promotion`, (to) => {
      fields.half.set(to, 0, member);
      undoPromotion(world, to, member);
    });
  else if (attempt !== 0)
    step(`${name} promotes the rest`, (to) => {
      promote(world, to, member);
      fields.half.set(to, 0, member);
      fields.promoted.set(to, attempt, member);
      fields.promotedBy.add(to, member, operation, attempt);
    });
}
