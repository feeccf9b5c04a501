/** Mutants of the rules that hold against what owners do: deploys, full disks, and methods that call other owners. See `mutants.ts`. */
import type { Mutant } from "./mutants.ts";

export const HAZARD_MUTANTS: readonly Mutant[] = [
  {
    name: "guards-armed-at-the-start",
    needs: "hasDeploys",
    rule: "a constructor writes freely: guards are armed once the object has started",
    edits: [{ file: "shards/move/guards.ts", find: " AND ${IS_ARMED}`", replace: "`" }],
  },
  {
    name: "retired-rows-left-in-place",
    needs: "hasDeploys",
    rule: "rows of a retired member lie out of the way of migrations",
    edits: [{ file: "shards/member/member.ts", find: "putAway(this.sql, names);", replace: "" }],
  },
  {
    name: "changed-tables-go-on",
    needs: "hasDeploys",
    rule: "tables that a deploy has changed are copied again before the cutover",
    edits: [{ file: "shards/member/member-state.ts", find: "    if (changed.length > 0)\n", replace: "    if (false)\n" }],
  },
  {
    name: "other-declaration-goes-on",
    needs: "hasDeploys",
    rule: "a class that declares other keys in the middle of a move ends it before the cutover",
    edits: [{ file: "shards/move/frozen-tables.ts", find: "if (frozen.specs === specs) return;", replace: "return;" }],
  },
  {
    name: "fence-raised-over-running-calls",
    needs: "hasNestedCalls",
    rule: "raised-when-idle: a fence is raised only in a turn in which no call runs",
    edits: [{ file: "shards/host/host.ts", find: "if (state.runs > 0) return state;", replace: "" }],
  },
  {
    name: "nested-calls-not-marked",
    needs: "hasNestedCalls",
    rule: "marked-while-running: what is sent while a call runs says so, and is not held back by a member that waits for that call",
    edits: [
      {
        file: "shards/host/host.ts",
        find: "peers && markingPeers(peers, () => this.admission.running.chain())",
        replace: "peers",
      },
    ],
  },
  {
    name: "no-room-for-the-end",
    needs: "hasFullDisks",
    rule: "what must be written after a commit has its room before it",
    edits: [{ file: "shards/member/member.ts", find: "keepReserve(this.sql, JSON.stringify([from, to]).length);", replace: "" }],
  },
];
