// The root of the shift model. Its journal is durable and every change of it is one transaction.
// What it has counted is not in its state: an answer that was sent may arrive at any time, so that
// a root which counts it later, or again after a crash, is in the search already. The rules in
// brackets are those of rules.ts.
import {
  CLEANUP_CANCELLED,
  CLEANUP_DONE,
  COMMITTED,
  FENCE,
  FENCE_SENT,
  type Field,
  hasAll,
  IDLE_CANCELLED,
  IDLE_DONE,
  MOVE,
  PREPARE,
  PROMOTE_SENT,
  RELEASE_SENT,
  type State,
} from "./shift-state.ts";
import { operationOf, type Step, waveAfter, type World } from "./shift-world.ts";

export function rootSteps(world: World, state: State, step: Step): void {
  const { fields, weak, scenario, everyone } = world;
  const operation = fields.operation.get(state);
  const enter = (says: string, phase: number): void =>
    step(says, (to) => fields.phase.set(to, phase));
  const phase = fields.phase.get(state);
  const isCleaned = scenario.chores || hasAll(fields.cleanedBy.get(state, operation), everyone);
  switch (phase) {
    case PREPARE:
      if (hasAll(fields.preparedBy.get(state, operation), everyone))
        enter("root notes: prepared, rows may move", MOVE);
      break;
    case MOVE:
      if (fields.attempt.get(state) < world.bounds.attempts) beginAttempt(world, state, step);
      if (weak["commit-unchecked"] && fields.attempt.get(state) > 0) commit(world, state, step);
      break;
    case FENCE:
      fenceSteps(world, state, step);
      break;
    case COMMITTED:
      stepsAfterCutover(world, state, step);
      break;
    case CLEANUP_DONE:
      if (isCleaned) enter(`root notes: operation ${operation} is done`, IDLE_DONE);
      break;
    case CLEANUP_CANCELLED:
      if (isCleaned) enter(`root notes: operation ${operation} is cancelled`, IDLE_CANCELLED);
      break;
    default:
      if (hasNext(world, state)) startNext(world, state, step);
  }
  if (phase < FENCE) cancel(world, step);
}

function beginAttempt({ fields }: World, state: State, step: Step): void {
  const operation = fields.operation.get(state);
  const attempt = fields.attempt.get(state) + 1;
  step(`root notes: fence the wave, attempt ${attempt}`, (to) => {
    fields.attempt.set(to, attempt);
    fields.phase.set(to, FENCE);
    fields.sent.add(to, FENCE_SENT, operation, attempt);
    fields.waveEpoch.set(to, fields.committed.get(to), operation, attempt);
  });
}

/**
 * Until the commit an attempt, and the operation, can be given up whatever a target answers.
 * [durable-abort, fence-attempts, a-way-out-before-the-commit]
 */
function fenceSteps(world: World, state: State, step: Step): void {
  const { fields, weak } = world;
  const operation = fields.operation.get(state);
  const attempt = fields.attempt.get(state);
  const asked = fields.sent.has(state, PROMOTE_SENT, operation, attempt);
  if (isDrained(world, state) && !asked)
    step(`root sends: promote, attempt ${attempt}`, (to) =>
      fields.sent.add(to, PROMOTE_SENT, operation, attempt),
    );
  commit(world, state, step);
  if (asked && weak["waits-for-promotion"]) return;
  step(`root notes: attempt ${attempt} is aborted`, (to) => {
    fields.phase.set(to, MOVE);
    fields.sent.add(to, RELEASE_SENT, operation, attempt);
  });
  cancel(world, step);
}

/**
 * Returns true when all members of the wave have answered drained. [drain-before-cutover,
 * fence-attempts]
 */
function isDrained(world: World, state: State): boolean {
  const { fields, weak } = world;
  const { sources, targets } = waveAfter(world, fields.committed.get(state));
  const wanted = weak["targets-not-fenced"] ? sources : sources | targets;
  const counted = countedBits(world, state, fields.drainedBy, weak["old-drained-counts"]) & wanted;
  return weak["first-drained-commits"] ? counted !== 0 : counted === wanted;
}

/**
 * Returns true when all targets of the wave have promoted. [promoted-before-commit, fence-attempts]
 */
function isPromoted(world: World, state: State): boolean {
  const { fields, weak } = world;
  if (weak["commits-before-promoted"]) return true;
  const { targets } = waveAfter(world, fields.committed.get(state));
  const counted =
    countedBits(world, state, fields.promotedBy, weak["old-promotion-counts"]) & targets;
  return weak["first-promoted-commits"] ? counted !== 0 : counted === targets;
}

/**
 * The answers to the current attempt; of a variant, those to older ones too; and of another, those
 * of the operation before.
 */
function countedBits(
  { fields, weak }: World,
  state: State,
  answers: Field,
  withOlder: boolean,
): number {
  const operation = fields.operation.get(state);
  const attempt = fields.attempt.get(state);
  let bits = answers.get(state, operation, attempt);
  if (withOlder)
    for (let older = 1; older < attempt; older++) bits |= answers.get(state, operation, older);
  if (weak["answers-without-operation"] && operation > 1)
    bits |= answers.get(state, operation - 1, attempt);
  return bits;
}

/**
 * The cutover: layout and epoch in one transaction, in the turn that has checked phase and answers.
 * [commit-rechecks-journal, promoted-before-commit]
 */
function commit(world: World, state: State, step: Step): void {
  const { fields } = world;
  if (!isDrained(world, state) || !isPromoted(world, state)) return;
  const epoch = fields.committed.get(state) + 1;
  step(`root commits epoch ${epoch}`, (to) => {
    fields.phase.set(to, COMMITTED);
    fields.committed.set(to, epoch);
  });
}

/** [sources-delete-last, activated-before-next] */
function stepsAfterCutover(world: World, state: State, step: Step): void {
  const { fields, weak, everyone } = world;
  const epoch = fields.committed.get(state);
  const operation = fields.operation.get(state);
  const { targets, sources } = waveAfter(world, epoch - 1);
  const act = hasAll(fields.actsBy.get(state, epoch), targets);
  if (act && fields.othersTold.get(state, epoch) === 0)
    step(`root hears that all targets act by epoch ${epoch}, tells the others`, (to) =>
      fields.othersTold.set(to, 1, epoch),
    );
  const others = everyone & ~(targets & ~sources);
  const all = act && hasAll(fields.finishedBy.get(state, epoch), others);
  if (epoch === operationOf(world, operation).last) {
    if (all)
      step("root notes: done, clean up", (to) => {
        fields.phase.set(to, CLEANUP_DONE);
        fields.cleanUpSent.set(to, epoch + 1, operation);
      });
    return;
  }
  if (all || weak["next-wave-early"])
    step("root notes: the wave is active, next wave", (to) => {
      fields.phase.set(to, MOVE);
      if (weak["attempts-restart"]) fields.attempt.set(to, 0);
    });
  if (all || weak["clean-up-early"]) cancel(world, step);
}

/**
 * Cancel: before a cutover, or between waves. The layout stays as it is at this epoch.
 * [durable-abort]
 */
function cancel({ fields }: World, step: Step): void {
  step("root notes: the operation is cancelled, clean up", (to) => {
    fields.phase.set(to, CLEANUP_CANCELLED);
    fields.cleanUpSent.set(to, fields.committed.get(to) + 1, fields.operation.get(to));
  });
}

/**
 * Returns true when another operation of the scenario starts after this one has ended in this way.
 */
function hasNext({ scenario, fields }: World, state: State): boolean {
  const next = scenario.operations[fields.operation.get(state)];
  const ended = fields.phase.get(state) === IDLE_DONE ? "done" : "cancelled";
  return next !== undefined && next.after === ended && next.first === fields.committed.get(state);
}

/** Returns true when all operations have ended and every member has let go of the last. */
export function hasEnded(world: World, state: State): boolean {
  const { fields, everyone } = world;
  const isOver = fields.phase.get(state) >= IDLE_DONE && !hasNext(world, state);
  return isOver && hasAll(fields.cleanedBy.get(state, fields.operation.get(state)), everyone);
}

/** With chores an operation starts although members have not heard of the end of the one before. */
function startNext({ fields }: World, state: State, step: Step): void {
  step(`root notes: operation ${fields.operation.get(state) + 1} starts`, (to) => {
    fields.operation.set(to, fields.operation.get(to) + 1);
    fields.phase.set(to, PREPARE);
    fields.attempt.set(to, 0);
  });
}
