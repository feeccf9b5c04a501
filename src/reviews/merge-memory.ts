/**
 * Remembers which pull requests are merged, and when to ask about the others again: at once when
 * another commit is followed, since a merge makes one, else less and less often. In memory only.
 */

/** Wait after the first question under one commit; it doubles up to half an hour. */
const ASK_AGAIN_MS_FIRST = 60_000;
const ASK_AGAIN_MS_LONGEST = 30 * 60_000;

interface Asked {
  readonly commit: string;
  readonly times: number;
  /** Milliseconds since the Unix epoch. */
  readonly at: number;
}

export class MergeMemory {
  readonly #merged = new Set<number>();
  readonly #others = new Map<number, Asked>();

  /** A merged pull request stays merged. */
  isMerged(pull: number): boolean {
    return this.#merged.has(pull);
  }

  /** @param commit the one that is followed. */
  isDue(pull: number, commit: string, now: number): boolean {
    if (this.#merged.has(pull)) return false;
    const asked = this.#others.get(pull);
    if (asked === undefined || asked.commit !== commit) return true;
    const waitMs = Math.min(
      ASK_AGAIN_MS_LONGEST,
      ASK_AGAIN_MS_FIRST * 2 ** Math.min(asked.times - 1, 10),
    );
    // A clock that went back does not make it wait for longer.
    return now >= asked.at + waitMs || now < asked.at;
  }

  note(pull: number, isMerged: boolean, commit: string, now: number): void {
    const before = this.#others.get(pull);
    this.#others.delete(pull);
    if (isMerged) this.#merged.add(pull);
    else {
      const times = before?.commit === commit ? before.times + 1 : 1;
      this.#others.set(pull, { commit, times, at: now });
    }
  }

  /** Forgets all others, of which nothing is asked any more. */
  keepOnly(pulls: readonly number[]): void {
    for (const pull of this.#others.keys()) if (!pulls.includes(pull)) this.#others.delete(pull);
  }
}
