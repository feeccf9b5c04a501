/** The crash runs' checker must see: every kind of damage, put into a sound state by hand, is found; the sound state has none. */
import { describe, expect, it } from "vitest";

import { toKey } from "../../src/core/key.ts";
import { directoryMember } from "../../src/core/directory.ts";
import { createOwnerLookup } from "../../src/core/owner-lookup.ts";
import { freshHashLayout } from "../../src/core/strategies/hash.ts";
import { roundRobinLayout } from "../../src/core/strategies/round-robin.ts";
import { GUARD_MESSAGES } from "../../src/shards/move/guards.ts";
import { NAMESPACE, accountId, stateText } from "./accounts.ts";
import { type Expected, type Found, checkState } from "./check-state.ts";
import type { Dump } from "./dump.ts";
import { AccountModel } from "./model.ts";

const MEMBERS = ["ledger-shard-0", "ledger-shard-1"];
const IDS = Array.from({ length: 20 }, (_, index) => accountId("w1", index));
const HELD = stateText({ amount: 3, serial: 9, notes: [8, 9] });
const LAYOUT = freshHashLayout("id", 0, MEMBERS);

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
    accounts: isRoot ? [] : IDS.filter((id) => owner(toKey(id)) === member).map((id) => [id, HELD]),
    damaged: [],
    strayNotes: [],
    directory: [],
    strayWrite: isRoot ? `${GUARD_MESSAGES.notMember}: SQLITE_CONSTRAINT` : null,
    ...change,
  };
}

/** A sound state of two shards and a retired root, with one object's dump changed. */
function found(member = NAMESPACE, change: (dump: Dump) => Partial<Dump> = () => ({})): Found {
  const dumps = [NAMESPACE, ...MEMBERS].map((name) => (name === member ? dumpOf(name, change(dumpOf(name))) : dumpOf(name)));
  return { layout: LAYOUT, epoch: 1, dumps };
}

const expected: Expected = { possible: new Map(IDS.map((id) => [id, [HELD]])), empty: new Set([NAMESPACE]), version: 2 };
const [FIRST, SECOND] = MEMBERS as [string, string];
const ELSEWHERE = accountId("w1", 99);

const damages: readonly { name: string; member: string; change: (dump: Dump) => Partial<Dump>; finds: RegExp }[] = [
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
  { name: "a row that is not filled", member: FIRST, change: () => ({ unfilled: [IDS[0] ?? ""] }), finds: /^not filled: / },
  { name: "a lost row", member: FIRST, change: (dump) => ({ accounts: dump.accounts.slice(1) }), finds: /^lost: / },
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
      accounts: dump.accounts.map(([id]) => [id, stateText({ amount: 2, serial: 8, notes: [8] })] as const),
    }),
    finds: /^wrong: /,
  },
  {
    name: "a row that nobody wrote",
    member: SECOND,
    change: (dump) => ({ accounts: [...dump.accounts, [ELSEWHERE, HELD]] }),
    finds: /never written/,
  },
  { name: "another payload", member: FIRST, change: () => ({ damaged: ["x"] }), finds: /^damaged: / },
  { name: "a note without its account", member: FIRST, change: () => ({ strayNotes: ["x/1"] }), finds: /^misplaced: note/ },
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
  { name: "the record of a move", member: SECOND, change: () => ({ isMoving: true }), finds: /record of a move/ },
  { name: "a running operation", member: NAMESPACE, change: () => ({ running: [4] }), finds: /operation 4 still runs/ },
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
    change: () => ({ strayWrite: GUARD_MESSAGES.moving }),
    finds: /refuses a write/,
  },
  { name: "a retired member that takes writes", member: NAMESPACE, change: () => ({ strayWrite: null }), finds: /takes writes/ },
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

describe("the checker", () => {
  it("finds nothing in a sound state", () => {
    expect(checkState(found(), expected)).toEqual([]);
  });

  it.each(damages)("finds $name", ({ member, change, finds }) => {
    const problems = checkState(found(member, change), expected);
    expect(problems).toEqual(expect.arrayContaining([expect.stringMatching(finds)]));
  });

  it("finds a deleted row that is back", () => {
    const [back = ""] = IDS;
    const possible = new Map([...expected.possible, [back, ["none"]] as const]);
    expect(checkState(found(), { ...expected, possible })).toEqual([expect.stringContaining(`back from deletion: ${back}`)]);
  });

  it("finds rows that are on another member than the layout says", () => {
    const swapped = found();
    const dumps = swapped.dumps.map((dump) => {
      const other = dump.member === FIRST ? SECOND : FIRST;
      return dump.member === NAMESPACE ? dump : { ...dump, accounts: dumpOf(other).accounts };
    });
    const problems = checkState({ ...swapped, dumps }, expected);
    expect(problems.filter((problem) => problem.startsWith("misplaced: "))).toHaveLength(IDS.length);
  });

  it("asks the directory where a roundRobin row must be", () => {
    const layout = roundRobinLayout("id", 1, MEMBERS);
    const directoryOf = (member: string): [string, string][] =>
      IDS.filter((id) => directoryMember(layout, id) === member).map((id) => [id, SECOND]);
    const dumps = [
      dumpOf(NAMESPACE),
      dumpOf(FIRST, { accounts: [], directory: directoryOf(FIRST) }),
      dumpOf(SECOND, { accounts: IDS.map((id) => [id, HELD]), directory: directoryOf(SECOND) }),
    ];
    expect(checkState({ layout, epoch: 1, dumps }, expected)).toEqual([]);
    const without = dumps.map((dump) => ({ ...dump, directory: dump.directory.slice(1) }));
    expect(checkState({ layout, epoch: 1, dumps: without }, expected)).toEqual(
      expect.arrayContaining([expect.stringContaining("nobody in the directory")]),
    );
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
    expect(model.acknowledge(id, "increment", 3, answer)).toContain('expected "2 by 3 notes 1,2,3"');
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
