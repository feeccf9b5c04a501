/**
 * Checks all objects together once an operation has ended and the writers pause. Pure: takes the
 * expected and the found state, and returns one line for each thing that is wrong.
 */
import { toKey } from "../../src/model/layout/key.ts";
import { directoryMember } from "../../src/model/layout/directory.ts";
import type { Layout } from "../../src/model/layout/layout.ts";
import { createOwnerLookup } from "../../src/model/layout/owner-lookup.ts";
import { WRITE_BLOCK_MESSAGES } from "../../src/shards/move/write-blocks.ts";
import { NAMESPACE, PARTITIONERS, keyOf } from "./accounts.ts";
import { checkAlarms } from "./alarm-log.ts";
import type { Dump } from "./dump.ts";
import { type FanOut, checkTallies } from "./tallies.ts";
import { addedColumns } from "./version.ts";

export interface Found {
  readonly layout: Layout;
  readonly epoch: number;
  /** Every object that any operation has named, the root first. */
  readonly dumps: readonly Dump[];
}

export interface Expected {
  /** Id → the states that the account may have; "none" for an account that may be absent. */
  readonly possible: ReadonlyMap<string, readonly string[]>;
  /**
   * Objects that must not have a row left: targets of cancelled operations, retired members whose
   * time is over.
   */
  readonly empty: ReadonlySet<string>;
  /** Every call to all members, by its number; null where no account has a tally of them. */
  readonly fanOuts: ReadonlyMap<number, FanOut> | null;
  /** The version of the class that was deployed last. */
  readonly version: number;
}

const WRITE_BLOCK_PREFIX = "shardctl_guard_";
const OWNED_PREFIX = "shardctl_owned_";
const ABSENT = "none";

export function checkState(found: Found, expected: Expected): string[] {
  const members = new Set(found.layout.members);
  const serving = found.dumps.filter((dump) => members.has(dump.member));
  const others = found.dumps.filter((dump) => !members.has(dump.member));
  const missing = [...members].filter(
    (member) => !found.dumps.some((dump) => dump.member === member),
  );
  return [
    ...missing.map((member) => `${member} is a member that no operation has named`),
    ...checkRows(found, serving, expected),
    ...(expected.fanOuts === null ? [] : checkTallies(serving, expected.fanOuts)),
    ...checkAlarms(found.dumps),
    ...found.dumps.flatMap((dump) => checkLeftovers(dump)),
    ...serving.flatMap((dump) => checkServing(dump, found)),
    ...others.flatMap((dump) => checkRetired(dump, expected)),
    ...found.dumps.flatMap((dump) => checkVersion(dump, expected)),
  ];
}

/**
 * Every object has started with the last version, and none of its rows lacks what that version's
 * constructor fills in.
 */
function checkVersion({ member, version, schema, unfilled }: Dump, expected: Expected): string[] {
  if (version !== expected.version)
    return [`${member} runs version ${version}, deployed is ${expected.version}`];
  const made = addedColumns(version).flatMap(({ column }) => [column, `accounts_by_${column}`]);
  const missing = made.filter((name) => !schema.includes(name));
  return [
    ...missing.map(
      (name) => `${member} has no ${name}, which the constructor of version ${version} makes`,
    ),
    ...unfilled.map((id) => `not filled: ${id} on ${member} lacks a value that it was given`),
  ];
}

interface Place {
  readonly member: string;
  readonly state: string;
}

function checkRows(found: Found, serving: readonly Dump[], { possible }: Expected): string[] {
  const held = new Map<string, Place[]>();
  for (const { member, accounts } of serving) {
    for (const [id, state] of accounts) held.set(id, [...(held.get(id) ?? []), { member, state }]);
  }
  const ownerOf = createOwners(found, serving);
  const unknown = [...held].filter(([id]) => !possible.has(id));
  return [
    ...unknown.map(([id, places]) => `${id} was never written, but is on ${membersOf(places)}`),
    ...[...possible].flatMap(([id, states]) => checkRow(id, held.get(id) ?? [], states, ownerOf)),
  ];
}

function checkRow(
  id: string,
  places: readonly Place[],
  states: readonly string[],
  ownerOf: (id: string) => string,
): string[] {
  const [first] = places;
  const problems = checkValue(id, places, states);
  if (first === undefined) return problems;
  if (places.length > 1) problems.push(`doubled: ${id} is on ${membersOf(places)}`);
  const owner = ownerOf(id);
  if (places.every((place) => place.member !== owner)) {
    problems.push(`misplaced: ${id} is on ${membersOf(places)}, its owner is ${owner}`);
  }
  return problems;
}

function checkValue(id: string, places: readonly Place[], states: readonly string[]): string[] {
  const state = places[0]?.state ?? ABSENT;
  if (states.includes(state)) return [];
  const isDeleted = states.every((possible) => possible === ABSENT);
  const kind = state === ABSENT ? "lost" : isDeleted ? "back from deletion" : "wrong";
  return [
    `${kind}: ${id} is "${state}" (on ${membersOf(places) || "no member"}), expected "${states.join(" | ")}"`,
  ];
}

function membersOf(places: readonly Place[]): string {
  return places.map((place) => place.member).join(" and ");
}

/** The owner of an account, by the layout's own look-up or by the directory. */
function createOwners({ layout }: Found, serving: readonly Dump[]): (id: string) => string {
  if (layout.kind !== "roundRobin") {
    const lookup = createOwnerLookup(layout, PARTITIONERS);
    return (id) => lookup(toKey(keyOf(id, layout.kind === "none" ? null : layout.shardKey)));
  }
  const entries = new Map(serving.map((dump) => [dump.member, new Map(dump.directory)]));
  return (id) => entries.get(directoryMember(layout, id))?.get(id) ?? "nobody in the directory";
}

function checkLeftovers({
  member,
  leftovers,
  isMoving,
  running,
  triggers,
  damaged,
  strayNotes,
  dangling,
  chores,
}: Dump): string[] {
  const late = chores.filter((chore) => chore.kind !== "empty");
  return [
    ...leftovers.map((leftover) => `left on ${member}: ${leftover}`),
    ...(isMoving ? [`left on ${member}: the record of a move`] : []),
    ...running.map((id) => `left on ${member}: operation ${id} still runs`),
    ...late.map(
      (chore) =>
        `left on ${member}: chore ${chore.kind} for ${chore.member} (operation ${chore.operation})`,
    ),
    ...triggers
      .filter((name) => !isStanding(name))
      .map((name) => `left on ${member}: trigger ${name}`),
    ...damaged.map((id) => `damaged: ${id} on ${member} has another payload than was written`),
    ...dangling.map((reference) => `dangling on ${member}: ${reference}`),
    ...strayNotes.map((note) => `misplaced: note ${note} is on ${member} without its account`),
  ];
}

/** A member's refusal of a row whose key another owns. */
const WRONG_KEY = "shardctl: wrong key";

/**
 * Triggers that stand beside any operation: guards are judged by the role, checks of keys act on
 * members alone.
 */
function isStanding(trigger: string): boolean {
  return trigger.startsWith(WRITE_BLOCK_PREFIX) || trigger.startsWith(OWNED_PREFIX);
}

function checkServing(
  { member, membership, triggers, strayWrite, directory }: Dump,
  { layout, epoch }: Found,
): string[] {
  const isNew = membership === null && epoch === 0 && member === NAMESPACE;
  const serves = isNew || (membership?.serving === true && membership.epoch === epoch);
  const hasStrayDirectory = layout.kind !== "roundRobin" && directory.length > 0;
  return [
    ...(serves
      ? []
      : [
          `${member} is a member at epoch ${epoch}, but its record says ${membership ? `epoch ${membership.epoch}, ${membership.serving ? "serving" : "not serving"}` : "nothing"}`,
        ]),
    ...triggers
      .filter((name) => name.startsWith(WRITE_BLOCK_PREFIX))
      .map((name) => `left on ${member}: trigger ${name}`),
    ...(strayWrite === null || strayWrite.startsWith(WRONG_KEY)
      ? []
      : [`${member} is a member, but refuses a write: ${strayWrite}`]),
    ...(hasStrayDirectory
      ? [
          `left on ${member}: ${directory.length} directory entries, though the layout has no directory`,
        ]
      : []),
  ];
}

function checkRetired(
  { member, membership, strayWrite, accounts, tallies, directory }: Dump,
  { empty }: Expected,
): string[] {
  const rows = accounts.length + tallies.length + directory.length;
  return [
    ...(membership?.serving === true ? [`${member} is no member, but serves`] : []),
    ...(strayWrite?.includes(WRITE_BLOCK_MESSAGES.notMember)
      ? []
      : [`${member} is no member, but takes writes (${strayWrite ?? "accepted"})`]),
    ...(empty.has(member) && rows > 0 ? [`${member} must be empty, but has ${rows} rows`] : []),
  ];
}
