/**
 * Mutants of the rules that hold against what owners do: deploys, full disks, methods that call
 * other owners, and calls to all members. See `mutants.ts`.
 */
import type { Mutant } from "./mutants.ts";

export const HAZARD_MUTANTS: readonly Mutant[] = [
  {
    name: "write-blocks-armed-at-the-start",
    needs: "hasDeploys",
    rule: "a constructor writes freely: guards are armed once the object has started",
    edits: [
      {
        file: "shards/move/write-blocks.ts",
        find: " AND ${IS_ARMED}`",
        isText: true,
        replace: "`",
      },
    ],
  },
  {
    name: "late-children-stay",
    needs: "hasDeploys",
    rule: "what a deploy lets point at rows that leave behind a commit goes with them",
    edits: [
      {
        file: "shards/member/delete-moved.ts",
        find: "if (mayBeLate) cascadeLate(sql, table.name, present, keys, moved);",
        replace: "",
      },
    ],
  },
  {
    name: "retired-rows-left-in-place",
    needs: "hasDeploys",
    rule: "rows of a retired member lie out of the way of migrations",
    edits: [
      {
        file: "shards/member/releasing-member.ts",
        find: "putAway(this.sql, names);",
        replace: "",
      },
    ],
  },
  {
    name: "changed-tables-go-on",
    needs: "hasDeploys",
    rule: "tables that a deploy has changed are copied again before the cutover",
    edits: [
      {
        file: "shards/member/member-state.ts",
        find: "    if (changed.length > 0)\n",
        replace: "    if (false)\n",
      },
    ],
  },
  {
    name: "other-declaration-goes-on",
    needs: "hasDeploys",
    rule: "a class that declares other keys in the middle of a move ends it before the cutover",
    edits: [
      {
        file: "shards/move/frozen-tables.ts",
        find: "if (frozen.specs === specs) return;",
        replace: "return;",
      },
    ],
  },
  {
    name: "steps-of-migrations-ignored",
    needs: "hasDeploys",
    rule: "members have run the same steps of their migrations when rows are made live: a step may change rows and no definition",
    edits: [
      { file: "shards/root/walk-sources.ts", find: "  requireSameSteps(replies);\n", replace: "" },
      {
        file: "shards/member/member-state.ts",
        find: "if (frozen.steps !== undefined && frozen.steps !== steps)",
        replace: "if (false)",
      },
    ],
  },
  {
    name: "pointing-tables-without-write-blocks",
    needs: "hasDirectWriters",
    rule: "no row of another table comes to point at one that leaves, once it is decided which do",
    edits: [
      {
        file: "shards/member/blocking-member.ts",
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
        find: "host.member.planAfterCutover(operation), request",
        replace: "host.member.plan(operation), request",
      },
    ],
  },
  {
    name: "fence-raised-over-running-calls",
    needs: "hasNestedCalls",
    rule: "raised-when-idle: a fence is raised only in a turn in which no call runs",
    edits: [
      {
        file: "shards/host/fence-member.ts",
        find: "if (state.runs > 0) return state;",
        replace: "",
      },
    ],
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
    edits: [
      {
        file: "shards/member/member.ts",
        find: "keepReserve(this.sql, JSON.stringify([from, to]).length);",
        replace: "",
      },
    ],
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
    edits: [
      {
        file: "shards/member/tickets.ts",
        find: "return ended.promise;",
        replace: "return Promise.resolve();",
      },
    ],
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
      {
        file: "shards/member/tickets.ts",
        find: "ticket.end();\n    }",
        replace: "ticket?.end();\n    }",
      },
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
      {
        file: "shards/host/registry-watch.ts",
        find: "|| record.token === token",
        replace: "|| true",
      },
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
    edits: [
      {
        file: "shards/host/registry-watch.ts",
        find: "return epoch > own ? ",
        replace: "return epoch > own && false ? ",
      },
    ],
  },
  {
    name: "repair-gives-epochs-again",
    needs: "hasRestores",
    rule: "repair-proves: epochs that the lost registry may have given are left out",
    edits: [
      {
        file: "shards/root/repair-plan.ts",
        find: "EPOCHS_SKIPPED = …;",
        replace: "EPOCHS_SKIPPED = 0;",
      },
    ],
  },
  {
    name: "adopts-any-epoch",
    needs: "hasSetbacks",
    rule: "one-history: a member goes to no epoch at which it owns another part without having taken part in an operation",
    edits: [
      {
        file: "shards/member/releasing-member.ts",
        find: "if (ownsSamePart(this.self, membership.layout, layout)) this.serve({ ...membership, epoch, layout });",
        replace: "if (!membership.trouble) this.serve({ ...membership, epoch, layout });",
      },
    ],
  },
  {
    name: "ends-without-its-cutover",
    needs: "hasSetbacks",
    rule: "one-history: a member ends no operation without the cutovers that it has acknowledged",
    edits: [
      {
        file: "shards/member/releasing-member.ts",
        find: "if (!before.trouble && !ownsSamePart(self, before.layout, layout)) throw this.unproven(epoch);",
        replace: "",
      },
    ],
  },
  {
    name: "begins-on-any-ground",
    needs: "hasSetbacks",
    rule: "one-history: a member begins no operation whose ground it does not stand on",
    edits: [
      {
        file: "shards/member/proven-member.ts",
        find: "if (isNext) return;",
        replace: "if (isNext || isSource) return;",
      },
    ],
  },
  {
    name: "obeys-a-root-behind",
    needs: "hasSetbacks",
    rule: "one-history: a member obeys no message of a root that is behind it",
    edits: [
      {
        file: "shards/member/evidence.ts",
        find: "registryEpoch !== undefined && membership.epoch > registryEpoch",
        replace: "registryEpoch !== undefined && membership.epoch > registryEpoch && false",
      },
    ],
  },
  {
    name: "end-is-told-once",
    needs: "hasSetbacks",
    rule: "one-history: who takes part in an operation that has ended is told its end again",
    edits: [
      {
        file: "shards/host/registry-watch.ts",
        find: "if (asker !== undefined) this.#host.root.tellAgain(record, asker);",
        replace: "",
      },
    ],
  },
  {
    name: "pages-may-be-missing",
    needs: "hasSetbacks",
    rule: "one-history: a target goes on only with every page that its sources take for stored",
    edits: [
      {
        file: "shards/host/engine-handlers.ts",
        find: "host.member.requirePages([{ source, target: host.member.self, sequence: stored }]);",
        replace: "",
      },
      { file: "shards/member/proven-member.ts", find: "if (!lost) return;", replace: "return;" },
    ],
  },
  {
    name: "repair-guesses-nobody",
    needs: "hasSetbacks",
    rule: "repair-proves: the first shard that would follow a layout is asked too",
    edits: [
      {
        file: "shards/root/repair-plan.ts",
        find: 'return shardName(root, kind === "none" ? generation : generation + 1, 0);',
        replace: 'return kind === "none" && generation < 0 ? shardName(root, 0, 0) : root;',
      },
    ],
  },
  {
    name: "source-sends-anew",
    needs: "hasSetbacks",
    rule: "one-history: a source that has forgotten pages which it has sent ends the operation",
    edits: [
      {
        file: "shards/move/receive.ts",
        find: "if (sequence < last) throw wentBack(…);",
        replace: 'if (sequence < last) throw new Error("older");',
      },
      {
        file: "shards/member/proven-member.ts",
        find: "if (ahead && isAll)",
        replace: "if (ahead && false)",
      },
    ],
  },
  {
    name: "repair-takes-silence-for-nothing",
    needs: "hasSetbacks",
    rule: "repair-proves: nothing is concluded from silence",
    edits: [
      {
        file: "shards/root/testimonies.ts",
        find: 'error.reason.kind === "outOfStep" ? "knowsNothing" : "silent"',
        replace: 'error.reason.kind === "outOfStep" ? "knowsNothing" : "knowsNothing"',
      },
    ],
  },
  {
    name: "strays-stay",
    needs: "hasSetbacks",
    rule: "repair-proves: rows that are not a member's own are set aside",
    edits: [
      {
        file: "shards/move/stray-rows.ts",
        find: "const aside = found.filter(({ keys }) => keys.length > 0);",
        replace: "const aside = found.filter(() => false);",
      },
    ],
  },
  {
    name: "lost-copies-dropped",
    needs: "hasSetbacks",
    rule: "repair-proves: what came from a source that has lost its storage is set aside at its targets",
    edits: [
      {
        file: "shards/root/clean-up.ts",
        find: 'if (kind === "abandon") await noteLost(context, record);',
        replace: "",
      },
    ],
  },
  {
    name: "mended-copies-dropped",
    needs: "hasSetbacks",
    rule: "repair-proves: a member that a repair mends sets aside what came from lost sources",
    edits: [
      {
        file: "shards/member/releasing-member.ts",
        find: "const copies = this.#forgetMove({ lost, layout, epoch });",
        replace: "const copies = this.#forgetMove();",
      },
    ],
  },
  {
    name: "swapped-copies-dropped",
    needs: "hasSetbacks",
    rule: "repair-proves: what came from a lost source into the tables of a swap is set aside",
    edits: [
      {
        file: "shards/move/lost-copies.ts",
        find: "keys: storedFrom(sql, { plan, lost, own }, table, now.table)",
        replace: "keys: [] as string[]",
      },
    ],
  },
  {
    name: "strays-deleted",
    needs: "hasSetbacks",
    rule: "repair-proves: no row is deleted",
    edits: [
      {
        file: "shards/move/stray-rows.ts",
        find: "setRowsAside(sql, { table, from: table.name, keys }, epoch);",
        replace: 'deleteKeys(sql, table.name, table, `[${keys.join(",")}]`);',
      },
    ],
  },
  {
    name: "losses-accepted-unasked",
    needs: "hasSetbacks",
    rule: "repair-proves: what is lost has to be accepted by name",
    edits: [
      {
        file: "shards/root/repair-plan.ts",
        find: "losses.filter(({ member }) => !acceptLoss.includes(member)).map(refuseLoss)",
        replace:
          "losses.filter(({ member }) => acceptLoss === undefined && member === root).map(refuseLoss)",
      },
    ],
  },
  {
    name: "repair-unseen",
    needs: "hasSetbacks",
    rule: "repair-proves: only the plan that was shown is applied",
    edits: [
      {
        file: "shards/root/repair.ts",
        find: "if (plan.fingerprint !== fingerprint)",
        replace: "if (false)",
      },
    ],
  },
  {
    name: "cutover-taken-back",
    needs: "hasSetbacks",
    rule: "repair-proves: an operation goes forward where its layout was cut over",
    edits: [
      {
        file: "shards/root/repair-plan.ts",
        find: "const isForward = isCommitted &&",
        replace: "const isForward = !isCommitted &&",
      },
    ],
  },
  {
    name: "cancel-hears-nobody",
    needs: "hasSetbacks",
    rule: "one-history: before a cancelled operation drops what came, its root hears of a cutover that it has forgotten",
    edits: [
      {
        file: "shards/root/clean-up.ts",
        find: 'if (kind === "abandon" && record.attempt > 0) await hearAll(context, record);',
        replace: "",
      },
    ],
  },
  {
    name: "activates-behind-a-wave",
    needs: "hasSetbacks",
    rule: "one-history: a member activates a wave only when it has activated those before it",
    edits: [
      {
        file: "shards/member/member.ts",
        find: "this.requireWavesBefore(operation, epoch);",
        replace: "",
      },
    ],
  },
  {
    name: "first-operation-proves-nothing",
    needs: "hasSetbacks",
    rule: "repair-proves: who takes part in the first operation proves that nothing was cut over before it",
    edits: [{ file: "shards/root/repair-plan.ts", find: "isFirst(told, epoch) ||", replace: "" }],
  },
  {
    name: "left-rows-in-the-way",
    needs: "hasSetbacks",
    rule: "repair-proves: rows of a source that went back are set aside when its cutover is carried on",
    edits: [
      {
        file: "shards/root/repair-plan.ts",
        find: "isTold && isMember && !hasForgotten",
        replace: "isTold && !hasForgotten",
      },
    ],
  },
  {
    name: "empties-the-lost-for-ever",
    needs: "hasSetbacks",
    rule: "repair-proves: an object that has lost everything has nothing to empty",
    edits: [
      {
        file: "shards/root/chores.ts",
        find: 'if (kind === "empty" && error instanceof EngineFault && error.kind === "outOfStep") return true;',
        replace: "",
      },
    ],
  },
];
