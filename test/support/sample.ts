/**
 * Thins out the largest tables of cases: `npm test` runs a share of them, the same ones each time,
 * and `npm run test:long` runs all.
 */
import { inject } from "vitest";

declare module "vitest" {
  interface ProvidedContext {
    /** True in a run of `npm run test:long`. */
    readonly isLong: boolean;
  }
}

/** The golden ratio's share of 1: steps of that size spread evenly, whatever their number. */
const STEP = (Math.sqrt(5) - 1) / 2;

/**
 * Gives `count` of the cases in their order, or all of them in a long run. They are spread over
 * the table, so that each row and column of a table in two or three dimensions has its part.
 */
export function sample<Case>(cases: readonly Case[], count: number): Case[] {
  return inject("isLong") ? [...cases] : thinOut(cases, count);
}

/** True in a run of `npm run test:long`: for cases that stand for themselves, as in `it.runIf`. */
export function isLongRun(): boolean {
  return inject("isLong");
}

/** Gives how often a property is tried: `count` times in a long run, or a quarter of that. */
export function tries(count: number): number {
  return inject("isLong") ? count : Math.ceil(count / 4);
}

/**
 * Gives the size of a case that is there for its size: the full one in a long run, or one that is
 * still too large for what would be done wrong.
 */
export function size(full: number, short: number): number {
  return inject("isLong") ? full : short;
}

/** `sample` for a short run. */
export function thinOut<Case>(cases: readonly Case[], count: number): Case[] {
  const chosen = new Set<number>();
  for (let drawn = 0; chosen.size < Math.min(count, cases.length); drawn++)
    chosen.add(Math.floor(((drawn * STEP) % 1) * cases.length));
  return cases.filter((_, index) => chosen.has(index));
}
