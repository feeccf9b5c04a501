/**
 * Decides a repair, from what every object says of itself: the epoch and layout that its members
 * prove, what becomes of an operation that not all sides believe in, and what each member must do.
 * Pure. Rule "repair-proves": nothing is concluded from silence, and between two versions of
 * anything nothing is chosen.
 */
import { hasDirectory } from "../../model/layout/directory.ts";
import { type Layout, sameLayout, shardName } from "../../model/layout/layout.ts";
import { ownsSamePart } from "../../model/layout/own-part.ts";
import type { TestifiedMove, Testimony, Trouble } from "../protocol/replies.ts";
import { type OperationRecord, participants } from "./operation-record.ts";
import { type Answer, hasLostItsPart } from "./testimonies.ts";

/** The facts that a repair is decided from. */
export interface RepairFacts {
  /** The root's name. */
  readonly root: string;
  readonly registry: { readonly epoch: number; readonly layout: Layout };
  readonly running: OperationRecord | undefined;
  /** The newest operation in the root's journal. */
  readonly newest: number;
  readonly answers: ReadonlyMap<string, Answer>;
  readonly acceptLoss: readonly string[];
  /** True where a person says that the directory may lack entries. */
  readonly suspectsDirectory: boolean;
  /** True while the root has members enter their ids again. */
  readonly isDirectoryChecked: boolean;
}

/** The end of an operation. `forward`: a wave was cut over, and is activated everywhere. */
export type OperationEnd =
  | {
      readonly kind: "back" | "forward";
      readonly move: TestifiedMove;
      /** The layout before the wave that is activated. */
      readonly before: Layout;
      /** The attempt under which its rows were promoted; 0 for none. */
      readonly promoted: number;
      /** Its sources that have lost their storage. */
      readonly lost: readonly string[];
    }
  /** The root alone takes it for running. */
  | { readonly kind: "over"; readonly record: OperationRecord };

export interface MemberMend {
  readonly member: string;
  /** Null: it goes on by what it knows. */
  readonly layout: Layout | null;
  /** Sources of what it has taken that have lost their storage. */
  readonly lost: readonly string[];
}

export interface RepairDecision {
  /** The epoch and layout after the repair, and the layout that the members prove. */
  readonly epoch: number;
  readonly layout: Layout;
  readonly isRegistryLost: boolean;
  readonly operations: readonly OperationEnd[];
  readonly mends: readonly MemberMend[];
  /** Sources of the running operation that have lost their storage. */
  readonly lost: readonly string[];
  /** The newest number that an operation has had, as far as anybody knows. */
  readonly endedUpTo: number;
  /** True when members know newer operations than the journal, which has forgotten them. */
  readonly isJournalBehind: boolean;
  readonly losses: readonly { readonly member: string; readonly summary: string }[];
  readonly obstacles: readonly string[];
  /** True where the ids of all rows are to be entered in the directory again. */
  readonly suspectsDirectory: boolean;
}

/**
 * Epochs that are left out: the lost registry may have committed one that no member has heard of.
 */
const EPOCHS_SKIPPED = 2;

export function decideRepair(facts: RepairFacts): RepairDecision {
  const { root, registry, running, newest, answers, acceptLoss } = facts;
  const told = [...answers].flatMap(([member, answer]) =>
    isKnown(answer) ? [{ member, ...answer }] : [],
  );
  const proven = proveRegistry(facts, told);
  const { epoch: newestEpoch, layout, isRegistryLost } = proven;
  const end = isRegistryLost ? endOfUnknown(answers, told, layout, newestEpoch) : null;
  const mends = findMends(facts, layout, isRegistryLost, end);
  const losses = mends.flatMap(({ member, layout: taken }) =>
    taken === null && !(isRegistryLost && member === root)
      ? []
      : lossOf(member, answers.get(member), layout),
  );
  const suspectsDirectory = mayLackEntries(facts, told, layout, mends);
  const isBeside = suspectsDirectory && mends.length === 0;
  const obstacles = [
    ...(isBeside ? refuseBeside(running) : []),
    ...findObstacles(facts, proven),
    ...(isRegistryLost || mends.length === 0 ? [] : refuseWhileRunning(running)),
    ...losses.filter(({ member }) => !acceptLoss.includes(member)).map(refuseLoss),
  ];
  // Of an operation that is ended here the members are still to hear.
  const endedUpTo = Math.max(
    newest,
    ...told.map(({ operation, ended }) => Math.max(operation, ended)),
  );
  return {
    epoch:
      end?.kind === "forward"
        ? newestEpoch
        : isRegistryLost
          ? heardEpoch(told, newestEpoch) + EPOCHS_SKIPPED
          : registry.epoch,
    layout,
    isRegistryLost,
    operations: [...(end ? [end] : []), ...(isRegistryLost ? oversOf(running, end) : [])],
    mends,
    lost: isRegistryLost ? [] : lostOfRunning(running, answers),
    endedUpTo,
    isJournalBehind: endedUpTo > newest,
    losses,
    obstacles,
    suspectsDirectory,
  };
}

type Told = readonly (Testimony & { readonly member: string })[];

/** The word of a member on an epoch and the layout that was committed with it. */
interface Proof {
  readonly member: string;
  readonly epoch: number;
  readonly layout: Layout;
}

/** The registry that the objects prove together. */
interface ProvenRegistry {
  readonly epoch: number;
  readonly layout: Layout;
  readonly provers: readonly Proof[];
  readonly isProven: boolean;
  /** True where the root's own registry is another one, or cannot be trusted. */
  readonly isRegistryLost: boolean;
}

function proveRegistry(facts: RepairFacts, told: Told): ProvenRegistry {
  const { root, registry, newest } = facts;
  const trouble = told.find(({ member }) => member === root)?.trouble ?? null;
  const heard = Math.max(registry.epoch, ...told.map(({ epoch }) => epoch));
  const acting = told.filter(({ epoch }) => epoch === heard && isSharded(heard));
  const isKnownEpoch = acting.length > 0 || isProvenElse(facts, { told, epoch: heard, trouble });
  const begun = isKnownEpoch ? [] : groundOf(told, heard);
  const epoch = begun[0]?.epoch ?? heard;
  const provers: readonly Proof[] = begun.length > 0 ? begun : acting;
  return {
    epoch,
    layout: registry.epoch === epoch ? registry.layout : (provers[0]?.layout ?? registry.layout),
    provers,
    isProven: isKnownEpoch || begun.length > 0,
    isRegistryLost:
      registry.epoch < epoch ||
      trouble?.kind === "registryLost" ||
      told.some(({ moving }) => moving !== null && moving.operation > newest),
  };
}

/**
 * The newest epoch and layout from which operations began that somebody takes part in, if it is
 * newer than all that is known else: a target proves it where the root and all that were members
 * then have lost what they knew.
 */
function groundOf(told: Told, heard: number): Proof[] {
  const grounds = told.flatMap(({ member, moving }) =>
    moving?.epochFrom === undefined
      ? []
      : [{ member, epoch: moving.epochFrom, layout: moving.from }],
  );
  const newest = Math.max(heard, ...grounds.map(({ epoch }) => epoch));
  return newest === heard ? [] : grounds.filter(({ epoch }) => epoch === newest);
}

/** True when the epoch is proven though no member acts by it. */
function isProvenElse(
  { root, registry }: RepairFacts,
  known: { readonly told: Told; readonly epoch: number; readonly trouble: Trouble | null },
): boolean {
  const { told, epoch, trouble } = known;
  return (
    isFirst(told, epoch) ||
    isUnknownToWitness(told, epoch, trouble?.by ?? nextShard(root, registry.layout)) ||
    isCommittedSince(registry.epoch, epoch, trouble)
  );
}

/** Lists the obstacles to this registry. */
function findObstacles(
  { answers }: RepairFacts,
  { layout, provers, isRegistryLost, isProven }: ProvenRegistry,
): string[] {
  return [
    ...[...answers]
      .filter(([, answer]) => answer === "silent")
      .map(([member]) => `${member} ${SILENT}`),
    ...provers
      .filter((prover) => !sameLayout(layout, prover.layout))
      .map(({ member }) => `${member} ${OTHER_LAYOUT}`),
    ...(isRegistryLost && !isProven ? [NOBODY_KNOWN] : []),
  ];
}

/** An operation that the lost journal has running, and no member takes part in. */
function oversOf(
  running: OperationRecord | undefined,
  end: ReturnType<typeof endOfUnknown>,
): OperationEnd[] {
  return running && running.id !== end?.move.operation ? [{ kind: "over", record: running }] : [];
}

/** Only the first operation makes an epoch: who is at 0 proves nothing. */
function isSharded(epoch: number): boolean {
  return epoch > 0;
}

/**
 * True when members take part in the first operation, and none has heard of its cutover: the root
 * owns everything still, though it has lost the record, and perhaps the rows.
 */
function isFirst(told: readonly Testimony[], newestEpoch: number): boolean {
  return !isSharded(newestEpoch) && told.some(({ moving }) => moving?.from.kind === "none");
}

/**
 * True when the witness knows of no operation any more that was cut over: no member has ever acted
 * by the epoch of which the root was told. The root owns everything still; what it has lost since
 * is to be accepted.
 *
 * The witness is the member that has told the root of its loss, and heard of the epoch by a late
 * message; where a caller has told, the first shard: it takes part whenever a namespace is first
 * sharded.
 */
function isUnknownToWitness(told: Told, newestEpoch: number, witness: string): boolean {
  const found = told.find(({ member }) => member === witness);
  return !isSharded(newestEpoch) && found !== undefined && found.ended >= found.operation;
}

/** The first shard of the next layout whose members are all new. */
export function nextShard(root: string, { kind, generation }: Layout): string {
  return shardName(root, kind === "none" ? generation : generation + 1, 0);
}

/**
 * True when a repair that was killed has committed the registry already: it is newer than all that
 * had shown it lost, though no member has needed to hear of it.
 */
function isCommittedSince(epoch: number, newestEpoch: number, trouble: Trouble | null): boolean {
  return isSharded(epoch) && epoch === newestEpoch && trouble !== null && epoch > trouble.epoch;
}

function heardEpoch(told: readonly Testimony[], newestEpoch: number): number {
  return Math.max(newestEpoch, ...told.map(({ trouble }) => trouble?.epoch ?? 0));
}

const SILENT = "does not answer, and may know more than the others: plan again when it does";
const OTHER_LAYOUT =
  "knows another layout at the same epoch than the others: both cannot be, and nothing is chosen";
const NOBODY_KNOWN =
  "The root knows none of its members any more: name one that you remember, with --member NAME";

function isKnown(answer: Answer): answer is Testimony {
  return typeof answer === "object" && answer.isStored;
}

/** Ids are entered beside no operation: rows and entries would move meanwhile. */
function refuseBeside(running: OperationRecord | undefined): string[] {
  return running ? [waitFor(running)] : [];
}

/** True where entries of the directory may be lost, and no check of it is under way. */
function mayLackEntries(
  { suspectsDirectory, isDirectoryChecked }: RepairFacts,
  told: Told,
  layout: Layout,
  mends: readonly MemberMend[],
): boolean {
  if (!hasDirectory(layout)) return false;
  if (suspectsDirectory || mends.some(({ member }) => layout.members.includes(member))) return true;
  return !isDirectoryChecked && told.some(({ suspectSince }) => suspectSince !== undefined);
}

function waitFor({ id }: OperationRecord): string {
  return `Operation ${id} is running: wait for its end, or cancel it, and plan the repair again`;
}

/** Behind the last decision of an operation a member that missed it can only follow. */
function refuseWhileRunning(running: OperationRecord | undefined): string[] {
  if (!running || running.step === "activate" || running.step === "cleanUp") return [];
  return [waitFor(running)];
}

function refuseLoss({ member, summary }: RepairDecision["losses"][number]): string {
  return `${summary}. Restore ${member} to a later time, or accept the loss: --accept-loss ${member}`;
}

/**
 * The end of an operation that members take part in and the registry has lost. Once a wave has cut
 * over there is only forward for it, since a source may have deleted its rows; what was not begun
 * is left.
 */
function endOfUnknown(
  answers: ReadonlyMap<string, Answer>,
  told: Told,
  layout: Layout,
  newestEpoch: number,
): (OperationEnd & { readonly kind: "back" | "forward" }) | null {
  const endedUpTo = Math.max(0, ...told.map(({ ended }) => ended));
  const movers = told.filter(({ moving }) => moving !== null && moving.operation > endedUpTo);
  const move = movers.map(({ moving }) => moving).find((found) => found !== null);
  if (!move) return null;
  const behind = movers.find(({ epoch }) => epoch < newestEpoch);
  const isCommitted = !sameLayout(layout, move.from);
  const isForward = isCommitted && (behind !== undefined || sameLayout(layout, move.to));
  // Of a source that knows nothing of it the targets may have the only copies: they are not told to
  // delete them, but set them aside.
  if (
    !isForward &&
    !move.from.members.every((source) => movers.some((mover) => isPartOf(mover, source, move)))
  )
    return null;
  const before = behind?.epoch === newestEpoch - 1 ? behind.layout : move.from;
  const promoted = Math.max(0, ...movers.map(({ moving }) => moving?.promoted ?? 0));
  return {
    kind: isForward ? "forward" : "back",
    move,
    before: isForward && behind ? before : layout,
    promoted,
    lost: lostSources(move, answers),
  };
}

function isPartOf(
  { member, moving }: Testimony & { readonly member: string },
  source: string,
  move: TestifiedMove,
): boolean {
  return member === source && moving?.operation === move.operation && moving.token === move.token;
}

/**
 * The members that a repair changes themselves; those of an operation that is ended hear from it.
 */
function findMends(
  { root, running, answers }: RepairFacts,
  layout: Layout,
  isRegistryLost: boolean,
  end: OperationEnd | null,
): MemberMend[] {
  const mends: MemberMend[] = [];
  const live = liveOperation(running, isRegistryLost, end);
  for (const [member, answer] of answers) {
    if (answer === "silent") continue;
    const isMember = layout.members.includes(member);
    const isLostRoot = member === root && isRegistryLost;
    if (!isKnown(answer)) {
      if (isLostRoot || mayHaveOwned(member, layout, answers) || isAwaited(member, running))
        mends.push({ member, layout, lost: [] });
    } else if (isSameOperation(answer, live)) {
      // Null where the driver's next word to it tells the rest.
      const isTold = isRegistryLost || running?.step === "activate";
      // A former member needs no loss accepted: its rows may be newer than those moved, and are
      // set aside.
      const isLed = isTold && isMember && !hasForgotten(member, answer, layout);
      if (answer.trouble)
        mends.push({
          member,
          layout: isLed ? null : layout,
          lost: lostSources(answer.moving, answers),
        });
    } else if (
      answer.trouble ||
      isLostRoot ||
      isLeft(answer, isRegistryLost) ||
      !ownsSamePart(member, answer.layout, layout)
    ) {
      mends.push({ member, layout, lost: lostSources(answer.moving, answers) });
    }
  }
  return mends;
}

/** The sources of a move that have lost their storage. */
export function lostSources(
  move: Pick<TestifiedMove, "operation" | "token" | "from"> | null,
  answers: ReadonlyMap<string, Answer>,
): string[] {
  return (move?.from.members ?? []).filter(
    (source) => move && hasLostItsPart(answers.get(source), move),
  );
}

/** The same of the running operation, where its end alone is left to be told. */
function lostOfRunning(
  running: OperationRecord | undefined,
  answers: ReadonlyMap<string, Answer>,
): string[] {
  if (!running || refuseWhileRunning(running).length > 0) return [];
  return lostSources({ ...running, operation: running.id }, answers);
}

/**
 * True for a member of the layout that knows nothing, and had something to lose: a root that was
 * never sharded has stored nothing, and nobody knows of an operation then.
 */
function mayHaveOwned(
  member: string,
  layout: Layout,
  answers: ReadonlyMap<string, Answer>,
): boolean {
  if (!layout.members.includes(member)) return false;
  if (layout.kind !== "none") return true;
  return [...answers.values()].some((told) => isKnown(told) && told.operation > 0);
}

interface Numbered {
  readonly operation: number;
  readonly token?: string | undefined;
}

/** The operation that goes on, or is ended by the driver: its members hear of it from there. */
function liveOperation(
  running: OperationRecord | undefined,
  isRegistryLost: boolean,
  end: OperationEnd | null,
): Numbered | null {
  if (!isRegistryLost) return running ? { operation: running.id, token: running.token } : null;
  return end === null || end.kind === "over" ? null : end.move;
}

function isSameOperation({ moving }: Testimony, live: Numbered | null): boolean {
  if (live === null || moving?.operation !== live.operation) return false;
  return moving.token === undefined || live.token === undefined || moving.token === live.token;
}

/**
 * True for who has forgotten what it needs to follow a cutover, as the rows that were to come: the
 * driver cannot lead it on.
 */
function hasForgotten(
  member: string,
  { moving, trouble, layout: known }: Testimony,
  layout: Layout,
): boolean {
  const isToOwn = layout.members.includes(member) && !ownsSamePart(member, known, layout);
  return isToOwn && moving !== null && trouble?.kind === "outOfStep";
}

/** True for a participant whose word an operation needs that can only go forward. */
function isAwaited(member: string, running: OperationRecord | undefined): boolean {
  return (
    running !== undefined &&
    refuseWhileRunning(running).length === 0 &&
    participants(running).includes(member)
  );
}

/** True for who takes part in an operation whose end the lost registry had yet to tell. */
function isLeft({ moving }: Testimony, isRegistryLost: boolean): boolean {
  return isRegistryLost && moving !== null;
}

/** Rows that no repair can bring back. */
function lossOf(
  member: string,
  answer: Answer | undefined,
  layout: Layout,
): { readonly member: string; readonly summary: string }[] {
  if (answer === undefined || answer === "silent" || !layout.members.includes(member)) return [];
  if (!isKnown(answer)) {
    return [
      {
        member,
        summary: `${member} has lost its storage, and with it the rows of its part: it begins again without any`,
      },
    ];
  }
  if (answer.trouble?.kind === "registryLost")
    return [
      {
        member,
        summary: `${member} has lost its registry, and with it what was written to its rows since then`,
      },
    ];
  if (answer.trouble?.kind === "outOfStep" && ownsSamePart(member, answer.layout, layout))
    return [{ member, summary: `Rows of ${member} may be gone: ${answer.trouble.message}` }];
  if (hasForgotten(member, answer, layout))
    return [
      {
        member,
        summary: `${member} was restored between a cutover and its end: the rows that were to come stay where they were, and are not here`,
      },
    ];
  if (ownsSamePart(member, answer.layout, layout)) return [];
  const summary = `${member} is back at epoch ${answer.epoch}: rows that have come to it since then are not here, and were deleted where they came from`;
  return [{ member, summary }];
}
