/**
 * Flaws that the engine once had, as mutants: each brings one of them back. Found by the seeds of
 * `regressions.ts` and closed since; what finds them again shows that the scenarios still reach
 * them.
 *
 * Not here, because one seed in thousands meets it: "gone-rows-wait-for-rivals" (two rows change
 * places between two sources within one page of each, and each source waits for the other's word).
 * `test/shards/move/rivals.test.ts` shows it at the target alone.
 */
import type { Mutant } from "./mutants.ts";

export const FORMER_BUGS: readonly Mutant[] = [
  {
    name: "rows-received-with-foreign-keys-on",
    rule: "a page may bring a note before the item that it points at: the target takes rows without enforcing foreign keys",
    edits: [
      {
        file: "shards/host/engine-handlers.ts",
        find: "digestReceived(await host.writeRows(receive), ",
        replace: "digestReceived(receive(), ",
      },
    ],
  },
  {
    name: "silent-root-fails-the-caller",
    rule: "a member that cannot ask the root tells its caller to retry: nothing has run",
    edits: [
      {
        file: "shards/member/admission.ts",
        find: "try { await this.#catchUp(epoch); } catch { } if (this.#member",
        replace: "await this.#catchUp(epoch); if (this.#member",
      },
    ],
  },
  {
    name: "dealt-owner-kept-for-the-gone",
    needs: "hasRegroups",
    rule: "a row that is gone gives back the owner that was dealt to it: its id may stand on another source by now",
    edits: [
      {
        file: "shards/move/drain.ts",
        find: "if (!owners.has(pk)) forgetDealt(sql, plan.moving, table.table, pk);",
        replace: "",
      },
    ],
  },
  {
    name: "duplicates-count-at-once",
    needs: "hasRegroups",
    rule: "a row that changes its shard key stands twice until its old source has said so: the step is tried again",
    edits: [
      {
        file: "shards/root/failures.ts",
        find: "if (isDuplicate(error)) return null;",
        replace: "",
      },
    ],
  },
  {
    name: "pages-wait-behind-rivals",
    needs: "hasRegroups",
    rule: "a page of the log with rivals does not keep those behind it: another source may wait for what is gone in one of them",
    edits: [
      {
        file: "shards/move/drain.ts",
        find: "rivals ??= found;",
        replace: "if (found !== null) throw found;",
      },
    ],
  },
  {
    name: "tries-prove-duplicates",
    needs: "hasRegroups",
    rule: "judged-under-the-fence: a row may be caught between two keys any number of times, and ends no operation by that",
    edits: [
      {
        file: "shards/root/driver.ts",
        find: "return judgeDuplicates(context, record);",
        replace:
          'return void end(context, record, { fault: { kind: "duplicateId", message: record.duplicateFound ?? "" } }) ?? Promise.resolve();',
      },
    ],
  },
  {
    name: "judged-in-one-round",
    needs: "hasRegroups",
    rule: "judged-under-the-fence: what one source says while the others have not sent their logs proves nothing",
    edits: [
      {
        file: "shards/root/failures.ts",
        find: "DUPLICATE_TRIES_MAX = …;",
        replace: "DUPLICATE_TRIES_MAX = 0;",
      },
      {
        file: "shards/root/confirm-duplicates.ts",
        find: "raiseFence(attempt, { pass: ignoreDuplicate })",
        replace: "raiseFence(attempt)",
      },
    ],
  },
];
