/**
 * Mutants of the rules that hold against what owners do: deploys, full disks, methods that call other owners, and calls to all members. See
 * `mutants.ts`.
 */
import type { Mutant } from "./mutants.ts";

export const HAZARD_MUTANTS: readonly Mutant[] = [
  {
    name: "guards-armed-at-the-start",
    needs: "hasDeploys",
    rule: "a constructor writes freely: guards are armed once the object has started",
    edits: [{ file: "shards/move/guards.ts", find: " AND ${IS_ARMED}`", isText: true, replace: "`" }],
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
    name: "steps-of-migrations-ignored",
    needs: "hasDeploys",
    rule: "members have run the same steps of their migrations when rows are made live: a step may change rows and no definition",
    edits: [
      { file: "shards/root/walk.ts", find: "  requireSameSteps(replies);\n", replace: "" },
      {
        file: "shards/member/member-state.ts",
        find: "if (frozen.steps !== undefined && frozen.steps !== steps)",
        replace: "if (false)",
      },
    ],
  },
  {
    name: "pointing-tables-unguarded",
    needs: "hasDirectWriters",
    rule: "no row of another table comes to point at one that leaves, once it is decided which do",
    edits: [
      {
        file: "shards/member/guarded-member.ts",
        find: "isPointedAt ? pointingAt(this.sql, declared) : []",
        replace: "isPointedAt ? [] : []",
      },
    ],
  },
  {
    name: "cut-over-waits-for-the-schema",
    needs: "hasDeploys",
    rule: "behind a cutover a wave ends by the tables as they were frozen, whatever a deploy makes of them",
    edits: [
      {
        file: "shards/host/engine-handlers.ts",
        find: "host.member.planAfterCutover(operation), table",
        replace: "host.member.plan(operation), table",
      },
    ],
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
  {
    name: "fan-out-begins-anew",
    needs: "hasFanOuts",
    rule: "one-layout-for-all: a call that some members have run is not begun anew by the next layout",
    edits: [
      {
        file: "shards/client/fan-out.ts",
        find: "if (!this.#mayRunTwice) throw new Error(",
        replace: "if (false) throw new Error(",
      },
    ],
  },
  {
    name: "fan-out-asks-who-ran",
    needs: "hasFanOuts",
    rule: "one-layout-for-all: a member that has run the call is not asked again when another has refused",
    edits: [
      {
        file: "shards/client/fan-out.ts",
        find: "layout.members.filter((member) => !this.#answers.has(member));\n    const moving",
        replace: "[...layout.members];\n    const moving",
      },
    ],
  },
  {
    name: "fan-out-by-another-layout",
    needs: "hasFanOuts",
    rule: "one-layout-for-all: a member that owns other rows by now does not run what the others ran by an older layout",
    edits: [
      {
        file: "shards/client/fan-out.ts",
        find: "!ownsTheSame(before, layout, member)",
        replace: "!layout.members.includes(member)",
      },
    ],
  },
  {
    name: "tickets-hold-no-fence",
    needs: "hasFanOuts",
    rule: "one-layout-for-all: a ticket is a running call, and no fence goes up while it stands",
    edits: [{ file: "shards/member/tickets.ts", find: "return ended.promise;", replace: "return Promise.resolve();" }],
  },
  {
    name: "tickets-unchecked",
    needs: "hasFanOuts",
    rule: "one-layout-for-all: a call whose ticket stands no more is refused",
    edits: [
      {
        file: "shards/member/tickets.ts",
        find: "if (ticket === undefined) return failure(…);",
        replace: "",
      },
      { file: "shards/member/tickets.ts", find: "ticket.end();\n    }", replace: "ticket?.end();\n    }" },
    ],
  },
  {
    name: "fan-out-without-tickets",
    needs: "hasFanOuts",
    rule: "one-layout-for-all: while rows move a call to all members takes tickets, or it could not end",
    edits: [
      {
        file: "shards/host/host.ts",
        find: "if (unlessMoving && this.member.moving !== undefined) return NEEDS_TICKET;",
        replace: "",
      },
    ],
  },
  {
    name: "operations-by-number-alone",
    needs: "hasRestores",
    rule: "one-history: an operation is told from another of its number by its token",
    edits: [
      {
        file: "shards/member/evidence.ts",
        find: "if (token === undefined || known === undefined || known === token) return null;",
        replace: "return null;",
      },
      { file: "shards/host/registry-watch.ts", find: "|| record.token === token", replace: "|| true" },
    ],
  },
  {
    name: "unknown-operation-is-over",
    needs: "hasRestores",
    rule: "one-history: a root that does not know an operation says nothing about it",
    edits: [
      {
        file: "shards/host/registry-watch.ts",
        find: 'if (!isKnown || this.#host.member.membership.trouble) return { verdict: "pending" };',
        replace: 'if (!isKnown) return { verdict: "released" };',
      },
      {
        file: "shards/host/registry-watch.ts",
        find: "if (isUnheard) this.#lose(",
        replace: "if (isUnheard && false) this.#lose(",
      },
    ],
  },
  {
    name: "newer-epoch-is-no-news",
    needs: "hasRestores",
    rule: "one-history: whoever names a newer epoch than the registry has shows that it is lost",
    edits: [{ file: "shards/host/registry-watch.ts", find: "return epoch > own ? ", replace: "return epoch > own && false ? " }],
  },
  {
    name: "repair-gives-epochs-again",
    needs: "hasRestores",
    rule: "repair-proves: epochs that the lost registry may have given are left out",
    edits: [{ file: "shards/root/repair-plan.ts", find: "EPOCHS_SKIPPED = …;", replace: "EPOCHS_SKIPPED = 0;" }],
  },
];
