/**
 * Decides the alert of an environment, and stores what each channel was told last. Pure.
 *
 * A channel is told the newest state and nothing in between, so that an outage of a day ends with
 * one message. Nothing waits in a queue.
 *
 * | the last tick found                       | and the alert          |
 * |-------------------------------------------|------------------------|
 * | open drifts, others than were told        | opens, or is edited    |
 * | the same open drifts                      | stays as it is         |
 * | none at all, and could look at everything | closes                 |
 * | none open, but one seen once or healing   | stays as it is         |
 * | none, but something could not be read     | stays as it is         |
 */
import type { Drift } from "../model/drift.ts";
import type { AlertMessage } from "./alert-message.ts";

/** The facts of a tick that alerts are made from. */
export interface AlertFacts {
  readonly environment: string;
  readonly commit: string | null;
  readonly isComplete: boolean;
  /** Of the open drifts. */
  readonly fingerprint: string;
  readonly drifts: readonly Drift[];
}

export interface AlertTarget extends AlertMessage {
  /** Null without drifts. */
  readonly fingerprint: string | null;
}

export interface Channel {
  /**
   * The fingerprint that was told last, null inside for "all is well"; null when nobody knows what
   * was told.
   */
  readonly told: { readonly fingerprint: string | null } | null;
  readonly failures: number;
  readonly nextTryAt: number;
  readonly lastError: string | null;
  /** Written before it is told: a crash in between leaves it so. */
  readonly begun?: { readonly fingerprint: string | null };
}

export type ChannelName = "issue" | "webhook";

export interface AlertState {
  readonly environment: string;
  /** Null before the first thing to say. */
  readonly target: AlertTarget | null;
  readonly channels: Readonly<Record<ChannelName, Channel>>;
  readonly issueUrl: string | null;
}

/** Drifts that a message may list; the others are counted. */
const DRIFTS_MAX = 200;

/**
 * A failure is tried again after half a minute, doubling to an hour, for as long as there is
 * something to say.
 */
const RETRY_FIRST_MS = 30_000;
const RETRY_LONGEST_MS = 60 * 60_000;
/** A next try further ahead was written by a clock that was wrong. */
const NEXT_TRY_MS_MAX = 4 * RETRY_LONGEST_MS;

export function newAlertState(environment: string): AlertState {
  const fresh = { failures: 0, nextTryAt: 0, lastError: null };
  return {
    environment,
    target: null,
    // An issue may be left from before; nobody wants a first message in a chat that all is well.
    channels: {
      issue: { ...fresh, told: null },
      webhook: { ...fresh, told: { fingerprint: null } },
    },
    issueUrl: null,
  };
}

/** The state after a tick; the same object when there is nothing new to say. */
export function decideAlert(before: AlertState, facts: AlertFacts): AlertState {
  const { environment, commit, fingerprint } = facts;
  const open = facts.drifts.filter(({ state }) => state === "open");
  if (open.length > 0) {
    if (before.target?.fingerprint === fingerprint) return before;
    const drifts = open.slice(0, DRIFTS_MAX);
    return {
      ...before,
      target: { environment, drifts, driftCount: open.length, commit, cause: "drift", fingerprint },
    };
  }
  // Warnings neither open an alert nor keep one.
  const isClean = facts.drifts.every(({ state }) => state === "warning") && facts.isComplete;
  if (!isClean || before.target?.fingerprint === null) return before;
  return {
    ...before,
    target: { environment, drifts: [], driftCount: 0, commit, cause: "clean", fingerprint: null },
  };
}

/** The state of an environment that is not reconciled any more. */
export function retireAlert(before: AlertState): AlertState {
  const { environment, target } = before;
  if (target === null || target.fingerprint === null) return before;
  return {
    ...before,
    target: {
      environment,
      drifts: [],
      driftCount: 0,
      commit: target.commit,
      cause: "retired",
      fingerprint: null,
    },
  };
}

/** True when the channel has yet to be told. */
export function isBehind({ target, channels }: AlertState, name: ChannelName): boolean {
  const { told } = channels[name];
  return target !== null && (told === null || told.fingerprint !== target.fingerprint);
}

/** When the channel is to be told; null for never. */
export function nextTryAt(state: AlertState, name: ChannelName, now: number): number | null {
  if (!isBehind(state, name)) return null;
  const at = state.channels[name].nextTryAt;
  return at - now > NEXT_TRY_MS_MAX ? now : at;
}

/** The channel is about to be told what stands in `target`. */
export function beforeTelling(
  state: AlertState,
  name: ChannelName,
  { fingerprint }: AlertTarget,
): AlertState {
  const begun: Channel = { ...state.channels[name], begun: { fingerprint } };
  return { ...state, channels: { ...state.channels, [name]: begun } };
}

/** True when the channel was begun to be told this before. */
export function hasBegun(
  { channels }: AlertState,
  name: ChannelName,
  { fingerprint }: AlertTarget,
): boolean {
  const { begun } = channels[name];
  return begun !== undefined && begun.fingerprint === fingerprint;
}

/**
 * The issue says it already, and nobody here has begun to tell it: this state was lost, or restored
 * to an earlier time, after all channels were told.
 */
export function afterFinding(
  state: AlertState,
  target: AlertTarget,
  issueUrl: string | null,
): AlertState {
  return afterTelling(afterTelling(state, "issue", target, issueUrl), "webhook", target, null);
}

/** The channel has said what stood in `target`; what came up meanwhile is still to be said. */
export function afterTelling(
  state: AlertState,
  name: ChannelName,
  { fingerprint }: AlertTarget,
  issueUrl: string | null,
): AlertState {
  const told: Channel = { told: { fingerprint }, failures: 0, nextTryAt: 0, lastError: null };
  return {
    ...state,
    issueUrl: issueUrl ?? state.issueUrl,
    channels: { ...state.channels, [name]: told },
  };
}

/**
 * The channel could not say it. `retryAt`: not before then. `random`: from 0 up to, not including,
 * 1.
 */
export function afterFailure(
  state: AlertState,
  name: ChannelName,
  failure: { readonly message: string; readonly retryAt: number | null },
  { now, random }: { readonly now: number; readonly random: number },
): AlertState {
  const channel = state.channels[name];
  const failures = channel.failures + 1;
  const delayMs = Math.min(RETRY_LONGEST_MS, RETRY_FIRST_MS * 2 ** Math.min(failures - 1, 20));
  const at = Math.max(now + Math.round(delayMs * (0.5 + random / 2)), failure.retryAt ?? 0);
  const failed: Channel = { ...channel, failures, nextTryAt: at, lastError: failure.message };
  return { ...state, channels: { ...state.channels, [name]: failed } };
}
