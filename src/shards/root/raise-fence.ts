/**
 * Raises the fence of a wave, so that nobody waits behind it for a running call.
 *
 * | phase | what the members are asked to do                                          | who waits                                            |
 * |-------|---------------------------------------------------------------------------|------------------------------------------------------|
 * | look  | say what runs                                                             | nobody                                               |
 * | drain | those with long calls: let them end, admit no others of their methods     | callers of long methods, about as long as they take  |
 * | hold  | all: let running calls end, admit only those that one of them waits for   | everybody, for a fifth of a second                   |
 * | raise | all: put up the stored fence, in a turn in which nothing runs             | everybody, until the cutover                         |
 *
 * Where nothing runs, the look is followed by the raise. Whoever is still busy says so at once, and
 * the attempt is given up: its fences fall, whoever waited goes on, and after a moment all of it
 * begins again. "Nothing runs" can be taken back, by a call from a member that still runs one; and
 * a nested call that cannot be recognised waits like any other, so that the member that waits for
 * it stays busy. That costs the attempt. Calls then go on for longer than they were kept waiting,
 * so that whoever has waited is through before anybody is held again.
 */
import { EngineError } from "../storage/faults.ts";
import type { Message } from "../protocol/messages.ts";
import type { PageFloor } from "../protocol/terms.ts";
import type { FenceReply, RunningState } from "../protocol/replies.ts";
import type { FenceAttempt, FencedContext } from "./attempt.ts";
import { each } from "./each.ts";
import { requireCurrent } from "./progress.ts";

/** A call that has run for longer than this is a long one: others do not wait for it. */
const LONG_MS = 100;
/** Time for long calls to end, at least and at most, while new calls of their members wait. */
const DRAIN_MS_MIN = 400;
const DRAIN_MS_MAX = 16_000;
/** How long a draining member is held without hearing from the root, and how often it hears. */
const DRAIN_HOLD_MS = 1_000;
const DRAIN_SLICE_MS = 500;
/** How long all members are held, and how much of it they may use to let calls end. */
const HOLD_MS = 200;
const HOLD_WAIT_MS = 150;
/** Rounds before the step counts as failed, and is tried again later. */
const ROUNDS_MAX = 16;
/** The same where fewer members can be fenced at once instead. */
const ROUNDS_WIDE_MAX = 3;
/** Pauses between rounds, in which calls go on: twice as long each time, up to the limit. */
const ROUND_PAUSE_MS_MIN = 50;
const ROUND_PAUSE_MS_MAX = 400;
/** How much longer calls go on than they were kept waiting before, at least. */
const PAUSE_PER_WAIT = 2;
/** Longer pauses would keep a cancel waiting. */
const PAUSE_MS_MAX = 4_000;

/** Calls run on: that says nothing of how fast members answer. */
export class Busy extends EngineError {}

/** Calls ran on in every round. The attempt is to be given up, and nobody held for `pauseMs`. */
export class StillBusy extends Busy {
  readonly pauseMs: number;

  constructor(message: string, pauseMs: number) {
    super(message);
    this.pauseMs = pauseMs;
  }
}

/** The calls that run on a member. */
export interface Seen extends RunningState {
  readonly member: string;
}

/** Behind a fence that stands on every member of the attempt. */
export interface Fenced extends FencedContext {
  /** The last page of each source that each target has acknowledged. */
  readonly floors: readonly PageFloor[];
}

export interface RaiseOptions {
  /** Decides about what members report instead of "drained": it throws, or lets it pass. */
  readonly pass?: (error: unknown) => void;
  /** True where fewer members could be fenced at once: then it fails soon. */
  readonly isWide?: boolean;
}

/**
 * Puts up the fence on every member of the attempt, and drains it.
 *
 * @throws StillBusy when calls ran on in every round, and Error when it could not be done: the
 * caller gives the attempt up.
 */
export async function raiseFence(
  attempt: FenceAttempt,
  options: RaiseOptions = {},
): Promise<Fenced> {
  const { context } = attempt;
  const { pass = fail, isWide = false } = options;
  for (let round = 1; ; round++) {
    const plan = planRound(await look(attempt), round);
    if (plan.kind === "outlast")
      throw new Busy(`${describe(plan.busy)}: the fence goes up once it has ended`);
    let busy: readonly Seen[] = [];
    if (plan.drained.length > 0) busy = await drainLong(attempt, plan.drained, plan.drainMs);
    if (busy.length === 0 && plan.holdsAll) busy = await holdAll(attempt);
    if (busy.length === 0) {
      const raised = await raise(attempt, pass);
      if (raised.busy.length === 0) return raised.fenced;
      ({ busy } = raised);
    }
    const pauseMs = pauseAfter(round, attempt.waitedMs());
    if (round >= (isWide ? ROUNDS_WIDE_MAX : ROUNDS_MAX))
      throw new StillBusy(`${busy.map(describe).join(", ")}. ${HINT}`, pauseMs);
    await attempt.giveUp();
    await context.runtime.sleep(pauseMs);
    requireCurrent(context, attempt.record);
  }
}

const HINT =
  "Calls to other keys are let through when they are made with this.shards.router(), or, with the flag nodejs_als, by connect() inside a method";

export type RoundPlan =
  | {
      readonly kind: "try";
      readonly drained: readonly string[];
      readonly drainMs: number;
      readonly holdsAll: boolean;
    }
  /** Nobody is kept waiting for a call that may never end. */
  | { readonly kind: "outlast"; readonly busy: Seen };

/** Decides how a round goes about it, from what was seen at its beginning. */
export function planRound(seen: readonly Seen[], round: number): RoundPlan {
  const running = seen.filter(({ runs }) => runs > 0);
  const oldest = running.toSorted((left, right) => right.oldestMs - left.oldestMs)[0];
  if (oldest && oldest.oldestMs > DRAIN_MS_MAX) return { kind: "outlast", busy: oldest };
  const long = running.filter(({ oldestMs }) => oldestMs >= LONG_MS);
  const longestMs = Math.max(0, ...long.map(({ longestMs: ms }) => ms));
  return {
    kind: "try",
    drained: long.map(({ member }) => member),
    // Twice what calls have taken here: one of them may just have begun.
    drainMs: Math.min(DRAIN_MS_MAX, Math.max(DRAIN_MS_MIN, 2 * longestMs)),
    // A member that was idle in one moment and busy in the next is held the next time.
    holdsAll: running.length > 0 || round > 1,
  };
}

/** How long calls go on before the next round, when callers have waited for so long in this one. */
export function pauseAfter(round: number, waitedMs: number): number {
  const usualMs = Math.min(ROUND_PAUSE_MS_MAX, ROUND_PAUSE_MS_MIN * 2 ** (round - 1));
  return Math.max(usualMs, Math.min(PAUSE_MS_MAX, PAUSE_PER_WAIT * waitedMs));
}

/** Asks what runs, and keeps nobody waiting. */
function look(attempt: FenceAttempt): Promise<Seen[]> {
  return each(attempt.members, (member) =>
    askHold(attempt, member, { among: [], fromMs: 0, holdMs: 0, waitMs: 0 }),
  );
}

/**
 * Holds calls of long methods of these members until no long one runs there, in slices: a root that
 * is silent keeps nobody waiting. The others keep nobody waiting, but are told: their calls may now
 * wait for one that is held. Gives the members that are still busy in the end.
 */
async function drainLong(
  attempt: FenceAttempt,
  drained: readonly string[],
  drainMs: number,
): Promise<Seen[]> {
  const { runtime } = attempt.context;
  const deadline = runtime.now() + drainMs;
  for (;;) {
    const mostMs = Math.min(DRAIN_SLICE_MS, Math.max(0, deadline - runtime.now()));
    const seen = await hold(attempt, (member) => {
      const [fromMs, waitMs] = drained.includes(member) ? [LONG_MS, mostMs] : [Infinity, 0];
      return { among: drained, fromMs, holdMs: DRAIN_HOLD_MS, waitMs };
    });
    const busy = seen.filter(
      ({ member, oldestMs }) => drained.includes(member) && oldestMs >= LONG_MS,
    );
    if (busy.length === 0 || runtime.now() >= deadline) return busy;
  }
}

/**
 * Holds all calls of all members, other than those that one of them waits for. Gives the members
 * that are still busy in the end.
 */
async function holdAll(attempt: FenceAttempt): Promise<Seen[]> {
  attempt.waitingSince();
  const terms = { among: attempt.members, fromMs: 0, holdMs: HOLD_MS, waitMs: HOLD_WAIT_MS };
  return (await hold(attempt, () => terms)).filter(({ runs }) => runs > 0);
}

async function hold(
  attempt: FenceAttempt,
  termsFor: (member: string) => HoldTerms,
): Promise<Seen[]> {
  const askedAt = attempt.context.runtime.now();
  const seen = await each(attempt.members, (member) => askHold(attempt, member, termsFor(member)));
  if (seen.some(({ waiting }) => waiting > 0)) attempt.waitingSince(askedAt);
  requireCurrent(attempt.context, attempt.record);
  return seen;
}

type HoldTerms = Pick<Message<"hold">, "among" | "fromMs" | "holdMs" | "waitMs">;

/**
 * @throws RefusedError `protocol` from a member of an older library: nobody is fenced before it is
 * deployed.
 */
async function askHold(
  { context, record }: FenceAttempt,
  member: string,
  terms: HoldTerms,
): Promise<Seen> {
  const { id: operation, attempt } = record;
  return { member, ...(await context.ask(member, { kind: "hold", operation, attempt, ...terms })) };
}

/** Has every member put up its fence and drain, unless calls run there. */
async function raise(
  attempt: FenceAttempt,
  pass: (error: unknown) => void,
): Promise<{ readonly fenced: Fenced; readonly busy: readonly Seen[] }> {
  const fenced = attempt.behindFence();
  const { id: operation, attempt: number } = attempt.record;
  const replies = await each(attempt.members, async (member) => {
    const budgetMs = fenced.leftMs();
    const asked: Promise<FenceReply> = fenced.ask(member, {
      kind: "fence",
      operation,
      attempt: number,
      budgetMs,
      ifIdle: true,
    });
    const reply = await asked.catch((error: unknown) => pass(error));
    return { floors: reply?.floors ?? [], busy: reply?.busy ? [{ member, ...reply.busy }] : [] };
  });
  const floors = replies.flatMap((reply) => reply.floors);
  return { fenced: { ...fenced, floors }, busy: replies.flatMap(({ busy }) => busy) };
}

function describe({ member, runs, oldestMs }: Seen): string {
  return `${member} runs ${runs} ${runs === 1 ? "call" : "calls"}, the oldest for ${oldestMs} ms`;
}

function fail(error: unknown): never {
  throw error;
}
