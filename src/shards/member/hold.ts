/**
 * The first phase of a fence, as one member keeps it: running calls end, new ones wait, and nothing
 * is stored.
 *
 * | a new call                                       | under a hold                                                                |
 * |--------------------------------------------------|-----------------------------------------------------------------------------|
 * | from below a member that is held as well         | runs: that member waits for the end of what is below                        |
 * | that ends in the turn in which it begins         | runs: it is never found running                                             |
 * | of a short method, where only long ones are held | runs: it has ended before the long ones have                                |
 * | of a long method, where only long ones are held  | waits, but not much longer than its method has taken                        |
 * | any other                                        | waits, until the hold ends or the fence that follows is lifted              |
 *
 * A hold ends by itself after a short time, so that a root that is silent keeps nobody waiting; by
 * a crash; and with its attempt, however that ends: the attempt is over once the member's fence
 * floor is above it, or once its operation is.
 */
import type { Chain } from "../../model/wire/protocol.ts";
import type { Moving } from "../move/moving.ts";

export interface Hold {
  readonly operation: number;
  readonly attempt: number;
  /** The members that are held together. */
  readonly among: ReadonlySet<string>;
  /**
   * Only calls of methods that have taken as long as this wait: 0 for all calls, Infinity for none.
   * Milliseconds.
   */
  readonly fromMs: number;
  /** Milliseconds since the Unix epoch. */
  readonly until: number;
}

/** A call that has arrived. */
export interface HeldCall {
  readonly chain: Chain;
  /** How long its method has taken; 0 where that is not known. */
  readonly usualMs: number;
  readonly arrivedAt: number;
}

/**
 * How much longer than its method takes a call of a long method waits for others like it to end.
 */
const SLACK_MS = 250;

/**
 * Until when a hold that stands keeps this call waiting; null when it may run. Those who call long
 * methods can bear to wait as long again: by then every call of the method that ran has ended,
 * unless it waits itself for one that is not recognised as nested.
 */
export function waitsUntil(hold: Hold, { chain, usualMs, arrivedAt }: HeldCall): number | null {
  if (isNested(hold, chain)) return null;
  if (hold.fromMs === 0) return hold.until;
  return usualMs < hold.fromMs ? null : Math.min(hold.until, arrivedAt + usualMs + SLACK_MS);
}

/** True while the hold keeps calls waiting. */
export function holdStands(hold: Hold, moving: Moving | undefined, now: number): boolean {
  return (
    now < hold.until && moving?.operation === hold.operation && hold.attempt >= moving.fenceFloor
  );
}

/**
 * Rule "nested-calls-run": a call that a held member waits for is not kept waiting by another one.
 */
function isNested(hold: Hold, chain: Chain): boolean {
  return chain === "many" || chain.some((member) => hold.among.has(member));
}

/** True for a late message of an earlier attempt, which must not replace what stands. */
export function isOlder(hold: Hold, standing: Hold | undefined): boolean {
  return (
    standing !== undefined &&
    standing.operation === hold.operation &&
    standing.attempt > hold.attempt
  );
}
