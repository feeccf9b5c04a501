/**
 * Counts the attempts at reading a set of manifests that whoever reads them may not survive. An
 * attempt is counted before it is made, so that one that takes the Worker down counts as well. A
 * set that was tried twice without an answer is given up until other manifests are merged, or a
 * day has gone by, in case it was no fault of theirs.
 */
import type { ReconcileDocuments } from "./state-store.ts";

/** Attempts without an answer after which a set is given up. */
export const ATTEMPTS_MAX = 2;
/** A set that was given up is tried once more after so long. */
export const GIVEN_UP_MS = 24 * 3_600_000;

interface Attempts {
  /** Of the set that was read last. */
  readonly setDigest: string;
  /** Without an answer, in a row. */
  readonly unanswered: number;
  readonly at: number;
}

export class ReadingAttempts {
  readonly #documents: Pick<ReconcileDocuments, "read" | "write">;
  readonly #environment: string;
  readonly #now: () => number;

  constructor(
    documents: Pick<ReconcileDocuments, "read" | "write">,
    environment: string,
    now: () => number,
  ) {
    this.#documents = documents;
    this.#environment = environment;
    this.#now = now;
  }

  /** True while the set is not to be read. */
  isGivenUp(setDigest: string): boolean {
    return this.#unanswered(setDigest) >= ATTEMPTS_MAX && !this.#isOld();
  }

  /** True when a set that was given up may be read once more. */
  isDueAgain(setDigest: string): boolean {
    return this.#unanswered(setDigest) >= ATTEMPTS_MAX && this.#isOld();
  }

  /** Call before the set is read. */
  begin(setDigest: string): void {
    const unanswered = this.#unanswered(setDigest) + 1;
    this.#write({ setDigest, unanswered, at: this.#now() });
  }

  /** Call when it was read, whatever the answer is. */
  end(setDigest: string): void {
    this.#write({ setDigest, unanswered: 0, at: this.#now() });
  }

  #unanswered(setDigest: string): number {
    const known = this.#read();
    return known?.setDigest === setDigest ? known.unanswered : 0;
  }

  /** A clock that went back does not make it wait for longer. */
  #isOld(): boolean {
    return Math.abs(this.#now() - (this.#read()?.at ?? 0)) >= GIVEN_UP_MS;
  }

  #read(): Attempts | null {
    return this.#documents.read<Attempts>("reading", this.#environment);
  }

  #write(attempts: Attempts): void {
    this.#documents.write("reading", this.#environment, attempts);
  }
}
