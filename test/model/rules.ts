// The rules of the resharding protocols, by name. The models are written with them, each weakened variant leaves one out, and the engine's
// comments name them. A rule is here only if a search finds a wrong read, a wrong count or something left behind when it is left out.

export const RULES = {
  "operation-numbers":
    "Every call names its operation, a number that only grows in a namespace. A member refuses calls of an operation older than the newest it has seen, and of one that has ended there; it takes rows, fences and drains only for the one that runs.",
  "prepare-once":
    "Prepare acts once per operation: repeated, it answers again and changes nothing. Otherwise a late copy of it would empty the log or the staging of the operation that is running.",
  "capture-before-copy": "Capture is installed in the transaction that records the operation, before the first row is read.",
  "captured-until-stored":
    "A captured key leaves the log when the page that carried it is acknowledged as stored, and only the entries that this page covered: a change made meanwhile stays. The log is durable.",
  "deletes-are-captured":
    "A captured key is read again when its page is built; absent then means deleted, and is sent as a deletion.",
  "sequence-numbers":
    "Pages carry a sequence number per source and target, made durable before the page leaves. The target stores the last number in the transaction that stores the rows, and stores no page that is not newer; the last one is acknowledged again.",
  "one-page-at-a-time":
    "A source reads, sends and checks one page after the other. Rows that a check has found to differ go again under a new number as they were read: only while no later page has been read.",
  "no-late-rows":
    "A target takes no rows from its rehearsal until it has promoted or its fence is lifted, and none of a wave that it has promoted. Promotion keeps the last sequence number, so a late page is still late.",
  "drain-before-cutover":
    "A source answers drained only while it is fenced by that attempt, its log is empty and no page is outstanding. The root commits only when every source of the wave has answered.",
  "fence-attempts":
    "A fence has an attempt number that only grows within an operation, across its waves too. A member refuses an attempt older than its fence or known to be over. The root counts only answers to its current attempt.",
  "fence-until-told":
    "A fence is durable, holds back reads and writes, and is lifted by the root's answer for that attempt and by nothing else: no timer, no crash, no late answer.",
  "durable-abort": "The root makes the abort of an attempt durable before it tells anyone.",
  "commit-rechecks-journal": "The root checks in the turn in which it commits that its journal is still in that attempt.",
  "cutover-first": "Nothing is promoted, deleted or served under the new layout before the root has committed it.",
  "activate-once":
    "A member activates an epoch only if it is newer than its own; a late activation changes nothing, lifts no fence and deletes no row.",
  "activate-in-one-transaction":
    "Promotion, deletion of the rows that have left, the new epoch and (last) the end of the fence are one transaction of the member: a source keeps its fence until its rows are deleted, a target shows promoted rows only at the new epoch.",
  "waves-apart":
    "A wave promotes only rows of its own ranges, and the ranges of an operation's waves have no key in common: rows stay staged until the clean-up, and what is staged for a range after its wave, such as a stray write to a key that has moved, is promoted by no later one.",
  "targets-fenced":
    "In a shift the targets of a wave are fenced with its sources, by the same attempt, until they have promoted: nothing comes between the rehearsal and the promotion.",
  "rehearsed-under-the-fence":
    "When every member of a wave is fenced and drained, its targets try their promotion. A row in its way (a stray row under the same key, a rival of a unique value) ends the operation before the cutover: promotion replaces nothing, and after the cutover there is only forward.",
  "repeats-are-answered": "A call whose work is done already is answered again: its first answer may be lost.",
  "activated-before-next":
    "The root starts the next wave, a cancel or the clean-up only when every member has acknowledged the last cutover.",
  "one-epoch": "A member serves a call only at its own epoch: older is refused, newer makes it activate first.",
  "one-epoch-queries": "A cross-shard query uses answers of one epoch only, else it starts over.",
} as const;

export type Rule = keyof typeof RULES;
