/**
 * The crash runs' checker must see: every kind of damage, put into a sound state by hand, is found;
 * the sound state has none.
 */
import { describe, expect, it } from "vitest";

import { toKey } from "../../src/model/layout/key.ts";
import { directoryMember } from "../../src/model/layout/directory.ts";
import { createOwnerLookup } from "../../src/model/layout/owner-lookup.ts";
import { freshHashLayout } from "../../src/model/strategies/hash.ts";
import { roundRobinLayout } from "../../src/model/strategies/round-robin.ts";
import { WRITE_BLOCK_MESSAGES } from "../../src/shards/move/write-blocks.ts";
import {
  COUNTED_IDS,
  DOOMED_IDS,
  NAMESPACE,
  TALLIED_IDS,
  accountId,
  stateText,
} from "./accounts.ts";
import { type AlarmEvent, countAlarms, countedText, expectByAlarms } from "./alarm-log.ts";
import { type Expected, type Found, checkState } from "./check-state.ts";
import type { Dump } from "./dump.ts";
import { AccountModel } from "./model.ts";
import type { FanOut } from "./tallies.ts";

const MEMBERS = ["ledger-shard-0", "ledger-shard-1"];
const WRITTEN = Array.from({ length: 20 }, (_, index) => accountId("w1", index));
/** The accounts of writers, of alarms and of calls to all members. */
const IDS = [...WRITTEN, ...COUNTED_IDS, ...DOOMED_IDS, ...TALLIED_IDS];
const HELD = stateText({ amount: 3, serial: 9, notes: [8, 9] });
const LAYOUT = freshHashLayout("id", 0, MEMBERS);
/** The calls to all members: every tally has met the first two. */
const MADE: ReadonlyMap<number, FanOut> = new Map([
  [1, { outcome: "acknowledged", mayRunTwice: false, message: null }],
  [2, { outcome: "acknowledged", mayRunTwice: true, message: null }],
  [3, { outcome: "unknown", mayRunTwice: false, message: "500" }],
  [4, { outcome: "unknown", mayRunTwice: true, message: "500" }],
  [5, { outcome: "refused", mayRunTwice: false, message: "409" }],
  [6, { outcome: "unsent", mayRunTwice: true, message: "ECONNREFUSED" }],
]);
const COUNTED = COUNTED_IDS[0] ?? "";
const COUNTED_TIMES = 6;
const [DELETED = "", DOOMED = ""] = DOOMED_IDS;

function dumpOf(member: string, change: Partial<Dump> = {}): Dump {
  const isRoot = member === NAMESPACE;
  const owner = createOwnerLookup(LAYOUT);
  return {
    member,
    version: 2,
    schema: ["accounts_by_status_2", "id", "status_2"],
    unfilled: [],
    membership: { epoch: 1, serving: !isRoot, layout: LAYOUT },
    triggers: isRoot ? ["shardctl_guard_insert_accounts"] : [],
    leftovers: [],
    isMoving: false,
    running: [],
    chores: [],
    accounts: isRoot
      ? []
      : IDS.filter((id) => id !== DELETED && owner(toKey(id)) === member).map((id) => [
          id,
          stateOf(id),
        ]),
    damaged: [],
    strayNotes: [],
    dangling: [],
    // The root has counted and deleted while it was unsharded, each of the others has counted
    // since.
    alarms: isRoot
      ? [
          { event: "counted", id: COUNTED, times: COUNTED_TIMES - 2 },
          { event: "deleted", id: DELETED, times: 1 },
        ]
      : [{ event: "counted", id: COUNTED, times: 1 }],
    tallies: isRoot
      ? []
      : TALLIED_IDS.filter((id) => owner(toKey(id)) === member).map((id) => [id, [1, 2]]),
    directory: [],
    strayWrite: isRoot ? `${WRITE_BLOCK_MESSAGES.notMember}: SQLITE_CONSTRAINT` : null,
    ...change,
  };
}

/** A sound state of two shards and a retired root, with one object's dump changed. */
function found(member = NAMESPACE, change: (dump: Dump) => Partial<Dump> = () => ({})): Found {
  const dumps = [NAMESPACE, ...MEMBERS].map((name) =>
    name === member ? dumpOf(name, change(dumpOf(name))) : dumpOf(name),
  );
  return { layout: LAYOUT, epoch: 1, dumps };
}

/** As the run makes it: what alarms have written is taken from the objects' own logs. */
function expectedOf({ dumps }: Found): Expected {
  const others = [...WRITTEN, ...TALLIED_IDS].map((id) => [id, [HELD]] as const);
  return {
    possible: new Map([...others, ...expectByAlarms(dumps)]),
    fanOuts: MADE,
    empty: new Set([NAMESPACE]),
    version: 2,
  };
}

function stateOf(id: string): string {
  if (id === COUNTED) return countedText(COUNTED_TIMES);
  if (COUNTED_IDS.includes(id)) return countedText(0);
  return DOOMED_IDS.includes(id) ? stateText({ amount: 0, serial: 1, notes: [1] }) : HELD;
}

/** Calls that the first tally of a member has met instead. */
function met(serials: readonly number[]): (dump: Dump) => Partial<Dump> {
  return ({ tallies }) => ({
    tallies: tallies.map(([id, before], index) => [id, index === 0 ? serials : before] as const),
  });
}

function logged(event: AlarmEvent, id: string, times = 1): (dump: Dump) => Partial<Dump> {
  return ({ alarms }) => ({ alarms: [...alarms, { event, id, times }] });
}

const [FIRST, SECOND] = MEMBERS as [string, string];
const ELSEWHERE = accountId("w1", 99);

const damages: readonly {
  name: string;
  member: string;
  change: (dump: Dump) => Partial<Dump>;
  finds: RegExp;
}[] = [
  {
    name: "an object of an older version",
    member: SECOND,
    change: () => ({ version: 1 }),
    finds: /runs version 1, deployed is 2/,
  },
  {
    name: "a column that is gone",
    member: FIRST,
    change: () => ({ schema: ["accounts_by_status_2", "id"] }),
    finds: /has no status_2/,
  },
  {
    name: "an index that is gone",
    member: NAMESPACE,
    change: () => ({ schema: ["id", "status_2"] }),
    finds: /has no accounts_by_status_2/,
  },
  {
    name: "a row that is not filled",
    member: FIRST,
    change: () => ({ unfilled: [IDS[0] ?? ""] }),
    finds: /^not filled: /,
  },
  {
    name: "a lost row",
    member: FIRST,
    change: (dump) => ({ accounts: dump.accounts.slice(1) }),
    finds: /^lost: /,
  },
  {
    name: "a row on both members",
    member: FIRST,
    change: (dump) => ({ accounts: [...dump.accounts, ...dumpOf(SECOND).accounts.slice(0, 1)] }),
    finds: /^doubled: /,
  },
  {
    name: "an undone write",
    member: SECOND,
    change: (dump) => ({
      accounts: dump.accounts.map(
        ([id]) => [id, stateText({ amount: 2, serial: 8, notes: [8] })] as const,
      ),
    }),
    finds: /^wrong: /,
  },
  {
    name: "a row that nobody wrote",
    member: SECOND,
    change: (dump) => ({ accounts: [...dump.accounts, [ELSEWHERE, HELD]] }),
    finds: /never written/,
  },
  {
    name: "another payload",
    member: FIRST,
    change: () => ({ damaged: ["x"] }),
    finds: /^damaged: /,
  },
  {
    name: "a note without its account",
    member: FIRST,
    change: () => ({ strayNotes: ["x/1"] }),
    finds: /^misplaced: note/,
  },
  {
    name: "a staging table",
    member: FIRST,
    change: () => ({ leftovers: ["shardctl_stage_accounts"] }),
    finds: /shardctl_stage_accounts/,
  },
  {
    name: "a capture",
    member: FIRST,
    change: () => ({ triggers: ["shardctl_capture_after_insert_notes"] }),
    finds: /trigger shardctl_capture/,
  },
  {
    name: "a guard on a member",
    member: FIRST,
    change: () => ({ triggers: ["shardctl_guard_insert_notes"] }),
    finds: /trigger shardctl_guard/,
  },
  {
    name: "the record of a move",
    member: SECOND,
    change: () => ({ isMoving: true }),
    finds: /record of a move/,
  },
  {
    name: "a running operation",
    member: NAMESPACE,
    change: () => ({ running: [4] }),
    finds: /operation 4 still runs/,
  },
  {
    name: "an unheard end",
    member: NAMESPACE,
    change: () => ({ chores: [{ member: FIRST, kind: "finish", operation: 1 }] }),
    finds: /chore finish/,
  },
  {
    name: "a member at an older epoch",
    member: FIRST,
    change: () => ({ membership: { epoch: 0, serving: true, layout: LAYOUT } }),
    finds: /its record says epoch 0/,
  },
  {
    name: "a member that refuses writes",
    member: FIRST,
    change: () => ({ strayWrite: WRITE_BLOCK_MESSAGES.moving }),
    finds: /refuses a write/,
  },
  {
    name: "a retired member that takes writes",
    member: NAMESPACE,
    change: () => ({ strayWrite: null }),
    finds: /takes writes/,
  },
  {
    name: "a retired member that serves",
    member: NAMESPACE,
    change: () => ({ membership: { epoch: 0, serving: true, layout: LAYOUT } }),
    finds: /but serves/,
  },
  {
    name: "rows that should be gone",
    member: NAMESPACE,
    change: () => ({ accounts: [[IDS[0] ?? "", HELD]] }),
    finds: /must be empty/,
  },
];

const damagesOfAlarms: typeof damages = [
  {
    name: "a lost write of an alarm",
    member: SECOND,
    change: logged("counted", COUNTED),
    finds: /^wrong: \S+ is "6 by 6/,
  },
  {
    name: "a write of an alarm that came twice",
    member: SECOND,
    change: ({ alarms }) => ({ alarms: alarms.filter(({ event }) => event !== "counted") }),
    finds: /^wrong: \S+ is "6 by 6 .* expected "5 by 5/,
  },
  {
    name: "an account back from an alarm's deletion",
    member: FIRST,
    change: logged("deleted", DOOMED),
    finds: new RegExp(`^back from deletion: ${DOOMED}`),
  },
  {
    name: "a deletion that no alarm has made",
    member: NAMESPACE,
    change: ({ alarms }) => ({ alarms: alarms.filter(({ event }) => event !== "deleted") }),
    finds: new RegExp(`^lost: ${DELETED}`),
  },
  {
    name: "an account deleted twice",
    member: SECOND,
    change: logged("deleted", DELETED),
    finds: /deleted \S+ 2 times/,
  },
  {
    name: "an orphan that was accepted",
    member: FIRST,
    change: logged("orphan", "marks"),
    finds: /points? at nothing \(marks\)/,
  },
  {
    name: "a cascade that stopped",
    member: FIRST,
    change: logged("left", DELETED, 2),
    finds: /2 rows that point at it stayed/,
  },
  {
    name: "an alarm that failed",
    member: FIRST,
    change: logged("failed", "SQLITE_CORRUPT"),
    finds: /failed 1 times: SQLITE/,
  },
  {
    name: "a row that points at nothing",
    member: NAMESPACE,
    change: () => ({ dangling: ["marks → accounts"] }),
    finds: /^dangling on ledger: marks/,
  },
];

const damagesOfFanOuts: typeof damages = [
  {
    name: "a row that an acknowledged call to all left out",
    member: FIRST,
    change: met([2]),
    finds: /^call 1 .* 0 times/,
  },
  {
    name: "a row that it met twice",
    member: FIRST,
    change: met([1, 1, 2]),
    finds: /^call 1 .* 2 times/,
  },
  {
    name: "a row that one which may run twice left out",
    member: SECOND,
    change: met([1]),
    finds: /^call 2 .*may run twice.* 0 times/,
  },
  {
    name: "a row that a failed call met twice",
    member: FIRST,
    change: met([1, 2, 3, 3]),
    finds: /^call 3 .* 2 times: 500/,
  },
  {
    name: "a row that a refused call met",
    member: FIRST,
    change: met([1, 2, 5]),
    finds: /^call 5 .* 1 times: 409/,
  },
  {
    name: "a row that an unsent call met",
    member: FIRST,
    change: met([1, 2, 6]),
    finds: /^call 6 .* 1 times/,
  },
  {
    name: "a call that nobody made",
    member: SECOND,
    change: met([1, 2, 7]),
    finds: /^call 7 .* never made/,
  },
  {
    name: "a lost tally",
    member: SECOND,
    change: ({ tallies }) => ({ tallies: tallies.slice(1) }),
    finds: /^lost: the tally/,
  },
  {
    name: "a tally on both members",
    member: FIRST,
    change: ({ tallies }) => ({ tallies: [...tallies, ...dumpOf(SECOND).tallies.slice(0, 1)] }),
    finds: /^doubled: the tally/,
  },
  {
    name: "a tally of an account that has none",
    member: FIRST,
    change: ({ tallies }) => ({ tallies: [...tallies, [DOOMED, []]] }),
    finds: /never made/,
  },
  {
    name: "tallies that should be gone",
    member: NAMESPACE,
    change: () => ({ tallies: [[TALLIED_IDS[0] ?? "", []]] }),
    finds: /must be empty/,
  },
];

describe("the checker", () => {
  it("finds nothing in a sound state", () => {
    expect(checkState(found(), expectedOf(found()))).toEqual([]);
  });

  it.each([...damages, ...damagesOfAlarms, ...damagesOfFanOuts])(
    "finds $name",
    ({ member, change, finds }) => {
      const damaged = found(member, change);
      const problems = checkState(damaged, expectedOf(damaged));
      expect(problems).toEqual(expect.arrayContaining([expect.stringMatching(finds)]));
    },
  );

  it("finds a deleted row that is back", () => {
    const [back = ""] = WRITTEN;
    const expected = expectedOf(found());
    const possible = new Map([...expected.possible, [back, ["none"]] as const]);
    expect(checkState(found(), { ...expected, possible })).toEqual([
      expect.stringContaining(`back from deletion: ${back}`),
    ]);
  });

  it("finds rows that are on another member than the layout says", () => {
    const swapped = found();
    const dumps = swapped.dumps.map((dump) => {
      const other = dump.member === FIRST ? SECOND : FIRST;
      return dump.member === NAMESPACE ? dump : { ...dump, accounts: dumpOf(other).accounts };
    });
    const problems = checkState({ ...swapped, dumps }, expectedOf(swapped));
    expect(problems.filter((problem) => problem.startsWith("misplaced: "))).toHaveLength(
      IDS.length - 1,
    );
  });

  it("asks the directory where a roundRobin row must be", () => {
    const layout = roundRobinLayout("id", 1, MEMBERS);
    const directoryOf = (member: string): [string, string][] =>
      IDS.filter((id) => directoryMember(layout, id) === member).map((id) => [id, SECOND]);
    const dumps = [
      dumpOf(NAMESPACE),
      dumpOf(FIRST, { accounts: [], tallies: [], directory: directoryOf(FIRST) }),
      dumpOf(SECOND, {
        accounts: IDS.filter((id) => id !== DELETED).map((id) => [id, stateOf(id)]),
        tallies: TALLIED_IDS.map((id) => [id, [1, 2]]),
        directory: directoryOf(SECOND),
      }),
    ];
    const expected = expectedOf(found());
    expect(checkState({ layout, epoch: 1, dumps }, expected)).toEqual([]);
    const without = dumps.map((dump) => ({ ...dump, directory: dump.directory.slice(1) }));
    expect(checkState({ layout, epoch: 1, dumps: without }, expected)).toEqual(
      expect.arrayContaining([expect.stringContaining("nobody in the directory")]),
    );
  });
});

describe("what may be of calls to all members", () => {
  it.each([
    { name: "a failed one ran nowhere, or once", serials: [1, 2, 3] },
    { name: "one that may run twice did, acknowledged or failed", serials: [1, 2, 2, 4, 4, 4] },
  ])("$name", ({ serials }) => {
    const state = found(FIRST, met(serials));
    expect(checkState(state, expectedOf(state))).toEqual([]);
  });
});

it("counts what alarms wrote by all objects' logs", () => {
  expect(countAlarms(found().dumps)).toMatchObject({
    counted: COUNTED_TIMES,
    deleted: 1,
    orphan: 0,
  });
});

describe("the model of an account", () => {
  const id = accountId("w1", 1);

  it("takes the only answer that follows from what was acknowledged", () => {
    const model = new AccountModel();
    expect(model.acknowledge(id, "put", 1, "0 by 1 notes 1")).toBeNull();
    expect(model.acknowledge(id, "increment", 2, "1 by 2 notes 1,2")).toBeNull();
    expect(model.read(id, "1 by 2 notes 1,2")).toBeNull();
    expect(model.acknowledge(id, "remove", 3, "none")).toBeNull();
    expect(model.possible(id)).toEqual(["none"]);
  });

  it.each([
    { name: "a lost write", answer: "1 by 3 notes 1,3" },
    { name: "a doubled increment", answer: "3 by 3 notes 1,2,3" },
    { name: "a lost row", answer: "none" },
    { name: "a lost note", answer: "2 by 3 notes 1,3" },
  ])("sees $name in an answer", ({ answer }) => {
    const model = new AccountModel();
    model.acknowledge(id, "put", 1, "0 by 1 notes 1");
    model.acknowledge(id, "increment", 2, "1 by 2 notes 1,2");
    expect(model.acknowledge(id, "increment", 3, answer)).toContain(
      'expected "2 by 3 notes 1,2,3"',
    );
  });

  it("allows both outcomes of a write without an answer, until an answer tells which it was", () => {
    const model = new AccountModel();
    model.acknowledge(id, "put", 1, "0 by 1 notes 1");
    model.lose(id, "increment", 2);
    model.lose(id, "remove", 3);
    expect(model.possible(id)).toEqual(["0 by 1 notes 1", "1 by 2 notes 1,2", "none"]);
    expect(model.acknowledge(id, "increment", 4, "2 by 4 notes 1,2,4")).toBeNull();
    expect(model.possible(id)).toEqual(["2 by 4 notes 1,2,4"]);
    expect(model.read(id, "1 by 2 notes 1,2")).toContain("expected");
  });
});
