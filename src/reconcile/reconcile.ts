/**
 * Compares the merged manifests with the live state, and acts on the difference. One pass a tick,
 * in slices.
 *
 *     manifests ─▶ look (each namespace that is due) ─▶ decide (every pending change) ─▶ over
 *
 * Level-triggered: a slice works from what is stored and what it reads now, writes each namespace
 * as soon as it knows it, and may end anywhere; the next slice, or the next tick after a kill, goes
 * on from there and ends in the same place. It costs in proportion to what is due: see schedule.ts.
 * One namespace's trouble is noted with that namespace and never stops the others.
 */
import { runBounded } from "../model/run-bounded.ts";
import { adoptManifests } from "./adopt-manifests.ts";
import { decidePending } from "./decide-pending.ts";
import {
  isUnderWay,
  newEnvironmentState,
  NO_FIGURES,
  type EnvironmentState,
} from "./environment-state.ts";
import { INTERNAL_ERROR } from "./judge.ts";
import type { DecideContext } from "./judge-all.ts";
import { lookAt } from "./look/look-at.ts";
import { conditionOf, type NamespaceState } from "./namespace-state.ts";
import type { ReconcilePorts } from "./ports.ts";
import { CHECK_MS_MAX, retryDelayMs } from "./schedule.ts";
import { Slice, type SliceBudget } from "./slice.ts";

export interface SliceResult {
  /** `more`: the pass goes on with the next slice. */
  readonly next: "done" | "more";
  readonly state: EnvironmentState;
}

/** Namespaces that are looked at at the same time. */
const LOOKS_AT_ONCE = 16;
/** Namespaces that are read from the store at once. */
const DUE_MAX = 128;

/** Begins the next pass, unless one is under way. */
export function beginPass({
  store,
  environment,
  now,
}: Pick<ReconcilePorts, "store" | "environment" | "now">): EnvironmentState {
  const state = store.readEnvironment() ?? newEnvironmentState(environment);
  if (isUnderWay(state)) return state;
  const pass = {
    number: state.pass.number + 1,
    startedAt: now(),
    phase: "manifests",
    refreshed: false,
    figures: NO_FIGURES,
  } as const;
  const begun = { ...state, pass };
  store.writeEnvironment(begun);
  return begun;
}

/**
 * Works on the pass that is under way until it is over or the budget is used. Does nothing between
 * passes.
 */
export async function reconcile(ports: ReconcilePorts, budget: SliceBudget): Promise<SliceResult> {
  const slice = new Slice(ports, budget);
  for (;;) {
    const { state } = slice;
    const { phase } = state.pass;
    if (phase === null) return { next: "done", state };
    if (slice.isSpent()) return { next: "more", state };
    switch (phase) {
      case "manifests":
        await readManifests(slice);
        break;
      case "look":
        if ((await lookAtDue(slice)) === 0) slice.enter("decide");
        break;
      case "decide":
        await decide(slice);
        break;
    }
    slice.save();
  }
}

async function readManifests(slice: Slice): Promise<void> {
  const before = slice.state.pass.figures.requests;
  slice.state = await adoptManifests(slice.state, slice.ports);
  slice.spend(slice.state.pass.figures.requests - before);
}

/** Looks at namespaces that are due, and returns how many there were. */
async function lookAtDue(slice: Slice): Promise<number> {
  const { number, startedAt } = slice.state.pass;
  const { store } = slice.ports;
  const due = store.due(number, startedAt, startedAt + 2 * CHECK_MS_MAX, DUE_MAX);
  const context = slice.context();
  await runBounded(due, LOOKS_AT_ONCE, async (before) => {
    if (slice.isSpent()) return;
    const after = await lookSafely(before, context);
    // Forgotten meanwhile: the manifests may have been read anew by nobody else, since one slice
    // works at a time.
    if (store.read(before) === null) return;
    if (after === null) slice.ports.forget(before);
    else store.write([after]);
    slice.count({ looks: 1 });
  });
  return due.length;
}

async function lookSafely(
  before: NamespaceState,
  context: DecideContext,
): Promise<NamespaceState | null> {
  const { ports, env } = context;
  try {
    return await lookAt(before, context);
  } catch (error) {
    ports.onError(before.name, error);
    const now = ports.now();
    const failed = { ...before, silences: before.silences + 1, pass: env.pass.number };
    const nextTryAt = now + retryDelayMs(failed.silences, ports.random);
    const condition = conditionOf(failed, now, { ...INTERNAL_ERROR, nextTryAt });
    return { ...failed, dueAt: nextTryAt, condition };
  }
}

async function decide(slice: Slice): Promise<void> {
  const { next, runsStarted } = await decidePending(slice.state, slice.context());
  slice.count({ runsStarted });
  if (next === "done") slice.end();
  else slice.refresh();
}
