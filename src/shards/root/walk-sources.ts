/**
 * The steps before the fence: every participant takes its part, sources walk their tables, and
 * waves are cut.
 */
import { canonicalJson } from "../../model/canonical.ts";
import { SLOT_COUNT } from "../../model/layout/slots.ts";
import { type RulesOfMember, refuseOtherRules } from "../move/unique-rules.ts";
import type { ChunksReply, PrepareReply, TableShape, WalkReply } from "../protocol/replies.ts";
import { EngineFault } from "../storage/faults.ts";
import { SLICE_MS, drainAll } from "./drain-sources.ts";
import { each } from "./each.ts";
import { Waiting, isDuplicate } from "./failures.ts";
import type { Journal, Wave } from "./journal.ts";
import {
  type OperationRecord,
  WAVE_SPAN_MAX,
  type SourceProgress,
  participants,
} from "./operation-record.ts";
import { type DriverContext, proceed, requireCurrent, save } from "./progress.ts";
import { settleTargets } from "./promote-wave.ts";
import { lostUntold, rowsOf, tellAside } from "./release.ts";
import { NO_WAVE, movesOf, packWaves, targetsOf } from "./waves.ts";

export async function prepare(context: DriverContext, record: OperationRecord): Promise<void> {
  const { id: operation, from, to, mode, epochFrom: epoch, policy } = record;
  const { allowMissingKey } = policy;
  const rowsPerSecondMax =
    policy.rowsPerSecondMax === null
      ? null
      : Math.max(1, Math.floor(policy.rowsPerSecondMax / from.members.length));
  const replies = await each(participants(record), async (member) => {
    const lost = lostUntold(context.journal, member);
    const request = {
      kind: "prepare",
      operation,
      epoch,
      mode,
      from,
      to,
      allowMissingKey,
      rowsPerSecondMax,
      ...(lost.length > 0 && { lost }),
    } as const;
    const reply = await context.ask(member, request);
    const of = requireCurrent(context, record);
    tellAside(context, of, rowsOf(member, reply), { step: "prepare", lost });
    const { shapes, changed = [], steps = "[]" } = reply;
    // Not a fault: while a version is being rolled out, the member is asked until it has it.
    if (shapes === undefined)
      throw new Waiting(
        "mixedVersions",
        `${member} runs an older version of the library: deploy this one everywhere`,
      );
    return { ...reply, member, shapes, changed, steps };
  });
  const repliesOf = (members: readonly string[]): typeof replies =>
    replies.filter(({ member }) => members.includes(member));
  const current = requireCurrent(context, record);
  // A member that has prepared its tables again says no more that they have changed.
  const recopies = [
    ...new Set([...(current.recopies ?? []), ...replies.flatMap(({ changed }) => changed)]),
  ].toSorted();
  save(context, current, { recopies, ...keepBookmarks(current, replies) });
  requireSameShapes(replies);
  requireSameSteps(replies);
  requireSameRules(repliesOf(from.members), repliesOf(to.members));
  if (record.round !== undefined) await recopy(context, record, record.round, recopies);
  const rowsFound = replies
    .flatMap((reply) => reply.counts)
    .reduce((total, count) => total + count.rows, 0);
  const rowsTotal = record.mode === "swap" ? rowsFound : estimateMoved(record, rowsFound);
  if (rowsFound === 0 && record.refuseEmpty)
    throw new EngineFault("internal", "Cannot shard empty DO: no data to shard");
  const fresh: SourceProgress = {
    isCopied: false,
    isVerified: false,
    rowsCopied: 0,
    bytesCopied: 0,
    rowsVerified: 0,
  };
  proceed(context, record, {
    step: "copy",
    recopies: [],
    rowsTotal,
    sources: Object.fromEntries(from.members.map((source) => [source, fresh])),
  });
}

/**
 * The points in time to which the participants can be restored, each as it was before its part
 * began.
 */
function keepBookmarks(
  { bookmarks = {} }: OperationRecord,
  replies: readonly { readonly member: string; readonly bookmark?: string }[],
): Pick<OperationRecord, "bookmarks"> {
  const said = replies.flatMap(({ member, bookmark }) =>
    bookmark === undefined ? [] : [[member, bookmark] as const],
  );
  return said.length === 0 ? {} : { bookmarks: { ...Object.fromEntries(said), ...bookmarks } };
}

/**
 * Has every member prepare changed tables again. Sources first: what they have sent until then no
 * target takes any more.
 */
async function recopy(
  context: DriverContext,
  record: OperationRecord,
  round: number,
  tables: readonly string[],
): Promise<void> {
  const { id: operation, from, to } = record;
  const request = { kind: "recopy", operation, round, tables } as const;
  const sent = await each(from.members, (member) =>
    context.ask(member, { ...request, part: "source", floors: [] }),
  );
  const floors = sent.flatMap((reply) => reply.floors);
  await each(to.members, (member) =>
    context.ask(member, {
      ...request,
      part: "target",
      floors: floors.filter(({ target }) => target === member),
    }),
  );
}

interface PreparedMember extends Required<Pick<PrepareReply, "shapes" | "changed" | "steps">> {
  readonly member: string;
}

/** @throws Waiting while a deploy has changed the tables of some members only. */
function requireSameShapes([first, ...others]: readonly PreparedMember[]): void {
  for (const { member, shapes } of others) {
    const other = first && findOther(first.shapes, shapes);
    if (!other) continue;
    const columnsOf = (found: readonly TableShape[]): string =>
      found.find(({ table }) => table === other.table)?.columns.join(", ") ?? "none";
    throw new Waiting(
      "tablesDiffer",
      `Table '${other.table}' has other columns on ${member} (${columnsOf(shapes)}) than on ${first.member} (${columnsOf(first.shapes)}): the operation continues once they match, for example after a deploy that reached both`,
    );
  }
}

/** A table that one member has and the other has not, or has in another shape. */
function findOther(
  first: readonly TableShape[],
  second: readonly TableShape[],
): TableShape | undefined {
  // Two versions of the library may have named the fields in another order.
  const texts = new Set(first.map((shape) => canonicalJson(shape)));
  const other = second.find((shape) => !texts.has(canonicalJson(shape)));
  return other ?? first.find(({ table }) => !second.some((shape) => shape.table === table));
}

/** @throws Waiting while a deploy has migrated some members only. */
function requireSameSteps([first, ...others]: readonly PreparedMember[]): void {
  const other = others.find(({ steps }) => steps !== first?.steps);
  if (!first || !other) return;
  throw new Waiting(
    "tablesDiffer",
    `${other.member} and ${first.member} have not run the same steps of their migrations: the operation continues once both have`,
  );
}

/** @throws Waiting while rows count as the same on a target that a source tells apart. */
function requireSameRules(
  sources: readonly RulesOfMember[],
  targets: readonly RulesOfMember[],
): void {
  try {
    refuseOtherRules(sources, targets);
  } catch (error) {
    if (!(error instanceof EngineFault)) throw error;
    throw new Waiting("tablesDiffer", error.message);
  }
}

/**
 * Before the rows are walked: the share of the slots that changes hands, or for key ranges
 * everything.
 */
function estimateMoved(record: OperationRecord, rowsFound: number): number {
  const slots = movesOf(record).reduce(
    (total, { range }) => total + (range.kind === "slots" ? range.to - range.from : SLOT_COUNT),
    0,
  );
  return Math.round((rowsFound * Math.min(slots, SLOT_COUNT)) / SLOT_COUNT);
}

/** One slice of every source that is not done. */
export async function walk(
  context: DriverContext,
  record: OperationRecord,
  step: "copy" | "verify",
): Promise<void> {
  const isDone = (source: SourceProgress): boolean =>
    step === "copy" ? source.isCopied : source.isVerified;
  const open = Object.entries(record.sources).filter(([, source]) => !isDone(source));
  const drained = drainDone(
    context,
    record,
    Object.keys(record.sources).filter((source) => !open.some(([name]) => name === source)),
  );
  const replies = await each(open, async ([source]) => {
    const reply = await context.ask(source, {
      kind: step,
      operation: record.id,
      budgetMs: SLICE_MS,
      round: record.round ?? 0,
    });
    return [source, reply] as const;
  }).catch(async (error: unknown) => {
    // A row that was given another shard key meanwhile stands twice until the source that lost it
    // has said so.
    if (isDuplicate(error)) await drainAll(context, record);
    throw error;
  });
  await atMost(context, drained, SLICE_MS);
  const sources = { ...record.sources };
  for (const [source, reply] of replies) {
    const sum = (count: (outgoing: WalkReply["outgoing"][number]) => number): number =>
      reply.outgoing.reduce((total, outgoing) => total + count(outgoing), 0);
    sources[source] = {
      isCopied: step === "copy" ? reply.isDone : true,
      isVerified: step === "verify" && reply.isDone,
      rowsCopied: sum((outgoing) => outgoing.rowsCopied),
      bytesCopied: sum((outgoing) => outgoing.bytesCopied),
      rowsVerified: sum((outgoing) => outgoing.rowsVerified),
    };
  }
  if (!Object.values(sources).every((source) => isDone(source))) {
    proceed(context, record, { sources });
  } else if (step === "copy") {
    await drainAll(context, record);
    const rowsTotal = Object.values(sources).reduce(
      (total, source) => total + source.rowsCopied,
      0,
    );
    proceed(context, record, { sources, rowsTotal, step: "verify" });
  } else {
    // Verified sources stay verified, however often the check of the targets is retried.
    save(context, requireCurrent(context, record), { sources });
    if (record.mode === "swap") await settleTargets(context, record);
    // Waves that were cut before tables were copied again stay as they are: some of them may be
    // done.
    if (record.waveCount > 0) {
      proceed(context, record, { sources, step: "fence" });
      return;
    }
    const waves = record.mode === "shift" ? await planWaves(context, record) : [NO_WAVE];
    context.sql.transaction(() => {
      const { id } = proceed(context, record, { sources, waveCount: waves.length, step: "fence" });
      context.journal.putWaves(id, waves);
    });
  }
}

/** When sources were asked that have not answered yet, by the root that asked them. */
const draining = new WeakMap<Journal, Map<string, number>>();
/** A source that was asked so long ago does not answer any more. */
const ANSWER_MS_MAX = 60_000;

/**
 * One drain of the sources that have nothing to walk: their logs stay short while others copy. What
 * fails here, or has rivals, is met again when the step ends. Who has not answered yet is not asked
 * again: a source drains once at a time, and questions to a silent one would pile up.
 */
async function drainDone(
  context: DriverContext,
  record: OperationRecord,
  sources: readonly string[],
): Promise<void> {
  const { journal, runtime } = context;
  const request = {
    kind: "drain",
    operation: record.id,
    budgetMs: SLICE_MS,
    round: record.round ?? 0,
  } as const;
  const asked = draining.get(journal) ?? new Map<string, number>();
  draining.set(journal, asked);
  const idle = sources.filter(
    (source) => runtime.now() - (asked.get(source) ?? -Infinity) >= ANSWER_MS_MAX,
  );
  await Promise.allSettled(
    idle.map(async (source) => {
      const askedAt = runtime.now();
      asked.set(source, askedAt);
      try {
        await context.ask(source, request);
      } finally {
        if (asked.get(source) === askedAt) asked.delete(source);
      }
    }),
  );
}

/** Waits for work that does not fail, but no longer than that. */
async function atMost(
  { runtime }: DriverContext,
  work: Promise<void>,
  waitMs: number,
): Promise<void> {
  const done = new AbortController();
  const late = runtime.sleep(waitMs, done.signal).catch(() => undefined);
  await Promise.race([work, late]);
  done.abort("done");
}

/** Asks the targets how their staged rows can be cut, and packs them into waves. */
async function planWaves(context: DriverContext, record: OperationRecord): Promise<Wave[]> {
  const moves = movesOf(record);
  const waveRowsMax = Math.max(1, Math.floor(record.policy.waveRowsMax / WAVE_SPAN_MAX));
  const staged: { target: string; chunks: ChunksReply["chunks"] }[] = [];
  for (const target of targetsOf({ moves })) {
    const { chunks } = await context.ask(target, {
      kind: "chunks",
      operation: record.id,
      waveRowsMax,
    });
    staged.push({ target, chunks });
  }
  return packWaves(moves, staged, waveRowsMax);
}
