// The rules of the resharding protocols, by name. The models are written with them, each weakened
// variant leaves one out, and the engine's comments name them. A rule is here only if a search
// finds a wrong read, a wrong count or something left behind when it is left out.

export const RULES = {
  "operation-numbers":
    "Every call names its operation, a number that only grows in a namespace. A member refuses calls of an operation older than the newest it has seen, and of one that has ended there; it takes rows, fences and drains only for the one that runs.",
  "prepare-once":
    "Prepare acts once per operation: repeated, it answers again and changes nothing. Otherwise a late copy of it would empty the log or the staging of the operation that is running.",
  "capture-before-copy":
    "Capture is installed in the transaction that records the operation, before the first row is read.",
  "captured-until-stored":
    "A captured key leaves the log when the page that carried it is acknowledged as stored, and only the entries that this page covered: a change made meanwhile stays. The log is durable.",
  "deletes-are-captured":
    "A captured key is read again when its page is built; absent then means deleted, and is sent as a deletion.",
  "sequence-numbers":
    "Pages carry a sequence number per source and target, made durable before the page leaves. The target stores the last number in the transaction that stores the rows, and stores no page that is not newer; the last one is acknowledged again.",
  "one-page-at-a-time":
    "A source reads, sends and checks one page after the other. Rows that a check has found to differ go again under a new number as they were read: only while no later page has been read.",
  "no-late-rows":
    "A target that has promoted takes no rows until it acts by the epoch or has undone the promotion, and none of a wave that it acts by. Promotion keeps the last sequence number, so a late page is still late.",
  "drain-before-cutover":
    "A source answers drained only while it is fenced by that attempt, its log is empty and no page is outstanding. The root asks for promotions only when every member of the wave has answered.",
  "fence-attempts":
    "A fence has an attempt number that only grows within an operation, across its waves too. A member refuses an attempt older than its fence or known to be over. The root counts only answers to its current attempt.",
  "fence-until-told":
    "A fence is durable, holds back reads and writes, and is lifted by the root's answer for that attempt and by nothing else: no timer, no crash, no late answer.",
  "durable-abort": "The root makes the abort of an attempt durable before it tells anyone.",
  "commit-rechecks-journal":
    "The root checks in the turn in which it commits that its journal is still in that attempt.",
  "marked-while-running":
    "A call that a member makes while it runs another names the members below it, its chain. What cannot be marked costs an attempt.",
  "nested-calls-run":
    "Before the fence is raised, each member of the wave holds calls. Those whose chain has a member of the wave run all the same, also at a member that has said that it is ready: it may be what another member waits for.",
  "raised-when-idle":
    "The fence is raised only in a turn in which nothing runs. Otherwise the member says at once that it is busy, and all members of the wave, fenced or not, hold again. Nobody waits behind a raised fence for a running call.",
  "attempt-budget":
    "An attempt that lasts too long is given up, and all members open again: a call that nobody could tell for nested may wait behind it.",
  "cutover-first":
    "Nothing is deleted or served under the new layout before the root has committed it, and what is promoted by then is behind a fence.",
  "activate-once":
    "A member activates an epoch only if it is newer than its own; a late activation changes nothing, lifts no fence and deletes no row.",
  "activate-in-one-transaction":
    "What a member does in a promotion, its undo or an activation is one transaction: rows, the note that they are promoted, the new epoch and (last) the end of the fence. A source keeps its fence until its rows are deleted.",
  "waves-apart":
    "A wave promotes only rows of its own ranges, and the ranges of an operation's waves have no key in common: rows stay staged until the clean-up, and what is staged for a range after its wave, such as a stray write to a key that has moved, is promoted by no later one.",
  "targets-fenced":
    "In a shift the targets of a wave are fenced with its sources, by the same attempt, until they act by the new epoch: nobody sees a promoted row before, and no row comes that would be in its way.",
  "promoted-before-commit":
    "When every member of a wave is fenced and drained, its targets promote for real, under the fence of that attempt. The root commits only when all of them have said so: what a target cannot do is found while everything can still be given up.",
  "nothing-in-the-way":
    "A promotion replaces nothing. A row in its way (a stray row under the same key, a rival of a unique value) makes the target refuse it.",
  "promotion-ends-with-its-attempt":
    "A promotion belongs to an attempt. Whatever ends that attempt at a target (the root's answer, a newer fence, a clean-up, the next operation) undoes it in the transaction that lifts or replaces the fence: it deletes exactly the rows that the promotion has made live, and needs no space. That it has promoted is durable.",
  "staged-until-acknowledged":
    "Promoted rows stay staged until every member has acknowledged the epoch: by them a target knows what to undo, and a source what to delete. The fence of a later wave drops them.",
  "activation-only-flips":
    "After the commit a target changes its epoch and lifts its fence, and does nothing that could fail.",
  "a-way-out-before-the-commit":
    "Until the commit the root can give up an attempt and the operation, whatever a target answers and however often.",
  "sources-delete-last":
    "No source deletes a row before every target of the wave acts by the new epoch. A member that is source and target changes its epoch with the targets, and keeps its fence until it has deleted.",
  "foreign-keys-in-force":
    "Foreign keys are never off at a member that serves. Parents and children are promoted, and deleted, in one transaction, at whose end they hold.",
  "repeats-are-answered":
    "A call whose work is done already is answered again: its first answer may be lost.",
  "activated-before-next":
    "The root starts the next wave, a cancel or the clean-up only when every member has acknowledged the last cutover.",
  "one-epoch":
    "A member serves a call only at its own epoch: older is refused, newer makes it activate first.",
  "one-layout-for-all":
    "A call to all members runs once on each, by one layout: once a member has run it, another runs it only by that layout, or by one in which it owns the same. While rows move the caller first takes a ticket of each, which is a running call to its member; one that is lost has not run.",
  "one-epoch-queries": "A cross-shard query uses answers of one epoch only, else it starts over.",
} as const;

export type Rule = keyof typeof RULES;
