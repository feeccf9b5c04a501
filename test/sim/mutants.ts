/**
 * Deliberate mutations of the engine: each takes one rule away, by an edit of the source as it is
 * loaded. The simulator must notice every one of them; a rule whose loss goes unnoticed is a rule
 * that nothing proves.
 *
 * Not here, because it is no rule but spares work: the engine's own writes are not captured. If
 * they were, they would be drained as "absent", which deletes only what their source staged, and
 * that has been promoted by then: see `absent-speaks-for-others`, and "waves-apart".
 *
 * Nor that a pause holds back an activation: the turn that has cut over goes on to it by itself, so
 * that a pause must meet a failure of that very turn. `test/shards/root/pause.test.ts` shows it.
 *
 * Nor that a table which is copied again takes no page from before: the late page must bring a row
 * that its source has deleted between a rebuild of the table and its new capture.
 * `test/shards/move/recopy.test.ts` shows it.
 *
 * Nor that a promotion goes by the frozen columns: a target whose tables are others refuses before.
 * Its undo does, in `test/shards/member/promotion.test.ts`, and what ends a wave behind its
 * cutover: see "cut-over-waits-for-the-schema".
 *
 * Rules are named as in `test/protocol-model/rules.ts` where the model knows them.
 */
import type { SourceEdit } from "./edit-sources.ts";
import type { Feature } from "./scenario.ts";

export interface Mutant {
  readonly name: string;
  /** The rule that no longer holds. */
  readonly rule: string;
  readonly edits: readonly SourceEdit[];
  /** Only such scenarios can notice: the others are passed over. */
  readonly needs?: Feature;
}

const DRAINED =
  "if (await host.oneSlice(() => member.drainToEnd(operation, attempt, budgetMs))) return {…};";
const OLDER_PAGE = "if (sequence === last) return …; if (sequence < last) throw wentBack(…);";
const SERVES_ALREADY = 'if (plan.moving.mode === "swap" && this.membership.serving) {';
const DELETES_FIRST =
  "for (const { target, range } of outgoing) await deleteMoved(this, plan, { target, range, mayBeLate }, (work) => this.change(work));";

export const MUTANTS: readonly Mutant[] = [
  {
    name: "skip-the-last-drain",
    rule: "drain-before-cutover: a source answers drained only when its log is empty under the fence",
    edits: [{ file: "shards/host/fence-member.ts", find: DRAINED, replace: "return { attempt };" }],
  },
  {
    name: "unfence-by-timer",
    rule: "fence-until-told: a fence is lifted by the root's answer and by nothing else",
    edits: [
      {
        file: "shards/host/fence-resolver.ts",
        find: 'if (reply.verdict === "pending") return;',
        replace: "",
      },
    ],
  },
  {
    name: "unfence-when-the-root-is-silent",
    rule: "unreadable is not empty: silence of the root says nothing about a fence",
    edits: [
      {
        file: "shards/host/fence-resolver.ts",
        find: "catch { return; }",
        replace: 'catch { reply = { verdict: "released" }; }',
      },
    ],
  },
  {
    name: "no-waiting-behind-the-fence",
    rule: "fence-until-told: a fence holds back reads as well as writes",
    edits: [
      {
        file: "shards/member/admission.ts",
        find: 'return isFenced ? "wait" : "run";',
        replace: 'return "run";',
      },
    ],
  },
  {
    name: "no-write-block-under-the-fence",
    rule: "stray writes to a fenced member abort",
    edits: [
      {
        file: "shards/member/member.ts",
        find: "if (this.membership.serving) this.shut();",
        replace: "",
      },
    ],
  },
  {
    name: "no-write-block-on-who-left",
    rule: "an object that is no member refuses writes to its tables",
    edits: [
      {
        file: "shards/member/releasing-member.ts",
        find: 'else this.block("notMember");',
        replace: "",
      },
    ],
  },
  {
    name: "forget-a-captured-delete",
    rule: "deletes-are-captured",
    edits: [
      {
        file: "shards/move/capture.ts",
        find: 'captureTrigger(table, "after_delete", …),',
        replace: "",
      },
    ],
  },
  {
    name: "no-capture-of-updates",
    rule: "capture-before-copy: every write by any path is captured",
    edits: [
      {
        file: "shards/move/capture.ts",
        find: 'captureTrigger(table, "after_update", …),',
        replace: "",
      },
    ],
  },
  {
    name: "followers-stay-behind",
    rule: "a row that changes its owner takes its followers along",
    edits: [
      {
        file: "shards/move/drain.ts",
        find: "captureFollowers(sql, plan, Math.max(after, followedTo), upTo);",
        replace: "",
      },
    ],
  },
  {
    name: "log-forgotten-before-stored",
    rule: "captured-until-stored: an entry leaves the log when its page is acknowledged",
    edits: [
      {
        file: "shards/move/drain.ts",
        find: "const found = await deliverUnlessRivals(context, operation, drained);",
        replace:
          'sql.run("DELETE FROM shardctl_captured WHERE id > ? AND id <= ?", after, drained.upTo); const found = await deliverUnlessRivals(context, operation, drained);',
      },
    ],
  },
  {
    name: "known-key-not-appended",
    rule: "one-entry-a-key: a key that is written again is appended again, although the log has it",
    edits: [
      {
        file: "shards/move/capture.ts",
        find: "VALUES (${name}, ${rowJson(table.primaryKey, row)}, ${isMoved}); ${DROP_OLDER}`",
        isText: true,
        replace:
          "SELECT ${name}, ${rowJson(table.primaryKey, row)}, ${isMoved} WHERE NOT EXISTS (SELECT 1 FROM shardctl_captured WHERE table_name = ${name} AND pk = ${rowJson(table.primaryKey, row)} AND is_moved >= (${isMoved}));`",
      },
    ],
  },
  {
    name: "log-forgotten-beyond-the-page",
    rule: "captured-until-stored: only the entries that the page covered leave the log",
    edits: [
      {
        file: "shards/move/drain.ts",
        find: 'sql.run("DELETE FROM shardctl_captured WHERE id > ? AND id <= ?", after, drained.upTo);',
        replace:
          'sql.run("DELETE FROM shardctl_captured WHERE id > ? AND id <= ? OR true", after, drained.upTo);',
      },
    ],
  },
  {
    name: "accept-a-stale-epoch",
    rule: "one-epoch: a member refuses calls of an older epoch",
    edits: [
      {
        file: "shards/member/admission.ts",
        find: "if (epoch < membership.epoch) {",
        replace: "if (false) {",
      },
      {
        file: "shards/member/admission.ts",
        find: "if (!membership.serving) return refusal",
        replace: "if (epoch === membership.epoch && !membership.serving) return refusal",
      },
      {
        file: "shards/member/admission.ts",
        find: "if (keys.some((key) => this.#owner(key) !== self))",
        replace: "if (epoch === membership.epoch && keys.some((key) => this.#owner(key) !== self))",
      },
    ],
  },
  {
    name: "accept-keys-of-others",
    rule: "one owner per key: a member runs calls only for keys that it owns",
    edits: [
      {
        file: "shards/member/admission.ts",
        find: "if (epoch < membership.epoch) {",
        replace: "if (false) {",
      },
      {
        file: "shards/member/admission.ts",
        find: "if (keys.some((key) => this.#owner(key) !== self))",
        replace: "if (false)",
      },
    ],
  },
  {
    name: "promote-twice",
    rule: "activate-once: a late activation changes nothing",
    edits: [
      {
        file: "shards/member/member.ts",
        find: "if (this.membership.epoch >= epoch) return;",
        replace: "",
      },
      {
        file: "shards/member/member.ts",
        find: "if (membership.epoch >= epoch) return;",
        replace: "",
      },
      {
        file: "shards/move/promote.ts",
        find: "`INSERT OR ABORT INTO ${quoteName(table.name)} (${columns}) SELECT",
        isText: true,
        replace: "`INSERT OR REPLACE INTO ${quoteName(table.name)} (${columns}) SELECT",
      },
    ],
  },
  {
    name: "unreachable-source-is-empty",
    rule: "unreadable is not empty: a source that does not answer stops the operation",
    edits: [
      {
        file: "shards/root/walk-sources.ts",
        find: "      round: record.round ?? 0,\n    });",
        replace:
          "      round: record.round ?? 0,\n    }).catch(() => ({ isDone: true, rows: 0, bytes: 0, outgoing: [] }));",
      },
    ],
  },
  {
    name: "silence-counts-as-drained",
    rule: "drain-before-cutover: the root commits only when every member of the wave has answered",
    edits: [
      { file: "shards/root/each.ts", find: "if (failures.length > 0) throw first;", replace: "" },
    ],
  },
  {
    name: "copy-ends-early",
    rule: "the walk ends when a page finds no row, not when it finds one",
    edits: [
      {
        file: "shards/move/walk-page.ts",
        find: "const isLast = seen === 0;",
        replace: "const isLast = true;",
      },
    ],
  },
  {
    name: "unverified-copy",
    rule: "no source row is removed before the digest of its copy matched",
    edits: [
      {
        file: "shards/move/deliver.ts",
        find: "if (!isSame) await check(",
        replace: "if (false) await check(",
      },
      {
        file: "shards/move/walk.ts",
        find: "else await Promise.all(page.batch.targets.map(…));",
        replace: "",
      },
      {
        file: "shards/move/outbox.ts",
        find: "rows: `[${sent}]`,",
        replace: "rows: `[${sent.replace('\"plain\"', '\"plane\"')}]`,",
      },
    ],
  },
  {
    name: "ignore-sequence-numbers",
    rule: "sequence-numbers: a target ignores pages that are not newer than the last of their source",
    edits: [{ file: "shards/move/receive.ts", find: OLDER_PAGE, replace: "" }],
  },
  {
    name: "late-rows",
    rule: "no-late-rows: a target that serves takes no more rows of that operation",
    edits: [
      { file: "shards/move/receive.ts", find: OLDER_PAGE, replace: "" },
      { file: "shards/member/member.ts", find: SERVES_ALREADY, replace: "if (false) {" },
    ],
  },
  {
    name: "absent-speaks-for-others",
    rule: "a source speaks only for rows that came from it: its word that a row is gone deletes no row of another source",
    edits: [
      {
        file: "shards/move/row-sources.ts",
        find: ".filter((row) => row.origin === null || row.origin === source)",
        replace: "",
      },
    ],
  },
  {
    name: "answer-of-an-old-attempt",
    rule: "commit-rechecks-journal: the root checks in the turn in which it commits that its journal is still in that attempt",
    edits: [
      {
        file: "shards/root/progress.ts",
        find: "current?.id === record.id && current.step === record.step && current.attempt === record.attempt &&",
        replace: "current?.id === record.id &&",
      },
    ],
  },
  {
    name: "delete-before-cutover",
    rule: "cutover-first: nothing is deleted before the root has committed",
    edits: [
      {
        file: "shards/member/member.ts",
        find: "makeRoom(): void {",
        replace:
          'deleteEarly(): void { if (this.moving?.mode === "swap") this.change(() => this.deleteAll()); }\n  makeRoom(): void {',
      },
      {
        file: "shards/host/fence-member.ts",
        find: DRAINED,
        replace:
          "if (await host.oneSlice(() => member.drainToEnd(operation, attempt, budgetMs))) { await host.writeRows(() => (member as Member & { deleteEarly(): void }).deleteEarly()); return { attempt }; }",
      },
    ],
  },
  {
    name: "activate-before-cutover",
    rule: "cutover-first: nothing is served under the new layout before the root has committed it",
    edits: [
      {
        file: "shards/root/fence.ts",
        find: "    cutOver(context, attempt.record, wave, attempt.waitingSince());\n  } catch",
        replace:
          '  if (record.mode === "swap") await each(record.to.members, (member) => context.ask(member, { kind: "activate", operation: record.id, activation: { epoch: record.epoch + 1, layout: record.to, incoming: [], outgoing: [] } }));\n    cutOver(context, attempt.record, wave, attempt.waitingSince());\n  } catch',
      },
    ],
  },
  {
    name: "unfence-before-deletion",
    rule: "activate-in-one-transaction: a source keeps its fence until the rows that left are deleted",
    edits: [
      { file: "shards/member/member.ts", find: DELETES_FIRST, replace: "" },
      {
        file: "shards/member/member.ts",
        find: "await this.#cutOver(plan, {…});",
        replace: `await this.#cutOver(plan, { epoch, layout, incoming, attempt }); ${DELETES_FIRST}`,
      },
    ],
  },
  {
    name: "promotion-not-undone",
    rule: "promoted-before-commit: what was promoted under an attempt that is given up is taken back before the fence falls",
    edits: [
      {
        file: "shards/member/member.ts",
        find: "if (stands || isOver) this.undoPromotion(moving);",
        replace: "",
      },
    ],
  },
  {
    name: "rows-after-promotion",
    rule: "no-late-rows: a target that has promoted takes no rows before the attempt is decided",
    edits: [
      {
        file: "shards/member/member.ts",
        find: "if (promotion || (fence",
        replace: "if (false && (fence",
      },
      {
        file: "shards/storage/schema.ts",
        find: "json_extract(value, '$.promotion.attempt') IS NOT NULL)",
        isText: true,
        replace: "false)",
      },
    ],
  },
  {
    name: "commit-without-promotion",
    rule: "promoted-before-commit: the root commits a wave only when its rows are live on every target",
    edits: [
      {
        file: "shards/root/fence.ts",
        find: "    await promote(fenced, attempt.record, wave);\n",
        replace: "",
      },
    ],
  },
  {
    name: "targets-not-fenced",
    needs: "hasRivals",
    rule: "in a shift the targets are fenced too: nobody sees promoted rows before their cutover, nor gets in their way",
    edits: [
      {
        file: "shards/root/fence.ts",
        find: "[...new Set([...sourcesOf(wave), ...targets])].toSorted();",
        replace: "sourcesOf(wave);",
      },
    ],
  },
  {
    name: "earlier-part-forgotten",
    rule: "the end of an operation ends an earlier part too, whose own end was never heard",
    edits: [
      {
        file: "shards/member/releasing-member.ts",
        find: "if (this.moving !== undefined && this.moving.operation < operation) setAside = this.forgetOlder(ended);",
        replace: "",
      },
    ],
  },
  {
    name: "abandon-leaves-rows",
    rule: "before cutover an operation can be cancelled: its targets are emptied",
    edits: [
      {
        file: "shards/member/releasing-member.ts",
        find: "if (moving?.isTarget && this.ownsNothing) this.deleteAll();",
        replace: "",
      },
    ],
  },
  {
    name: "forget-who-was-silent",
    rule: "repeats-are-answered: who does not hear of the end is told later",
    edits: [{ file: "shards/root/clean-up.ts", find: "silent.push(member);", replace: "" }],
  },
  {
    name: "empty-before-the-end",
    rule: "a retired member is emptied after it has heard of the end, not instead",
    edits: [
      {
        file: "shards/member/releasing-member.ts",
        find: "if (this.moving) { throw refused",
        replace: "if (this.moving) return; if (false) { throw new RefusedError",
      },
    ],
  },
  {
    name: "operation-numbers-unchecked",
    rule: "operation-numbers: a member refuses calls of an operation older than the newest it has seen",
    edits: [
      {
        file: "shards/member/member.ts",
        find: "if (membership.operation > operation || membership.ended >= operation) {",
        replace: "if (false) {",
      },
      {
        file: "shards/member/releasing-member.ts",
        find: "if (before.ended >= operation || before.operation > operation) return { setAside };",
        replace: "",
      },
    ],
  },
  {
    name: "directory-origin-not-recorded",
    needs: "hasTwins",
    rule: "the same id under two keys is found while copying, also when only the directory sees both",
    edits: [
      {
        file: "shards/move/outbox.ts",
        find: "if (originOf !== null && !showsOrigin)",
        replace: "if (originOf !== null && (isMisplaced || table.table.followed !== null))",
      },
    ],
  },
  {
    name: "directory-not-captured",
    rule: "capture-before-copy: an owner that is dealt while the directory is copied is a change like any other",
    edits: [
      {
        file: "shards/move/move-plan.ts",
        find: "WHERE EXISTS (SELECT 1 FROM shardctl_walk WHERE step = 'copy'",
        isText: true,
        replace: "WHERE false AND EXISTS (SELECT 1 FROM shardctl_walk WHERE step = 'copy'",
      },
    ],
  },
  {
    name: "wake-lost-in-the-alarm",
    rule: "a journaled operation has an alarm: what was started while chores were done counts when the next time is set",
    edits: [
      {
        file: "shards/root/root.ts",
        find: "const running = this.journal.running(); const chore =",
        replace: "const running = this.isIdle ? undefined : this.journal.running(); const chore =",
      },
      {
        file: "shards/root/root.ts",
        find: "if (this.nextDue() === null) return;",
        replace:
          "Object.assign(this, { isIdle: false });\n    if (this.nextDue() === null) return;",
      },
      {
        file: "shards/root/root.ts",
        find: "await doChores(context);",
        replace:
          "Object.assign(this, { isIdle: this.journal.running() === undefined });\n    await doChores(context);",
      },
    ],
  },
  {
    name: "paused-operations-go-on",
    needs: "hasPauses",
    rule: "a paused operation begins no slice and no fence",
    edits: [
      {
        file: "shards/root/driver.ts",
        find: "if (isOpen(record) && record.paused) return keepPaused(context, record);",
        replace: "",
      },
    ],
  },
  {
    name: "paused-operations-cut-over",
    needs: "hasPauses",
    rule: "durable-abort: a pause ends the attempt in work, and nothing is cut over after its answer",
    edits: [
      {
        file: "shards/root/pause.ts",
        find: "{ attempt: record.attempt + 1, liftsFences: true }",
        replace: "{ liftsFences: true }",
      },
    ],
  },
  {
    name: "paused-behind-a-fence",
    needs: "hasPauses",
    rule: "no fence stands while an operation is paused",
    edits: [
      {
        file: "shards/root/pause.ts",
        find: "{ attempt: record.attempt + 1, liftsFences: true }",
        replace: "{ attempt: record.attempt + 1 }",
      },
    ],
  },
  {
    name: "pause-forgets-the-log",
    needs: "hasPauses",
    rule: "the logs of a paused operation are drained",
    edits: [
      { file: "shards/root/pause.ts", find: "await drainAll(context, record);", replace: "" },
    ],
  },
  {
    name: "foreign-keys-off-for-users",
    needs: "hasDirectWriters",
    rule: "foreign-keys-in-force: nothing of the user's runs while the engine writes without them",
    edits: [
      {
        file: "shards/host/host.ts",
        find: "return takesWrites ? this.sql.inOneTurn(write) : this.member.foreignKeys.off(write);",
        replace: "return this.member.foreignKeys.off(write);",
      },
      {
        file: "shards/member/blocking-member.ts",
        find: "new ForeignKeys(options.sql, options.alone)",
        replace: "new ForeignKeys(options.sql, (work) => work(options.runtime.sleep))",
      },
    ],
  },
];
