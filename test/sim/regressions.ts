/**
 * Seeds that notice what few seeds notice: flaws that the engine once had (`former-bugs.ts`), and
 * rules whose loss shows rarely. All must pass. `--mutants` tries them first; where a change of the
 * engine or of the generator has moved them on, it finds the next one.
 */
export interface Regression {
  readonly seed: number;
  readonly mutant: string;
  readonly reason: string;
}

export const REGRESSIONS: readonly Regression[] = [
  {
    seed: 9,
    mutant: "rows-received-with-foreign-keys-on",
    reason: "a note was sent before the item that it references: the target could not commit",
  },
  {
    seed: 36,
    mutant: "dealt-owner-kept-for-the-gone",
    reason:
      "a row removed under one key and put under another was taken for two rows, by the directory too",
  },
  {
    seed: 42,
    mutant: "first-operation-proves-nothing",
    reason: "no repair was possible of a namespace whose root was lost while it was first sharded",
  },
  {
    seed: 72,
    mutant: "wake-lost-in-the-alarm",
    reason:
      "an operation that was started while the root did chores stood still until the next chore",
  },
  {
    seed: 88,
    mutant: "pointing-tables-without-write-blocks",
    reason: "a timer's pin came to point at an item that had been promised to another shard",
  },
  {
    seed: 118,
    mutant: "steps-of-migrations-ignored",
    reason:
      "rows went from a source that had not run a migration to a target that had, and were never stamped",
  },
  {
    seed: 122,
    mutant: "duplicates-count-at-once",
    reason: "a row that changed its shard key was taken for two rows at once",
  },
  {
    seed: 122,
    mutant: "tries-prove-duplicates",
    reason:
      "a row that changed its key again and again through a storm of faults used up every try, and was taken for two",
  },
  {
    seed: 136,
    mutant: "rows-after-promotion",
    reason: "a page came again while its target made rows live, and was taken",
  },
  {
    seed: 153,
    mutant: "pages-may-be-missing",
    reason:
      "a target that had forgotten a page among those that it had taken went live without it: a delete came back",
  },
  {
    seed: 163,
    mutant: "end-is-told-once",
    reason:
      "a target that went back to before the end of its operation waited for that for ever, and its callers with it",
  },
  {
    seed: 225,
    mutant: "fence-raised-over-running-calls",
    reason:
      "a call began between the question what runs and the fence, and met the guard of a retired member",
  },
  {
    seed: 243,
    mutant: "cut-over-waits-for-the-schema",
    reason:
      "a deploy between the cutover and the deletion at a source left the wave waiting for the schema of before",
  },
  {
    seed: 279,
    mutant: "empties-the-lost-for-ever",
    reason: "the root asked a former member without storage every half minute to empty itself",
  },
  {
    seed: 342,
    mutant: "source-sends-anew",
    reason:
      "a source that was restored while rows were copied sent page after page with numbers that its targets had seen",
  },
  {
    seed: 343,
    mutant: "targets-not-fenced",
    reason: "a rival was put on a target between the look at its rows and their promotion",
  },
  {
    seed: 377,
    mutant: "adopts-any-epoch",
    reason:
      "a member that went back to before a shift went on at the newest epoch, without the rows that had come to it",
  },
  {
    seed: 486,
    mutant: "repair-gives-epochs-again",
    reason:
      "a caller that had heard of a lost epoch took the layout of the repair for an older one",
  },
  {
    seed: 538,
    mutant: "left-rows-in-the-way",
    reason: "rows of a root that went back to before a cutover kept it from taking any again",
  },
  {
    seed: 543,
    mutant: "cutover-taken-back",
    reason:
      "a repair ended a cutover that a target had not heard of as if it had not been, and the rows for it were lost",
  },
  {
    seed: 790,
    mutant: "activates-behind-a-wave",
    reason:
      "a source that went back behind a wave took part in the next one, and had the rows of the first again",
  },
  {
    seed: 1_099,
    mutant: "late-children-stay",
    reason:
      "a deploy behind a commit made labels of items that were then deleted as moved, and no operation was possible any more",
  },
  {
    seed: 1_416,
    mutant: "repair-guesses-nobody",
    reason:
      "a root went back to before two operations, and its repair asked none of the shards that had the rows",
  },
  {
    seed: 1_822,
    mutant: "cancel-hears-nobody",
    reason:
      "a root that went back to just before a cutover cancelled the operation, and a target that had not heard yet dropped its rows",
  },
  {
    seed: 20_159,
    mutant: "pages-wait-behind-rivals",
    reason:
      "two sources each had the other's rival in a later page of their logs, and the operation ended as if there were two rows",
  },
  {
    seed: 300_510,
    mutant: "earlier-part-forgotten",
    reason:
      "a target heard neither the end of a cancelled operation nor the beginning of the next, and kept its rows",
  },
];
