/**
 * Seeds that notice what few seeds notice: flaws that the engine once had (`former-bugs.ts`), and rules whose loss shows rarely. All must
 * pass. `--mutants` tries them first; where a change of the engine or of the generator has moved them on, it finds the next one.
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
    reason: "a row removed under one key and put under another was taken for two rows, by the directory too",
  },
  {
    seed: 36,
    mutant: "duplicates-count-at-once",
    reason: "a row that changed its shard key was taken for two rows at once",
  },
  {
    seed: 72,
    mutant: "wake-lost-in-the-alarm",
    reason: "an operation that was started while the root did chores stood still until the next chore",
  },
  {
    seed: 88,
    mutant: "pointing-tables-unguarded",
    reason: "a timer's pin came to point at an item that had been promised to another shard",
  },
  {
    seed: 118,
    mutant: "steps-of-migrations-ignored",
    reason: "rows went from a source that had not run a migration to a target that had, and were never stamped",
  },
  {
    seed: 136,
    mutant: "rows-after-promotion",
    reason: "a page came again while its target made rows live, and was taken",
  },
  {
    seed: 225,
    mutant: "fence-raised-over-running-calls",
    reason: "a call began between the question what runs and the fence, and met the guard of a retired member",
  },
  {
    seed: 243,
    mutant: "cut-over-waits-for-the-schema",
    reason: "a deploy between the cutover and the deletion at a source left the wave waiting for the schema of before",
  },
  {
    seed: 343,
    mutant: "targets-not-fenced",
    reason: "a rival was put on a target between the look at its rows and their promotion",
  },
  {
    seed: 20_159,
    mutant: "pages-wait-behind-rivals",
    reason:
      "two sources each had the other's rival in a later page of their logs, and the operation ended as if there were two rows",
  },
  {
    seed: 45_484,
    mutant: "tries-prove-duplicates",
    reason: "a row that changed its key again and again through a storm of faults used up every try, and was taken for two",
  },
  {
    seed: 300_510,
    mutant: "earlier-part-forgotten",
    reason: "a target heard neither the end of a cancelled operation nor the beginning of the next, and kept its rows",
  },
];
