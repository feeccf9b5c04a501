/**
 * Fence posts of a table: cursors that a count has come by, and how many rows stand from each to
 * the next. By them a sample reads a few rows of every part of a table, whatever its key.
 *
 * The distances differ, so that rows which repeat in a fixed rhythm are not met always at the same
 * beat. Bounded: where there are too many, every second one goes.
 */

/** Rows from one post to the next: between these two. */
const DISTANCE_MIN = 250;
const DISTANCE_MAX = 750;
const POSTS_MAX = 8_000;
/** Characters of their cursors: a row holds 2 MB. */
const CHARACTERS_MAX = 300_000;

/** The rows behind one post, up to the next. */
export interface Span {
  /** The cursor; null for the start of the table. */
  readonly after: string | null;
  readonly rows: number;
}

/** Rows to the next post, after so many posts: the same for the same table each time. */
export function distanceAfter(posts: number): number {
  const scattered = Math.imul(posts + 1, 0x9e3779b1) >>> 8;
  return DISTANCE_MIN + (scattered % (DISTANCE_MAX - DISTANCE_MIN + 1));
}

export class FencePosts {
  #spans: Span[] = [];
  #characters = 0;
  /** How often every second post has gone. */
  #thinned = 0;
  #added = 0;

  /** Spans that are next to each other, in order. */
  get spans(): readonly Span[] {
    return this.#spans;
  }

  add(after: string | null, rows: number): void {
    const isKept = this.#added++ % 2 ** this.#thinned === 0;
    const before = this.#spans.at(-1);
    if (!isKept && before) {
      this.#spans[this.#spans.length - 1] = { ...before, rows: before.rows + rows };
      return;
    }
    this.#spans.push({ after, rows });
    this.#characters += after?.length ?? 0;
    if (this.#spans.length > POSTS_MAX || this.#characters > CHARACTERS_MAX) this.#thin();
  }

  #thin(): void {
    this.#thinned++;
    const spans: Span[] = [];
    for (let index = 0; index < this.#spans.length; index += 2) {
      const [first, second] = this.#spans.slice(index, index + 2);
      if (first) spans.push({ after: first.after, rows: first.rows + (second?.rows ?? 0) });
    }
    this.#spans = spans;
    this.#characters = spans.reduce((sum, { after }) => sum + (after?.length ?? 0), 0);
    // The next one to be kept is the next that was going to be.
    this.#added = Math.ceil(this.#added / 2 ** this.#thinned) * 2 ** this.#thinned;
  }
}
