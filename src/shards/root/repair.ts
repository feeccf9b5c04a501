/**
 * Repairs a namespace whose objects are out of step: asks every object that somebody names, decides
 * from their words, and does what was shown. Killed half-way, it is planned again.
 */
import { canonicalJson } from "../../model/canonical.ts";
import { diffRanges, type Move } from "../../model/layout/moves.ts";
import type { Layout } from "../../model/layout/layout.ts";
import { operationModeFor } from "../../model/operation-mode.ts";
import type { RepairOutcome, RepairPlan, RepairRequest, StrayRows } from "../../model/repair.ts";
import { DEFAULT_OPERATION_POLICY } from "../../model/operation.ts";
import { refused } from "../protocol/refused-error.ts";
import type { KnownState, TableRows, TestifiedMove, Testimony } from "../protocol/replies.ts";
import { FAN_OUT_MAX, each } from "./each.ts";
import { type Answer, hearTestimony } from "./testimonies.ts";
import { type OperationRecord, newRecord, participants } from "./operation-record.ts";
import type { Chore } from "./journal.ts";
import type { DriverContext } from "./progress.ts";
import {
  type MemberMend,
  type OperationEnd,
  type RepairDecision,
  decideRepair,
  lostSources,
  nextShard,
} from "./repair-plan.ts";
import { isDirectoryChecked, suspectDirectories } from "./directory-check.ts";
import { describeSteps, disorderOf } from "./repair-words.ts";

/** The context of a repair: that of a step, and the root. */
export interface RepairContext extends DriverContext {
  readonly root: string;
}

interface Prepared {
  readonly decision: RepairDecision;
  readonly plan: RepairPlan;
  readonly answers: ReadonlyMap<string, Answer>;
}

/** Shows what is out of step and what a repair would do. Changes nothing. */
export async function planRepair(
  context: RepairContext,
  request: RepairRequest,
): Promise<RepairPlan> {
  return (await prepareRepair(context, request)).plan;
}

/**
 * Does what the plan of this fingerprint has shown. The members first: while the root is lost
 * nobody is routed to them.
 *
 * @throws RefusedError `invalid` when the plan is another by now, or has obstacles.
 */
export async function repair(
  context: RepairContext,
  request: RepairRequest,
  fingerprint: string,
  by: string,
): Promise<RepairOutcome> {
  const { decision, plan, answers } = await prepareRepair(context, request);
  const { root, journal } = context;
  if (plan.fingerprint !== fingerprint)
    throw refused(
      "invalid",
      `The repair would do something else by now (${plan.fingerprint}): nothing was changed, look at its plan again`,
    );
  if (plan.obstacles.length > 0)
    throw refused("invalid", `The repair cannot be applied: ${plan.obstacles.join("; ")}`);
  const { epoch, endedUpTo } = decision;
  const goesOn = operationThatGoesOn(decision, context);
  const setAside: StrayRows[] = [];
  // Before anything serves again: a repair that was killed would find nothing to suspect.
  const suspicion = decision.suspectsDirectory
    ? { suspectSince: await suspectDirectories(context, decision, answers) }
    : {};
  const mend = async ({ member, layout, lost }: MemberMend): Promise<void> => {
    const known = member === root ? null : knownState(answers.get(member));
    const numbers = { endedUpTo, ...(goesOn !== undefined && { goesOn }) };
    const message = { kind: "mend", epoch, layout, ...numbers, ...suspicion, known, lost } as const;
    const reply = await context.ask(member, message);
    setAside.push(...reply.setAside.map(({ table, rows }) => ({ member, table, rows })));
  };
  const others = decision.mends.filter(({ member }) => member !== root);
  // A source that is mended knows no more that it has lost something: it comes behind all that are
  // to hear of it, and behind the records.
  const lost = lostIn(decision);
  keepLost(context, decision.lost);
  await each(
    others.filter((member) => member.lost.length > 0),
    mend,
  );
  await each(
    others.filter(({ member, lost: of }) => of.length === 0 && !lost.has(member)),
    mend,
  );
  context.sql.transaction(() => {
    if (journal.epoch() > epoch)
      throw refused("invalid", "The registry has moved on: plan the repair again");
    for (const end of decision.operations) endOperation(context, decision, end, by);
    journal.skipTo(endedUpTo);
    // A repair that was killed has committed it already.
    if (decision.isRegistryLost && journal.epoch() < epoch)
      journal.commitEpoch(epoch, decision.layout, 0, context.runtime.now());
    journal.addEvent("namespace.repaired", fingerprint, null, context.runtime.now(), {
      by,
      epoch,
      steps: plan.steps.map(({ member, summary }) => `${member}: ${summary}`),
      setAside,
    });
    context.committed();
  });
  await each(
    others.filter(({ member, lost: of }) => of.length === 0 && lost.has(member)),
    mend,
  );
  // Last of all: from here on the root serves.
  const own = decision.mends.find(({ member }) => member === root);
  if (own) await mend(own);
  context.changed();
  return { namespace: root, fingerprint, steps: plan.steps, setAside };
}

/** The operation whose end the driver has yet to tell; those that are over have none. */
function operationThatGoesOn(
  { isRegistryLost, operations }: RepairDecision,
  { journal }: RepairContext,
): number | undefined {
  if (!isRegistryLost) return journal.running()?.id;
  return operations.flatMap((end) => (end.kind === "over" ? [] : [end.move.operation]))[0];
}

/** The sources of which this repair has members set copies aside, now or at the end. */
function lostIn({ mends, lost, operations }: RepairDecision): ReadonlySet<string> {
  const ofEnds = operations.flatMap((end) => (end.kind === "over" ? [] : end.lost));
  return new Set([...mends.flatMap((mend) => mend.lost), ...lost, ...ofEnds]);
}

/** Keeps the lost sources of the running operation for its end. */
function keepLost({ sql, journal }: RepairContext, lost: readonly string[]): void {
  sql.transaction(() => {
    const running = journal.running();
    if (running && lost.length > 0)
      journal.update({
        ...running,
        lost: [...new Set([...(running.lost ?? []), ...lost])].toSorted(),
      });
  });
}

/** With the lost sources that the journal knows of what a member has taken. */
function withKnownLost(
  { journal }: RepairContext,
  answers: ReadonlyMap<string, Answer>,
  mend: MemberMend,
): MemberMend {
  const answer = answers.get(mend.member);
  const moving = typeof answer === "object" ? answer.moving : null;
  const record = moving ? journal.find(moving.operation) : undefined;
  const isSame = moving?.token === undefined || moving.token === record?.token;
  const known = isSame ? (record?.lost ?? []) : [];
  return { ...mend, lost: [...new Set([...mend.lost, ...known])].toSorted() };
}

async function prepareRepair(context: RepairContext, request: RepairRequest): Promise<Prepared> {
  const { root, journal } = context;
  const answers = await hearAll(context, request);
  let decision = decideRepair({
    root,
    registry: journal.registry(),
    running: journal.running(),
    newest: journal.nextId() - 1,
    answers,
    acceptLoss: request.acceptLoss,
    suspectsDirectory: request.directory === true,
    isDirectoryChecked: isDirectoryChecked(journal),
  });
  const strays = new Map<string, readonly TableRows[]>();
  decision = {
    ...decision,
    mends: [
      ...decision.mends,
      ...(await findMisplaced(context, request.members, answers, decision)),
    ].map((mend) => withKnownLost(context, answers, mend)),
  };
  await each(
    decision.mends.filter(({ layout }) => layout !== null),
    async ({ member, lost }) => {
      const found = await hearTestimony(context, member, { layout: decision.layout, lost });
      if (typeof found === "object") strays.set(member, found.strays);
    },
  );
  const steps = describeSteps(decision, root, (member) => strays.get(member) ?? []);
  const testimonies = [...answers].map(([member, answer]) => ({
    member,
    says: describeAnswer(answer),
  }));
  const { layout, epoch, operations, losses, obstacles, suspectsDirectory } = decision;
  const basis = canonicalJson({
    root,
    steps,
    testimonies,
    layout,
    epoch,
    operations,
    losses,
    acceptLoss: request.acceptLoss.toSorted(),
    ...(suspectsDirectory && { suspectsDirectory }),
  });
  const troubles = [...answers].flatMap(([member, answer]) =>
    typeof answer === "object" && answer.trouble ? [{ member, ...answer.trouble }] : [],
  );
  const fingerprint = (await context.runtime.digest(basis)).slice(0, 16);
  return {
    decision,
    answers,
    plan: {
      namespace: root,
      fingerprint,
      disorder: disorderOf(root, troubles),
      testimonies,
      steps,
      losses,
      obstacles,
    },
  };
}

function knownState(answer: Answer | undefined): KnownState {
  if (typeof answer !== "object") return { isStored: false, epoch: 0, operation: 0 };
  const { isStored, epoch, operation } = answer;
  return { isStored, epoch, operation };
}

/**
 * Objects in step that somebody has named, and that hold rows which are not their own: as a source
 * does whose target was restored before it could delete them, or a former member that was restored
 * itself; or that take part in an operation which nobody knows any more. Every row is looked at.
 */
async function findMisplaced(
  context: RepairContext,
  names: readonly string[],
  answers: ReadonlyMap<string, Answer>,
  { layout, mends, operations, isRegistryLost }: RepairDecision,
): Promise<MemberMend[]> {
  if (isRegistryLost || operations.length > 0 || context.journal.running()) return [];
  const named = names.filter((name) => !mends.some(({ member }) => member === name));
  const found = await each(named, async (member) => {
    const known = answers.get(member);
    if (typeof known !== "object" || !known.isStored) return [];
    // It has heard of no end, and nobody is left to tell it.
    if (known.moving)
      return context.journal.chores().some((chore) => chore.member === member && isEnd(chore))
        ? []
        : [{ member, layout, lost: lostSources(known.moving, answers) }];
    const answer = await hearTestimony(context, member, { layout });
    return typeof answer === "object" && answer.strays.length > 0
      ? [{ member, layout, lost: [] }]
      : [];
  });
  return found.flat();
}

/** True for a chore that tells a member the end of an operation. */
function isEnd({ kind }: Chore): boolean {
  return kind === "finish" || kind === "abandon";
}

/**
 * Asks the root, and everybody that somebody names, until nobody names a new one. A root that was
 * restored may name nobody of the layout that it has lost: so the first shard that would follow
 * each layout is asked too, and counts where there is one.
 */
async function hearAll(
  context: RepairContext,
  { members: names, acceptLoss }: RepairRequest,
): Promise<ReadonlyMap<string, Answer>> {
  const { root, journal } = context;
  const answers = new Map<string, Answer>();
  const running = journal.running();
  const { layout: registered } = journal.registry();
  const guessed = new Set([nextShard(root, registered)]);
  const named = new Set([
    root,
    ...names,
    ...membersOf(registered, running?.from, running?.to),
    ...journal.chores().map(({ member }) => member),
  ]);
  let next = [...named, ...guessed];
  while (next.length > 0) {
    const asked = [...new Set(next)].filter((name) => !answers.has(name)).toSorted();
    const found: string[] = [];
    for (let from = 0; from < asked.length; from += FAN_OUT_MAX) {
      await each(asked.slice(from, from + FAN_OUT_MAX), async (member) => {
        const answer = await hearTestimony(context, member, { layout: null });
        answers.set(member, answer);
        if (typeof answer !== "object" || !answer.isStored) return;
        const { layout, moving, trouble } = answer;
        const told = [
          ...membersOf(layout, moving?.from, moving?.to),
          ...(trouble?.by ? [trouble.by] : []),
        ];
        told.forEach((name) => named.add(name));
        const after = nextShard(root, layout);
        guessed.add(after);
        found.push(...told, after);
      });
    }
    next = found.filter((name) => !answers.has(name));
  }
  // Silence concludes nothing, unless a person says that there is no such shard, or could be none.
  const isLost = [...answers.values()].some(
    (answer) =>
      typeof answer === "object" &&
      (answer.epoch > journal.epoch() || answer.trouble?.kind === "registryLost"),
  );
  const isWaived = (name: string): boolean => !isLost || acceptLoss.includes(name);
  const isMadeUp = ([name, answer]: readonly [string, Answer]): boolean =>
    guessed.has(name) &&
    !named.has(name) &&
    (typeof answer === "object" ? !answer.isStored : answer !== "silent" || isWaived(name));
  return new Map(
    [...answers]
      .filter((entry) => !isMadeUp(entry))
      .toSorted(([left], [right]) => (left < right ? -1 : 1)),
  );
}

function membersOf(...layouts: readonly (Layout | undefined)[]): string[] {
  return layouts.flatMap((layout) => layout?.members ?? []);
}

/** Ends an operation in the journal; the driver tells its members. */
function endOperation(
  { journal, runtime }: RepairContext,
  { layout, epoch: epochAfter }: RepairDecision,
  end: OperationEnd,
  by: string,
): void {
  const now = runtime.now();
  if (end.kind === "over") {
    const fault = {
      kind: "cancelled",
      message: "Ended by a repair: its members had ended it, or knew nothing of it",
    } as const;
    journal.update({
      ...end.record,
      state: "failed",
      fault,
      finishedAt: now,
      updatedAt: now,
      lastError: null,
    });
    return;
  }
  const { move, before, promoted, lost } = end;
  const known = journal.find(move.operation);
  // The journal may have another of that number, which it has begun since.
  const isSame =
    known !== undefined &&
    (move.token === undefined || known.token === undefined || known.token === move.token);
  const isForward = end.kind === "forward";
  const epoch = isForward ? epochAfter : journal.epoch();
  const record: OperationRecord = {
    ...(isSame ? known : lostRecord(move, epoch, now, by)),
    ...(move.token === undefined ? {} : { token: move.token }),
    mode: move.mode,
    state: "running",
    step: isForward ? "activate" : "cleanUp",
    from: move.from,
    to: isForward ? layout : move.to,
    epoch,
    waveCount: 1,
    wavesDone: 0,
    waveSpan: 1,
    // The attempt by which members have promoted or checked what came: their activation asks for
    // it.
    attempt: promoted > 0 ? promoted : isSame ? known.attempt : 1,
    isPromoted: promoted > 0,
    ...(lost.length > 0 && { lost }),
    fencedAt: now,
    notBefore: 0,
    paused: null,
    fault: isForward
      ? null
      : { kind: "cancelled", message: "Ended by a repair: the registry of its root was lost" },
    finishedAt: null,
    updatedAt: now,
  };
  if (known) journal.update(record);
  else journal.insert(record);
  // Targets that no wave has come to are named by nothing any more, and hold rows that are staged.
  for (const member of isForward ? move.to.members : []) {
    if (participants(record).includes(member)) continue;
    journal.putChore({ member, kind: "abandon", operation: record.id, dueAt: now, tries: 0 });
  }
  journal.putWaves(record.id, [
    { moves: isForward && move.mode === "shift" ? movesBetween(before, layout) : [], rows: 0 },
  ]);
}

/** The moves between two layouts; none where whole members changed. */
function movesBetween(before: Layout, after: Layout): Move[] {
  if (before.kind === "hash" && after.kind === "hash") return diffRanges(before, after);
  if (before.kind === "range" && after.kind === "range") return diffRanges(before, after);
  return [];
}

function kindOf(from: Layout, to: Layout): OperationRecord["kind"] {
  if (from.kind === "none") return "shard";
  if (to.kind === "none") return "unshard";
  return from.kind === to.kind && from.shardKey === to.shardKey ? "rebalance" : "rekey";
}

/** The record of an operation that only its members know. */
function lostRecord(
  { operation, from, to, token }: TestifiedMove,
  epochFrom: number,
  now: number,
  by: string,
): OperationRecord {
  return {
    ...newRecord(operation, now),
    kind: kindOf(from, to),
    mode: operationModeFor(from, to),
    from,
    to,
    epochFrom,
    epoch: epochFrom,
    policy: DEFAULT_OPERATION_POLICY,
    correlationId: token ?? `repair of operation ${operation}`,
    requestedBy: by,
    refuseEmpty: false,
  };
}

function describeAnswer(answer: Answer): string {
  if (answer === "silent") return "does not answer";
  if (answer === "knowsNothing" || !answer.isStored) return "knows nothing of the namespace";
  return describeTestimony(answer);
}

function describeTestimony({
  epoch,
  layout,
  operation,
  ended,
  moving,
  trouble,
}: Testimony): string {
  const shards =
    layout.kind === "none" ? "unsharded" : `${layout.members.length} shards by ${layout.shardKey}`;
  const seen =
    operation === 0
      ? "no operation"
      : `operation ${operation}${ended >= operation ? ", ended" : ""}`;
  const part = moving ? `, takes part in operation ${moving.operation}` : "";
  return `epoch ${epoch}: ${shards}; has seen ${seen}${part}${trouble ? `; ${trouble.message}` : ""}`;
}
