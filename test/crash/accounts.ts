/**
 * The data of the crash runs, as both sides know it: the Worker that stores it and the rig that
 * keeps a model of it. Pure.
 *
 * An account's keys (`id`, `region`, `grp`) follow from its id, so that it can be routed under
 * every layout. Its whole state is one short text: every acknowledged call answers with it, and the
 * rig compares.
 */
import type { Partitioners } from "../../src/model/layout/partitioners.ts";

export const NAMESPACE = "ledger";
/** Notes that an account keeps: the newest ones. */
export const NOTES_MAX = 4;
/** Accounts that only alarms write: they are counted up, and never deleted. */
export const COUNTED_IDS: readonly string[] = Array.from({ length: 24 }, (_, index) =>
  accountId("a0", index),
);
/** Accounts that alarms delete, one after the other. */
export const DOOMED_IDS: readonly string[] = Array.from({ length: 300 }, (_, index) =>
  accountId("d0", index),
);
/** Accounts with a tally, which only calls to all members write. */
export const TALLIED_IDS: readonly string[] = Array.from({ length: 40 }, (_, index) =>
  accountId("t0", index),
);
/** Distinct values of `grp`, from 0 on. */
export const GROUPS = 1000;
const REGIONS = ["af-1", "ap-1", "ap-2", "eu-1", "eu-2", "sa-1", "us-1", "us-2"];

export interface Account {
  readonly amount: number;
  /** The number of the write that last changed it. */
  readonly serial: number;
  /** Serials of its notes, ascending: rows of another table that follow it. */
  readonly notes: readonly number[];
}

/** Null when there is no such account. */
export type AccountState = Account | null;

export type WriteKind = "put" | "replace" | "update" | "increment" | "remove";

/**
 * Spreads ids over the primary-key order, so that written rows and filler alternate in every page
 * of a walk.
 */
export function accountId(owner: string, index: number): string {
  const place = (index * 7919 + owner.charCodeAt(owner.length - 1) * 104_729) % 100_000;
  return `${String(place).padStart(5, "0")}-${owner}-${index}`;
}

export function groupOf(id: string): number {
  return Number(id.slice(0, 3)) % GROUPS;
}

export function regionOf(id: string): string {
  return REGIONS[Number(id.slice(3, 5)) % REGIONS.length] ?? "";
}

/** The value of an account's shard key. */
export function keyOf(id: string, shardKey: string | null): string | number | null {
  if (shardKey === null) return null;
  if (shardKey === "region") return regionOf(id);
  return shardKey === "grp" ? groupOf(id) : id;
}

/** Returns the state after one write. The Worker does the same in SQL. */
export function applyWrite(state: AccountState, kind: WriteKind, serial: number): AccountState {
  const noted = (notes: readonly number[]): number[] =>
    [...notes, serial].toSorted((a, b) => a - b).slice(-NOTES_MAX);
  switch (kind) {
    case "put":
      return { amount: state?.amount ?? 0, serial, notes: noted(state?.notes ?? []) };
    case "replace":
      return { amount: 0, serial, notes: [] }; // the row that is replaced takes its notes along
    case "update":
      return state && { ...state, serial };
    case "increment":
      return state && { amount: state.amount + 1, serial, notes: noted(state.notes) };
    case "remove":
      return null;
  }
}

/** One text for each state: what the Worker answers and what is compared. */
export function stateText(state: AccountState): string {
  return state === null
    ? "none"
    : `${state.amount} by ${state.serial} notes ${state.notes.join(",")}`;
}

/** The state that a text of `stateText` says. */
export function readState(text: string): AccountState {
  const [, amount, serial, notes] = /^(\d+) by (\d+) notes ([\d,]*)$/.exec(text) ?? [];
  if (notes === undefined) {
    if (text !== stateText(null)) throw new Error(`Not the state of an account: ${text}`);
    return null;
  }
  return {
    amount: Number(amount),
    serial: Number(serial),
    notes: notes === "" ? [] : notes.split(",").map(Number),
  };
}

export const PARTITIONERS: Partitioners = {
  byRegion: {
    version: 1,
    owner: (key, count) => (key.text.charCodeAt(0) + key.text.charCodeAt(1)) % count,
  },
};
