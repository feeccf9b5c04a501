/**
 * Randomness by name: every decision draws from the stream of its own label, so that leaving out
 * one client call or one fault when a failing run is shortened does not change the fate of
 * everything else.
 */

interface Stream {
  readonly hash: number;
  count: number;
}

export class Random {
  readonly #seed: number;
  readonly #streams = new Map<string, Stream>();

  constructor(seed: number) {
    this.#seed = seed;
  }

  /** The next number of a stream, 0 ≤ x < 1. */
  next(label: string): number {
    let stream = this.#streams.get(label);
    if (!stream) this.#streams.set(label, (stream = { hash: hashText(label), count: 0 }));
    return mix(Math.imul(this.#seed, 0x9e3779b1) ^ stream.hash, stream.count++) / 2 ** 32;
  }

  /** True with a probability. */
  chance(label: string, probability: number): boolean {
    return probability > 0 && this.next(label) < probability;
  }

  /** A whole number, `from` … `to`, both included. */
  whole(label: string, from: number, to: number): number {
    return from + Math.floor(this.next(label) * (to - from + 1));
  }

  pick<Item>(label: string, items: readonly Item[]): Item {
    const item = items[Math.floor(this.next(label) * items.length)];
    if (item === undefined) throw new Error(`Nothing to pick from for '${label}'`);
    return item;
  }
}

/** FNV-1a. */
function hashText(text: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  return hash >>> 0;
}

/** The finalizer of MurmurHash3, over both words. */
function mix(left: number, right: number): number {
  let word = left ^ Math.imul(right + 0x7f4a7c15, 0x85ebca6b);
  word = Math.imul(word ^ (word >>> 16), 0x85ebca6b);
  word = Math.imul(word ^ (word >>> 13), 0xc2b2ae35);
  word = Math.imul((word ^ (word >>> 16)) + right, 0x9e3779b1);
  return (word ^ (word >>> 15)) >>> 0;
}
