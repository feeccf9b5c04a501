/**
 * Pauses a running operation while a window or a pause forbids progress, and resumes it afterwards.
 * A change must wait while everything is paused, or the namespace's windows have closed.
 *
 * | it must wait | it is paused               | what is done                                   |
 * |--------------|----------------------------|------------------------------------------------|
 * | yes          | no                         | paused: a wave that is under way is ended first |
 * | yes          | by us, for another reason  | paused for the newest reason                   |
 * | no           | by us                      | resumed                                        |
 * | either       | because somebody asked     | nothing: whoever has paused it resumes it      |
 */
import type { LiveAccess } from "../live/port.ts";
import type { LiveResult, NamespaceRef } from "../model/live.ts";
import type { OperationStatus } from "../model/operation.ts";
import type { Change, Guard } from "../model/plan.ts";
import { success } from "../model/result.ts";
import type { PolicyChange } from "../model/policy.ts";
import type { NamespaceSpec } from "../model/spec.ts";
import { RECONCILER } from "./run-record.ts";
import { areWindowsOpen } from "./windows.ts";

/** The two calls that it takes. */
export type OperationHolder = Pick<LiveAccess, "pause" | "resume">;

/** Why a namespace must wait outside of its windows. */
export const WINDOW_CLOSED = "its window has closed";

/** True when the pause is ours to take back. */
export function isPausedByUs({ paused }: OperationStatus): boolean {
  return paused?.by === RECONCILER;
}

/**
 * The operation as it is after that; the very same value when nothing was to be done, or it was too
 * late for a pause.
 *
 * @param hold why it must wait, or null.
 */
export async function holdOperation(
  live: OperationHolder,
  ref: NamespaceRef,
  operation: OperationStatus,
  hold: string | null,
): Promise<LiveResult<OperationStatus>> {
  const { id, state, paused } = operation;
  const isTheirs = paused !== null && !isPausedByUs(operation);
  if (state !== "running" || isTheirs || (paused?.reason ?? null) === hold)
    return success(operation);
  if (hold === null) return live.resume(ref, id);
  const answer = await live.pause(ref, id, { reason: hold, by: RECONCILER });
  // All of it is committed already: it ends, wherever the clock stands.
  return !answer.ok && answer.failure.reason === "tooLate" ? success(operation) : answer;
}

/** "Paused by shardctl reconciler: its window has closed"; null when it goes on. */
export function describePause({ paused }: OperationStatus): string | null {
  return paused === null ? null : `Paused by ${paused.by}: ${paused.reason}`;
}

/**
 * Why a change must not start or go on now: a window has closed, or everything is paused. Null when
 * it may.
 */
export type FindHold = (change: Change) => string | null;

export interface HoldQuestion {
  readonly pausedBy: string | null;
  readonly overrides: readonly Guard[];
  /** The spec under the run's plan, as its guards judge it; asked only when somebody needs it. */
  readonly guarded: (namespace: string) => NamespaceSpec | null;
  /** The policies that the run's plan changes. */
  readonly changed: () => readonly PolicyChange[];
  /**
   * The spec that is followed by now, where it is known: it may have another window, and release
   * what the plan's windows would hold. Windows that the plan itself has opened release nothing.
   */
  readonly declared: (namespace: string) => NamespaceSpec | null;
  readonly now: number;
}

/** Makes the question that a step asks before each start, and of each operation. */
export function findHold({
  pausedBy,
  overrides,
  guarded,
  changed,
  declared,
  now,
}: HoldQuestion): FindHold {
  return ({ namespace }) => {
    if (pausedBy !== null) return `everything is paused by ${pausedBy}`;
    if (overrides.includes("window")) return null;
    if (areWindowsOpen(guarded(namespace)?.policy ?? { windows: [] }, now)) return null;
    const followed = declared(namespace)?.policy;
    if (followed === undefined || !areWindowsOpen(followed, now)) return WINDOW_CLOSED;
    const own = changed().find((change) => change.namespace === namespace);
    return own?.fields.some(({ field }) => field === "windows") ? WINDOW_CLOSED : null;
  };
}
