// The root of the shift model. Its journal is durable and every change of it is one transaction; only the answers that it has counted are
// volatile, and a crash forgets them. The root may send again whatever its phase lets it send, at any time.
// The rules in brackets are those of rules.ts.
import { operationOf, sourcesOfWave, targetsOfWave, type World } from "./shift-scenarios.ts";
import {
  CLEANUP_CANCELLED,
  CLEANUP_DONE,
  COMMITTED,
  FENCE,
  hasBit,
  IDLE_CANCELLED,
  IDLE_DONE,
  type MemberIndex,
  MEMBERS,
  type Message,
  MOVE,
  packMessage,
  PREPARE,
  type Root,
} from "./shift-state.ts";
import { IGNORED } from "./shift-member.ts";

const BOTH = 3;
/** Bit of the first member in `answers` for rehearsals. */
const REHEARSED_AT = 2;

/** Messages that the root may send now: to the members whose answer it has not counted. */
export function rootMessages(world: World, root: Root): number[] {
  const { op, attempt, epoch, answers, phase } = root;
  const waiting = MEMBERS.filter((member) => !hasBit(answers, member));
  switch (phase) {
    case PREPARE:
      return waiting.map((member) => packMessage("prepare", member, op));
    case FENCE: {
      const fenced = fencedInWave(world, epoch);
      const fences = waiting
        .filter((member) => hasBit(fenced, member))
        .map((member) => packMessage("fence", member, op, attempt));
      const rehearsals = toRehearse(world, root).map((member) => packMessage("rehearse", member, op, attempt));
      if (!world.weak["abort-not-durable"]) return [...fences, ...rehearsals];
      return [
        ...fences,
        ...MEMBERS.filter((member) => hasBit(fenced, member)).map((member) => packMessage("release", member, op, attempt)),
      ];
    }
    case COMMITTED:
      return waiting.map((member) => packMessage("activate", member, op, epoch));
    case CLEANUP_DONE:
    case CLEANUP_CANCELLED:
      return waiting.map((member) => packMessage("cleanUp", member, op));
    default:
      return [];
  }
}

/** What the root may write into its journal now. */
export interface RootStep {
  readonly says: string;
  readonly change: (root: Root) => void;
}

export function rootSteps(world: World, root: Root): RootStep[] {
  const { weak, scenario, bounds } = world;
  const steps: RootStep[] = [];
  const all = root.answers === BOTH;
  switch (root.phase) {
    case PREPARE:
      if (all) steps.push({ says: "root notes: prepared, rows may move", change: (to) => enter(to, MOVE, 1) });
      break;
    case MOVE:
      steps.push({ says: `root notes: fence the wave, attempt ${root.attempt}`, change: (to) => enter(to, FENCE, to.attempt) });
      if (weak["commit-unchecked"] && drained(world, root)) steps.push(commit(root));
      break;
    case FENCE:
      if (drained(world, root) && rehearsed(world, root)) steps.push(commit(root));
      if (root.attempt < bounds.attempts) steps.push(abort(world, root));
      break;
    case COMMITTED:
      steps.push(...stepsAfterCutover(world, root));
      break;
    case CLEANUP_DONE:
      if (all) steps.push({ says: "root notes: the operation is done", change: (to) => enter(to, IDLE_DONE, 0) });
      break;
    case CLEANUP_CANCELLED:
      if (all) steps.push({ says: "root notes: the operation is cancelled", change: (to) => enter(to, IDLE_CANCELLED, 0) });
      break;
    default:
      steps.push(...startNext(world, root));
  }
  if (scenario.cancels && root.phase <= FENCE) steps.push(cancel(root));
  return steps;
}

/** [activated-before-next] */
function stepsAfterCutover(world: World, root: Root): RootStep[] {
  const { weak, scenario, bounds } = world;
  const all = root.answers === BOTH;
  if (root.epoch === operationOf(world, root.op).last)
    return all ? [{ says: "root notes: done, clean up", change: (to) => enter(to, CLEANUP_DONE, 0) }] : [];
  const steps: RootStep[] = [];
  if ((all || weak["next-wave-early"]) && root.attempt < bounds.attempts)
    steps.push({
      says: "root notes: the wave is active, next wave",
      change: (to) => enter(to, MOVE, weak["attempts-restart"] ? 1 : to.attempt + 1),
    });
  if (scenario.cancels && (all || weak["clean-up-early"])) steps.push(cancel(root));
  return steps;
}

function enter(root: Root, phase: number, attempt: number): void {
  root.phase = phase;
  root.attempt = attempt;
  root.answers = 0;
}

/** [drain-before-cutover] */
function drained(world: World, root: Root): boolean {
  const fenced = fencedInWave(world, root.epoch);
  const counted = root.answers & fenced;
  return world.weak["first-drained-commits"] ? counted !== 0 : counted === fenced;
}

/** Members (bits) that are fenced for the wave after `epoch`. [targets-fenced] */
function fencedInWave(world: World, epoch: number): number {
  const { scenario, weak } = world;
  const isWhole = scenario.rehearses && !weak["targets-not-fenced"];
  return sourcesOfWave(world, epoch) | (isWhole ? targetsOfWave(world, epoch) : 0);
}

/** Targets that are to try their promotion now: those that have not said yet that nothing is in its way. [rehearsed-under-the-fence] */
function toRehearse(world: World, root: Root): MemberIndex[] {
  const { scenario } = world;
  if (!scenario.rehearses || !drained(world, root)) return [];
  return MEMBERS.filter((member) => hasBit(targetsOfWave(world, root.epoch) & ~(root.answers >> REHEARSED_AT), member));
}

function rehearsed(world: World, root: Root): boolean {
  if (!world.scenario.rehearses || world.weak["not-rehearsed"]) return true;
  const targets = targetsOfWave(world, root.epoch);
  return ((root.answers >> REHEARSED_AT) & targets) === targets;
}

/** The cutover: layout and epoch in one transaction, in the turn that has checked phase and answers. [commit-rechecks-journal, cutover-first] */
function commit(root: Root): RootStep {
  return {
    says: `root commits epoch ${root.epoch + 1}`,
    change: (to) => {
      enter(to, COMMITTED, to.attempt);
      to.epoch++;
    },
  };
}

/** Gives up an attempt; from now on its answers do not count. [durable-abort, fence-attempts] */
function abort(world: World, root: Root): RootStep {
  return {
    says: `root notes: attempt ${root.attempt} is aborted`,
    change: (to) => {
      const { answers } = to;
      enter(to, MOVE, to.attempt + 1);
      if (world.weak["commit-unchecked"]) to.answers = answers;
    },
  };
}

/** Cancel: before a cutover, or between waves. The layout stays as it is at this epoch. [durable-abort] */
function cancel(root: Root): RootStep {
  return { says: `root notes: operation ${root.op} is cancelled, clean up`, change: (to) => enter(to, CLEANUP_CANCELLED, 0) };
}

/** Whether another operation of the scenario starts when this one has ended like this. */
export function hasNext(world: World, root: Root): boolean {
  const next = world.scenario.operations[root.op];
  const ended = root.phase === IDLE_DONE ? "done" : "cancelled";
  return next !== undefined && next.after === ended && next.first === root.epoch;
}

function startNext(world: World, root: Root): RootStep[] {
  if (!hasNext(world, root)) return [];
  return [
    {
      says: `root notes: operation ${root.op + 1} starts`,
      change: (to) => {
        enter(to, PREPARE, 0);
        to.op++;
      },
    },
  ];
}

/** An answer of a member, or its question. */
export function rootReceives(world: World, root: Root, message: Message): number {
  const { kind, member, op } = message;
  if (kind === "ask") return answerQuestion(world, root, message);
  if (op !== root.op && !(kind === "drained" && world.weak["answers-without-operation"])) return IGNORED;
  const bit = member + (kind === "rehearsed" ? REHEARSED_AT : 0);
  if (!answersPhase(world, root, message) || hasBit(root.answers, bit)) return IGNORED;
  root.answers |= 1 << bit;
  return 0;
}

/** Whether an answer is one to what the root does now. [fence-attempts] */
function answersPhase({ weak }: World, { phase, attempt, epoch }: Root, { kind, number }: Message): boolean {
  switch (phase) {
    case PREPARE:
      return kind === "prepared";
    case FENCE:
      return (
        (kind === "drained" && (number === attempt || weak["old-drained-counts"])) || (kind === "rehearsed" && number === attempt)
      );
    case COMMITTED:
      return kind === "activated" && number === epoch;
    case CLEANUP_DONE:
    case CLEANUP_CANCELLED:
      return kind === "cleaned";
    default:
      return false;
  }
}

/** "What became of attempt n?" A running attempt is aborted, durably, before the answer leaves. [durable-abort, fence-until-told] */
function answerQuestion(world: World, root: Root, message: Message): number {
  const { member, op, number: attempt } = message;
  const release = packMessage("release", member, op, attempt);
  if (op > root.op) return IGNORED;
  if (op < root.op || root.phase >= CLEANUP_DONE) return packMessage("cleanUp", member, op);
  if (root.phase === COMMITTED && attempt === root.attempt) return packMessage("activate", member, op, root.epoch);
  if (attempt < root.attempt) return release;
  if (root.phase !== FENCE) return IGNORED;
  if (root.attempt >= world.bounds.attempts) return IGNORED;
  abort(world, root).change(root);
  return release;
}
