/**
 * Asks the fewest live namespaces that the page needs: those whose operation moves without a run
 * that follows it, and those that were not read for long. Every look is bounded in
 * number and time; what does not answer is shown as it was last seen.
 */
import { WATCHED_AGE_MAX_MS } from "../live/counts-age.ts";
import { runBounded } from "../model/run-bounded.ts";
import type { LiveFailure } from "../model/live.ts";
import type { LiveReader } from "../live/port.ts";
import type { OperationView } from "./page-data.ts";
import { makeSight, viewOperation } from "./sight.ts";
import type { NamespaceFacts } from "./namespace-facts.ts";
import type { Looked } from "./sights-store.ts";

/** Namespaces that one request may ask. */
export const LOOKS_MAX = 8;
const AT_ONCE_MAX = 8;
/** How long a page waits for them. */
const WAIT_MS_MAX = 2_000;
/**
 * Ages up to which a namespace is not asked again: the page of one namespace, and rows on the move,
 * are refreshed sooner than a list.
 */
const LIST_AGE_MAX_MS = 5 * 60_000;
const CLOSE_AGE_MIN_MS = 3_000;
/** A namespace of many members costs more to read, so it is read less often. */
const AGE_PER_MEMBER_MS = 60;
const RUNNING_AGE_MAX_MS = 1_500;
/**
 * Clocks of two machines differ by less; what lies further ahead was written by one that was wrong.
 */
const CLOCK_AHEAD_MS_MAX = 60_000;

/** How old a look may be before the namespace is asked again. */
export type Freshness = "list" | "one";

export interface Looks {
  readonly facts: readonly NamespaceFacts[];
  /** Answers that came in time, by the facts that were given. */
  readonly inTime: ReadonlyMap<NamespaceFacts, Looked>;
  /** Every answer, to be kept; null when nothing was asked. */
  readonly learned: Promise<readonly Looked[]> | null;
}

/** The facts, brought up to date where that is due and possible in time. */
export async function lookLive(
  liveAccess: LiveReader,
  facts: readonly NamespaceFacts[],
  freshness: Freshness,
  now: number,
): Promise<Looks> {
  const due = facts
    .filter((one) => isDue(one, freshness, now))
    .toSorted((left, right) => left.askedAt - right.askedAt)
    .slice(0, LOOKS_MAX);
  if (due.length === 0) return { facts, inTime: new Map(), learned: null };
  const inTime = new Map<NamespaceFacts, Looked>();
  const learned = runBounded(due, AT_ONCE_MAX, async (one) => {
    const looked = await lookAt(liveAccess, one.view.object, one.view.name);
    inTime.set(one, looked);
    return looked;
  });
  await Promise.race([learned, wait(WAIT_MS_MAX)]);
  return {
    facts: facts.map((one) => withLook(one, inTime.get(one), now)),
    inTime: new Map(inTime),
    learned,
  };
}

/** The operation itself, where it moves without a run: the root alone answers that. */
export async function followOperations(
  liveAccess: LiveReader,
  facts: readonly NamespaceFacts[],
  now: number,
): Promise<readonly NamespaceFacts[]> {
  const moving = facts.filter(({ view, isFollowed }) => {
    return (
      view.running !== null && !isFollowed && now - (view.sight?.seenAt ?? 0) > RUNNING_AGE_MAX_MS
    );
  });
  if (moving.length === 0) return facts;
  const asked = runBounded(moving.slice(0, LOOKS_MAX), AT_ONCE_MAX, async (one) => {
    const { view } = one;
    const answer = view.running === null ? null : await liveAccess.operation(view, view.running.id);
    return { one, operation: answer?.ok ? viewOperation(answer.value) : null };
  });
  const answers = await Promise.race([asked, wait(WAIT_MS_MAX).then(() => [])]);
  const found = new Map(answers.map(({ one, operation }) => [one, operation]));
  return facts.map((one) => withOperation(one, found.get(one) ?? null));
}

function isDue({ view, askedAt }: NamespaceFacts, freshness: Freshness, now: number): boolean {
  const members = view.sight?.members ?? 0;
  const isClose = freshness === "one" || view.running !== null;
  if (askedAt - now > CLOCK_AHEAD_MS_MAX) return true;
  return (
    now - askedAt >
    (isClose ? Math.max(CLOSE_AGE_MIN_MS, members * AGE_PER_MEMBER_MS) : LIST_AGE_MAX_MS)
  );
}

async function lookAt(liveAccess: LiveReader, object: string, name: string): Promise<Looked> {
  const answer = await liveAccess.describe({ object, name }, WATCHED_AGE_MAX_MS);
  return answer.ok
    ? { object, name, live: answer.value, problem: null }
    : { object, name, live: null, problem: describeFailure(answer.failure) };
}

function describeFailure({ kind, message }: LiveFailure): string {
  return `${kind}: ${message}`;
}

function withLook(facts: NamespaceFacts, looked: Looked | undefined, now: number): NamespaceFacts {
  if (looked === undefined) return facts;
  if (looked.live === null) return { ...facts, askedAt: now, problem: looked.problem };
  const sight = makeSight(looked.live, now);
  const seen = sight.operation?.state === "running" ? sight.operation : null;
  return {
    ...facts,
    askedAt: now,
    problem: null,
    view: { ...facts.view, sight, running: facts.isFollowed ? facts.view.running : seen },
  };
}

function withOperation(facts: NamespaceFacts, operation: OperationView | null): NamespaceFacts {
  if (operation === null) return facts;
  if (operation.state === "running")
    return { ...facts, view: { ...facts.view, running: operation } };
  // It has ended, so that the namespace is not what it was when it was seen.
  return { ...facts, askedAt: 0, view: { ...facts.view, running: null } };
}

function wait(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
