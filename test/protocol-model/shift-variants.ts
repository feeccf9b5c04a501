// The weakened variants of the shift model: each leaves out one rule and names the situation in
// which that shows. A variant that no search catches would be a rule that nobody needs.
import type { Rule } from "./rules.ts";
import { type Bounds, type Scenario, type ScenarioName, SCENARIOS } from "./shift-scenarios.ts";

/**
 * A wrong read or two owners; a wrong count; an epoch that a target cannot act by; a row deleted
 * that was there before; a last write that no owner has; a broken constraint; something left behind
 * by an operation that has ended; or one that can never end.
 */
export type Breaks =
  | "read"
  | "count"
  | "commit"
  | "row"
  | "copy"
  | "constraint"
  | "leftover"
  | "end";

interface Variant {
  readonly rule: Rule;
  readonly says: string;
  readonly breaks: Breaks;
  readonly scenario: ScenarioName;
  /** Where the first operation is at the start, when that is not copied. */
  readonly starts?: Scenario["starts"];
  /** Where these differ from the smallest bounds. */
  readonly bounds?: Partial<Bounds>;
}

const SMALLEST: Bounds = { writes: 0, pages: 1, attempts: 1 };

const COPYING = {
  "skip-last-drain": {
    breaks: "read",
    rule: "drain-before-cutover",
    says: "a source answers drained while its log is not empty",
    scenario: "waves",
    starts: "prepared",
  },
  "drained-while-outstanding": {
    breaks: "read",
    rule: "drain-before-cutover",
    says: "a source answers drained while its last page is not acknowledged",
    scenario: "waves",
    starts: "prepared",
  },
  "first-drained-commits": {
    breaks: "read",
    rule: "drain-before-cutover",
    says: "the root goes on when the first member of the wave is drained",
    scenario: "waves",
  },
  "forget-captured-delete": {
    breaks: "read",
    rule: "deletes-are-captured",
    says: "a captured key that is absent is left out of the page",
    scenario: "waves",
    bounds: { writes: 1, pages: 2 },
  },
  "cascade-not-captured": {
    breaks: "read",
    rule: "deletes-are-captured",
    says: "a row that a cascade deletes is not captured",
    scenario: "family",
    bounds: { writes: 2, pages: 2 },
  },
  "capture-after-copy": {
    breaks: "read",
    rule: "capture-before-copy",
    says: "writes are captured only after the first page is sent",
    scenario: "waves",
    bounds: { writes: 1 },
  },
  "log-cleared-at-send": {
    breaks: "read",
    rule: "captured-until-stored",
    says: "captured keys leave the log when the page is sent, and a crash forgets the page",
    scenario: "waves",
    starts: "prepared",
  },
  "ack-clears-log": {
    breaks: "read",
    rule: "captured-until-stored",
    says: "an acknowledgement clears the whole log, entries after the page included",
    scenario: "waves",
    starts: "prepared",
    bounds: { writes: 1 },
  },
  "pages-in-parallel": {
    breaks: "read",
    rule: "captured-until-stored",
    says: "a page does not repeat the keys of an unacknowledged one before it, and its acknowledgement is taken for both",
    scenario: "waves",
    starts: "prepared",
    bounds: { writes: 1, pages: 2 },
  },
  "no-sequence-numbers": {
    breaks: "read",
    rule: "sequence-numbers",
    says: "the target stores pages in the order in which they arrive",
    scenario: "waves",
    bounds: { writes: 1, pages: 2 },
  },
  "sequence-lost-in-crash": {
    breaks: "read",
    rule: "sequence-numbers",
    says: "the source counts its pages in memory: after a crash it uses a number twice",
    scenario: "waves",
    bounds: { writes: 1, pages: 2 },
  },
  "repair-of-an-older-page": {
    breaks: "read",
    rule: "one-page-at-a-time",
    says: "the rows of a page are sent again although a later page has been read",
    scenario: "repair",
    starts: "prepared",
    bounds: { writes: 1, pages: 3 },
  },
  "late-page-after-promotion": {
    breaks: "read",
    rule: "no-late-rows",
    says: "a target that begins to act forgets the last sequence number, and a late page is staged for the next wave",
    scenario: "waves",
    bounds: { writes: 1, pages: 2, attempts: 2 },
  },
  "rows-after-promotion": {
    breaks: "read",
    rule: "no-late-rows",
    says: "a target that has promoted takes rows: a delete takes away the staged row by which its undo would find the live one",
    scenario: "waves",
    bounds: { writes: 1, pages: 2, attempts: 2 },
  },
} as const satisfies Record<string, Variant>;

const FENCES = {
  "unfence-by-timer": {
    breaks: "read",
    rule: "fence-until-told",
    says: "a fence lifts by a timer",
    scenario: "waves",
  },
  "fence-lost-in-crash": {
    breaks: "read",
    rule: "fence-until-told",
    says: "a fence is held in memory only",
    scenario: "waves",
  },
  "reads-pass-fence": {
    breaks: "read",
    rule: "fence-until-told",
    says: "a fenced source answers reads",
    scenario: "waves",
    bounds: { writes: 1 },
  },
  "counts-pass-fence": {
    breaks: "count",
    rule: "fence-until-told",
    says: "a fenced member answers a count: a target with the rows that it has promoted",
    scenario: "count",
  },
  "deletes-pass-fence": {
    breaks: "read",
    rule: "fence-until-told",
    says: "an alarm deletes a row between the drain and the promotion: the delete is lost",
    scenario: "waves",
    bounds: { writes: 1 },
  },
  "old-drained-counts": {
    breaks: "read",
    rule: "fence-attempts",
    says: "the root counts a drained answer of an older attempt",
    scenario: "waves",
    bounds: { attempts: 2 },
  },
  "old-promotion-counts": {
    breaks: "commit",
    rule: "fence-attempts",
    says: "the root counts a promotion of an older attempt",
    scenario: "waves",
    bounds: { attempts: 2 },
  },
  "old-fence-replaces-newer": {
    breaks: "read",
    rule: "fence-attempts",
    says: "a late fence call of an older attempt replaces the newer one",
    scenario: "waves",
    bounds: { attempts: 2 },
  },
  "late-promotion-accepted": {
    breaks: "count",
    rule: "fence-attempts",
    says: "a target promotes for an attempt whose fence does not stand any more",
    scenario: "count",
  },
  "attempts-restart": {
    breaks: "commit",
    rule: "fence-attempts",
    says: "attempts are numbered from 1 again in each wave",
    scenario: "waves",
  },
  "abort-not-durable": {
    breaks: "read",
    rule: "durable-abort",
    says: "the root tells a member that the attempt is aborted (or cancelled) before its journal says so",
    scenario: "waves",
  },
  "commit-unchecked": {
    breaks: "read",
    rule: "commit-rechecks-journal",
    says: "the root commits on an answer it had counted, though the attempt was aborted meanwhile",
    scenario: "waves",
  },
} as const satisfies Record<string, Variant>;

const PROMOTION = {
  "commits-before-promoted": {
    breaks: "commit",
    rule: "promoted-before-commit",
    says: "the root commits when all are drained, and the targets promote as they activate",
    scenario: "full",
  },
  "first-promoted-commits": {
    breaks: "commit",
    rule: "promoted-before-commit",
    says: "the root commits when the first target has promoted",
    scenario: "two",
  },
  "promotes-before-drained": {
    breaks: "read",
    rule: "promoted-before-commit",
    says: "a target promotes before all are drained, and still takes pages",
    scenario: "waves",
    starts: "prepared",
  },
  "targets-not-fenced": {
    breaks: "count",
    rule: "targets-fenced",
    says: "only the sources of a wave are fenced: the target shows what it has promoted",
    scenario: "count",
  },
  "promotion-replaces": {
    breaks: "row",
    rule: "nothing-in-the-way",
    says: "a promotion replaces what is in its way",
    scenario: "stray",
  },
  "promotion-unchecked": {
    breaks: "constraint",
    rule: "nothing-in-the-way",
    says: "a promotion does not check unique values",
    scenario: "rivals",
    bounds: { writes: 1 },
  },
  "not-unpromoted": {
    breaks: "count",
    rule: "promotion-ends-with-its-attempt",
    says: "an aborted attempt lifts the fence and leaves the promoted rows",
    scenario: "count",
  },
  "promotion-outlives-attempt": {
    breaks: "read",
    rule: "promotion-ends-with-its-attempt",
    says: "a newer fence keeps the promotion of an older attempt, pages are taken, and the next attempt counts it",
    scenario: "waves",
    bounds: { writes: 1, pages: 2, attempts: 2 },
  },
  "undo-after-fence": {
    breaks: "count",
    rule: "promotion-ends-with-its-attempt",
    says: "a promotion is undone in a transaction after the one that lifts the fence",
    scenario: "count",
    bounds: { writes: 0 },
  },
  "undo-deletes-ranges": {
    breaks: "row",
    rule: "promotion-ends-with-its-attempt",
    says: "the undo deletes whatever is in the ranges of the wave, a row among it that was there before",
    scenario: "stray",
    bounds: { writes: 1, pages: 2 },
  },
  "undo-needs-space": {
    breaks: "end",
    rule: "promotion-ends-with-its-attempt",
    says: "the undo moves rows back into staging, which a full target cannot do",
    scenario: "full",
  },
  "clean-up-keeps-promotion": {
    breaks: "leftover",
    rule: "promotion-ends-with-its-attempt",
    says: "the clean-up of an operation does not undo a promotion",
    scenario: "waves",
  },
  "prepare-keeps-promotion": {
    breaks: "leftover",
    rule: "promotion-ends-with-its-attempt",
    says: "a second operation begins at a member that still has the promotion of the first, which never heard of its end",
    scenario: "again",
  },
  "promotion-forgotten-in-crash": {
    breaks: "count",
    rule: "promotion-ends-with-its-attempt",
    says: "that it has promoted is held in memory only: after a crash the target does not undo it",
    scenario: "count",
  },
  "staged-dropped-at-promotion": {
    breaks: "read",
    rule: "staged-until-acknowledged",
    says: "a promotion empties the staging: after its undo the rows are nowhere on the target",
    scenario: "waves",
    bounds: { attempts: 2 },
  },
  "staged-dropped-with-undo": {
    breaks: "read",
    rule: "staged-until-acknowledged",
    says: "an undo empties the staging: the source believes that its rows are stored",
    scenario: "waves",
    bounds: { attempts: 2 },
  },
  "staged-dropped-early": {
    breaks: "leftover",
    rule: "staged-until-acknowledged",
    says: "a target drops what is staged as soon as it acts by the epoch: the source does not learn which rows to delete",
    scenario: "waves",
  },
  "waits-for-promotion": {
    breaks: "end",
    rule: "a-way-out-before-the-commit",
    says: "the root tries a promotion until it succeeds",
    scenario: "full",
  },
  "promotes-all-staged": {
    breaks: "read",
    rule: "waves-apart",
    says: "a wave promotes whatever is staged for its target, rows of the wave before among them",
    scenario: "waves",
    bounds: { writes: 1, attempts: 2 },
  },
  "children-first": {
    breaks: "constraint",
    rule: "foreign-keys-in-force",
    says: "children are promoted in a transaction before that of their parents",
    scenario: "family",
  },
  "children-without-parents": {
    breaks: "constraint",
    rule: "foreign-keys-in-force",
    says: "a promotion leaves out a table that children point at, and foreign keys are not looked at",
    scenario: "family",
  },
  "promotes-in-two-transactions": {
    breaks: "leftover",
    rule: "activate-in-one-transaction",
    says: "parents are promoted in a first transaction, and an abort that comes before the second leaves them",
    scenario: "family",
  },
  "parents-deleted-first": {
    breaks: "constraint",
    rule: "foreign-keys-in-force",
    says: "a source deletes parents in a transaction before that of their children",
    scenario: "family",
  },
  "foreign-keys-off": {
    breaks: "constraint",
    rule: "foreign-keys-in-force",
    says: "foreign keys are turned off for an attempt, and the member serves again before they are on",
    scenario: "family",
    bounds: { writes: 1 },
  },
} as const satisfies Record<string, Variant>;

const ACTIVATION = {
  "late-activate-promotes": {
    breaks: "read",
    rule: "activate-once",
    says: "a late activation makes the staged rows of its wave live once more",
    scenario: "waves",
    bounds: { writes: 1 },
  },
  "late-activate-deletes": {
    breaks: "read",
    rule: "activate-once",
    says: "a late activation deletes the rows of its wave, whatever the member's epoch",
    scenario: "back",
  },
  "late-activate-lifts-fence": {
    breaks: "read",
    rule: "activate-once",
    says: "a late activation lifts whatever fence there is",
    scenario: "waves",
    bounds: { attempts: 2 },
  },
  "delete-before-cutover": {
    breaks: "read",
    rule: "cutover-first",
    says: "the source deletes the rows of the wave when it is drained, before the root has committed",
    scenario: "waves",
  },
  "unfence-before-delete": {
    breaks: "count",
    rule: "activate-in-one-transaction",
    says: "the source serves at the new epoch first and deletes its rows afterwards",
    scenario: "count",
  },
  "unfence-before-epoch": {
    breaks: "count",
    rule: "activate-in-one-transaction",
    says: "the target lifts its fence in one transaction and takes the new epoch in a second one",
    scenario: "count",
  },
  "both-lift-with-targets": {
    breaks: "count",
    rule: "sources-delete-last",
    says: "a member that is source and target lifts its fence with the targets, before it has deleted",
    scenario: "exchange",
  },
  "sources-told-at-once": {
    breaks: "copy",
    rule: "sources-delete-last",
    says: "sources delete as soon as the epoch is committed",
    scenario: "waves",
  },
  "activation-needs-space": {
    breaks: "end",
    rule: "activation-only-flips",
    says: "a target writes rows as it activates, which a full one cannot do",
    scenario: "full",
  },
  "repeat-unanswered": {
    breaks: "end",
    rule: "repeats-are-answered",
    says: "a member that is active already does not answer a repeated activation",
    scenario: "waves",
  },
  "next-wave-early": {
    breaks: "read",
    rule: "activated-before-next",
    says: "the root starts the next wave before every member has acknowledged the last cutover",
    scenario: "waves",
  },
  "clean-up-early": {
    breaks: "read",
    rule: "activated-before-next",
    says: "a cancel after the cutover cleans up before the target acts by it",
    scenario: "waves",
  },
  "stale-epoch-accepted": {
    breaks: "read",
    rule: "one-epoch",
    says: "a member serves a call that was routed by an older epoch",
    scenario: "waves",
  },
  "count-mixes-epochs": {
    breaks: "count",
    rule: "one-epoch-queries",
    says: "a count adds answers of different epochs",
    scenario: "count",
  },
} as const satisfies Record<string, Variant>;

const OPERATIONS = {
  "older-operation-accepted": {
    breaks: "read",
    rule: "operation-numbers",
    says: "a member takes the prepare of an older operation for a new one",
    scenario: "back",
  },
  "pages-without-operation": {
    breaks: "read",
    rule: "operation-numbers",
    says: "a target takes pages of any operation",
    scenario: "resume",
  },
  "answers-without-operation": {
    breaks: "commit",
    rule: "operation-numbers",
    says: "the root counts the answers to the same attempt of the operation before",
    scenario: "again",
  },
  "release-without-operation": {
    breaks: "read",
    rule: "operation-numbers",
    says: "the root's answer for an attempt of an older operation lifts the fence of the same attempt of a newer one",
    scenario: "again",
  },
  "clean-up-not-noted": {
    breaks: "leftover",
    rule: "operation-numbers",
    says: "a member that was cleaned up before it had prepared does not note it, and prepares when that call arrives late",
    scenario: "again",
  },
  "ended-operation-accepted": {
    breaks: "leftover",
    rule: "operation-numbers",
    says: "a member prepares again for an operation that was cleaned up, and what it installs stays behind",
    scenario: "again",
  },
  "prepare-twice": {
    breaks: "read",
    rule: "prepare-once",
    says: "a repeated prepare empties the staging and the log again",
    scenario: "again",
  },
} as const satisfies Record<string, Variant>;

export const SHIFT_VARIANTS = {
  ...COPYING,
  ...FENCES,
  ...PROMOTION,
  ...ACTIVATION,
  ...OPERATIONS,
} as const;

export type ShiftVariant = keyof typeof SHIFT_VARIANTS;
export const variantOf = (name: ShiftVariant): Variant => SHIFT_VARIANTS[name];

/** Returns the setting in which a variant is searched: the smallest situation that shows it. */
export function settingOf(name: ShiftVariant): {
  readonly scenario: Scenario;
  readonly bounds: Bounds;
} {
  const { scenario, starts = "copied", bounds } = variantOf(name);
  return { scenario: { ...SCENARIOS[scenario], starts }, bounds: { ...SMALLEST, ...bounds } };
}
