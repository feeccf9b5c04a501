/**
 * The log of alarms' writes, as each object keeps it: in the transaction of the write, in a table
 * of its own that never moves. So a write that an object knows of is acknowledged, and nobody has
 * to be told. Pure.
 */
import { COUNTED_IDS, DOOMED_IDS, NOTES_MAX, stateText } from "./accounts.ts";

/**
 * `counted`: an account was counted up. `deleted`: one was deleted. `marked`: a row of the
 * undeclared table was stored, pointing at an account. `refused`: one of these was refused, by a
 * guard or by its foreign key. `orphanRefused`: so was a row that points at nothing.
 *
 * The others must not be: `orphan`, a row that points at nothing was accepted; `left`, rows stayed
 * that point at what was deleted; `failed`, a write failed with something else than a refusal,
 * named in place of the account.
 */
export type AlarmEvent =
  | "counted"
  | "deleted"
  | "marked"
  | "refused"
  | "orphanRefused"
  | "orphan"
  | "left"
  | "failed";

export interface AlarmEntry {
  readonly event: AlarmEvent;
  /** The account that it is about. */
  readonly id: string;
  readonly times: number;
}

export interface AlarmLog {
  readonly member: string;
  readonly alarms: readonly AlarmEntry[];
}

export type AlarmCounts = Readonly<Record<AlarmEvent, number>>;

export function countAlarms(logs: readonly AlarmLog[]): AlarmCounts {
  const counts: Record<AlarmEvent, number> = {
    counted: 0,
    deleted: 0,
    marked: 0,
    refused: 0,
    orphanRefused: 0,
    orphan: 0,
    left: 0,
    failed: 0,
  };
  for (const { event, times } of logs.flatMap(({ alarms }) => alarms)) counts[event] += times;
  return counts;
}

/** The one state that each account of the alarms may have, by what all objects have logged. */
export function expectByAlarms(logs: readonly AlarmLog[]): Map<string, readonly string[]> {
  const entries = logs.flatMap(({ alarms }) => alarms);
  const timesOf = (event: AlarmEvent, id: string): number =>
    entries
      .filter((entry) => entry.event === event && entry.id === id)
      .reduce((sum, { times }) => sum + times, 0);
  const counted = (id: string): string => countedText(timesOf("counted", id));
  const doomed = (id: string): string => stateText(timesOf("deleted", id) > 0 ? null : DOOMED);
  return new Map([
    ...COUNTED_IDS.map((id) => [id, [counted(id)]] as const),
    ...DOOMED_IDS.map((id) => [id, [doomed(id)]] as const),
  ]);
}

/** Returns the events that alarms themselves have seen and must not have. */
export function checkAlarms(logs: readonly AlarmLog[]): string[] {
  const deleted = new Map<string, number>();
  for (const { event, id, times } of logs.flatMap(({ alarms }) => alarms))
    if (event === "deleted") deleted.set(id, (deleted.get(id) ?? 0) + times);
  return [
    ...[...deleted]
      .filter(([, times]) => times > 1)
      .map(([id, times]) => `alarms have deleted ${id} ${times} times`),
    ...logs.flatMap(({ member, alarms }) => alarms.flatMap((entry) => describe(member, entry))),
  ];
}

function describe(member: string, { event, id, times }: AlarmEntry): string[] {
  switch (event) {
    case "orphan":
      return [`an alarm on ${member} stored ${times} rows that point at nothing (${id})`];
    case "left":
      return [`an alarm on ${member} deleted ${id}, and ${times} rows that point at it stayed`];
    case "failed":
      return [`an alarm on ${member} failed ${times} times: ${id}`];
    case "counted":
    case "deleted":
    case "marked":
    case "refused":
    case "orphanRefused":
      return [];
    default:
      return event satisfies never;
  }
}

/** An account that waits to be deleted: with a note, which must go along. */
const DOOMED = { amount: 0, serial: 1, notes: [1] };

/** An account that was counted up so often: every time with a note. */
export function countedText(times: number): string {
  const notes = Array.from(
    { length: Math.min(times, NOTES_MAX) },
    (_, index) => times - Math.min(times, NOTES_MAX) + index + 1,
  );
  return stateText({ amount: times, serial: times, notes });
}
